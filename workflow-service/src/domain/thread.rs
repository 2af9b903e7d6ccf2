//! Threads: sequences of runs that hand state to one another.

use super::{Checkpoint, ThreadId, Timestamp};

/// Thread is a sequence of runs that hand state to one another.
#[derive(Clone, Debug)]
pub struct Thread {
    /// Caller's id, or a generated one.
    pub id: ThreadId,
    /// Current state.
    pub state: ThreadState,
    /// Newest checkpoint, or the one asked for.
    pub checkpoint: Option<Checkpoint>,
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
