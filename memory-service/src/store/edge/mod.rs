//! The embedded engine: Qdrant Edge in this process, its data in a folder.
//!
//! # Layout
//! - [`Settings`]: what it is opened with
//! - `folder`: the data folder and its engines
//! - `lock`: who owns it
//! - `format`: the file that says what it holds
//! - `inventory`: what was there when it was closed
//! - `durable`: what a loss of power cannot take any more
//! - `schema`: indexes and vectors
//! - `point`: points of the engine
//! - `filter`: selections as filters
//! - `reads`: reads, on threads that may block
//! - `query`: what they ask the engine
//! - `walk`: reads in order of names
//! - `operations`: plans as few operations
//! - `writer`: the one thread that writes
//! - `batch`: what it does of writes that wait
//! - `turn`: whether a search may begin beside it
//! - `optimiser`: what was removed gives its room back
//! - `registry`: namespaces and their counts
//! - `apart`: what it does between batches
//! - `purge`: the removal of many items
//! - `archive`: all of it, read and written as it is
//! - `renewal`: everything indexed anew, in a second engine beside the first
//! - `shared`: the open engine, which readers and the writer share

mod apart;
mod archive;
mod batch;
mod durable;
mod filter;
mod folder;
mod format;
mod inventory;
mod lock;
mod operations;
mod optimiser;
mod point;
mod purge;
mod query;
mod reads;
mod registry;
mod renewal;
mod schema;
mod settings;
mod shared;
#[cfg(test)]
mod tests;
mod turn;
mod walk;
mod writer;

use std::{path::Path, sync::Arc};

use futures::{FutureExt as _, TryFutureExt as _};
use service_runtime::Tenant;
use tokio::{
    sync::{Mutex, oneshot},
    task::{JoinError, JoinSet, spawn_blocking},
};

use self::{
    folder::Folder,
    optimiser::Optimiser,
    reads::Reads,
    shared::Shared,
    writer::{Command, Delete, Writer},
};
pub use self::{
    folder::FolderError,
    settings::{Begun, Flush, SYNC_INTERVAL, Settings},
    shared::OpenError,
};
use super::{
    Answer, PointId, Put, RankQuery, Ranked, Store, StoreError, Vectors, WalkQuery, index::Index,
    point::point_id, queue::Commands, selection::Selection,
};
use crate::domain::{
    IndexIdentity, Item, ItemId, NamespaceCount, NamespacePrefix, NamespaceQuery, Precondition,
    Time, Version,
};

/// Items in Qdrant Edge.
pub struct EdgeStore {
    shared: Arc<Shared>,
    reads: Reads,
    /// Empty once the store is closed.
    running: Mutex<Option<Running>>,
    commands: Commands<Command>,
}

/// What is under way while the store is open.
struct Running {
    writer: Writer,
    /// `None` if nothing is to be optimised.
    optimiser: Option<Optimiser>,
    flusher: JoinSet<()>,
    /// Dropped to let the flusher end after what it is at.
    flushing: oneshot::Sender<()>,
}

impl EdgeStore {
    /// Opens the store in `folder`, which is made if it is not there, and replays what a crash
    /// left unfinished. All its vectors are of one embedder. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`OpenError`] if the folder is in use, of another format, or damaged.
    pub async fn open(folder: &Path, settings: Settings) -> Result<Self, OpenError> {
        let path = folder.to_owned();
        Self::start(folder, move || Shared::open(&path, &settings)).await
    }

    /// What the data that is in `folder` is searched by; `None` if it is not there.
    ///
    /// # Errors
    /// [`OpenError`] if the folder is of another format or cannot be read.
    pub fn indexed_with(folder: &Path) -> Result<Option<IndexIdentity>, OpenError> {
        Ok(Folder::identity(folder)?)
    }

    async fn start(
        folder: &Path,
        open: impl FnOnce() -> Result<Shared, OpenError> + Send + 'static,
    ) -> Result<Self, OpenError> {
        let opened = spawn_blocking(open).await;
        let shared = Arc::new(opened.map_err(|error| OpenError::Engine {
            folder: folder.display().to_string(),
            cause: StoreError::Corrupt(format!("the engine gave up on it: {}", reason(error))),
        })??);
        let no_thread = |error: std::io::Error| OpenError::Engine {
            folder: folder.display().to_string(),
            cause: StoreError::Unavailable(format!("no thread is to be had: {error}")),
        };
        let writer = Writer::start(shared.clone()).map_err(no_thread)?;
        let optimiser = Optimiser::start(&shared).map_err(no_thread)?;
        let commands = Commands::new(writer.commands());
        let mut flusher = JoinSet::new();
        let (flushing, stopped) = oneshot::channel();
        flusher.spawn(durable::keep_regularly(shared.clone(), stopped));
        Ok(Self {
            reads: Reads::new(shared.clone()),
            shared,
            running: Mutex::new(Some(Running {
                writer,
                optimiser,
                flusher,
                flushing,
            })),
            commands,
        })
    }
}

/// What a panic said.
fn reason(error: JoinError) -> String {
    let Ok(panic) = error.try_into_panic() else {
        return "it was interrupted".to_owned();
    };
    match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(panic) => panic.downcast::<&str>().map_or_else(
            |_| "it did not say why".to_owned(),
            |text| (*text).to_owned(),
        ),
    }
}

