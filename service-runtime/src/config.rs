//! Configuration: flags over environment over file over defaults.
//!
//! A configuration is a struct with a default for every key. The key `server.drain_timeout` is
//! `drain_timeout` under `[server]` in the TOML file and `WEFT_SERVER__DRAIN_TIMEOUT` in the
//! environment. What names no key is refused, together with the nearest key.
//!
//! # Layout
//! - [`Environment`]: the variables that are meant for this process
//! - [`Secret`]: a text that is never shown
//! - [`human`]: durations as people write them
//! - [`check_url`]: URLs that may be shown
//! - `layer`: what one source says
//! - `keys`: what there is to say

mod environment;
pub mod human;
mod keys;
mod layer;
mod secret;
mod url;

use std::{io, path::Path};

use figment::{Figment, error::Kind};
use serde::{Serialize, de::DeserializeOwned};

pub use self::{
    environment::Environment,
    layer::split_list,
    secret::Secret,
    url::{BadUrl, check_url},
};
use self::{keys::Keys, layer::Layer};

/// Reads the configuration `C`: `flags` over `environment` over `file` over `C::default()`.
///
/// The keys are those that `C::default()` serializes, so none may be skipped; a table that is
/// empty by default takes any key. A flag that was not given serializes as `None`, as an empty
/// list, or not at all.
///
/// # Errors
/// [`ConfigError`], one sentence: where, what is wrong, what would be right.
pub fn load<C: Serialize + DeserializeOwned + Default>(
    flags: &impl Serialize,
    file: Option<&Path>,
    environment: &Environment,
) -> Result<C, ConfigError> {
    let keys = Keys::of(&C::default())?;
    let mut layers = vec![Layer::defaults(&C::default())?];
    if let Some(path) = file {
        layers.push(Layer::file(path)?);
    }
    layers.extend(environment.layers(&keys)?);
    layers.extend(Layer::flags(flags)?);
    layers.iter().try_for_each(|layer| keys.check(layer))?;
    extract(layers)
}

/// `config` as TOML that [`load`] reads again; secrets are redacted.
///
/// # Errors
/// [`ConfigError::Unprintable`] if it holds what TOML cannot say.
pub fn dump(config: &impl Serialize) -> Result<String, ConfigError> {
    toml::to_string(config).map_err(|error| ConfigError::Unprintable(error.to_string()))
}

/// Merges the layers, lowest first. A variable is a text without a type: what does not fit
/// as one type is tried as the next.
fn extract<C: DeserializeOwned>(mut layers: Vec<Layer>) -> Result<C, ConfigError> {
    loop {
        let merged = layers.iter().fold(Figment::new(), Figment::merge);
        let error = match merged.extract() {
            Ok(config) => return Ok(config),
            Err(error) => error,
        };
        let mistyped = matches!(error.kind, Kind::InvalidType(..));
        let complaint = ConfigError::invalid(&error);
        let place = error
            .metadata
            .as_ref()
            .map(|metadata| metadata.name.as_ref());
        match layers.iter_mut().find(|layer| Some(layer.place()) == place) {
            Some(layer) if mistyped => layer.retype(complaint)?,
            Some(_) | None => return Err(complaint),
        }
    }
}

/// Why there is no configuration. Its text is one sentence for the person who starts the service.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration file `{path}`: {cause}")]
    Unreadable {
        /// The file that was named.
        path: String,
        /// What the operating system said.
        cause: io::Error,
    },
    /// The file is not TOML.
    #[error("{place} is not TOML: line {line}: {cause}")]
    NotToml {
        /// The file.
        place: String,
        /// Counted from 1.
        line: usize,
        /// What the parser expected.
        cause: String,
    },
    /// A variable is not Unicode text.
    #[error("variable `{0}` is not UTF-8")]
    NotUnicode(String),
    /// A source names what is no key.
    #[error("{place}: there is no key `{key}`; the nearest is `{nearest}`")]
    UnknownKey {
        /// Flag, variable or file.
        place: String,
        /// As that source spells it.
        key: String,
        /// The known key that looks most like it, spelled likewise.
        nearest: String,
    },
    /// A key has a value that does not fit.
    #[error("{place}: `{key}`: {cause}")]
    Invalid {
        /// Flag, variable or file.
        place: String,
        /// The key, with dots between tables.
        key: String,
        /// What was found and what would fit.
        cause: String,
    },
    /// A configuration that cannot be written down.
    #[error("the configuration cannot be printed as TOML: {0}")]
    Unprintable(String),
}

impl ConfigError {
    fn invalid(error: &figment::Error) -> Self {
        let place = error
            .metadata
            .as_ref()
            .map_or("defaults", |metadata| &metadata.name);
        Self::Invalid {
            place: place.to_owned(),
            key: error.path.join("."),
            cause: match &error.kind {
                Kind::UnknownVariant(found, known) => {
                    format!("`{found}` is none of `{}`", known.join("`, `"))
                }
                kind => kind.to_string(),
            },
        }
    }
}

#[cfg(test)]
mod tests;
