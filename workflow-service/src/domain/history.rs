//! The durable events of a run, derived from what is stored of it.
//!
//! Events are not stored themselves: a run and its journal say all that durable ones show. Whoever
//! is live and whoever comes late get them from the same functions, with the same numbers.

use std::sync::Arc;

use weft_worker::{
    CallKind, Json, Usage,
    protocol::{CacheEntry, JournalEntry, Outcome},
};

use super::{Checkpoint, Event, EventKind, Run, RunState, TaskStep, Timestamp};

/// Number of a run's first event, QUEUED.
pub const QUEUED_SEQUENCE: i64 = 1;
/// Numbers that are left out after a dispatch that ended without a word, so that none of its passing
/// events, which are forgotten, shares its number with a later one.
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
    /// Where the outcome comes from.
    pub origin: Origin,
    /// What language models took, in all attempts.
    pub usage: Usage,
}

/// Origin says where a result comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Code was executed for it; it is kept in the cache if there is an entry for it, which is
    /// not read back.
    Executed(Option<CacheEntry>),
    /// Code was executed for it by another call or run.
    Cache,
}

/// Key of what a run returns in its entrypoint's cache: all that the entrypoint is given.
pub fn output_key(run: &Run, previous: Option<&Json>) -> String {
    let none = weft_worker::json::null();
    let given = [&run.input, &run.config, previous.unwrap_or(&none)];
    given
        .into_iter()
        .flat_map(weft_worker::hash_input)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// How many events the record of a call brings. Answers and side values bring none.
pub const fn events_of_record(kind: CallKind, outcome: &Outcome) -> i64 {
    match (kind, outcome) {
        (CallKind::Task | CallKind::Target, Ok(_)) => 2,
        (CallKind::Task | CallKind::Target, Err(_)) => 1,
        (CallKind::Interrupt | CallKind::Side, _) => 0,
    }
}

/// How many events it brings that a run leaves its worker for this state.
pub const fn events_of_settling(state: RunState) -> i64 {
    match state {
        RunState::Succeeded => 4,
        RunState::Interrupted => 2,
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
        stop: None,
        interrupts: Vec::new(),
        wake_time: None,
        checkpoint_id: None,
        usage: Usage::default(),
        attempt: 0,
        last_sequence: QUEUED_SEQUENCE,
        start_time: None,
        start_sequence: None,
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
        stop: None,
        interrupts: Vec::new(),
        wake_time: None,
        // What was used by then is not kept: those who come late see the same.
        usage: Usage::default(),
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
        usage: call.usage,
    };
    if events_of_record(call.entry.call.kind, &call.entry.outcome) == 0 {
        return Vec::new();
    }
    match &call.entry.outcome {
        Ok(result) => vec![
            event(call.sequence, task(TaskStep::Succeeded(Arc::clone(result)))),
            event(
                call.sequence + 1,
                EventKind::Update {
                    task: Arc::clone(&call.entry.call.task),
                    call: Some(call.entry.call.id.clone()),
                    result: Arc::clone(result),
                    is_cached: call.origin == Origin::Cache,
                },
            ),
        ],
        Err(failure) => vec![event(
            call.sequence,
            task(TaskStep::Failed(failure.clone())),
        )],
    }
}

/// Says how the run left its worker, or came to rest without one; nothing while it has not.
pub fn settled(run: &Run, checkpoint: Option<&Checkpoint>) -> Vec<Event> {
    if !run.state.is_resting() && run.state != RunState::Waiting {
        return Vec::new();
    }
    let mut kinds = Vec::with_capacity(4);
    if let (Some(checkpoint), Some(output)) = (checkpoint, &run.output) {
        kinds.push(EventKind::Checkpoint(Box::new(checkpoint.clone())));
        kinds.push(EventKind::Update {
            task: Arc::clone(&run.entrypoint),
            call: None,
            result: Arc::clone(output),
            is_cached: run.is_cached,
        });
        kinds.push(EventKind::Value(Arc::clone(output)));
    }
    if run.state == RunState::Interrupted {
        kinds.push(EventKind::Interrupted(run.interrupts.clone()));
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