impl Store for EdgeStore {
    fn get<'a>(
        &'a self,
        tenant: &'a Tenant,
        id: &'a ItemId,
        now: Time,
    ) -> Answer<'a, Option<Item>> {
        self.reads.item(tenant, point_id(tenant, id), now).boxed()
    }

    fn put<'a>(&'a self, tenant: &'a Tenant, put: Put) -> Answer<'a, Version, super::WriteError> {
        let (tenant, put) = (tenant.clone(), Box::new(put));
        self.commands
            .ask(move |reply| Command::Put { tenant, put, reply })
            .boxed()
    }

    fn delete<'a>(
        &'a self,
        tenant: &'a Tenant,
        id: ItemId,
        precondition: Precondition,
        now: Time,
    ) -> Answer<'a, (), super::WriteError> {
        let tenant = tenant.clone();
        let delete = Delete {
            id,
            precondition,
            now,
        };
        self.commands
            .ask(move |reply| Command::Delete {
                tenant,
                delete,
                reply,
            })
            .boxed()
    }

    fn refresh<'a>(
        &'a self,
        tenant: &'a Tenant,
        ids: Vec<ItemId>,
        now: Time,
    ) -> Answer<'a, Vec<Option<Version>>> {
        let tenant = tenant.clone();
        self.commands
            .ask(move |reply| Command::Refresh {
                tenant,
                ids,
                now,
                reply,
            })
            .boxed()
    }

    fn rank<'a>(&'a self, tenant: &'a Tenant, mut query: RankQuery) -> Answer<'a, Vec<Ranked>> {
        let tenant = tenant.clone();
        let search = self.reads.search(move |shared| {
            let registry = shared.registry();
            // The engine reserves room for as many candidates as it is asked for.
            let stored = usize::try_from(registry.stored(&tenant)).unwrap_or(usize::MAX);
            query.limit = query.limit.min(stored.saturating_add(1));
            // With this one condition it takes what is listed for that; for two it looks at each
            // item, which takes as long as to compare the vectors.
            let scope = if registry.has_expired(&tenant, query.now) {
                Selection::live_under(&tenant, &query.prefix, query.now)
            } else {
                Selection::stored_under(&tenant, &query.prefix)
            };
            drop(registry);
            query::rank(&shared.engines(), &tenant, scope, &query)
        });
        search.boxed()
    }

    fn fetch<'a>(
        &'a self,
        tenant: &'a Tenant,
        points: Vec<PointId>,
        now: Time,
    ) -> Answer<'a, Vec<Option<Item>>> {
        let tenant = tenant.clone();
        self.reads
            .run(move |shared| query::items(&shared.shard(), &tenant, &points, now))
            .boxed()
    }

    fn vectors<'a>(
        &'a self,
        tenant: &'a Tenant,
        ids: Vec<ItemId>,
        index: Index,
    ) -> Answer<'a, Vec<Vectors>> {
        let points: Vec<_> = ids.iter().map(|id| point_id(tenant, id)).collect();
        self.reads
            .run(move |shared| query::vectors(shared.engines().of(index)?, &points))
            .boxed()
    }

    fn walk<'a>(&'a self, tenant: &'a Tenant, query: WalkQuery) -> Answer<'a, Vec<Item>> {
        let tenant = tenant.clone();
        self.reads
            .search(move |shared| walk::walk(shared, &tenant, query))
            .boxed()
    }

    fn secret(&self) -> &[u8] {
        self.shared.secret()
    }

    fn count<'a>(
        &'a self,
        tenant: &'a Tenant,
        prefix: &'a NamespacePrefix,
        now: Time,
    ) -> Answer<'a, u64> {
        std::future::ready(Ok(self.shared.registry().count(tenant, prefix, now))).boxed()
    }

    fn known_size(&self, tenant: &Tenant) -> Option<u64> {
        Some(self.shared.registry().stored(tenant))
    }

    fn namespaces<'a>(
        &'a self,
        tenant: &'a Tenant,
        query: NamespaceQuery,
        now: Time,
    ) -> Answer<'a, Vec<NamespaceCount>> {
        let tenant = tenant.clone();
        self.reads
            .run(move |shared| Ok(shared.registry().namespaces(&tenant, &query, now)))
            .boxed()
    }

    fn delete_under<'a>(
        &'a self,
        tenant: &'a Tenant,
        prefix: NamespacePrefix,
        now: Time,
    ) -> Answer<'a, u64> {
        let remove = async move { self.remove_under(tenant, &prefix, now).await };
        remove.map_ok(|removed| removed.live).boxed()
    }

    fn probe(&self) -> Answer<'_, ()> {
        std::future::ready(Ok(())).boxed()
    }

    fn sweep(&self, now: Time) -> Answer<'_, u64> {
        let remove = self.remove_expired(now);
        remove.map_ok(|removed| removed.expired).boxed()
    }

    fn close(&self) -> Answer<'_, ()> {
        async {
            let Some(Running {
                writer,
                optimiser,
                mut flusher,
                flushing,
            }) = self.running.lock().await.take()
            else {
                return Ok(());
            };
            self.commands.close();
            drop(flushing);
            while flusher.join_next().await.is_some() {}
            let at_rest = match optimiser {
                Some(optimiser) => optimiser.finish().await,
                None => true,
            };
            self.reads.finish().await;
            let shared = self.shared.clone();
            let finished = spawn_blocking(move || {
                writer.finish();
                shared.flush()?;
                if at_rest { shared.close() } else { Ok(()) }
            });
            finished
                .await
                .map_err(|error| StoreError::Internal(error.to_string()))?
        }
        .boxed()
    }
}
