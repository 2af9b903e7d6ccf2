//! Values that the code of a worker makes. Not all of them can be kept: then that is a failure of the
//! code, which it can see and mend, and not of its worker, which told them as it should.

use service_runtime::{PayloadError, PayloadLimits, payload};
use weft_proto::common::v1::Payload;
use weft_worker::{
    Failure, Json,
    protocol::{Outcome, Warning},
    wire::{MAX_REQUEST_BYTES, Malformed},
};

/// A value may have any size that fits into a message: the engine refuses what is too large, by the
/// name of the task. The depth is that of an input.
const LIMITS: PayloadLimits = PayloadLimits {
    max_bytes: MAX_REQUEST_BYTES,
    max_depth: 127,
};

/// A JSON value in either of its forms.
///
/// # Errors
/// The rest of a sentence that begins with its name.
pub(super) fn read(value: &Payload) -> Result<Json, String> {
    payload::decode(value, &LIMITS)
        .map(Json::from)
        .map_err(|error| error.to_string())
}

/// A value that code made, or the failure of code that made one which cannot be kept.
///
/// # Errors
/// If there is none, or it is no JSON: a worker would not have said it.
pub(super) fn made(field: &str, value: Option<&Payload>) -> Result<Outcome, Malformed> {
    let value = value.ok_or_else(|| Malformed::new(field, "is missing"))?;
    match payload::decode(value, &LIMITS) {
        Ok(json) => Ok(Ok(json.into())),
        Err(error) => match reason(&error) {
            Some(reason) => Ok(Err(Failure::new(reason, format!("a value {error}")))),
            None => Err(Malformed::new(field, error)),
        },
    }
}

/// What those who follow the run are told in place of a value that cannot be shown.
pub(super) fn not_shown(failure: Failure) -> Warning {
    Warning {
        reason: failure.reason,
        message: format!("something was not streamed: {}", failure.message),
    }
}

fn reason(error: &PayloadError) -> Option<&'static str> {
    match error {
        PayloadError::TooDeep { .. } => Some("PAYLOAD_TOO_DEEP"),
        PayloadError::NotFinite | PayloadError::LoneSurrogate => Some("NOT_SERIALIZABLE"),
        PayloadError::Missing
        | PayloadError::MissingKind
        | PayloadError::NotJson { .. }
        | PayloadError::TooLarge { .. } => None,
    }
}
