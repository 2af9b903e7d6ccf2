//! What the store is asked for.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use weft_worker::{CallId, Json, Usage};

use crate::domain::{
    CheckpointId, Concurrency, Durability, Run, RunId, RunState, ThreadId, Timestamp,
    history::QUEUED_SEQUENCE,
};

/// NewRun is a run to record.
#[derive(Clone, Debug)]
pub struct NewRun {
    /// Its id.
    pub id: RunId,
    /// Its thread.
    pub thread_id: ThreadId,
    /// Name of the entrypoint.
    pub entrypoint: Arc<str>,
    /// Version of it.
    pub version: Arc<str>,
    /// Argument.
    pub input: Json,
    /// Settings.
    pub config: Json,
    /// Caller's labels.
    pub labels: BTreeMap<String, String>,
    /// Checkpoint of the thread to branch from; `None` for the newest when it starts.
    pub branch_from: Option<CheckpointId>,
    /// What to do if the thread has an unfinished run.
    pub concurrency: Concurrency,
    /// When its task results reach the disk.
    pub durability: Durability,
    /// Longest time to execute; `None` for no bound.
    pub timeout: Option<Duration>,
    /// Not before this time.
    pub start_after: Option<Timestamp>,
    /// Makes repeats return the first run.
    pub request: Option<RequestKey>,
    /// Whether there is room to execute it now.
    pub claim: bool,
    /// The current time.
    pub now: Timestamp,
}

impl NewRun {
    /// The run as it waits.
    pub(super) fn queued(&self) -> Run {
        Run {
            id: self.id,
            thread_id: self.thread_id.clone(),
            entrypoint: Arc::clone(&self.entrypoint),
            version: Arc::clone(&self.version),
            state: RunState::Queued,
            state_reason: String::new(),
            input: Arc::clone(&self.input),
            config: Arc::clone(&self.config),
            output: None,
            is_cached: false,
            failure: None,
            stop: None,
            interrupts: Vec::new(),
            wake_time: self.start_after,
            checkpoint_id: None,
            attempt: 0,
            start_sequence: None,
            last_sequence: QUEUED_SEQUENCE,
            create_time: self.now,
            start_time: None,
            end_time: None,
            update_time: self.now,
            usage: Usage::default(),
            labels: self.labels.clone(),
        }
    }

    /// The run as it is handed to a worker at once.
    pub(super) fn started(&self) -> Run {
        let start = QUEUED_SEQUENCE + 1;
        Run {
            state: RunState::Running,
            wake_time: None,
            attempt: 1,
            start_sequence: Some(start),
            last_sequence: start,
            start_time: Some(self.now),
            ..self.queued()
        }
    }
}

/// RequestKey makes repeats of a request return what the first one made.
#[derive(Clone, Debug)]
pub struct RequestKey {
    /// Caller's id of the request.
    pub id: String,
    /// Hash of all that the request says.
    pub hash: [u8; 32],
    /// What earlier releases remembered of the same request, which counts as well for as long as they
    /// may have.
    pub former_hash: Option<[u8; 32]>,
    /// From when on the id is forgotten.
    pub expire_time: Timestamp,
}

/// Retry says how a run goes on that ended.
#[derive(Clone, Debug, Default)]
pub struct Retry {
    /// Version to pin it to from now on; `None` for the one it has.
    pub version: Option<Arc<str>>,
    /// Whether it may go on from the checkpoint that it began with although its thread has a newer
    /// one: what it leaves becomes the newest, beside what was written meanwhile.
    pub is_branch: bool,
}

/// Answers to interrupts.
#[derive(Clone, Debug)]
pub enum Answers {
    /// To the only one.
    Only(Json),
    /// By id. Interrupts left out stay open.
    ById(BTreeMap<CallId, Json>),
}

/// RunFilter selects runs; empty parts select all.
#[derive(Clone, Debug, Default)]
pub struct RunFilter {
    /// Only of this thread.
    pub thread_id: Option<ThreadId>,
    /// Only of this entrypoint.
    pub entrypoint: Option<String>,
    /// Only in one of these states.
    pub states: Vec<RunState>,
    /// Only with all of these labels.
    pub labels: BTreeMap<String, String>,
}

/// ThreadPosition is a place in a listing of threads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThreadPosition {
    /// When the thread's state last changed.
    pub update_time: Timestamp,
    /// Its id.
    pub id: ThreadId,
}
