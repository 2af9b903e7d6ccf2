//! Messages of the in-memory protocol to and from the wire.

use std::sync::Arc;

use prost::Message as _;
use uuid::Uuid;
use weft_proto::workflow::v1::{
    self as pb, ConnectRequest, connect_request::Message as Said, emit::Kind as Emitted,
};

use crate::{
    CallId, Failure,
    protocol::{
        Done, Event, ExecutionId, Finish, JournalEntry, MessagePart, MessagePiece, Outcome,
        Question, Record, RunTask, StartRun, Suspend, ToWorker, Warning, WorkerMessage,
    },
    wire::{MAX_REQUEST_BYTES, MAX_VALUE_BYTES, Malformed, decode, encode},
};

const MICROS_PER_SECOND: i64 = 1_000_000;
const NANOS_PER_MICRO: i32 = 1_000;
/// Most bytes of the numbers that a message is given before it is sent.
const NUMBERS_BYTES: usize = 32;

/// The id of an execution.
pub(super) fn execution(number: i64) -> Result<ExecutionId, Malformed> {
    u64::try_from(number)
        .map(ExecutionId)
        .map_err(|_| Malformed::new("execution_id", "must not be negative"))
}

/// The id of an execution on the wire.
pub(super) fn number(execution: ExecutionId) -> i64 {
    i64::try_from(execution.0).unwrap_or(i64::MAX)
}

/// What is to be executed, and the length of its journal.
pub(super) fn start_run(
    execution: ExecutionId,
    start: pb::StartRun,
) -> Result<(StartRun, usize), Malformed> {
    let previous = start.previous.as_ref();
    let started = StartRun {
        execution,
        run_id: run_id(&start.run_id)?,
        thread_id: start.thread_id.into(),
        entrypoint: start.entrypoint.into(),
        version: start.version.into(),
        attempt: decode::ordinal("attempt", start.attempt)?,
        input: decode::payload("input", start.input.as_ref(), decode::text)?,
        previous: previous
            .map(|previous| decode::payload("previous", Some(previous), decode::text))
            .transpose()?,
        config: decode::payload("config", start.config.as_ref(), decode::text)?,
        journal: journal(start.journal)?,
    };
    let length = usize::try_from(start.journal_length)
        .map_err(|_| Malformed::new("journal_length", "must not be negative"))?;
    Ok((started, length))
}

/// What is to be executed of the tasks on offer.
pub(super) fn run_task(execution: ExecutionId, run: pb::RunTask) -> Result<RunTask, Malformed> {
    Ok(RunTask {
        execution,
        run_id: run_id(&run.run_id)?,
        thread_id: run.thread_id.into(),
        call: decode::call_id("call_id", &run.call_id)?,
        task: run.task.into(),
        attempt: decode::ordinal("attempt", run.attempt)?,
        input: decode::payload("input", run.input.as_ref(), decode::text)?,
        config: decode::payload("config", run.config.as_ref(), decode::text)?,
        timeout: decode::optional_duration("timeout", run.timeout)?,
    })
}

fn run_id(text: &str) -> Result<Uuid, Malformed> {
    Uuid::parse_str(text).map_err(|_| Malformed::new("run_id", "must be a UUID"))
}

/// Recorded calls.
pub(super) fn journal(entries: Vec<pb::JournalEntry>) -> Result<Vec<JournalEntry>, Malformed> {
    let entry = |entry: pb::JournalEntry| {
        Ok(JournalEntry {
            call: decode::call(entry.call)?,
            outcome: decode::outcome(entry.outcome, decode::text)?,
        })
    };
    entries.into_iter().map(entry).collect()
}

/// That a call is recorded.
pub(super) fn ack(execution: ExecutionId, ack: pb::Ack) -> Result<ToWorker, Malformed> {
    Ok(ToWorker::Ack {
        execution,
        call: decode::call_id("call_id", &ack.call_id)?,
        outcome: decode::outcome(ack.outcome, decode::text)?,
    })
}

/// That a call is to be executed.
pub(super) fn retry(execution: ExecutionId, retry: pb::Retry) -> Result<ToWorker, Malformed> {
    Ok(ToWorker::Retry {
        execution,
        call: decode::call_id("call_id", &retry.call_id)?,
        after: decode::optional_duration("delay", retry.delay)?.unwrap_or_default(),
    })
}

/// What an execution says that began with `journal_length` recorded calls. Values that are too large
/// for the service become the failures that they would become there; an event that is, is dropped.
pub(super) fn request(
    execution: ExecutionId,
    message: WorkerMessage,
    journal_length: i32,
) -> ConnectRequest {
    // Code that leaves recorded calls over never gets here: it is a mismatch.
    let ended = |end| {
        Said::Finish(pb::Finish {
            end: Some(end),
            replayed_count: journal_length,
        })
    };
    let is_event = matches!(message, WorkerMessage::Event(_));
    let of = |said: Said| ConnectRequest {
        execution_id: number(execution),
        message: Some(said),
        ..ConnectRequest::default()
    };
    let request = of(match message {
        WorkerMessage::Event(event) => Said::Emit(emit(event)),
        WorkerMessage::Record(said) => Said::Record(record(*said)),
        WorkerMessage::Lookup(said) => Said::Lookup(pb::Lookup {
            call: Some(encode::call(&said.call)),
            key: said.key,
        }),
        WorkerMessage::Call(said) => Said::Delegate(pb::Delegate {
            call: Some(encode::call(&said.call)),
            input: Some(encode::payload(&said.input)),
            retry: encode::retry_policy(&said.retry),
            timeout: said.timeout.map(encode::duration),
        }),
        WorkerMessage::Suspend(said) => Said::Suspend(suspend(*said)),
        WorkerMessage::Finish(said) => ended(finish(*said)),
        WorkerMessage::Done(said) => Said::Done(done(*said)),
    });
    let bytes = request.encoded_len() + NUMBERS_BYTES;
    match bytes {
        ..=MAX_REQUEST_BYTES => request,
        _ if is_event => of(Said::Emit(emit(Event::Dropped { count: 1 }))),
        _ => of(ended(failed(too_large_to_say(bytes), None))),
    }
}

