//! The keys that a configuration has.

use figment::value::{Dict, Value};
use serde::Serialize;

use super::{ConfigError, Layer, layer::dictionary};

/// All keys of a configuration, as its default value shows them.
pub(super) struct Keys(Dict);

impl Keys {
    pub(super) fn of(default: &impl Serialize) -> Result<Self, ConfigError> {
        dictionary(default).map(Self)
    }

    /// Whether `key`, with dots between tables, is a key or lies in an open table.
    pub(super) fn know(&self, key: &str) -> bool {
        let mut known = &self.0;
        for part in key.split('.') {
            match known.get(part) {
                None => return false,
                Some(value) => match table(value) {
                    Some(inner) => known = inner,
                    None => return true,
                },
            }
        }
        true
    }

    /// Refuses a layer that names what is no key.
    pub(super) fn check(&self, layer: &Layer) -> Result<(), ConfigError> {
        let Some(key) = first_unknown(&self.0, layer.values(), "") else {
            return Ok(());
        };
        let likeness = |known: &String| strsim::jaro_winkler(known, &key);
        let nearest = leaves(&self.0, "")
            .into_iter()
            .max_by(|one, other| likeness(one).total_cmp(&likeness(other)))
            .unwrap_or_default();
        Err(ConfigError::UnknownKey {
            place: layer.place().to_owned(),
            key: layer.spell(&key),
            nearest: layer.spell(&nearest),
        })
    }
}

/// The keys below `value`, if it is a table whose keys are known: one that is not empty by default.
fn table(value: &Value) -> Option<&Dict> {
    value.as_dict().filter(|inner| !inner.is_empty())
}

fn first_unknown(known: &Dict, given: &Dict, prefix: &str) -> Option<String> {
    given.iter().find_map(|(key, value)| {
        let path = format!("{prefix}{key}");
        match known.get(key) {
            None => Some(path),
            Some(inner) => first_unknown(table(inner)?, value.as_dict()?, &format!("{path}.")),
        }
    })
}

fn leaves(known: &Dict, prefix: &str) -> Vec<String> {
    let below = |(key, value): (&String, &Value)| match table(value) {
        Some(inner) => leaves(inner, &format!("{prefix}{key}.")),
        None => vec![format!("{prefix}{key}")],
    };
    known.iter().flat_map(below).collect()
}
