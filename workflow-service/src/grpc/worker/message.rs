//! Messages of the worker protocol: from the wire to the engine's, and back.

use weft_proto::workflow::v1::{
    self as pb, ConnectResponse, connect_request::Message as Heard,
    connect_response::Message as Said, emit::Kind as Emitted, outcome::Result as Came,
};
use weft_worker::{
    Call, CallKind, Failure, RetryPolicy, Usage,
    protocol::{
        CacheEntry, Event, ExecutionId, Finish, JournalEntry, Lookup, MessagePart, MessagePiece,
        Outcome, Question, Record, StartRun, Suspend, TargetCall, ToWorker, Warning, WorkerMessage,
    },
    wire::{Malformed, decode, encode},
};

use super::{
    task,
    value::{made, not_shown},
};

const MICROS_PER_SECOND: i64 = 1_000_000;
const NANOS_PER_MICRO: i32 = 1_000;

/// About the most bytes of journal in one message: what the default limits of all gRPC libraries let
/// through. A single entry may be larger.
const CHUNK_BYTES: usize = 1 << 20;

/// Longest key of a cached result, in bytes.
const MAX_CACHE_KEY_BYTES: usize = 1024;

/// The id of an execution on the wire.
pub(super) fn number(execution: ExecutionId) -> i64 {
    i64::try_from(execution.0).unwrap_or(i64::MAX)
}

/// The recorded calls that a worker was handed with a run.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Journal {
    /// Those that its code has to make again.
    pub(super) replayable: usize,
    /// All of them.
    pub(super) length: usize,
}

/// What a worker says about an execution that was handed over with this journal.
pub(super) fn heard(heard: Heard, journal: Journal) -> Result<WorkerMessage, Malformed> {
    match heard {
        Heard::Record(said) => Ok(WorkerMessage::Record(Box::new(record(said)?))),
        Heard::Emit(said) => emit(said).map(WorkerMessage::Event),
        Heard::Suspend(said) => suspend(said),
        Heard::Finish(said) => Ok(WorkerMessage::Finish(Box::new(finish(said, journal)?))),
        Heard::Lookup(said) => Ok(WorkerMessage::Lookup(Box::new(Lookup {
            call: of_kind(CallKind::Task, said.call)?,
            key: cache_key("key", said.key)?,
        }))),
        Heard::Delegate(said) => delegate(said),
        Heard::Done(_) => Err(Malformed::new("execution_id", "is that of a run")),
        Heard::Hello(_) | Heard::Heartbeat(_) | Heard::Capacity(_) => {
            Err(Malformed::new("execution_id", "must be 0 in this message"))
        }
    }
}

fn record(said: pb::Record) -> Result<Record, Malformed> {
    let call = decode::call(said.call)?;
    if !matches!(call.kind, CallKind::Task | CallKind::Side) {
        return Err(Malformed::new("call.kind", "does not fit the message"));
    }
    let outcome = outcome(said.outcome)?.map_err(|failure| failure.of_call(&call.id, &call.task));
    Ok(Record {
        call,
        attempt: decode::ordinal("attempt", said.attempt)?,
        outcome,
        retry: decode::retry_policy(said.retry)?,
        cache: said.cache.map(cache).transpose()?,
        usage: decode::usage(said.usage)?,
    })
}

/// What code came to.
pub(super) fn outcome(said: Option<pb::Outcome>) -> Result<Outcome, Malformed> {
    match said.and_then(|outcome| outcome.result) {
        None => Err(Malformed::new("outcome", "is missing")),
        Some(Came::Value(value)) => made("outcome.value", Some(&value)),
        Some(Came::Failure(why)) => decode::failure("outcome.failure", Some(why)).map(Err),
    }
}

fn delegate(said: pb::Delegate) -> Result<WorkerMessage, Malformed> {
    let call = of_kind(CallKind::Target, said.call)?;
    let (retry, timeout) = (
        decode::retry_policy(said.retry)?,
        decode::optional_duration("timeout", said.timeout)?,
    );
    Ok(match made("input", said.input.as_ref())? {
        Ok(input) => WorkerMessage::Call(Box::new(TargetCall {
            call,
            input,
            retry,
            timeout,
        })),
        // Nobody can be asked that.
        Err(failure) => WorkerMessage::Record(Box::new(Record {
            outcome: Err(failure.of_call(&call.id, &call.task)),
            call,
            attempt: 1,
            retry: RetryPolicy::NEVER,
            cache: None,
            usage: Usage::default(),
        })),
    })
}

