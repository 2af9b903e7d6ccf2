//! Reading the arguments of an entrypoint, with the path of what is wrong.

use std::collections::BTreeMap;

use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::value::RawValue;
use weft_worker::InvalidArgument;

/// Refuses keys of a config that are written as a path: they would be taken for the caller's own.
pub fn check_dots(config: &RawValue, invalid: &mut Vec<InvalidArgument>) {
    const TABLES: [&str; 3] = ["memory", "history", "options"];
    let keys = serde_json::from_str::<BTreeMap<String, IgnoredAny>>(config.get());
    for key in keys.unwrap_or_default().into_keys() {
        if let Some((table, name)) = key.split_once('.')
            && TABLES.contains(&table)
        {
            let why = format!("is no key; write {{\"{table}\": {{\"{name}\": …}}}}");
            invalid.push(InvalidArgument::new(format!("config.{key}"), why));
        }
    }
}

/// Reads `json` as a `T`; `name` is `input` or `config`.
///
/// # Errors
/// The path of the first field that is wrong, and why.
pub fn read<T: DeserializeOwned>(name: &str, json: &RawValue) -> Result<T, InvalidArgument> {
    let mut deserializer = serde_json::Deserializer::from_str(json.get());
    serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = match error.path().to_string().as_str() {
            "." => name.to_owned(),
            path if path.starts_with('[') => format!("{name}{path}"),
            path => format!("{name}.{path}"),
        };
        let cause = error.into_inner().to_string();
        // The path says more than a position in a text that the caller may not have written.
        let cause = cause
            .split(" at line ")
            .next()
            .unwrap_or_default()
            .to_owned();
        InvalidArgument::new(path, cause)
    })
}
