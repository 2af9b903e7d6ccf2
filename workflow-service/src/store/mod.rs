//! Where runs, their journals and the checkpoints of threads are kept.
//!
//! [`CheckpointStore`] is the only way to them. Every write about a run that executes carries a
//! [`Fence`]: it counts only while the run still belongs to the dispatch that the fence names.

pub mod sqlite;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use service_runtime::Tenant;
use weft_worker::{CallId, Failure, Json, protocol::Question};

use crate::domain::{
    Checkpoint, CheckpointId, Concurrency, Run, RunId, RunState, Thread, ThreadId, ThreadState,
    Timestamp, Transition, checkpoint::CheckpointValues, history::RecordedCall,
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

    /// Ends a dispatch, writes its checkpoint, and claims the next run of the thread if
    /// `claim_next` is set and the thread is free now.
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

    /// Claims up to `limit` runs of these entrypoints: those whose timer is due, and queued ones,
    /// oldest first, at most one of a thread, and only of threads that are free.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn claim_runs(
        &self,
        hosted: Vec<EntrypointVersion>,
        limit: u32,
        now: Timestamp,
    ) -> Result<Claimed, StoreError>;

    /// Answers interrupts of a run. It goes on, claimed if `claim` is set.
    ///
    /// # Errors
    /// [`StoreError::NoSuchRun`], [`StoreError::WrongState`], [`StoreError::NoSuchInterrupt`],
    /// [`StoreError::AmbiguousAnswer`].
    async fn answer_run(
        &self,
        tenant: &Tenant,
        id: RunId,
        answers: Answers,
        claim: bool,
        now: Timestamp,
    ) -> Result<StartedRun, StoreError>;

    /// Runs a run again that FAILED, was CANCELLED or is PAUSED: what succeeded in it stays
    /// recorded. It is pinned to another version if one is given, and claimed if `claim` is set and
    /// its thread is free.
    ///
    /// # Errors
    /// [`StoreError::NoSuchRun`], [`StoreError::WrongState`].
    async fn retry_run(
        &self,
        tenant: &Tenant,
        id: RunId,
        version: Option<Arc<str>>,
        claim: bool,
        now: Timestamp,
    ) -> Result<StartedRun, StoreError>;

    /// Cancels a run that no worker executes.
    ///
    /// # Errors
    /// [`StoreError::NoSuchRun`]; [`StoreError::WrongState`] if it is RUNNING or final.
    async fn cancel_run(
        &self,
        tenant: &Tenant,
        id: RunId,
        failure: Failure,
        now: Timestamp,
    ) -> Result<Run, StoreError>;

    /// Deletes a run that is at rest, with its journal and its checkpoints.
    ///
    /// # Errors
    /// [`StoreError::NoSuchRun`], [`StoreError::WrongState`].
    async fn delete_run(&self, tenant: &Tenant, id: RunId) -> Result<(), StoreError>;

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

    /// Threads in one of these states (in any, if there are none), last updated first, those
    /// before `before` if given, without payloads.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::Corrupt`].
    async fn list_threads(
        &self,
        tenant: &Tenant,
        states: Vec<ThreadState>,
        before: Option<ThreadPosition>,
        limit: u32,
    ) -> Result<Vec<Thread>, StoreError>;

    /// Writes a checkpoint by hand, on top of `parent`, or of the newest one. The thread is made if
    /// there is none.
    ///
    /// # Errors
    /// [`StoreError::NoSuchCheckpoint`].
    async fn update_thread(
        &self,
        tenant: &Tenant,
        id: &ThreadId,
        parent: Option<CheckpointId>,
        values: CheckpointValues,
        now: Timestamp,
    ) -> Result<Checkpoint, StoreError>;

    /// Copies the line of checkpoints that leads to `last`, or to the newest one, into a new
    /// thread.
    ///
    /// # Errors
    /// [`StoreError::NoSuchThread`], [`StoreError::NoSuchCheckpoint`], [`StoreError::ThreadExists`].
    async fn fork_thread(
        &self,
        tenant: &Tenant,
        id: &ThreadId,
        last: Option<CheckpointId>,
        copy: &ThreadId,
        now: Timestamp,
    ) -> Result<Thread, StoreError>;

    /// Deletes all but the newest checkpoints of a thread, and the runs at rest that did not write
    /// those that are kept.
    ///
    /// # Errors
    /// [`StoreError::NoSuchThread`].
    async fn prune_thread(
        &self,
        tenant: &Tenant,
        id: &ThreadId,
        keep_checkpoints: u32,
    ) -> Result<Pruned, StoreError>;

    /// Deletes a thread with its runs and checkpoints.
    ///
    /// # Errors
    /// [`StoreError::NoSuchThread`]; [`StoreError::ThreadBusy`] if a run of it is not final.
    async fn delete_thread(&self, tenant: &Tenant, id: &ThreadId) -> Result<(), StoreError>;

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
    /// What the checkpoint that it builds on saved.
    pub previous: Option<Json>,
    /// What was recorded before, in commit order.
    pub journal: Vec<RecordedCall>,
    /// How long it may still execute; `None` for no bound.
    pub remaining: Option<Duration>,
    /// How often its entrypoint was tried again so far.
    pub retries: u32,
}

/// Claimed is what a claim found.
#[derive(Debug, Default)]
pub struct Claimed {
    /// The runs to execute.
    pub dispatches: Vec<Dispatch>,
    /// When the next timer is due.
    pub next_wake: Option<Timestamp>,
}

/// Answers to interrupts.
#[derive(Clone, Debug)]
pub enum Answers {
    /// To the only one.
    Only(Json),
    /// By id. Interrupts left out stay open.
    ById(BTreeMap<CallId, Json>),
}

/// Place in a listing of threads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThreadPosition {
    /// When the thread's state last changed.
    pub update_time: Timestamp,
    /// Its id.
    pub id: ThreadId,
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
    Succeeded(CheckpointValues),
    /// It failed.
    Failed(Failure),
    /// It stopped on request.
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
            Self::Succeeded(_) => Transition::Succeed,
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
            Self::Succeeded(_) => RunState::Succeeded,
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
    /// There is no such run.
    #[error("there is no run `{0}`")]
    NoSuchRun(RunId),
    /// There is no such thread.
    #[error("there is no thread `{0}`")]
    NoSuchThread(ThreadId),
    /// There is such a thread already.
    #[error("there is a thread `{0}` already")]
    ThreadExists(ThreadId),
    /// The run is in another state.
    #[error("run `{id}` is {state:?}, and must be {required}")]
    WrongState {
        /// The run.
        id: RunId,
        /// Its state.
        state: RunState,
        /// The states it must be in.
        required: &'static str,
    },
    /// The run does not ask that, or not any longer.
    #[error("run `{run}` waits for no answer to the interrupt `{interrupt}`")]
    NoSuchInterrupt {
        /// The run.
        run: RunId,
        /// The id of the interrupt.
        interrupt: String,
    },
    /// One answer was given to several interrupts.
    #[error("run `{run}` waits for {count} answers; give them by interrupt id")]
    AmbiguousAnswer {
        /// The run.
        run: RunId,
        /// Open interrupts.
        count: usize,
    },
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
