//! The engine for many replicas: a collection of a Qdrant server or cluster.
//!
//! Replicas share nothing but the collection. A write reads what is there, decides, and writes only
//! if nobody else did in between; an item remembers its last writes, also for a while after it was
//! removed, so that each of them learns whether it happened.
//!
//! # Layout
//! - `settings`: how to reach a server, and how the collection is made
//! - `connection`: calls with a bound, and what refusals mean
//! - `open`: the way to a store, and why a collection cannot be used
//! - `collection`: the collection
//! - `payload_indexes`: what its fields are looked up by
//! - `description`: what the collection says of itself
//! - `indexes`: which indexes it has, and what they are to this process
//! - `renewal`: everything indexed anew
//! - `vectors`: the vectors of further indexes
//! - `point`: items as points
//! - `wire_vectors`: their vectors
//! - `filter`: selections as filters
//! - `query`: reads of points
//! - `rank`: the best candidates
//! - `walk`: reads in order of names
//! - `registry`: the names of namespaces, and their counts
//! - `swap`: writes that happen only if nobody else wrote
//! - `command`: what the writer is asked to do
//! - `writer`: the one task that writes
//! - `purge`: removal of many items
//! - `archive`: all of it, read and written as it is

mod archive;
mod collection;
mod command;
mod connection;
mod description;
mod filter;
mod indexes;
mod open;
mod payload_indexes;
mod point;
mod purge;
mod query;
mod rank;
mod registry;
mod renewal;
mod settings;
mod swap;
mod vectors;
mod walk;
mod wire_vectors;
mod writer;

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use futures::FutureExt as _;
use service_runtime::Tenant;
use tokio::{sync::Mutex, task::JoinSet};

use self::{
    command::{Asked, Command, Delete, Refresh},
    connection::Connection,
    registry::Announced,
};
pub use self::{
    connection::ConnectError,
    open::OpenError,
    settings::{QdrantSettings, ReadConsistency},
};
use super::{
    Answer, PointId, Put, RankQuery, Ranked, Store, StoreError, Vectors, WalkQuery, WriteError,
    index::Index,
    point::point_id,
    queue::{Commands, closed},
    selection::Selection,
};
use crate::domain::{
    Etag, Item, ItemId, NamespaceCount, NamespacePrefix, NamespaceQuery, Precondition, Time,
    Version,
};

/// Items in a collection of a Qdrant server.
pub struct QdrantStore {
    connection: Arc<Connection>,
    announced: Arc<Announced>,
    secret: [u8; description::SECRET_BYTES],
    closed: AtomicBool,
    commands: Commands<Command>,
    writer: Mutex<JoinSet<()>>,
}

impl QdrantStore {
    /// The connection, unless the store is closed.
    fn open_connection(&self) -> Result<&Connection, StoreError> {
        if self.closed.load(Ordering::Acquire) {
            Err(closed())
        } else {
            Ok(&self.connection)
        }
    }
}

impl Store for QdrantStore {
    fn get<'a>(
        &'a self,
        tenant: &'a Tenant,
        id: &'a ItemId,
        now: Time,
    ) -> Answer<'a, Option<Item>> {
        let points = vec![point_id(tenant, id)];
        self.fetch(tenant, points, now)
            .map(|items| items.map(|mut items| items.pop().flatten()))
            .boxed()
    }

    fn put<'a>(&'a self, tenant: &'a Tenant, put: Put) -> Answer<'a, Version, WriteError> {
        let tenant = tenant.clone();
        self.commands
            .ask(move |reply| Command::Put(Box::new(Asked::new(tenant, put, reply))))
            .boxed()
    }

    fn delete<'a>(
        &'a self,
        tenant: &'a Tenant,
        id: ItemId,
        precondition: Precondition,
        now: Time,
    ) -> Answer<'a, (), WriteError> {
        let tenant = tenant.clone();
        let delete = Delete {
            id,
            precondition,
            etag: Etag::fresh(),
            now,
        };
        self.commands
            .ask(move |reply| Command::Delete(Asked::new(tenant, delete, reply)))
            .boxed()
    }

    fn refresh<'a>(
        &'a self,
        tenant: &'a Tenant,
        ids: Vec<ItemId>,
        now: Time,
    ) -> Answer<'a, Vec<Option<Version>>> {
        let tenant = tenant.clone();
        let refresh = Refresh { ids, now };
        self.commands
            .ask(move |reply| Command::Refresh(Asked::new(tenant, refresh, reply)))
            .boxed()
    }

    fn rank<'a>(&'a self, tenant: &'a Tenant, query: RankQuery) -> Answer<'a, Vec<Ranked>> {
        async move { rank::rank(self.open_connection()?, tenant, &query).await }.boxed()
    }

    fn fetch<'a>(
        &'a self,
        tenant: &'a Tenant,
        points: Vec<PointId>,
        now: Time,
    ) -> Answer<'a, Vec<Option<Item>>> {
        async move { query::items(self.open_connection()?, tenant, &points, now).await }.boxed()
    }

    fn vectors<'a>(
        &'a self,
        tenant: &'a Tenant,
        ids: Vec<ItemId>,
        index: Index,
    ) -> Answer<'a, Vec<Vectors>> {
        let points: Vec<_> = ids.iter().map(|id| point_id(tenant, id)).collect();
        async move { query::vectors(self.open_connection()?, &points, index).await }.boxed()
    }

    fn walk<'a>(&'a self, tenant: &'a Tenant, query: WalkQuery) -> Answer<'a, Vec<Item>> {
        async move { walk::walk(self.open_connection()?, tenant, query).await }.boxed()
    }

    fn count<'a>(
        &'a self,
        tenant: &'a Tenant,
        prefix: &'a NamespacePrefix,
        now: Time,
    ) -> Answer<'a, u64> {
        let selection = Selection::live_under(tenant, prefix, now);
        let filter = filter::filter(&selection);
        async move { query::count(self.open_connection()?, filter).await }.boxed()
    }

    fn known_size(&self, _: &Tenant) -> Option<u64> {
        None
    }

    fn namespaces<'a>(
        &'a self,
        tenant: &'a Tenant,
        query: NamespaceQuery,
        now: Time,
    ) -> Answer<'a, Vec<NamespaceCount>> {
        async move { registry::namespaces(self.open_connection()?, tenant, &query, now).await }
            .boxed()
    }

    fn delete_under<'a>(
        &'a self,
        tenant: &'a Tenant,
        prefix: NamespacePrefix,
        now: Time,
    ) -> Answer<'a, u64> {
        async move { purge::remove_under(self.open_connection()?, tenant, &prefix, now).await }
            .boxed()
    }

    fn secret(&self) -> &[u8] {
        &self.secret
    }

    fn sweep(&self, now: Time) -> Answer<'_, u64> {
        async move {
            let connection = self.open_connection()?;
            let removed = purge::remove_expired(connection, now).await?;
            purge::forget_removed(connection, now).await?;
            registry::collect(connection, &self.announced, now).await?;
            Ok(removed)
        }
        .boxed()
    }

    fn probe(&self) -> Answer<'_, ()> {
        async move {
            let connection = self.open_connection()?;
            description::look(connection).await?;
            connection.indexing.roles().map(drop)
        }
        .boxed()
    }

    fn close(&self) -> Answer<'_, ()> {
        async move {
            self.closed.store(true, Ordering::Release);
            self.commands.close();
            let mut writer = self.writer.lock().await;
            while writer.join_next().await.is_some() {}
            Ok(())
        }
        .boxed()
    }
}