fn of_kind(kind: CallKind, call: Option<pb::Call>) -> Result<Call, Malformed> {
    let call = decode::call(call)?;
    if call.kind != kind {
        return Err(Malformed::new("call.kind", "does not fit the message"));
    }
    Ok(call)
}

fn cache(policy: pb::CachePolicy) -> Result<CacheEntry, Malformed> {
    let ttl = decode::optional_duration("cache.ttl", policy.ttl)?;
    Ok(CacheEntry {
        key: cache_key("cache.key", policy.key)?,
        ttl: ttl.ok_or_else(|| Malformed::new("cache.ttl", "is missing"))?,
    })
}

fn cache_key(field: &str, key: String) -> Result<String, Malformed> {
    if (1..=MAX_CACHE_KEY_BYTES).contains(&key.len()) {
        return Ok(key);
    }
    let what = format!("must have 1 to {MAX_CACHE_KEY_BYTES} bytes");
    Err(Malformed::new(field, what))
}

fn message_piece(said: pb::MessagePiece) -> Result<MessagePiece, Malformed> {
    let (part, text) = match said.tool_call {
        Some(call) => {
            let index = u32::try_from(call.index)
                .map_err(|_| Malformed::new("tool_call.index", "must not be negative"))?;
            let part = MessagePart::ToolCall {
                index,
                id: call.id.into(),
                name: call.name.into(),
            };
            (part, call.arguments)
        }
        None if !said.thinking.is_empty() => (MessagePart::Thinking, said.thinking),
        None => (MessagePart::Text, said.text),
    };
    Ok(MessagePiece {
        message_id: said.message_id.into(),
        part,
        text,
        model: said.model.into(),
    })
}

/// What is to be streamed.
pub(super) fn emit(said: pb::Emit) -> Result<Event, Malformed> {
    let call = match said.call_id.as_str() {
        "" => None,
        id => Some(decode::call_id("call_id", id)?),
    };
    let named = || {
        call.clone()
            .ok_or_else(|| Malformed::new("call_id", "is missing"))
    };
    let task = said.task.into();
    let warning = |task, failure| Event::Warning {
        call: call.clone(),
        task,
        warning: not_shown(failure),
    };
    Ok(match said.kind {
        None => return Err(Malformed::new("kind", "is missing")),
        Some(Emitted::TaskStarted(started)) => match made("input", started.input.as_ref())? {
            Ok(input) => Event::TaskStarted {
                call: named()?,
                task,
                attempt: decode::ordinal("attempt", started.attempt)?,
                input,
            },
            Err(failure) => warning(task, failure),
        },
        Some(Emitted::MessagePiece(piece)) => Event::Message {
            call: named()?,
            task,
            piece: message_piece(piece)?,
        },
        Some(Emitted::Custom(custom)) => match made("custom", Some(&custom))? {
            Ok(value) => Event::Custom { call, task, value },
            Err(failure) => warning(task, failure),
        },
        Some(Emitted::Warning(said)) => {
            // As long as what a failure may say: it can be the reason of the run's state.
            let Failure {
                reason, message, ..
            } = Failure::new(said.reason, said.message).kept();
            Event::Warning {
                call,
                task,
                warning: Warning { reason, message },
            }
        }
        Some(Emitted::DroppedCount(count)) => Event::Dropped {
            count: u64::try_from(count)
                .map_err(|_| Malformed::new("dropped_count", "must not be negative"))?,
        },
    })
}

fn suspend(said: pb::Suspend) -> Result<WorkerMessage, Malformed> {
    let mut interrupts = Vec::with_capacity(said.questions.len());
    for question in said.questions {
        let call = of_kind(CallKind::Interrupt, question.call)?;
        match made("question.value", question.value.as_ref())? {
            Ok(value) => interrupts.push(Question {
                call,
                asked_by: decode::task(question.asked_by),
                value,
            }),
            Err(failure) => {
                let failure = failure.of_call(&call.id, &call.task);
                return Ok(WorkerMessage::Finish(Box::new(failed(failure))));
            }
        }
    }
    if interrupts.is_empty() && said.wake_time.is_none() {
        let what = "must have `questions` or a `wake_time`: nothing else wakes the run";
        return Err(Malformed::new("suspend", what));
    }
    let micros = |time: prost_types::Timestamp| {
        let seconds = time.seconds.checked_mul(MICROS_PER_SECOND);
        seconds
            .and_then(|micros| micros.checked_add((time.nanos / NANOS_PER_MICRO).into()))
            .ok_or_else(|| Malformed::new("wake_time", "is beyond the end of time"))
    };
    Ok(WorkerMessage::Suspend(Box::new(Suspend {
        interrupts,
        wake_time: said.wake_time.map(micros).transpose()?,
    })))
}

