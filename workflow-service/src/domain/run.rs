//! Runs and the states they go through.
//!
//! ```text
//!              start              succeed
//!   QUEUED ─────────────► RUNNING ─────────► SUCCEEDED
//!      ▲                   │ │ │
//!      └───── requeue ─────┘ │ │     fail
//!                            │ └───────────► FAILED
//!                            └─────────────► PAUSED
//!                                  pause
//! ```
//! WAITING, INTERRUPTED and CANCELLED are states of the API that nothing leads to yet.

use std::{collections::BTreeMap, sync::Arc};

use weft_worker::{Failure, Json};

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
    /// Why it ended, when FAILED or PAUSED.
    pub failure: Option<Failure>,
    /// Checkpoint it wrote last.
    pub checkpoint_id: Option<CheckpointId>,
    /// Times it was handed to a worker.
    pub attempt: u32,
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
    /// Caller's labels.
    pub labels: BTreeMap<String, String>,
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
    /// Its entrypoint returned.
    Succeed,
    /// Its entrypoint failed.
    Fail,
    /// Its code does not match its journal.
    Pause,
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
            (Self::Queued, Transition::Start) => Ok(Self::Running),
            (Self::Running, Transition::Requeue) => Ok(Self::Queued),
            (Self::Running, Transition::Succeed) => Ok(Self::Succeeded),
            (Self::Running, Transition::Fail) => Ok(Self::Failed),
            (Self::Running, Transition::Pause) => Ok(Self::Paused),
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

/// What becomes of a new run whose thread has an unfinished one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Concurrency {
    /// It waits its turn.
    Enqueue,
    /// It is refused.
    Reject,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_change_along_the_table_only() {
        use RunState::{Failed, Paused, Queued, Running, Succeeded};
        use Transition::{Fail, Pause, Requeue, Start, Succeed};
        let legal = [
            (Queued, Start, Running),
            (Running, Requeue, Queued),
            (Running, Succeed, Succeeded),
            (Running, Fail, Failed),
            (Running, Pause, Paused),
        ];
        for from in RunState::ALL {
            for transition in [Start, Requeue, Succeed, Fail, Pause] {
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
