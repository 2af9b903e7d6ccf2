//! Threads: sequences of runs that hand state to one another.

use super::{Checkpoint, Interrupt, ThreadId, Timestamp};

/// Thread is a sequence of runs that hand state to one another.
#[derive(Clone, Debug)]
pub struct Thread {
    /// Caller's id, or a generated one.
    pub id: ThreadId,
    /// Current state.
    pub state: ThreadState,
    /// Newest checkpoint, or the one asked for.
    pub checkpoint: Option<Checkpoint>,
    /// What it waits for, when INTERRUPTED.
    pub interrupts: Vec<Interrupt>,
    /// When the thread was first used.
    pub create_time: Timestamp,
    /// When its state last changed.
    pub update_time: Timestamp,
}

/// State of a thread. The numbers are those of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum ThreadState {
    /// No run is unfinished.
    Idle = 1,
    /// A run is queued, running or waiting.
    Busy = 2,
    /// A run waits for an answer.
    Interrupted = 3,
    /// The last run failed or is paused.
    Error = 4,
}

impl ThreadState {
    /// The state with this number.
    pub fn from_number(number: i32) -> Option<Self> {
        [Self::Idle, Self::Busy, Self::Interrupted, Self::Error]
            .into_iter()
            .find(|state| *state as i32 == number)
    }
}