fn message_piece(piece: MessagePiece) -> pb::MessagePiece {
    let written = pb::MessagePiece {
        message_id: piece.message_id.to_string(),
        model: piece.model.to_string(),
        ..pb::MessagePiece::default()
    };
    match piece.part {
        MessagePart::Text => pb::MessagePiece {
            text: piece.text,
            ..written
        },
        MessagePart::Thinking => pb::MessagePiece {
            thinking: piece.text,
            ..written
        },
        MessagePart::ToolCall { index, id, name } => pb::MessagePiece {
            tool_call: Some(encode::tool_call_piece(index, &id, &name, piece.text)),
            ..written
        },
    }
}

fn emit(event: Event) -> pb::Emit {
    let name = |call: Option<CallId>| call.map(|call| call.to_string()).unwrap_or_default();
    let (call, task, kind) = match event {
        Event::TaskStarted {
            call,
            task,
            attempt,
            input,
        } => {
            let started = pb::TaskStarted {
                attempt: count(attempt),
                input: Some(encode::payload(&input)),
            };
            (Some(call), task, Emitted::TaskStarted(started))
        }
        Event::Message { call, task, piece } => {
            let piece = message_piece(piece);
            (Some(call), task, Emitted::MessagePiece(piece))
        }
        Event::Warning {
            call,
            task,
            warning: Warning { reason, message },
        } => {
            let warning = pb::Warning { reason, message };
            (call, task, Emitted::Warning(warning))
        }
        Event::Custom { call, task, value } => {
            (call, task, Emitted::Custom(encode::payload(&value)))
        }
        Event::Dropped { count } => {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            (None, "".into(), Emitted::DroppedCount(count))
        }
    };
    pb::Emit {
        call_id: name(call),
        task: task.to_string(),
        kind: Some(kind),
    }
}

fn record(record: Record) -> pb::Record {
    let outcome = small_enough(record.outcome)
        .map_err(|failure| failure.of_call(&record.call.id, &record.call.task));
    pb::Record {
        call: Some(encode::call(&record.call)),
        attempt: count(record.attempt),
        outcome: Some(encode::outcome(&outcome)),
        retry: encode::retry_policy(&record.retry),
        cache: record.cache.map(|cache| pb::CachePolicy {
            key: cache.key,
            ttl: Some(encode::duration(cache.ttl)),
        }),
        usage: encode::usage(&record.usage),
    }
}

fn done(done: Done) -> pb::Done {
    pb::Done {
        outcome: Some(encode::outcome(&small_enough(done.outcome))),
        retry: encode::retry_policy(&done.retry),
        usage: encode::usage(&done.usage),
    }
}

fn small_enough(outcome: Outcome) -> Outcome {
    let outcome = outcome.and_then(|value| match value.get().len() {
        bytes if bytes > MAX_VALUE_BYTES => Err(too_large(bytes)),
        _ => Ok(value),
    });
    outcome.map_err(Failure::kept)
}

/// The failure that the service itself answers a value with that is too large.
fn too_large(bytes: usize) -> Failure {
    let what = format!("a value has {bytes} bytes of JSON, at most {MAX_VALUE_BYTES} are kept");
    Failure::new("PAYLOAD_TOO_LARGE", what)
}

/// The failure of what cannot be told to the service at all.
fn too_large_to_say(bytes: usize) -> Failure {
    let what = format!("a message has {bytes} bytes, at most {MAX_REQUEST_BYTES} are taken");
    Failure::new("PAYLOAD_TOO_LARGE", what)
}

fn suspend(suspend: Suspend) -> pb::Suspend {
    let question = |question: Question| pb::Question {
        call: Some(encode::call(&question.call)),
        asked_by: question.asked_by.as_deref().unwrap_or_default().to_owned(),
        value: Some(encode::payload(&question.value)),
    };
    let time = |micros: i64| prost_types::Timestamp {
        seconds: micros.div_euclid(MICROS_PER_SECOND),
        nanos: i32::try_from(micros.rem_euclid(MICROS_PER_SECOND)).unwrap_or_default()
            * NANOS_PER_MICRO,
    };
    pb::Suspend {
        questions: suspend.interrupts.into_iter().map(question).collect(),
        wake_time: suspend.wake_time.map(time),
    }
}

fn finish(finish: Finish) -> pb::finish::End {
    match finish {
        Finish::Returned { value, saved } => {
            let largest = value.get().len().max(saved.get().len());
            if largest > MAX_VALUE_BYTES {
                return failed(too_large(largest), None);
            }
            let is_same = Arc::ptr_eq(&value, &saved);
            let returned = pb::Returned {
                value: Some(encode::payload(&value)),
                saved: (!is_same).then(|| encode::payload(&saved)),
            };
            pb::finish::End::Returned(returned)
        }
        Finish::Failed { failure, retry } => failed(failure, encode::retry_policy(&retry)),
        Finish::Mismatch(failure) => pb::finish::End::Mismatch(encode::failure(&failure.kept())),
    }
}

fn failed(failure: Failure, retry: Option<pb::RetryPolicy>) -> pb::finish::End {
    pb::finish::End::Failed(pb::Failed {
        failure: Some(encode::failure(&failure.kept())),
        retry,
    })
}

fn count(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}