fn failed(failure: Failure) -> Finish {
    Finish::Failed {
        failure,
        retry: RetryPolicy::NEVER,
    }
}

fn finish(said: pb::Finish, journal: Journal) -> Result<Finish, Malformed> {
    let Journal { replayable, length } = journal;
    let replayed = usize::try_from(said.replayed_count).ok();
    let replayed = replayed
        .filter(|replayed| *replayed <= length)
        .ok_or_else(|| {
            let what = format!(
                "is {}, but {length} recorded call(s) were handed over",
                said.replayed_count
            );
            Malformed::new("replayed_count", what)
        })?;
    let end = said
        .end
        .ok_or_else(|| Malformed::new("end", "is missing"))?;
    Ok(match end {
        pb::finish::End::Mismatch(why) => Finish::Mismatch(decode::failure("mismatch", Some(why))?),
        _ if replayed < replayable => {
            let message = format!(
                "{} of {replayable} recorded call(s) were not made again; restore the code that \
                 recorded them, or start a new run",
                replayable - replayed
            );
            Finish::Mismatch(Failure::new("NON_DETERMINISTIC", message))
        }
        pb::finish::End::Returned(said) => returned(&said)?.unwrap_or_else(failed),
        pb::finish::End::Failed(failed) => Finish::Failed {
            failure: decode::failure("failed.failure", failed.failure)?,
            retry: decode::retry_policy(failed.retry)?,
        },
    })
}

fn returned(said: &pb::Returned) -> Result<Result<Finish, Failure>, Malformed> {
    let value = made("returned.value", said.value.as_ref())?;
    let saved = match &said.saved {
        Some(saved) => made("returned.saved", Some(saved))?,
        None => value.clone(),
    };
    Ok(value.and_then(|value| saved.map(|saved| Finish::Returned { value, saved })))
}

/// The last word of an execution whose worker makes no sense: its run is paused.
pub(super) fn violation(malformed: &Malformed) -> WorkerMessage {
    let message = format!("the worker broke the protocol: {malformed}");
    let failure = Failure::new("PROTOCOL_VIOLATION", message);
    WorkerMessage::Finish(Box::new(Finish::Mismatch(failure)))
}

/// Of a journal, code makes those calls again that are not inside of other ones: a recorded call is
/// not executed, so that what it called itself is not asked for.
pub(super) fn handed(journal: &[JournalEntry]) -> Journal {
    Journal {
        replayable: replayable(journal),
        length: journal.len(),
    }
}

fn replayable(journal: &[JournalEntry]) -> usize {
    let ids: std::collections::HashSet<&str> =
        journal.iter().map(|entry| entry.call.id.as_str()).collect();
    let is_inner = |id: &str| {
        let callers = id.match_indices('/').map(|(end, _)| &id[..end]);
        callers.into_iter().any(|caller| ids.contains(caller))
    };
    ids.iter().filter(|id| !is_inner(id)).count()
}

/// What the service says: a run of an entrypoint that is `strict` or not, and the `reason` for which
/// an execution is fenced, where they are told.
pub(super) fn said(message: ToWorker, strict: bool, reason: String) -> Vec<ConnectResponse> {
    let (execution, said) = match message {
        ToWorker::StartRun(start) => return start_run(*start, strict),
        ToWorker::RunTask(run) => return vec![task::run_task(*run)],
        ToWorker::Ack {
            execution,
            call,
            outcome,
        } => {
            let ack = pb::Ack {
                call_id: call.to_string(),
                outcome: Some(encode::outcome(&outcome)),
            };
            (execution, Said::Ack(ack))
        }
        ToWorker::Retry {
            execution,
            call,
            after,
        } => {
            let retry = pb::Retry {
                call_id: call.to_string(),
                delay: Some(encode::duration(after)),
            };
            (execution, Said::Retry(retry))
        }
        ToWorker::Cancel { execution, reason } => (execution, Said::Cancel(pb::Cancel { reason })),
        ToWorker::Fenced { execution } => (execution, Said::Fenced(pb::Fenced { reason })),
    };
    vec![of(execution, said)]
}

/// A message about an execution.
pub(super) fn of(execution: ExecutionId, said: Said) -> ConnectResponse {
    ConnectResponse {
        execution_id: number(execution),
        message: Some(said),
        ..ConnectResponse::default()
    }
}

