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
//! - `rows`: rows to domain types
//! - `runs`, `journal`, `threads`: the statements, by table

mod journal;
mod open;
mod readers;
mod rows;
mod runs;
mod schema;
mod threads;
mod writer;

use async_trait::async_trait;
use service_runtime::Tenant;

use self::{readers::Readers, writer::Writer};
use super::{
    CheckpointStore, Dispatch, EntrypointVersion, Fence, NewRun, Rest, RestedRun, RunFilter,
    StartedRun, StoreError,
};
use crate::domain::{
    Checkpoint, CheckpointId, Run, RunId, Thread, ThreadId, history::RecordedCall,
};

pub use open::OpenError;

/// SqliteStore keeps everything in `workflow.db` of one folder, which it uses alone.
#[derive(Debug)]
pub struct SqliteStore {
    writer: Writer,
    readers: Readers,
    /// Held for as long as the store lives.
    _lock: std::fs::File,
}

#[async_trait]
impl CheckpointStore for SqliteStore {
    async fn start_run(&self, tenant: &Tenant, run: NewRun) -> Result<StartedRun, StoreError> {
        let tenant = tenant.clone();
        self.writer
            .write(move |db| runs::start(db, &tenant, run))
            .await
    }

    async fn append(&self, fence: Fence, calls: Vec<RecordedCall>) -> Result<(), StoreError> {
        self.writer
            .write(move |db| journal::append(db, fence, &calls))
            .await
    }

    async fn rest_run(
        &self,
        fence: Fence,
        rest: Rest,
        claim_next: bool,
    ) -> Result<RestedRun, StoreError> {
        self.writer
            .write(move |db| runs::rest(db, fence, rest, claim_next))
            .await
    }

    async fn requeue_run(&self, fence: Fence) -> Result<(), StoreError> {
        self.writer.write(move |db| runs::requeue(db, fence)).await
    }

    async fn claim_runs(
        &self,
        hosted: Vec<EntrypointVersion>,
        limit: u32,
    ) -> Result<Vec<Dispatch>, StoreError> {
        self.writer
            .write(move |db| runs::claim(db, &hosted, limit))
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

    async fn close(&self) {
        self.writer.close().await;
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase, TypeMismatch};
        match error {
            rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::IntegralValueOutOfRange(..) => {
                Self::Corrupt(error.to_string().into())
            }
            rusqlite::Error::SqliteFailure(failure, _)
                if matches!(failure.code, DatabaseCorrupt | NotADatabase | TypeMismatch) =>
            {
                Self::Corrupt(error.to_string().into())
            }
            error => Self::Unavailable(error.to_string().into()),
        }
    }
}
