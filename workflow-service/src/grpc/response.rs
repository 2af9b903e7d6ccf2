//! Domain types to responses.

use prost_types::Timestamp as WireTime;
use serde_json::value::RawValue;
use service_runtime::payload;
use weft_proto::{
    common::v1::{Payload, PayloadForm},
    workflow::v1::{self as pb, event::Kind, task_event::Step},
};
use weft_worker::{
    Failure, Json,
    protocol::{MessagePart, MessagePiece},
    wire::encode,
};

use crate::{
    domain::{Checkpoint, Event, EventKind, Interrupt, Run, TaskStep, Thread, Timestamp},
    engine::{HostedEntrypoint, OfferedTask},
};

const MICROS_PER_SECOND: i64 = 1_000_000;
const NANOS_PER_MICRO: i32 = 1_000;

/// How much of an error's message a list shows, in bytes.
const LISTED_MESSAGE_BYTES: usize = 1024;

/// Which payloads a response carries.
#[derive(Clone, Copy, Debug)]
pub(super) enum Payloads {
    /// All, in this form.
    In(PayloadForm),
    /// None: lists stay small.
    Omitted,
}

impl Payloads {
    fn of(self, json: &RawValue) -> Option<Payload> {
        match self {
            Self::In(form) => Some(payload::encode(json, form)),
            Self::Omitted => None,
        }
    }
}

/// A schema, as lists show it.
fn schema(schema: &Json) -> Payload {
    payload::encode(schema, PayloadForm::Unspecified)
}

pub(super) fn task(offered: &OfferedTask) -> pb::Task {
    let description = &offered.description;
    pb::Task {
        name: description.name.to_string(),
        description: description.description.clone(),
        input_schema: description.input_schema.as_ref().map(schema),
        output_schema: description.output_schema.as_ref().map(schema),
        worker_count: i32::try_from(offered.workers).unwrap_or(i32::MAX),
    }
}

pub(super) fn entrypoint(hosted: &HostedEntrypoint) -> pb::Entrypoint {
    let description = &hosted.description;
    pb::Entrypoint {
        name: description.name.to_string(),
        version: description.version.to_string(),
        description: description.description.clone(),
        input_schema: description.input_schema.as_ref().map(schema),
        worker_count: i32::try_from(hosted.workers).unwrap_or(i32::MAX),
    }
}

pub(super) fn run(run: &Run, payloads: Payloads) -> pb::Run {
    pb::Run {
        id: run.id.to_string(),
        thread_id: run.thread_id.to_string(),
        entrypoint: run.entrypoint.to_string(),
        version: run.version.to_string(),
        state: run.state.number(),
        state_reason: run.state_reason.clone(),
        input: payloads.of(&run.input),
        config: payloads.of(&run.config),
        output: run.output.as_ref().and_then(|output| payloads.of(output)),
        error: run.failure.as_ref().filter(|_| run.state.is_resting()).map(
            |failure| match payloads {
                Payloads::In(_) => error(failure),
                Payloads::Omitted => short_error(failure),
            },
        ),
        interrupts: interrupts(&run.interrupts, payloads),
        checkpoint_id: run
            .checkpoint_id
            .map(|id| id.to_string())
            .unwrap_or_default(),
        attempt: number(run.attempt),
        last_sequence: run.last_sequence,
        create_time: Some(time(run.create_time)),
        start_time: run.start_time.map(time),
        end_time: run.end_time.map(time),
        labels: run.labels.clone().into_iter().collect(),
        usage: encode::usage(&run.usage),
    }
}

pub(super) fn thread(thread: &Thread, payloads: Payloads) -> pb::Thread {
    pb::Thread {
        id: thread.id.to_string(),
        state: thread.state as i32,
        checkpoint: thread
            .checkpoint
            .as_ref()
            .map(|newest| checkpoint(newest, payloads)),
        interrupts: interrupts(&thread.interrupts, payloads),
        create_time: Some(time(thread.create_time)),
        update_time: Some(time(thread.update_time)),
    }
}

pub(super) fn checkpoint(checkpoint: &Checkpoint, payloads: Payloads) -> pb::Checkpoint {
    pb::Checkpoint {
        id: checkpoint.id.to_string(),
        thread_id: checkpoint.thread_id.to_string(),
        parent_id: checkpoint
            .parent_id
            .map(|id| id.to_string())
            .unwrap_or_default(),
        run_id: checkpoint
            .run_id
            .map(|id| id.to_string())
            .unwrap_or_default(),
        value: payloads.of(&checkpoint.value),
        saved: payloads.of(&checkpoint.saved),
        source: checkpoint.source.name().to_owned(),
        create_time: Some(time(checkpoint.create_time)),
    }
}

fn message_piece(piece: &MessagePiece) -> pb::MessageEvent {
    let written = pb::MessageEvent {
        message_id: piece.message_id.to_string(),
        model: piece.model.to_string(),
        ..pb::MessageEvent::default()
    };
    let text = piece.text.clone();
    match &piece.part {
        MessagePart::Text => pb::MessageEvent { text, ..written },
        MessagePart::Thinking => pb::MessageEvent {
            thinking: text,
            ..written
        },
        MessagePart::ToolCall { index, id, name } => pb::MessageEvent {
            tool_call: Some(encode::tool_call_piece(*index, id, name, text)),
            ..written
        },
    }
}

