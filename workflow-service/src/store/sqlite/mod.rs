//! [`CheckpointStore`] on SQLite, in one file: the embedded default.
//!
//! One thread writes. It takes whatever is queued, runs it in one transaction, and answers all of
//! it after the commit, so that callers that come together share one fsync and nobody waits for a
//! timer. Readers have connections of their own and never wait for the writer.
//!
//! # Layout
//! - `open`: folder, lock, pragmas, schema version
//! - `schema`: the tables
//! - `writer`: group commit
//! - `readers`: connections for reading
//! - `condition`: whether disk and file are of use
//! - `close`: leaving a file that is complete
//! - `rows`: rows to domain types
//! - `runs`, `requests`, `journal`, `threads`, `cache`: the statements, by table
//! - `edit`: changing and deleting threads
//! - `queue`: which run of a thread goes on next
//! - `blobs`: large values
//! - `retention`: deleting what is old
//! - `claim`, `settle`, `stop`, `resume`: the statements that change the state of runs
//! - `parent`: which checkpoint a run builds on

mod blobs;
mod cache;
mod claim;
mod close;
mod condition;
mod edit;
mod entrypoints;
mod journal;
mod open;
mod parent;
mod questions;
mod queue;
mod readers;
mod requests;
mod resume;
mod retention;
mod rows;
mod runs;
mod schema;
mod settle;
mod stop;
mod threads;
mod writer;

use std::time::Duration;

use async_trait::async_trait;
use service_runtime::Tenant;
use tokio::time::timeout;

use self::{readers::Readers, writer::Writer};
use super::{
    Answers, CacheScope, CachedResult, CheckpointStore, Claimed, Dispatch, EntrypointVersion,
    Expired, Fence, KnownEntrypoint, NewRun, Pruned, RecordedRun, RequestKey, Rest, RestedRun,
    Retry, RunFilter, StartedRun, StoreError, Swept, ThreadPosition,
};
use crate::domain::{
    Checkpoint, CheckpointId, Run, RunId, Thread, ThreadId, ThreadState, Timestamp,
    checkpoint::CheckpointValues, history::RecordedCall,
};

pub use open::OpenError;

/// How long the end of a process waits for the disk. What was acknowledged is safe before.
const LONGEST_CLOSE: Duration = Duration::from_secs(10);

/// SqliteStore keeps everything in `workflow.db` of one folder, which it uses alone.
#[derive(Debug)]
pub struct SqliteStore {
    writer: Writer,
    readers: Readers,
    /// What page tokens are sealed with.
    secret: Vec<u8>,
    /// Held for as long as the store lives.
    _lock: std::fs::File,
}

#[async_trait]
impl CheckpointStore for SqliteStore {
    async fn start_run(&self, tenant: &Tenant, run: NewRun) -> Result<RecordedRun, StoreError> {
        let (tenant, replaces) = (tenant.clone(), run.concurrency.replaces());
        let start = move |db: &_| runs::start(db, &tenant, run);
        match replaces {
            // What it cancels first must not stay cancelled if it is refused.
            true => self.writer.write(start).await,
            false => self.writer.write_checked(start).await,
        }
    }

    async fn repeated_run(
        &self,
        tenant: &Tenant,
        request: &RequestKey,
        now: Timestamp,
    ) -> Result<Option<Run>, StoreError> {
        let (tenant, request) = (tenant.clone(), request.clone());
        self.readers
            .read(move |db| requests::repeated(db, &tenant, &request, now))
            .await
    }

    async fn remember_entrypoints(
        &self,
        entrypoints: Vec<KnownEntrypoint>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.writer
            .write(move |db| entrypoints::remember(db, &entrypoints, now))
            .await
    }

    async fn known_entrypoints(&self) -> Result<Vec<KnownEntrypoint>, StoreError> {
        self.readers.read(entrypoints::all).await
    }

    async fn append(&self, fence: Fence, calls: Vec<RecordedCall>) -> Result<(), StoreError> {
        self.writer
            .write_checked(move |db| journal::append(db, fence, &calls))
            .await
    }

