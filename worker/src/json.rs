//! JSON values as they travel and are stored: exact text.

use std::sync::Arc;

use serde::{Serialize, de::DeserializeOwned};
use serde_json::value::{RawValue, to_raw_value};

use crate::Failure;

/// Json is one JSON value as RFC 8259 text: exact numbers, key order kept, cheap to clone.
pub type Json = Arc<RawValue>;

/// The value `null`.
pub fn null() -> Json {
    RawValue::NULL.to_owned().into()
}

/// Checks that `text` is one JSON value.
///
/// # Errors
/// If it is not.
pub fn from_text(text: impl Into<String>) -> Result<Json, serde_json::Error> {
    RawValue::from_string(text.into()).map(Arc::from)
}

/// Serialises a value of user code.
///
/// # Errors
/// `NOT_SERIALIZABLE`, not retryable, if its `Serialize` fails or a map's keys are no strings.
pub fn encode<T: Serialize + ?Sized>(what: &str, value: &T) -> Result<Json, Failure> {
    to_raw_value(value)
        .map(Arc::from)
        .map_err(|error| Failure::new("NOT_SERIALIZABLE", format!("{what} is no JSON: {error}")))
}

/// Reads a value as a type of user code.
///
/// # Errors
/// `TYPE_MISMATCH`, not retryable, if the value has another shape.
pub fn decode<T: DeserializeOwned>(what: &str, json: &RawValue) -> Result<T, Failure> {
    serde_json::from_str(json.get()).map_err(|error| {
        Failure::new(
            "TYPE_MISMATCH",
            format!("{what} has another shape than the code expects: {error}"),
        )
    })
}
