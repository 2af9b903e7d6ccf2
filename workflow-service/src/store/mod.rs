//! Where runs, their journals and the checkpoints of threads are kept.
//!
//! [`CheckpointStore`] is the only way to them. Every write about a run that executes carries a
//! [`Fence`]: it counts only while the run still belongs to the dispatch that the fence names.

mod dispatch;
mod error;
mod request;
mod retention;
pub mod sqlite;

use async_trait::async_trait;
use service_runtime::Tenant;

use crate::domain::{
    Checkpoint, CheckpointId, Run, RunId, Thread, ThreadId, ThreadState, Timestamp,
    checkpoint::CheckpointValues, history::RecordedCall,
};

pub use dispatch::{
    CacheScope, CachedResult, Claimed, Dispatch, EntrypointVersion, Fence, KnownEntrypoint, Pruned,
    RecordedRun, Rest, RestedRun, RunEnd, StartedRun,
};
pub use error::StoreError;
pub use request::{Answers, NewRun, RequestKey, Retry, RunFilter, ThreadPosition};
pub use retention::{Expired, Swept};

/// CheckpointStore keeps runs, journals and checkpoints. A write that returned is on the disk.
#[async_trait]
pub trait CheckpointStore: Send + Sync + 'static {
    /// Records a run, and its thread if it is new. The run is RUNNING at once if `claim` is set and
    /// its thread is free, else QUEUED.
    ///
    /// One that takes the place of others cancels all unfinished runs of the thread with the same
    /// write, as [`Self::cancel_run`] does, and has the thread next: before all that are recorded later.
    /// With [`Concurrency::Rollback`](crate::domain::Concurrency::Rollback) they are deleted, too: at
    /// once, or with the write that makes them CANCELLED.
    ///
    /// # Errors
    /// [`StoreError::ThreadBusy`], [`StoreError::NoSuchCheckpoint`],
    /// [`StoreError::RequestIdReused`], [`StoreError::RunDeleted`].
    async fn start_run(&self, tenant: &Tenant, run: NewRun) -> Result<RecordedRun, StoreError>;

    /// The run that a request has made, if it was made before.
    ///
    /// # Errors
    /// [`StoreError::RequestIdReused`], [`StoreError::RunDeleted`].
    async fn repeated_run(
        &self,
        tenant: &Tenant,
        request: &RequestKey,
        now: Timestamp,
    ) -> Result<Option<Run>, StoreError>;

    /// Remembers entrypoints that a worker hosts, as it describes them.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn remember_entrypoints(
        &self,
        entrypoints: Vec<KnownEntrypoint>,
        now: Timestamp,
    ) -> Result<(), StoreError>;

    /// All that were remembered, up to a bound that forgets the oldest.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn known_entrypoints(&self) -> Result<Vec<KnownEntrypoint>, StoreError>;

    /// Records outcomes of calls, all or none. A call that has one already keeps it.
    ///
    /// # Errors
    /// [`StoreError::Fenced`].
    async fn append(&self, fence: Fence, calls: Vec<RecordedCall>) -> Result<(), StoreError>;

    /// Ends a dispatch, writes its checkpoint, and claims the next run of the thread if
    /// `claim_next` is set and the thread is free now. A run that was asked to stop is CANCELLED,
    /// however it ended, and writes no checkpoint.
    ///
    /// # Errors
    /// [`StoreError::Fenced`].
    async fn rest_run(
        &self,
        fence: Fence,
        rest: Rest,
        claim_next: bool,
    ) -> Result<RestedRun, StoreError>;

    /// Gives a run back whose worker is gone: QUEUED again, or CANCELLED if it was asked to stop.
    ///
    /// # Errors
    /// [`StoreError::Fenced`].
    async fn requeue_run(&self, fence: Fence) -> Result<Run, StoreError>;

    /// Claims up to `limit` runs of these entrypoints: those whose timer is due, and queued ones,
    /// oldest first, at most one of a thread, the one that has it next, and only of threads that are
    /// free.
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
    /// recorded. It is claimed if `claim` is set and its thread is free. One of which nothing is
    /// recorded builds on the thread's newest checkpoint, as a new run does; every other one on the
    /// checkpoint that it began with, which its results follow from.
    ///
    /// # Errors
    /// [`StoreError::NoSuchRun`], [`StoreError::WrongState`]; if results are recorded,
    /// [`StoreError::ThreadInUse`], and [`StoreError::ThreadMovedOn`] unless it is to be a branch.
    async fn retry_run(
        &self,
        tenant: &Tenant,
        id: RunId,
        retry: Retry,
        claim: bool,
        now: Timestamp,
    ) -> Result<StartedRun, StoreError>;

    /// Cancels a run. One that is RUNNING is asked to stop: from then on its dispatch can only end
    /// CANCELLED, whatever its worker says and whoever is lost. Every other one is CANCELLED at once.
    ///
    /// # Errors
    /// [`StoreError::NoSuchRun`]; [`StoreError::WrongState`] if it is final.
    async fn cancel_run(
        &self,
        tenant: &Tenant,
        id: RunId,
        reason: &str,
        now: Timestamp,
    ) -> Result<Run, StoreError>;

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
    /// [`StoreError::NoSuchCheckpoint`]; [`StoreError::ThreadInUse`] by a run that has begun and
    /// would put its own checkpoint over this one without having seen it.
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

    /// Deletes all but the newest checkpoints of a thread and those that unfinished runs build on,
    /// and the finished runs that are older than the newest ones: that wrote one before them, or began
    /// before the oldest of them was there.
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

    /// What is cached under a key and has not expired.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::Corrupt`].
    async fn cached(
        &self,
        tenant: &Tenant,
        scope: &CacheScope,
        key: &str,
        now: Timestamp,
    ) -> Result<Option<CachedResult>, StoreError>;

    /// Deletes what has expired, at most `limit` things of each kind, and gives their room back.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn sweep(&self, expired: Expired, limit: u32) -> Result<Swept, StoreError>;

    /// What page tokens are sealed with, 32 bytes that are nobody else's. The same for as long as
    /// what is kept lives.
    fn secret(&self) -> &[u8];

    /// Whether writes are taken, as far as is known: after one that was refused it is tried. Once
    /// anything was found to be damaged, none are taken any more.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::DiskRefuses`], [`StoreError::Damaged`].
    async fn check_writes(&self) -> Result<(), StoreError>;

    /// Waits until all that was begun is done, and takes no more. What is kept is complete in its
    /// file then, unless the disk takes too long, which is logged.
    async fn close(&self);
}