pub(super) fn event(event: &Event, form: PayloadForm) -> pb::Event {
    let payloads = Payloads::In(form);
    let kind = match &event.kind {
        EventKind::Value(value) => Kind::Value(payload::encode(value, form)),
        EventKind::Interrupted(asked) => Kind::Interrupted(pb::InterruptedEvent {
            interrupts: interrupts(asked, payloads),
        }),
        EventKind::Custom { call, task, value } => Kind::Custom(pb::CustomEvent {
            task: task.to_string(),
            task_id: call.as_ref().map(ToString::to_string).unwrap_or_default(),
            value: payloads.of(value),
        }),
        EventKind::Update {
            task,
            call,
            result,
            is_cached,
        } => Kind::Update(pb::UpdateEvent {
            task: task.to_string(),
            task_id: call.as_ref().map(ToString::to_string).unwrap_or_default(),
            result: payloads.of(result),
            cached: *is_cached,
        }),
        EventKind::Warning {
            call,
            task,
            warning,
        } => Kind::Warning(pb::WarningEvent {
            task: task.to_string(),
            task_id: call.as_ref().map(ToString::to_string).unwrap_or_default(),
            reason: warning.reason.clone(),
            message: warning.message.clone(),
        }),
        EventKind::Message {
            call,
            task,
            piece,
            reset,
        } => Kind::Message(pb::MessageEvent {
            task: task.to_string(),
            task_id: call.to_string(),
            reset: *reset,
            ..message_piece(piece)
        }),
        EventKind::Task {
            call,
            task,
            attempt,
            step,
            usage,
        } => Kind::Task(pb::TaskEvent {
            task: task.to_string(),
            task_id: call.to_string(),
            attempt: number(*attempt),
            usage: encode::usage(usage),
            ..task_step(step, payloads)
        }),
        EventKind::Checkpoint(written) => Kind::Checkpoint(checkpoint(written, payloads)),
        EventKind::Run(changed) => Kind::Run(run(changed, payloads)),
        EventKind::Gap { dropped } => Kind::Gap(pb::GapEvent {
            dropped_count: *dropped,
        }),
    };
    pb::Event {
        sequence: event.sequence,
        run_id: event.run_id.to_string(),
        time: Some(time(event.time)),
        mode: event
            .kind
            .mode()
            .map(|mode| mode as i32)
            .unwrap_or_default(),
        kind: Some(kind),
    }
}

fn task_step(step: &TaskStep, payloads: Payloads) -> pb::TaskEvent {
    let of = |step: Step| pb::TaskEvent {
        step: step.into(),
        ..pb::TaskEvent::default()
    };
    match step {
        TaskStep::Started(input) => pb::TaskEvent {
            input: payloads.of(input),
            ..of(Step::Started)
        },
        TaskStep::Retrying {
            failure,
            next_attempt_time,
        } => pb::TaskEvent {
            error: Some(error(failure)),
            next_attempt_time: Some(time(*next_attempt_time)),
            ..of(Step::Retrying)
        },
        TaskStep::Succeeded(result) => pb::TaskEvent {
            result: payloads.of(result),
            ..of(Step::Succeeded)
        },
        TaskStep::Failed(failure) => pb::TaskEvent {
            error: Some(error(failure)),
            ..of(Step::Failed)
        },
    }
}

fn interrupts(interrupts: &[Interrupt], payloads: Payloads) -> Vec<pb::Interrupt> {
    let interrupt = |interrupt: &Interrupt| pb::Interrupt {
        id: interrupt.id.to_string(),
        task: interrupt.task.as_deref().unwrap_or_default().to_owned(),
        value: payloads.of(&interrupt.value),
    };
    interrupts.iter().map(interrupt).collect()
}

fn error(failure: &Failure) -> pb::RunError {
    // What code in this process failed with, or was recorded before there was a bound.
    let failure = failure.clone().kept();
    pb::RunError {
        task: failure.task().unwrap_or_default().to_owned(),
        reason: failure.reason,
        message: failure.message,
        metadata: failure.metadata.into_iter().collect(),
    }
}

/// An error as lists show it, which may have a thousand of them.
fn short_error(failure: &Failure) -> pb::RunError {
    let mut listed = error(failure);
    let end = listed.message.floor_char_boundary(LISTED_MESSAGE_BYTES);
    if end < listed.message.len() {
        listed.message.truncate(end);
        listed.message.push('…');
    }
    listed.metadata.clear();
    listed
}

fn time(timestamp: Timestamp) -> WireTime {
    let micros = timestamp.micros();
    let below_second = i32::try_from(micros.rem_euclid(MICROS_PER_SECOND)).unwrap_or_default();
    WireTime {
        seconds: micros.div_euclid(MICROS_PER_SECOND),
        nanos: below_second * NANOS_PER_MICRO,
    }
}

fn number(count: u32) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use weft_proto::workflow::v1::run::State;

    use super::*;
    use crate::domain::RunState;

    #[test]
    fn states_have_the_names_of_the_api() {
        for state in RunState::ALL {
            let wire = State::try_from(state.number()).unwrap();
            assert_eq!(wire.as_str_name(), format!("STATE_{state}"));
        }
    }

    #[test]
    fn times_before_the_epoch_have_positive_nanoseconds() {
        let wire = time(Timestamp::from_micros(-1));
        assert_eq!((wire.seconds, wire.nanos), (-1, 999_999_000));
    }
}
