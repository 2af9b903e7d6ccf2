//! What the store is asked for.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use weft_worker::{CallId, Json};

use crate::domain::{CheckpointId, Concurrency, Durability, RunId, RunState, ThreadId, Timestamp};

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

/// RequestKey makes repeats of a request return what the first one made.
#[derive(Clone, Debug)]
pub struct RequestKey {
    /// Caller's id of the request.
    pub id: String,
    /// Hash of all that the request says.
    pub hash: [u8; 32],
    /// From when on the id is forgotten.
    pub expire_time: Timestamp,
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
