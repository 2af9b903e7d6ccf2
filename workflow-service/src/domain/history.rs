//! The durable events of a run, derived from what is stored of it.
//!
//! Events are not stored themselves: a run and its journal say all that durable ones show. Whoever
//! is live and whoever comes late get them from the same functions, with the same numbers.

use std::sync::Arc;

use weft_worker::protocol::{JournalEntry, Outcome};

use super::{Checkpoint, Event, EventKind, Run, RunState, TaskStep, Timestamp};

/// Number of a run's first event, QUEUED.
pub const QUEUED_SEQUENCE: i64 = 1;
/// Number of the event that says that a worker first took it.
pub const STARTED_SEQUENCE: i64 = 2;
/// Numbers that a dispatch after the first one leaves out, so that it never gives a number to an
/// event that an earlier one, whose passing events are forgotten, gave to another.
pub const SEQUENCES_PER_DISPATCH: i64 = 1_000_000;

/// RecordedCall is a journal entry with what its events show beside it.
#[derive(Clone, Debug)]
pub struct RecordedCall {
    /// The call and its outcome.
    pub entry: JournalEntry,
    /// Order of the commit within the run, from 0.
    pub commit_sequence: u32,
    /// Number of its first event.
    pub sequence: i64,
    /// Attempts it took.
    pub attempt: u32,
    /// When it was recorded.
    pub time: Timestamp,
}

/// How many events the record of an outcome brings.
pub const fn events_of_outcome(outcome: &Outcome) -> i64 {
    match outcome {
        Ok(_) => 2,
        Err(_) => 1,
    }
}

/// How many events the end of a run brings.
pub const fn events_of_end(state: RunState) -> i64 {
    match state {
        RunState::Succeeded => 4,
        _ => 1,
    }
}

/// Says that the run is queued, whatever became of it since.
pub fn queued(run: &Run) -> Event {
    let snapshot = Run {
        state: RunState::Queued,
        state_reason: String::new(),
        output: None,
        failure: None,
        checkpoint_id: None,
        attempt: 0,
        last_sequence: QUEUED_SEQUENCE,
        start_time: None,
        end_time: None,
        update_time: run.create_time,
        ..run.clone()
    };
    state(run, QUEUED_SEQUENCE, run.create_time, snapshot)
}

/// Says that a worker took the run.
pub fn started(run: &Run, sequence: i64, attempt: u32, time: Timestamp) -> Event {
    let snapshot = Run {
        state: RunState::Running,
        state_reason: String::new(),
        output: None,
        failure: None,
        checkpoint_id: None,
        attempt,
        last_sequence: sequence,
        start_time: run.start_time.or(Some(time)),
        end_time: None,
        update_time: time,
        ..run.clone()
    };
    state(run, sequence, time, snapshot)
}

/// Says that a call was recorded.
pub fn recorded(run: &Run, call: &RecordedCall) -> Vec<Event> {
    let event = |sequence, kind| Event {
        sequence,
        run_id: run.id,
        time: call.time,
        kind,
    };
    let task = |step| EventKind::Task {
        call: call.entry.call.id.clone(),
        task: Arc::clone(&call.entry.call.task),
        attempt: call.attempt,
        step,
    };
    match &call.entry.outcome {
        Ok(result) => vec![
            event(call.sequence, task(TaskStep::Succeeded(Arc::clone(result)))),
            event(
                call.sequence + 1,
                EventKind::Update {
                    task: Arc::clone(&call.entry.call.task),
                    call: Some(call.entry.call.id.clone()),
                    result: Arc::clone(result),
                },
            ),
        ],
        Err(failure) => vec![event(
            call.sequence,
            task(TaskStep::Failed(failure.clone())),
        )],
    }
}

/// Says how the run came to rest; nothing while it has not.
pub fn ended(run: &Run, checkpoint: Option<&Checkpoint>) -> Vec<Event> {
    if !run.state.is_resting() {
        return Vec::new();
    }
    let mut kinds = Vec::with_capacity(4);
    if let (Some(checkpoint), Some(output)) = (checkpoint, &run.output) {
        kinds.push(EventKind::Checkpoint(Box::new(checkpoint.clone())));
        kinds.push(EventKind::Update {
            task: Arc::clone(&run.entrypoint),
            call: None,
            result: Arc::clone(output),
        });
        kinds.push(EventKind::Value(Arc::clone(output)));
    }
    kinds.push(EventKind::Run(Box::new(run.clone())));
    let first = run.last_sequence + 1 - i64::try_from(kinds.len()).unwrap_or_default();
    (first..)
        .zip(kinds)
        .map(|(sequence, kind)| Event {
            sequence,
            run_id: run.id,
            time: run.update_time,
            kind,
        })
        .collect()
}

fn state(run: &Run, sequence: i64, time: Timestamp, snapshot: Run) -> Event {
    Event {
        sequence,
        run_id: run.id,
        time,
        kind: EventKind::Run(Box::new(snapshot)),
    }
}
