//! What one source says: the defaults, the file, one variable or one flag.

use std::{fs, path::Path};

use figment::{
    Metadata, Profile, Provider,
    util::nest,
    value::{Dict, Map, Value},
};
use serde::Serialize;

use super::{ConfigError, environment::variable_of};

/// Values from one place, with what else they could mean.
pub(super) struct Layer {
    place: String,
    spelling: Spelling,
    values: Dict,
    /// Other readings of a variable's text, the next one last.
    alternatives: Vec<Dict>,
    /// Why the first reading did not fit.
    complaint: Option<ConfigError>,
}

/// How a source writes a key.
enum Spelling {
    Key,
    Variable,
}

impl Layer {
    fn new(place: String, values: Dict) -> Self {
        Self {
            place,
            spelling: Spelling::Key,
            values,
            alternatives: Vec::new(),
            complaint: None,
        }
    }

    pub(super) fn defaults(default: &impl Serialize) -> Result<Self, ConfigError> {
        Ok(Self::new("defaults".to_owned(), dictionary(default)?))
    }

    pub(super) fn file(path: &Path) -> Result<Self, ConfigError> {
        let text = fs::read_to_string(path).map_err(|cause| ConfigError::Unreadable {
            path: path.display().to_string(),
            cause,
        })?;
        let place = format!("file `{}`", path.display());
        let table: toml::Table = toml::from_str(&text).map_err(|error| ConfigError::NotToml {
            place: place.clone(),
            line: 1 + text[..error.span().map_or(0, |span| span.start)]
                .matches('\n')
                .count(),
            cause: match error.message() {
                "" => "a value is missing".to_owned(),
                message => message.replace('\n', ", "),
            },
        })?;
        Ok(Self::new(place, dictionary(&table)?))
    }

    /// The text of a variable is a TOML value, else the text itself, else a list of texts.
    pub(super) fn variable(name: &str, key: &str, text: &str) -> Self {
        let list = split_list(text);
        let toml = toml::from_str(&format!("value = {text}"));
        let toml = toml
            .ok()
            .and_then(|mut table: toml::Table| table.remove("value"));
        let readings = [Value::serialize(list).ok(), Some(Value::from(text))]
            .into_iter()
            .chain([toml.and_then(|value| Value::serialize(value).ok())])
            .flatten();
        let mut alternatives: Vec<Dict> = readings
            .filter_map(|value| nest(key, value).into_dict())
            .collect();
        Self {
            spelling: Spelling::Variable,
            values: alternatives.pop().unwrap_or_default(),
            alternatives,
            ..Self::new(format!("variable `{name}`"), Dict::new())
        }
    }

    /// One layer for each flag that was given.
    pub(super) fn flags(flags: &impl Serialize) -> Result<Vec<Self>, ConfigError> {
        let given = |(key, value): (String, Value)| {
            let absent = match &value {
                Value::Empty(..) => true,
                Value::Array(_, list) => list.is_empty(),
                _ => false,
            };
            let place = format!("flag `--{}`", key.replace('_', "-"));
            (!absent).then(|| Self::new(place, Dict::from([(key, value)])))
        };
        Ok(dictionary(flags)?.into_iter().filter_map(given).collect())
    }

    /// The source as errors name it.
    pub(super) fn place(&self) -> &str {
        &self.place
    }

    pub(super) fn values(&self) -> &Dict {
        &self.values
    }

    /// `key` as this source writes it.
    pub(super) fn spell(&self, key: &str) -> String {
        match self.spelling {
            Spelling::Key => key.to_owned(),
            Spelling::Variable => variable_of(key),
        }
    }

    /// Turns to the next reading of the text; fails with the first complaint if there is none.
    pub(super) fn retype(&mut self, complaint: ConfigError) -> Result<(), ConfigError> {
        let first = self.complaint.take().unwrap_or(complaint);
        match self.alternatives.pop() {
            Some(values) => {
                self.values = values;
                self.complaint = Some(first);
                Ok(())
            }
            None => Err(first),
        }
    }
}

impl Provider for &Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.place.clone())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Map::from([(Profile::Default, self.values.clone())]))
    }
}

/// `value` as a table; empty for what has no keys.
pub(super) fn dictionary(value: &impl Serialize) -> Result<Dict, ConfigError> {
    let value = Value::serialize(value).map_err(|error| ConfigError::invalid(&error))?;
    Ok(value.into_dict().unwrap_or_default())
}

/// The elements of a list that is written as one text: between commas that are not within braces,
/// such as those of `{a,b}`.
#[must_use]
pub fn split_list(text: &str) -> Vec<&str> {
    let mut depth = 0_i32;
    let outside = |character| {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        character == ',' && depth == 0
    };
    text.split(outside).map(str::trim).collect()
}
