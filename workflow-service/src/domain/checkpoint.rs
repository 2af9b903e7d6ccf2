//! Checkpoints: the state that runs leave on their threads.

use std::sync::Arc;

use weft_worker::Json;

use super::{CheckpointId, RunId, ThreadId, Timestamp};

/// Checkpoint is what a run left on its thread.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    /// Id; greater means newer.
    pub id: CheckpointId,
    /// Thread it belongs to.
    pub thread_id: ThreadId,
    /// Checkpoint before it.
    pub parent_id: Option<CheckpointId>,
    /// Run that wrote it.
    pub run_id: Option<RunId>,
    /// What the entrypoint returned.
    pub value: Json,
    /// What it saved for the next run.
    pub saved: Json,
    /// Who wrote it.
    pub source: CheckpointSource,
    /// When it was written.
    pub create_time: Timestamp,
}

/// Who wrote a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckpointSource {
    /// A run that succeeded.
    Run,
    /// Somebody, by hand.
    Update,
    /// A copy of a thread.
    Fork,
}

impl CheckpointSource {
    const ALL: [Self; 3] = [Self::Run, Self::Update, Self::Fork];

    /// Name in the API and in the store.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Update => "update",
            Self::Fork => "fork",
        }
    }

    /// The source with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|source| source.name() == name)
    }
}

/// What a checkpoint is made of.
#[derive(Clone, Debug)]
pub struct CheckpointValues {
    /// What the entrypoint returned.
    pub value: Json,
    /// What it saved for the next run.
    pub saved: Json,
}

impl CheckpointValues {
    /// Shares both values.
    pub fn new(value: &Json, saved: &Json) -> Self {
        Self {
            value: Arc::clone(value),
            saved: Arc::clone(saved),
        }
    }
}
