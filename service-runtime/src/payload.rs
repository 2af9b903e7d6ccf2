//! JSON values on the wire (`weft.common.v1.Payload`) and as exact text.
//!
//! # Layout
//! - `scan`: depth, numbers and lone surrogates of a text in one pass
//! - `number`: which numbers a double brings back
//! - `native`: `google.protobuf.Value` from and to text

mod native;
mod number;
mod scan;

use serde_json::value::RawValue;
use weft_proto::common::v1::{Payload, PayloadForm, payload::Form};

use self::scan::{Token, scan};

/// What a payload may be at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PayloadLimits {
    /// Bytes of its JSON text.
    pub max_bytes: usize,
    /// Arrays and objects inside each other; a plain number has depth 0, `[1]` depth 1.
    pub max_depth: usize,
}

/// Why a payload is refused. Its text continues a sentence that begins with the field's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PayloadError {
    /// Neither arm of the payload is set.
    #[error("must have a value: set `json` or `json_text`")]
    Missing,
    /// A `google.protobuf.Value` has no kind, which JSON cannot say.
    #[error("must not hold a `google.protobuf.Value` without a kind; set `null_value` for null")]
    MissingKind,
    /// `json_text` is not JSON.
    #[error("must be one JSON value (RFC 8259): {cause}")]
    NotJson {
        /// What is wrong at which line and column.
        cause: String,
    },
    /// The text is too long.
    #[error("must be at most {limit} bytes of JSON, not {actual}")]
    TooLarge {
        /// Bytes of the text.
        actual: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// Arrays and objects nest too deep.
    #[error("must not nest arrays and objects deeper than {limit} levels")]
    TooDeep {
        /// Levels allowed.
        limit: usize,
    },
    /// A number of `json` is NaN or infinite.
    #[error("must not hold NaN or an infinite number, which JSON does not have; use null")]
    NotFinite,
    /// A string has half of a surrogate pair.
    #[error(
        "must not hold half of a surrogate pair such as `\\ud800`; escape both halves or neither"
    )]
    LoneSurrogate,
}

/// The exact JSON text of `payload`: as sent in `json_text`, or written from `json`.
///
/// Numbers may be of any size. Of `json`, whole numbers within ±2^53 are written
/// as integers, keys in order.
///
/// # Errors
/// [`PayloadError`] if the payload is empty, not JSON, or beyond `limits`.
pub fn decode(payload: &Payload, limits: &PayloadLimits) -> Result<Box<RawValue>, PayloadError> {
    match &payload.form {
        None => Err(PayloadError::Missing),
        Some(Form::JsonText(text)) => {
            check_size(text, limits)?;
            let json: Box<RawValue> = serde_json::from_str(text).map_err(not_json)?;
            check_tokens(json.get(), limits)?;
            Ok(json)
        }
        Some(Form::Json(value)) => {
            let mut text = String::new();
            native::write(value, limits.max_depth, limits.max_depth, &mut text)?;
            check_size(&text, limits)?;
            RawValue::from_string(text).map_err(not_json)
        }
    }
}

/// `json` in the form a client asked for.
///
/// The `json` arm is used unless the form is `TEXT` or the value would not come back
/// as it is: a double does not bring a number back, keys repeat, or it nests deeper than clients decode.
#[must_use]
pub fn encode(json: &RawValue, form: PayloadForm) -> Payload {
    let native = match form {
        PayloadForm::Text => None,
        PayloadForm::Unspecified => {
            doubles(json.get()).and_then(|numbers| native::parse(json, &numbers))
        }
    };
    let form = match native {
        Some(value) => Form::Json(value),
        None => Form::JsonText(json.get().to_owned()),
    };
    Payload { form: Some(form) }
}

fn not_json(error: serde_json::Error) -> PayloadError {
    PayloadError::NotJson {
        cause: error.to_string(),
    }
}

fn check_size(text: &str, limits: &PayloadLimits) -> Result<(), PayloadError> {
    let (actual, limit) = (text.len(), limits.max_bytes);
    if actual > limit {
        Err(PayloadError::TooLarge { actual, limit })
    } else {
        Ok(())
    }
}

fn check_tokens(text: &str, limits: &PayloadLimits) -> Result<(), PayloadError> {
    let limit = limits.max_depth;
    scan(text).try_for_each(|token| match token {
        Token::Open(depth) if depth > limit => Err(PayloadError::TooDeep { limit }),
        Token::LoneSurrogate => Err(PayloadError::LoneSurrogate),
        Token::Open(_) | Token::Number(_) => Ok(()),
    })
}

/// The numbers of `text` in order, if doubles bring all of them back.
fn doubles(text: &str) -> Option<Vec<f64>> {
    let numbers = scan(text).filter_map(|token| match token {
        Token::Number(range) => Some(number::as_double(&text[range])),
        Token::Open(_) | Token::LoneSurrogate => None,
    });
    numbers.collect()
}

#[cfg(test)]
mod tests;
