//! Reading the arguments of an entrypoint, with the path of what is wrong.

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use weft_worker::InvalidArgument;

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