    async fn rest_run(
        &self,
        fence: Fence,
        rest: Rest,
        claim_next: bool,
    ) -> Result<RestedRun, StoreError> {
        self.writer
            .write_checked(move |db| settle::rest(db, fence, rest, claim_next))
            .await
    }

    async fn requeue_run(&self, fence: Fence) -> Result<Run, StoreError> {
        self.writer.write(move |db| stop::requeue(db, fence)).await
    }

    async fn claim_runs(
        &self,
        hosted: Vec<EntrypointVersion>,
        limit: u32,
        now: Timestamp,
    ) -> Result<Claimed, StoreError> {
        self.writer
            .write_checked(move |db| claim::many(db, &hosted, limit, now))
            .await
    }

    async fn answer_run(
        &self,
        tenant: &Tenant,
        id: RunId,
        answers: Answers,
        claim: bool,
        now: Timestamp,
    ) -> Result<StartedRun, StoreError> {
        let tenant = tenant.clone();
        self.writer
            .write(move |db| resume::answer(db, &tenant, id, answers, claim, now))
            .await
    }

    async fn retry_run(
        &self,
        tenant: &Tenant,
        id: RunId,
        retry: Retry,
        claim: bool,
        now: Timestamp,
    ) -> Result<StartedRun, StoreError> {
        let tenant = tenant.clone();
        self.writer
            .write(move |db| resume::retry(db, &tenant, id, retry, claim, now))
            .await
    }

    async fn cancel_run(
        &self,
        tenant: &Tenant,
        id: RunId,
        reason: &str,
        now: Timestamp,
    ) -> Result<Run, StoreError> {
        let (tenant, reason) = (tenant.clone(), reason.to_owned());
        self.writer
            .write(move |db| {
                let to_stop = stop::Cancel {
                    reason,
                    rolls_back: false,
                };
                stop::cancel(db, &tenant, id, &to_stop, now)
            })
            .await
    }

    async fn run(&self, tenant: &Tenant, id: RunId) -> Result<Option<Run>, StoreError> {
        let tenant = tenant.clone();
        self.readers
            .read(move |db| runs::get(db, &tenant, id))
            .await
    }

    async fn journal(
        &self,
        tenant: &Tenant,
        id: RunId,
        after_sequence: i64,
    ) -> Result<Vec<RecordedCall>, StoreError> {
        let tenant = tenant.clone();
        self.readers
            .read(move |db| journal::of_tenant(db, &tenant, id, after_sequence))
            .await
    }

    async fn list_runs(
        &self,
        tenant: &Tenant,
        filter: RunFilter,
        before: Option<RunId>,
        limit: u32,
    ) -> Result<Vec<Run>, StoreError> {
        let tenant = tenant.clone();
        self.readers
            .read(move |db| runs::list(db, &tenant, &filter, before, limit))
            .await
    }

    async fn list_threads(
        &self,
        tenant: &Tenant,
        states: Vec<ThreadState>,
        before: Option<ThreadPosition>,
        limit: u32,
    ) -> Result<Vec<Thread>, StoreError> {
        let tenant = tenant.clone();
        self.readers
            .read(move |db| threads::list(db, &tenant, &states, before.as_ref(), limit))
            .await
    }

    async fn update_thread(
        &self,
        tenant: &Tenant,
        id: &ThreadId,
        parent: Option<CheckpointId>,
        values: CheckpointValues,
        now: Timestamp,
    ) -> Result<Checkpoint, StoreError> {
        let (tenant, id) = (tenant.clone(), id.clone());
        self.writer
            .write(move |db| edit::update(db, &tenant, &id, parent, values, now))
            .await
    }

    async fn fork_thread(
        &self,
        tenant: &Tenant,
        id: &ThreadId,
        last: Option<CheckpointId>,
        copy: &ThreadId,
        now: Timestamp,
    ) -> Result<Thread, StoreError> {
        let (tenant, id, copy) = (tenant.clone(), id.clone(), copy.clone());
        self.writer
            .write(move |db| edit::fork(db, &tenant, &id, last, &copy, now))
            .await
    }

