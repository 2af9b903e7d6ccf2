//! Runs as they are handed out and come back.

use std::{sync::Arc, time::Duration};

use service_runtime::Tenant;
use weft_worker::{Failure, Json, protocol::Question};

use crate::domain::{
    Checkpoint, Durability, Origin, Run, RunId, RunState, Timestamp, Transition,
    checkpoint::CheckpointValues, history::RecordedCall,
};

/// Fence names one dispatch of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fence {
    /// The run.
    pub run_id: RunId,
    /// Grows with every dispatch of the run.
    pub epoch: i64,
}

/// RecordedRun is what a [`NewRun`](super::NewRun) brought about.
#[derive(Debug)]
pub struct RecordedRun {
    /// What became of it.
    pub started: StartedRun,
    /// The runs that it takes the place of: CANCELLED ones, and at most one that is RUNNING and was
    /// asked to stop.
    pub replaced: Vec<Run>,
}

/// StartedRun is a run that was to start or to go on.
#[derive(Debug)]
pub enum StartedRun {
    /// It waits.
    Queued(Run),
    /// It is to be executed now.
    Claimed(Box<Dispatch>),
    /// The request was made before; this is the run it made.
    Repeated(Run),
}

/// Dispatch is a run that was claimed, with all that a worker needs.
#[derive(Clone, Debug)]
pub struct Dispatch {
    /// Tenant of the run.
    pub tenant: Tenant,
    /// The run, RUNNING.
    pub run: Run,
    /// Fence of this dispatch.
    pub fence: Fence,
    /// What the checkpoint that it builds on saved.
    pub previous: Option<Json>,
    /// What was recorded before, in commit order.
    pub journal: Vec<RecordedCall>,
    /// How long it may execute, in all its dispatches together; `None` for no bound.
    pub timeout: Option<Duration>,
    /// How much of that is left.
    pub remaining: Option<Duration>,
    /// When its task results reach the disk.
    pub durability: Durability,
    /// How often its entrypoint was tried again so far.
    pub retries: u32,
}

/// CacheScope says whose results a cache holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheScope {
    /// The entrypoint and its version.
    pub entrypoint: EntrypointVersion,
    /// The task; `None` for the entrypoint itself.
    pub task: Option<Arc<str>>,
}

/// CachedResult is what a cache holds.
#[derive(Clone, Debug)]
pub struct CachedResult {
    /// Result of a task, or output of an entrypoint.
    pub value: Json,
    /// What the entrypoint saved.
    pub saved: Option<Json>,
}

/// Claimed is what a claim found.
#[derive(Debug, Default)]
pub struct Claimed {
    /// The runs to execute.
    pub dispatches: Vec<Dispatch>,
    /// When the next timer is due.
    pub next_wake: Option<Timestamp>,
}

/// Pruned says what was deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pruned {
    /// Checkpoints.
    pub checkpoints: usize,
    /// Runs.
    pub runs: usize,
}

/// Rest says how a run left its worker.
#[derive(Clone, Debug)]
pub struct Rest {
    /// How it ended.
    pub end: RunEnd,
    /// Number of its last event.
    pub last_sequence: i64,
    /// How long it was executed in this dispatch.
    pub executed: Duration,
    /// When.
    pub now: Timestamp,
}

/// How a dispatch of a run ended.
#[derive(Clone, Debug)]
pub enum RunEnd {
    /// The entrypoint returned; a checkpoint is written.
    Succeeded {
        /// What it returned.
        values: CheckpointValues,
        /// Where that comes from.
        origin: Origin,
    },
    /// It failed.
    Failed(Failure),
    /// It was asked to stop.
    Cancelled(Failure),
    /// Its code does not match its journal.
    Paused(Failure),
    /// It asks, and goes on by itself at `wake_time` if there is one.
    Interrupted {
        /// What it asks.
        questions: Vec<Question>,
        /// When a timer beside them is due.
        wake_time: Option<Timestamp>,
    },
    /// It waits for a timer.
    Waiting {
        /// When that is due.
        wake_time: Timestamp,
    },
    /// It failed and is to be tried again: what succeeded stays recorded.
    Retrying {
        /// Why it failed.
        failure: Failure,
        /// When it is tried again.
        wake_time: Timestamp,
    },
}

impl RunEnd {
    /// The transition that leads to it.
    pub const fn transition(&self) -> Transition {
        match self {
            Self::Succeeded { .. } => Transition::Succeed,
            Self::Failed(_) => Transition::Fail,
            Self::Cancelled(_) => Transition::Cancel,
            Self::Paused(_) => Transition::Pause,
            Self::Interrupted { .. } => Transition::Ask,
            Self::Waiting { .. } | Self::Retrying { .. } => Transition::Wait,
        }
    }

    /// The state it leads to.
    pub const fn state(&self) -> RunState {
        match self {
            Self::Succeeded { .. } => RunState::Succeeded,
            Self::Failed(_) => RunState::Failed,
            Self::Cancelled(_) => RunState::Cancelled,
            Self::Paused(_) => RunState::Paused,
            Self::Interrupted { .. } => RunState::Interrupted,
            Self::Waiting { .. } | Self::Retrying { .. } => RunState::Waiting,
        }
    }
}

/// RestedRun is a run at rest, and what follows it.
#[derive(Debug)]
pub struct RestedRun {
    /// The run.
    pub run: Run,
    /// The checkpoint it wrote.
    pub checkpoint: Option<Checkpoint>,
    /// The thread's next run, claimed.
    pub next: Option<Box<Dispatch>>,
}

/// KnownEntrypoint is a version of an entrypoint that some worker has hosted.
#[derive(Clone, Debug)]
pub struct KnownEntrypoint {
    /// Registered name.
    pub name: Arc<str>,
    /// Version.
    pub version: Arc<str>,
    /// One sentence for people.
    pub description: String,
    /// JSON Schema of the input.
    pub input_schema: Option<Json>,
}

/// Name and version of an entrypoint.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EntrypointVersion {
    /// Registered name.
    pub name: Arc<str>,
    /// Version.
    pub version: Arc<str>,
}
