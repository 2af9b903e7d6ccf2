//! Messages about tasks on offer.

use weft_proto::workflow::v1::{
    self as pb, ConnectResponse, connect_request::Message as Heard,
    connect_response::Message as Said,
};
use weft_worker::{
    CallId,
    protocol::{Done, RunTask, WorkerMessage},
    wire::{Malformed, decode, encode},
};

use super::message;

/// What a worker says about an execution of a task that `call` calls.
pub(super) fn heard(heard: Heard, call: &CallId) -> Result<WorkerMessage, Malformed> {
    match heard {
        Heard::Done(said) => Ok(WorkerMessage::Done(Box::new(Done {
            outcome: message::outcome(said.outcome)?,
            retry: decode::retry_policy(said.retry)?,
            usage: decode::usage(said.usage)?,
        }))),
        Heard::Emit(said) => {
            let said = pb::Emit {
                call_id: call.to_string(),
                ..said
            };
            message::emit(said).map(WorkerMessage::Event)
        }
        _ => Err(Malformed::new("execution_id", "is that of a task on offer")),
    }
}

/// Hands a call over.
pub(super) fn run_task(run: RunTask) -> ConnectResponse {
    let said = pb::RunTask {
        run_id: run.run_id.to_string(),
        thread_id: run.thread_id.to_string(),
        call_id: run.call.to_string(),
        task: run.task.to_string(),
        attempt: i32::try_from(run.attempt).unwrap_or(i32::MAX),
        input: Some(encode::payload(&run.input)),
        config: Some(encode::payload(&run.config)),
        timeout: run.timeout.map(encode::duration),
    };
    message::of(run.execution, Said::RunTask(said))
}
