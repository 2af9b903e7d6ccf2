//! What calls about threads are asked for.

use service_runtime::Violations;
use weft_proto::workflow::v1 as pb;

use super::{optional_payload, thread_id};
use crate::domain::{ThreadId, ThreadState, checkpoint::CheckpointValues};

/// Values of a checkpoint that is written by hand.
pub(in crate::grpc) fn checkpoint_values(
    request: &pb::UpdateThreadRequest,
) -> Result<CheckpointValues, Violations> {
    let mut violations = Violations::default();
    if request.value.is_none() {
        violations.push("value", "is required; `null` is a value");
    }
    let value = optional_payload("value", request.value.as_ref(), &mut violations);
    let saved = optional_payload("saved", request.saved.as_ref(), &mut violations);
    match (violations.is_empty(), value) {
        (true, Some(value)) => Ok(CheckpointValues {
            saved: saved.unwrap_or(value.clone()),
            value,
        }),
        _ => Err(violations),
    }
}

/// The id of a copy, or a generated one.
pub(in crate::grpc) fn new_thread_id(text: &str) -> Result<ThreadId, Violations> {
    if text.is_empty() {
        return Ok(ThreadId::generate());
    }
    let mut violations = Violations::default();
    let id = thread_id("new_thread_id", text, &mut violations);
    id.ok_or(violations)
}

/// How many checkpoints to keep.
pub(in crate::grpc) fn keep_checkpoints(number: i32) -> Result<u32, Violations> {
    match u32::try_from(number) {
        Ok(keep) if keep > 0 => Ok(keep),
        Ok(_) | Err(_) => {
            let what = "must be at least 1; DeleteThread removes a whole thread";
            Err(Violations::of("keep_checkpoints", what))
        }
    }
}

/// States of threads to list.
pub(in crate::grpc) fn thread_states(numbers: &[i32]) -> Result<Vec<ThreadState>, Violations> {
    let mut violations = Violations::default();
    let mut states = Vec::with_capacity(numbers.len());
    for (index, number) in numbers.iter().enumerate() {
        match ThreadState::from_number(*number) {
            Some(state) => states.push(state),
            None => violations.push(format!("states[{index}]"), format!("{number} is no state")),
        }
    }
    violations.into_result(states)
}