    async fn prune_thread(
        &self,
        tenant: &Tenant,
        id: &ThreadId,
        keep_checkpoints: u32,
    ) -> Result<Pruned, StoreError> {
        let (tenant, id) = (tenant.clone(), id.clone());
        self.writer
            .write(move |db| edit::prune(db, &tenant, &id, keep_checkpoints))
            .await
    }

    async fn delete_thread(&self, tenant: &Tenant, id: &ThreadId) -> Result<(), StoreError> {
        let (tenant, id) = (tenant.clone(), id.clone());
        self.writer
            .write(move |db| edit::delete(db, &tenant, &id))
            .await
    }

    async fn thread(&self, tenant: &Tenant, id: &ThreadId) -> Result<Option<Thread>, StoreError> {
        let (tenant, id) = (tenant.clone(), id.clone());
        self.readers
            .read(move |db| threads::get(db, &tenant, &id))
            .await
    }

    async fn checkpoint(
        &self,
        tenant: &Tenant,
        thread: &ThreadId,
        id: CheckpointId,
    ) -> Result<Option<Checkpoint>, StoreError> {
        let (tenant, thread) = (tenant.clone(), thread.clone());
        self.readers
            .read(move |db| threads::checkpoint(db, &tenant, &thread, id))
            .await
    }

    async fn list_checkpoints(
        &self,
        tenant: &Tenant,
        thread: &ThreadId,
        before: Option<CheckpointId>,
        limit: u32,
    ) -> Result<Vec<Checkpoint>, StoreError> {
        let (tenant, thread) = (tenant.clone(), thread.clone());
        self.readers
            .read(move |db| threads::list_checkpoints(db, &tenant, &thread, before, limit))
            .await
    }

    async fn cached(
        &self,
        tenant: &Tenant,
        scope: &CacheScope,
        key: &str,
        now: Timestamp,
    ) -> Result<Option<CachedResult>, StoreError> {
        let (tenant, scope, key) = (tenant.clone(), scope.clone(), key.to_owned());
        self.readers
            .read(move |db| cache::get(db, &tenant, &scope, &key, now))
            .await
    }

    async fn sweep(&self, expired: Expired, limit: u32) -> Result<Swept, StoreError> {
        self.writer
            .write(move |db| retention::sweep(db, &expired, limit))
            .await
    }

    fn secret(&self) -> &[u8] {
        &self.secret
    }

    async fn check_writes(&self) -> Result<(), StoreError> {
        self.writer.check().await
    }

    async fn close(&self) {
        // The last connection removes the write-ahead log, which only one that writes can do.
        let closing = async {
            self.readers.close().await;
            self.writer.close().await;
        };
        if timeout(LONGEST_CLOSE, closing).await.is_err() {
            tracing::warn!(
                "the disk takes too long to complete workflow.db: whoever copies it must copy \
                 workflow.db-wal, too"
            );
        }
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode::{
            DatabaseCorrupt, DiskFull, NotADatabase, SystemIoFailure, TypeMismatch,
        };
        match error {
            rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::IntegralValueOutOfRange(..) => {
                Self::Corrupt(error.to_string().into())
            }
            rusqlite::Error::SqliteFailure(failure, _) if failure.code == TypeMismatch => {
                Self::Corrupt(error.to_string().into())
            }
            rusqlite::Error::SqliteFailure(failure, _)
                if matches!(failure.code, DatabaseCorrupt | NotADatabase) =>
            {
                Self::Damaged(error.to_string().into())
            }
            rusqlite::Error::SqliteFailure(failure, _)
                if matches!(failure.code, DiskFull | SystemIoFailure) =>
            {
                Self::DiskRefuses(error.to_string().into())
            }
            error => Self::Unavailable(error.to_string().into()),
        }
    }
}
