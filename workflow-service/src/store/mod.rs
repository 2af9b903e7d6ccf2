//! Where runs, their journals and the checkpoints of threads are kept.
//!
//! [`CheckpointStore`] is the only way to them. Every write about a run that executes carries a
//! [`Fence`]: it counts only while the run still belongs to the dispatch that the fence names.

pub mod sqlite;

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use service_runtime::Tenant;
use weft_worker::{Failure, Json};

use crate::domain::{
    Checkpoint, CheckpointId, Concurrency, Run, RunId, RunState, Thread, ThreadId, Timestamp,
    checkpoint::CheckpointValues, history::RecordedCall,
};

/// CheckpointStore keeps runs, journals and checkpoints. A write that returned is on the disk.
#[async_trait]
pub trait CheckpointStore: Send + Sync + 'static {
    /// Records a run, and its thread if it is new. The run is RUNNING at once if `claim` is set and
    /// its thread is free, else QUEUED.
    ///
    /// # Errors
    /// [`StoreError::ThreadBusy`], [`StoreError::NoSuchCheckpoint`],
    /// [`StoreError::RequestIdReused`].
    async fn start_run(&self, tenant: &Tenant, run: NewRun) -> Result<StartedRun, StoreError>;

    /// Records outcomes of calls, all or none. A call that has one already keeps it.
    ///
    /// # Errors
    /// [`StoreError::Fenced`].
    async fn append(&self, fence: Fence, calls: Vec<RecordedCall>) -> Result<(), StoreError>;

    /// Ends a dispatch with its run at rest, writes its checkpoint, and claims the next run of the
    /// thread if `claim_next` is set and the thread is free now.
    ///
    /// # Errors
    /// [`StoreError::Fenced`].
    async fn rest_run(
        &self,
        fence: Fence,
        rest: Rest,
        claim_next: bool,
    ) -> Result<RestedRun, StoreError>;

    /// Gives a run back whose worker is gone: QUEUED again.
    ///
    /// # Errors
    /// [`StoreError::Fenced`].
    async fn requeue_run(&self, fence: Fence) -> Result<(), StoreError>;

    /// Claims up to `limit` queued runs of these entrypoints, oldest first, at most one of a
    /// thread, and only of threads that are free.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn claim_runs(
        &self,
        hosted: Vec<EntrypointVersion>,
        limit: u32,
    ) -> Result<Vec<Dispatch>, StoreError>;

    /// One run.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::Corrupt`].
    async fn run(&self, tenant: &Tenant, id: RunId) -> Result<Option<Run>, StoreError>;

    /// The recorded calls of a run whose events are newer than `after_sequence`, in commit order.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::Corrupt`].
    async fn journal(
        &self,
        tenant: &Tenant,
        id: RunId,
        after_sequence: i64,
    ) -> Result<Vec<RecordedCall>, StoreError>;

    /// Runs that pass a filter, newest first, those older than `before` if given.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::Corrupt`].
    async fn list_runs(
        &self,
        tenant: &Tenant,
        filter: RunFilter,
        before: Option<RunId>,
        limit: u32,
    ) -> Result<Vec<Run>, StoreError>;

    /// A thread with its newest checkpoint.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::Corrupt`].
    async fn thread(&self, tenant: &Tenant, id: &ThreadId) -> Result<Option<Thread>, StoreError>;

    /// One checkpoint of a thread.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::Corrupt`].
    async fn checkpoint(
        &self,
        tenant: &Tenant,
        thread: &ThreadId,
        id: CheckpointId,
    ) -> Result<Option<Checkpoint>, StoreError>;

    /// Checkpoints of a thread, newest first, those older than `before` if given.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::Corrupt`].
    async fn list_checkpoints(
        &self,
        tenant: &Tenant,
        thread: &ThreadId,
        before: Option<CheckpointId>,
        limit: u32,
    ) -> Result<Vec<Checkpoint>, StoreError>;

    /// Waits until all writes are done, and takes no more.
    async fn close(&self);
}

/// Fence names one dispatch of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fence {
    /// The run.
    pub run_id: RunId,
    /// Grows with every dispatch of the run.
    pub epoch: i64,
}

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

/// StartedRun is what became of a [`NewRun`].
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
    /// Checkpoint that the run builds on.
    pub parent: Option<CheckpointId>,
    /// What that checkpoint saved.
    pub previous: Option<Json>,
    /// What was recorded before, in commit order.
    pub journal: Vec<RecordedCall>,
}

/// Rest says how a run came to rest.
#[derive(Clone, Debug)]
pub struct Rest {
    /// How it ended.
    pub end: RunEnd,
    /// Number of its last event.
    pub last_sequence: i64,
    /// When.
    pub now: Timestamp,
}

/// How a run ended.
#[derive(Clone, Debug)]
pub enum RunEnd {
    /// The entrypoint returned; a checkpoint is written.
    Succeeded(CheckpointValues),
    /// It failed.
    Failed(Failure),
    /// Its code does not match its journal.
    Paused(Failure),
}

impl RunEnd {
    /// The transition that leads to it.
    pub const fn transition(&self) -> crate::domain::Transition {
        match self {
            Self::Succeeded(_) => crate::domain::Transition::Succeed,
            Self::Failed(_) => crate::domain::Transition::Fail,
            Self::Paused(_) => crate::domain::Transition::Pause,
        }
    }

    /// The state it leads to.
    pub const fn state(&self) -> RunState {
        match self {
            Self::Succeeded(_) => RunState::Succeeded,
            Self::Failed(_) => RunState::Failed,
            Self::Paused(_) => RunState::Paused,
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

/// Name and version of an entrypoint.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EntrypointVersion {
    /// Registered name.
    pub name: Arc<str>,
    /// Version.
    pub version: Arc<str>,
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

/// StoreError says why the store did not do something.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// The thread has an unfinished run and the new one was not to wait.
    #[error("thread `{0}` has an unfinished run")]
    ThreadBusy(ThreadId),
    /// The thread has no such checkpoint.
    #[error("the thread has no checkpoint `{0}`")]
    NoSuchCheckpoint(CheckpointId),
    /// The request id was used for another request.
    #[error("request id `{0}` was used for another request")]
    RequestIdReused(String),
    /// The run belongs to another dispatch now, or rests.
    #[error("the run no longer belongs to this dispatch")]
    Fenced,
    /// The store cannot be used now; trying again may help.
    #[error("the checkpoint store is not available: {0}")]
    Unavailable(Arc<str>),
    /// Something stored cannot be read.
    #[error("stored data cannot be read: {0}")]
    Corrupt(Arc<str>),
}
