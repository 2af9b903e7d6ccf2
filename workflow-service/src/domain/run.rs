//! Runs and the states they go through.
//!
//! ```text
//!   QUEUED ── start ──► RUNNING ── succeed ──► SUCCEEDED
//!    ▲  ▲                │││││
//!    │  └── requeue ─────┘│││└── fail ───────► FAILED ─────┐
//!    │                    ││└─── pause ──────► PAUSED ─────┤ retry
//!    │   answer           │└──── ask ────────► INTERRUPTED │
//!    ├────────────────────┼────────────────────┘           │
//!    │   start (timer due)└───── wait ───────► WAITING     │
//!    └──────────────────────────────────────────────────────┘
//!   Every state that is not final leads to CANCELLED by cancel; CANCELLED leads back by retry.
//!   WAITING and INTERRUPTED lead to RUNNING by start when a timer is due.
//! ```

use std::{collections::BTreeMap, fmt, sync::Arc};

use weft_worker::{CallId, Failure, Json, Usage};

use super::{CheckpointId, RunId, ThreadId, Timestamp};

/// Run is one execution of an entrypoint on a thread.
#[derive(Clone, Debug)]
pub struct Run {
    /// Id.
    pub id: RunId,
    /// Thread it belongs to.
    pub thread_id: ThreadId,
    /// Name of the entrypoint.
    pub entrypoint: Arc<str>,
    /// Version it is pinned to.
    pub version: Arc<str>,
    /// Current state.
    pub state: RunState,
    /// Why it waits, in a few words; empty unless it does.
    pub state_reason: String,
    /// Argument.
    pub input: Json,
    /// Settings, a JSON object.
    pub config: Json,
    /// What it returned, when SUCCEEDED.
    pub output: Option<Json>,
    /// Whether that came from the entrypoint's cache.
    pub is_cached: bool,
    /// Why it ended, when FAILED, CANCELLED or PAUSED.
    pub failure: Option<Failure>,
    /// That it is to stop, when RUNNING: it is CANCELLED then, whatever its code comes to.
    pub stop: Option<StopRequest>,
    /// Its open questions: what it waits for, when INTERRUPTED, or has asked and not asked again yet,
    /// when QUEUED or RUNNING.
    pub interrupts: Vec<Interrupt>,
    /// When it goes on by itself, if it does.
    pub wake_time: Option<Timestamp>,
    /// Checkpoint it wrote last.
    pub checkpoint_id: Option<CheckpointId>,
    /// Times it was handed to a worker.
    pub attempt: u32,
    /// Number of the event that says that a worker first took it.
    pub start_sequence: Option<i64>,
    /// Number of its last event.
    pub last_sequence: i64,
    /// When it was recorded.
    pub create_time: Timestamp,
    /// When a worker first took it.
    pub start_time: Option<Timestamp>,
    /// When it reached a final state.
    pub end_time: Option<Timestamp>,
    /// When its state last changed.
    pub update_time: Timestamp,
    /// What language models took in its recorded calls.
    pub usage: Usage,
    /// Caller's labels.
    pub labels: BTreeMap<String, String>,
}

/// StopRequest is a cancel of a run that a worker executes.
#[derive(Clone, Debug)]
pub struct StopRequest {
    /// Sentence for people.
    pub reason: String,
    /// When it was recorded.
    pub time: Timestamp,
    /// Whether the run is deleted once it has stopped.
    pub rolls_back: bool,
}

/// Interrupt is a question that a run waits for an answer to.
#[derive(Clone, Debug)]
pub struct Interrupt {
    /// Id of the call that asks: unique within the run, the same after every replay.
    pub id: CallId,
    /// Task that asks; `None` for the entrypoint itself.
    pub task: Option<Arc<str>>,
    /// The question.
    pub value: Json,
}

/// State of a run. The numbers are those of the API and of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i32)]
pub enum RunState {
    /// Recorded; waits for its thread or a worker.
    Queued = 1,
    /// A worker executes it.
    Running = 2,
    /// Holds no worker; waits for a timer or for a task that runs elsewhere.
    Waiting = 3,
    /// Waits for answers.
    Interrupted = 4,
    /// Cannot go on until someone acts.
    Paused = 5,
    /// Finished with an output.
    Succeeded = 6,
    /// Finished with a failure.
    Failed = 7,
    /// Stopped on request.
    Cancelled = 8,
}

/// What happens to a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transition {
    /// It is handed to a worker.
    Start,
    /// Its worker, or the service, is gone: another one takes it.
    Requeue,
    /// It waits for a timer.
    Wait,
    /// It waits for an answer.
    Ask,
    /// It is given one.
    Answer,
    /// Its entrypoint returned.
    Succeed,
    /// Its entrypoint failed.
    Fail,
    /// Its code does not match its journal.
    Pause,
    /// Someone wants it to stop.
    Cancel,
    /// Someone wants it to go on after all.
    Retry,
}

impl Transition {
    /// All transitions.
    pub const ALL: [Self; 10] = [
        Self::Start,
        Self::Requeue,
        Self::Wait,
        Self::Ask,
        Self::Answer,
        Self::Succeed,
        Self::Fail,
        Self::Pause,
        Self::Cancel,
        Self::Retry,
    ];
}