fn start_run(start: StartRun, strict: bool) -> Vec<ConnectResponse> {
    let execution = start.execution;
    let length = start.journal.len();
    let mut chunks = chunks(start.journal).into_iter();
    let first = pb::StartRun {
        run_id: start.run_id.to_string(),
        thread_id: start.thread_id.to_string(),
        entrypoint: start.entrypoint.to_string(),
        version: start.version.to_string(),
        attempt: i32::try_from(start.attempt).unwrap_or(i32::MAX),
        input: Some(encode::payload(&start.input)),
        previous: start.previous.as_deref().map(encode::payload),
        config: Some(encode::payload(&start.config)),
        journal: chunks.next().unwrap_or_default(),
        journal_length: i32::try_from(length).unwrap_or(i32::MAX),
        strict,
    };
    let more = chunks.map(|entries| Said::JournalChunk(pb::JournalChunk { entries }));
    let all = [Said::StartRun(first)].into_iter().chain(more);
    all.map(|said| of(execution, said)).collect()
}

/// Entries in pieces of about [`CHUNK_BYTES`].
fn chunks(journal: Vec<JournalEntry>) -> Vec<Vec<pb::JournalEntry>> {
    let mut chunks: Vec<Vec<pb::JournalEntry>> = Vec::new();
    let mut room = 0_usize;
    for entry in journal {
        let entry = pb::JournalEntry {
            call: Some(encode::call(&entry.call)),
            outcome: Some(encode::outcome(&entry.outcome)),
        };
        let bytes = prost::Message::encoded_len(&entry);
        match chunks.last_mut().filter(|_| bytes <= room) {
            Some(chunk) => chunk.push(entry),
            None => {
                room = CHUNK_BYTES;
                chunks.push(vec![entry]);
            }
        }
        room = room.saturating_sub(bytes);
    }
    chunks
}

#[cfg(test)]
mod tests {
    use weft_worker::{CallId, json};

    use super::*;

    fn entry(id: &str, bytes: usize) -> JournalEntry {
        JournalEntry {
            call: Call {
                id: CallId::from_recorded(id),
                kind: CallKind::Task,
                task: "t".into(),
                input_hash: [0; 32],
            },
            outcome: Ok(json::from_text(format!("\"{}\"", "x".repeat(bytes))).unwrap()),
        }
    }

    #[test]
    fn a_long_journal_travels_in_pieces_in_order() {
        let journal: Vec<_> = (0..100).map(|id| entry(&id.to_string(), 40_000)).collect();
        let start = StartRun {
            execution: ExecutionId(7),
            run_id: uuid::Uuid::nil(),
            thread_id: "t".into(),
            entrypoint: "e".into(),
            version: "1".into(),
            attempt: 2,
            input: json::null(),
            previous: None,
            config: json::null(),
            journal,
        };
        let messages = said(ToWorker::StartRun(Box::new(start)), false, String::new());
        assert!(messages.len() > 3);
        let mut ids = Vec::new();
        for message in messages {
            assert_eq!(message.execution_id, 7);
            assert!(prost::Message::encoded_len(&message) < 2 * CHUNK_BYTES);
            let entries = match message.message {
                Some(Said::StartRun(start)) => {
                    assert_eq!(start.journal_length, 100);
                    start.journal
                }
                Some(Said::JournalChunk(chunk)) => chunk.entries,
                other => panic!("{other:?}"),
            };
            ids.extend(entries.into_iter().map(|entry| entry.call.unwrap().id));
        }
        let expected: Vec<_> = (0..100).map(|id| id.to_string()).collect();
        assert_eq!(ids, expected);
    }

    #[test]
    fn calls_inside_of_recorded_ones_are_not_made_again() {
        let journal = [
            entry("0/0", 1),
            entry("0", 1),
            entry("1/0/2", 1),
            entry("2", 1),
        ];
        assert_eq!(replayable(&journal), 3);
    }

    #[test]
    fn recorded_calls_that_are_left_over_pause_the_run() {
        let returned = |replayed_count| pb::Finish {
            end: Some(pb::finish::End::Returned(pb::Returned {
                value: Some(encode::payload(&json::null())),
                saved: None,
            })),
            replayed_count,
        };
        let journal = Journal {
            replayable: 2,
            length: 3,
        };
        let Ok(Finish::Mismatch(failure)) = finish(returned(1), journal) else {
            panic!("one is left over")
        };
        assert_eq!(failure.reason, "NON_DETERMINISTIC");
        assert!(failure.message.starts_with("1 of 2 recorded call(s)"));
        for made in [2, 3] {
            let finished = finish(returned(made), journal);
            assert!(matches!(finished, Ok(Finish::Returned { .. })));
        }
        for impossible in [-1, 4] {
            let error = finish(returned(impossible), journal).unwrap_err();
            assert!(error.0.starts_with("`replayed_count` is"), "{error}");
        }
    }
}
