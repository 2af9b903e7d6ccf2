//! Requests to domain types. Everything that is wrong with a request is gathered first.
//!
//! # Layout
//! - here: what many requests have
//! - `start`, `run`, `thread`: what is theirs alone
//! - `repeat`: what makes a request to start a run the same as another

mod repeat;
mod run;
mod start;
mod thread;

use service_runtime::{PayloadLimits, Violations, payload};
use weft_proto::common::v1::{Payload, PayloadForm};
use weft_worker::Json;

pub(super) use self::{
    run::{after_sequence, answers, cancel_reason, run_filter, stream_modes},
    start::{Target, nested_run, new_run, target},
    thread::{checkpoint_values, keep_checkpoints, new_thread_id, thread_states},
};
use crate::domain::{CheckpointId, RunId, ThreadId};

/// Largest input or config, in bytes of JSON, and how deep it may nest: serde's own limit.
const LIMITS: PayloadLimits = PayloadLimits {
    max_bytes: 8 * 1024 * 1024,
    max_depth: 127,
};

/// A run's id.
pub(super) fn run_id(text: &str) -> Result<RunId, Violations> {
    text.parse().map_err(|_| {
        let what = match text {
            "" => "is required".to_owned(),
            text => format!("must be a UUID, not `{text}`"),
        };
        Violations::of("run_id", what)
    })
}

/// A thread's id that is required.
pub(super) fn required_thread_id(text: &str) -> Result<ThreadId, Violations> {
    let mut violations = Violations::default();
    thread_id("thread_id", text, &mut violations).ok_or(violations)
}

/// A checkpoint's id, if one is given.
pub(super) fn optional_checkpoint_id(text: &str) -> Result<Option<CheckpointId>, Violations> {
    if text.is_empty() {
        return Ok(None);
    }
    let mut violations = Violations::default();
    let id = checkpoint_id(text, &mut violations);
    violations.into_result(id)
}

/// The size of a page: `default` if none is asked for, `max` at most.
pub(super) fn page_size(asked: i32, default: u32, max: u32) -> Result<u32, Violations> {
    match u32::try_from(asked) {
        Ok(0) => Ok(default),
        Ok(size) => Ok(size.min(max)),
        Err(_) => Err(Violations::of(
            "page_size",
            format!("must not be negative; use 0 for {default}, at most {max}"),
        )),
    }
}

/// The form payloads are wanted in.
pub(super) fn payload_form(number: i32) -> Result<PayloadForm, Violations> {
    PayloadForm::try_from(number).map_err(|_| {
        let what = format!("has the unknown value {number}");
        Violations::of("payload_form", what)
    })
}

/// Both of two parts of a request, or all that is wrong with either.
pub(super) fn both<A, B>(
    first: Result<A, Violations>,
    second: Result<B, Violations>,
) -> Result<(A, B), Violations> {
    match (first, second) {
        (Ok(first), Ok(second)) => Ok((first, second)),
        (Err(mut violations), Err(more)) => {
            violations.append(more);
            Err(violations)
        }
        (Err(violations), Ok(_)) | (Ok(_), Err(violations)) => Err(violations),
    }
}

fn optional_payload(
    field: &str,
    payload: Option<&Payload>,
    violations: &mut Violations,
) -> Option<Json> {
    match payload::decode(payload?, &LIMITS) {
        Ok(json) => Some(json.into()),
        Err(error) => {
            violations.push(field, error.to_string());
            None
        }
    }
}

fn thread_id(field: &str, text: &str, violations: &mut Violations) -> Option<ThreadId> {
    ThreadId::parse(text)
        .map_err(|what| violations.push(field, what))
        .ok()
}

fn checkpoint_id(text: &str, violations: &mut Violations) -> Option<CheckpointId> {
    let what = || format!("must be a UUID, not `{text}`");
    text.parse()
        .map_err(|_| violations.push("checkpoint_id", what()))
        .ok()
}