/// IllegalTransition says that something cannot happen to a run in its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a run in state {from:?} cannot {transition:?}")]
pub struct IllegalTransition {
    /// State of the run.
    pub from: RunState,
    /// What was to happen.
    pub transition: Transition,
}

/// The name that the API has for it.
impl fmt::Display for RunState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&format!("{self:?}").to_uppercase())
    }
}

impl RunState {
    /// All states.
    pub const ALL: [Self; 8] = [
        Self::Queued,
        Self::Running,
        Self::Waiting,
        Self::Interrupted,
        Self::Paused,
        Self::Succeeded,
        Self::Failed,
        Self::Cancelled,
    ];

    /// The state that follows. States change along this table only.
    ///
    /// # Errors
    /// [`IllegalTransition`] if the table has no entry.
    pub fn apply(self, transition: Transition) -> Result<Self, IllegalTransition> {
        match (self, transition) {
            (Self::Queued | Self::Waiting | Self::Interrupted, Transition::Start) => {
                Ok(Self::Running)
            }
            (Self::Running, Transition::Requeue)
            | (Self::Queued | Self::Interrupted, Transition::Answer) => Ok(Self::Queued),
            // Of another question than the one whose answer lets it go on.
            (Self::Running, Transition::Answer) => Ok(Self::Running),
            (Self::Running, Transition::Wait) => Ok(Self::Waiting),
            (Self::Running, Transition::Ask) => Ok(Self::Interrupted),
            (Self::Running, Transition::Succeed) => Ok(Self::Succeeded),
            (Self::Running, Transition::Fail) => Ok(Self::Failed),
            (Self::Running, Transition::Pause) => Ok(Self::Paused),
            (
                Self::Queued | Self::Running | Self::Waiting | Self::Interrupted | Self::Paused,
                Transition::Cancel,
            ) => Ok(Self::Cancelled),
            (Self::Paused | Self::Failed | Self::Cancelled, Transition::Retry) => Ok(Self::Queued),
            (from, transition) => Err(IllegalTransition { from, transition }),
        }
    }

    /// Whether nothing more happens until someone acts.
    pub const fn is_resting(self) -> bool {
        matches!(
            self,
            Self::Interrupted | Self::Paused | Self::Succeeded | Self::Failed | Self::Cancelled
        )
    }

    /// Whether the run is over, unless it is retried.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }

    /// The state with this number.
    pub fn from_number(number: i32) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.number() == number)
    }

    /// Number in the API and in the store.
    pub const fn number(self) -> i32 {
        self as i32
    }
}

/// What becomes of a new run whose thread has unfinished ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Concurrency {
    /// It waits its turn.
    Enqueue,
    /// It is refused.
    Reject,
    /// All unfinished runs are cancelled; what they recorded stays.
    Interrupt,
    /// All unfinished runs are cancelled and deleted.
    Rollback,
}

/// When task results reach the disk. The numbers are those of the API and of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Durability {
    /// Before the entrypoint sees them.
    Sync = 1,
    /// While it goes on; all of them before the run ends.
    Async = 2,
    /// When the run rests. A crash before that starts it over.
    Exit = 3,
}

impl Durability {
    /// The mode with this number.
    pub fn from_number(number: i32) -> Option<Self> {
        [Self::Sync, Self::Async, Self::Exit]
            .into_iter()
            .find(|mode| *mode as i32 == number)
    }
}

impl Concurrency {
    /// Whether the new run takes the place of the unfinished ones.
    pub const fn replaces(self) -> bool {
        matches!(self, Self::Interrupt | Self::Rollback)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_change_along_the_table_only() {
        use RunState::{
            Cancelled, Failed, Interrupted, Paused, Queued, Running, Succeeded, Waiting,
        };
        use Transition::{Answer, Ask, Cancel, Fail, Pause, Requeue, Retry, Start, Succeed, Wait};
        let legal = [
            (Queued, Start, Running),
            (Waiting, Start, Running),
            (Interrupted, Start, Running),
            (Running, Requeue, Queued),
            (Running, Wait, Waiting),
            (Running, Ask, Interrupted),
            (Interrupted, Answer, Queued),
            (Queued, Answer, Queued),
            (Running, Answer, Running),
            (Running, Succeed, Succeeded),
            (Running, Fail, Failed),
            (Running, Pause, Paused),
            (Queued, Cancel, Cancelled),
            (Running, Cancel, Cancelled),
            (Waiting, Cancel, Cancelled),
            (Interrupted, Cancel, Cancelled),
            (Paused, Cancel, Cancelled),
            (Paused, Retry, Queued),
            (Failed, Retry, Queued),
            (Cancelled, Retry, Queued),
        ];
        for from in RunState::ALL {
            for transition in Transition::ALL {
                let expected = legal
                    .iter()
                    .find(|(state, event, _)| (*state, *event) == (from, transition))
                    .map(|(_, _, to)| *to)
                    .ok_or(IllegalTransition { from, transition });
                assert_eq!(from.apply(transition), expected);
            }
        }
    }

    #[test]
    fn every_final_state_rests_and_numbers_lead_back_to_states() {
        for state in RunState::ALL {
            assert!(!state.is_final() || state.is_resting());
            assert_eq!(RunState::from_number(state.number()), Some(state));
        }
        assert_eq!(RunState::from_number(0), None);
    }
}
