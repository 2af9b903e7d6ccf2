//! The variables that are meant for this process.

use std::{collections::BTreeMap, env, ffi::OsString, path::PathBuf};

use super::{ConfigError, Keys, Layer};

const PREFIX: &str = "WEFT_";

/// Names the configuration file.
const CONFIG_FILE: &str = "WEFT_CONFIG";

/// What test suites say to each other.
const TESTS: &str = "WEFT_TEST_";

/// What clients read: a shell in which programs are run may start a service too.
const CLIENTS: [&str; 2] = ["WEFT_WORKFLOW_URL", "WEFT_IMPLICIT_HOSTING"];

/// The `WEFT_…` variables of a process.
///
/// Not all are meant for this service: the other one and clients may share its environment (one
/// compose file, one shell), and Kubernetes adds variables for every Service object in its namespace.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    variables: BTreeMap<String, OsString>,
    sibling_keys: Vec<String>,
}

impl Environment {
    /// The environment of this process. `sibling_keys` are the keys and tables of the other
    /// service, whose variables are not refused.
    #[must_use]
    pub fn new(sibling_keys: &[&str]) -> Self {
        let unicode = |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value));
        Self::of(env::vars_os().filter_map(unicode), sibling_keys)
    }

    /// An environment of these variables.
    #[must_use]
    pub fn of<N: Into<String>, V: Into<OsString>>(
        variables: impl IntoIterator<Item = (N, V)>,
        sibling_keys: &[&str],
    ) -> Self {
        let owned = variables
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()));
        Self {
            // An empty variable is an unset one: that is what compose files make of `${X:-}`.
            variables: owned
                .filter(|(name, value): &(String, OsString)| {
                    name.starts_with(PREFIX) && !value.is_empty()
                })
                .collect(),
            sibling_keys: sibling_keys.iter().map(|&key| key.to_owned()).collect(),
        }
    }

    /// The configuration file that `WEFT_CONFIG` names.
    #[must_use]
    pub fn config_file(&self) -> Option<PathBuf> {
        self.variables.get(CONFIG_FILE).map(PathBuf::from)
    }

    /// One layer for each variable that sets a key.
    pub(super) fn layers(&self, keys: &Keys) -> Result<Vec<Layer>, ConfigError> {
        let mut layers = Vec::new();
        for (name, value) in &self.variables {
            let key = key_of(name);
            if name == CONFIG_FILE || !keys.know(&key) && self.is_for_others(name, &key) {
                continue;
            }
            let text = value
                .to_str()
                .ok_or_else(|| ConfigError::NotUnicode(name.clone()))?;
            layers.push(Layer::variable(name, &key, text));
        }
        Ok(layers)
    }

    fn is_for_others(&self, name: &str, key: &str) -> bool {
        let of_sibling = |sibling: &String| {
            key.strip_prefix(sibling.as_str())
                .is_some_and(|rest| matches!(rest.as_bytes(), [] | [b'.', ..]))
        };
        name.starts_with(TESTS)
            || CLIENTS.contains(&name)
            || is_service_link(name)
            || self.sibling_keys.iter().any(of_sibling)
    }
}

/// Whether Kubernetes makes up such a name, e.g. `WEFT_MEMORY_PORT_50051_TCP_ADDR` for a
/// Service `weft-memory`.
fn is_service_link(name: &str) -> bool {
    name.ends_with("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || name.ends_with("_PORT")
        || name.contains("_PORT_")
}

/// `server.drain_timeout` for `WEFT_SERVER__DRAIN_TIMEOUT`.
fn key_of(variable: &str) -> String {
    let key = variable.strip_prefix(PREFIX).unwrap_or(variable);
    key.to_ascii_lowercase().replace("__", ".")
}

/// `WEFT_SERVER__DRAIN_TIMEOUT` for `server.drain_timeout`.
pub(super) fn variable_of(key: &str) -> String {
    format!("{PREFIX}{}", key.to_ascii_uppercase().replace('.', "__"))
}
