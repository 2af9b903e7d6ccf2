//! Where items are kept: one trait, whose promises one suite of tests checks.
//!
//! Every method but those of maintenance takes the tenant, so that no call can see another
//! tenant's items. The present time comes in with every call; an item that has expired by then is
//! not there for anything.
//!
//! # Layout
//! - [`archive`]: all that is stored, read and written as it is
//! - [`index`]: two indexes, and the way from one to the other
//! - [`edge`]: the embedded engine, Qdrant Edge, in this process
//! - [`qdrant`]: a Qdrant server or cluster, for several replicas
//! - `point`: what engines store of an item
//! - `selection`: which items engines are asked about
//! - `plan`: many writes, decided together
//! - `queue`: the way to the one that writes

pub mod archive;
pub mod edge;
pub mod index;
mod plan;
mod point;
pub mod qdrant;
mod queue;
mod selection;

use futures::future::BoxFuture;
use service_runtime::Tenant;
use uuid::Uuid;

use self::index::{Each, Index, IndexVectors, Renewal};
use crate::{
    domain::{
        Conflict, Document, Etag, Indexing, Item, ItemId, NamespaceCount, NamespacePrefix,
        NamespaceQuery, Precondition, Time, Ttl, Version,
        filter::terms::{Narrowing, Term},
    },
    lexical::WordVector,
};

/// What a store answers with, sooner or later.
pub type Answer<'a, T, E = StoreError> = BoxFuture<'a, Result<T, E>>;

/// A place to keep items in.
///
/// A write is acknowledged only after a crash of the process cannot lose it any more, and is seen
/// by every read that starts after that. Writes to one item happen one after the other, each
/// deciding on the outcome of the one before.
pub trait Store: Renewal {
    /// The item of this name.
    fn get<'a>(&'a self, tenant: &'a Tenant, id: &'a ItemId, now: Time)
    -> Answer<'a, Option<Item>>;

    /// Creates or replaces an item, if its precondition holds.
    fn put<'a>(&'a self, tenant: &'a Tenant, put: Put) -> Answer<'a, Version, WriteError>;

    /// Removes an item, if the precondition holds. It may be absent.
    fn delete<'a>(
        &'a self,
        tenant: &'a Tenant,
        id: ItemId,
        precondition: Precondition,
        now: Time,
    ) -> Answer<'a, (), WriteError>;

    /// Restarts the lifetimes of items; answers with the new version of each that is there and
    /// has a lifetime.
    fn refresh<'a>(
        &'a self,
        tenant: &'a Tenant,
        ids: Vec<ItemId>,
        now: Time,
    ) -> Answer<'a, Vec<Option<Version>>>;

    /// The best candidates of a search, best first; those of equal rank in any order. Fewer than
    /// asked for only if there are no more.
    fn rank<'a>(&'a self, tenant: &'a Tenant, query: RankQuery) -> Answer<'a, Vec<Ranked>>;

    /// The items of candidates; `None` for those that have gone since.
    fn fetch<'a>(
        &'a self,
        tenant: &'a Tenant,
        points: Vec<PointId>,
        now: Time,
    ) -> Answer<'a, Vec<Option<Item>>>;

    /// What queries of one index find items by; nothing for items that are not there.
    fn vectors<'a>(
        &'a self,
        tenant: &'a Tenant,
        ids: Vec<ItemId>,
        index: Index,
    ) -> Answer<'a, Vec<Vectors>>;

    /// The first items of a walk in order of (namespace, key). Fewer than asked for only if there
    /// are no more. Walks that each go on after the last item of the one before see every item
    /// that is there throughout.
    fn walk<'a>(&'a self, tenant: &'a Tenant, query: WalkQuery) -> Answer<'a, Vec<Item>>;

    /// How many items there are under a prefix, exactly.
    fn count<'a>(
        &'a self,
        tenant: &'a Tenant,
        prefix: &'a NamespacePrefix,
        now: Time,
    ) -> Answer<'a, u64>;

    /// How many items a tenant has, expired ones included; `None` if somebody had to be asked for that.
    fn known_size(&self, tenant: &Tenant) -> Option<u64>;

    /// The namespaces that hold items, with exact counts.
    fn namespaces<'a>(
        &'a self,
        tenant: &'a Tenant,
        query: NamespaceQuery,
        now: Time,
    ) -> Answer<'a, Vec<NamespaceCount>>;

    /// Removes every item under a prefix; answers with how many there were.
    fn delete_under<'a>(
        &'a self,
        tenant: &'a Tenant,
        prefix: NamespacePrefix,
        now: Time,
    ) -> Answer<'a, u64>;

    /// Random bytes that belong to the data: the same after a restart, and for every process that
    /// serves it.
    fn secret(&self) -> &[u8];

    /// Maintenance: whether calls can be served at present.
    fn probe(&self) -> Answer<'_, ()>;

    /// Maintenance: removes what has expired, of all tenants; answers with how many items.
    fn sweep(&self, now: Time) -> Answer<'_, u64>;

    /// Maintenance: finishes the writes under way, makes everything durable and lets go of it.
    /// Calls after that fail.
    fn close(&self) -> Answer<'_, ()>;
}

/// A write of one item.
#[derive(Clone, Debug)]
pub struct Put {
    /// Its name.
    pub id: ItemId,
    /// Its document.
    pub value: Document,
    /// What filters find it by, [`of_document`](crate::domain::filter::terms::of_document).
    pub terms: Vec<Term>,
    /// What the caller said about indexing; recorded, so that an index can be made anew.
    pub indexing: Indexing,
    /// What queries find it by, in each index that it is to be in: its vectors are all of the length
    /// that the index was opened for.
    pub vectors: IndexVectors,
    /// How long it lives from `now` on; `None` for ever.
    pub ttl: Option<Ttl>,
    /// What must hold for the write to happen.
    pub precondition: Precondition,
    /// The version it makes.
    pub etag: Etag,
    /// The present time.
    pub now: Time,
}

impl Put {
    /// About how many bytes it writes.
    fn bytes(&self) -> usize {
        let Each { present, former } = &self.vectors;
        let vectors = [present, former].into_iter().flatten();
        let meanings = vectors.flat_map(|vectors| &vectors.meanings);
        let numbers: usize = meanings.map(Vec::len).sum();
        self.value.text().len() + numbers * size_of::<f32>()
    }
}

/// Names a stored item as an engine does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PointId(pub Uuid);

/// Which candidates to look for.
#[derive(Clone, Debug)]
pub struct RankQuery {
    /// Where. For [`RankOrder::Words`] also what the statistics of words are taken over.
    pub prefix: NamespacePrefix,
    /// What candidates have in common; the caller checks the rest.
    pub narrowing: Narrowing,
    /// Only these; `None` for all.
    pub among: Option<Vec<PointId>>,
    /// Which are best.
    pub order: RankOrder,
    /// By which index.
    pub index: Index,
    /// How many.
    pub limit: usize,
    /// Of how many of the best to answer with the items as well.
    pub load: usize,
    /// Whether to say when they were updated.
    pub times: bool,
    /// The present time.
    pub now: Time,
}

/// Which items a walk goes through.
#[derive(Clone, Debug)]
pub struct WalkQuery {
    /// Where.
    pub prefix: NamespacePrefix,
    /// What the items have in common; the caller checks the rest.
    pub narrowing: Narrowing,
    /// Only items after this one, which need not exist.
    pub after: Option<ItemId>,
    /// How many.
    pub limit: usize,
    /// The present time.
    pub now: Time,
}

/// Which candidates are best.
#[derive(Clone, Debug)]
pub enum RankOrder {
    /// Those that were updated last; the rank is that time in microseconds.
    Newest,
    /// Those that share the words of a query, by BM25 score; others are no candidates at all.
    Words(WordVector),
    /// Those whose vectors are nearest to that of a query, by the cosine of the nearest one; items
    /// without vectors are no candidates at all.
    Meaning(Vec<f32>),
}

/// What queries find an item by.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Vectors {
    /// Lexical ones; `None` for nothing.
    pub words: Option<WordVector>,
    /// Semantic ones; a vector of length 1 for each text.
    pub meanings: Vec<Vec<f32>>,
}

/// A candidate.
#[derive(Clone, Debug)]
pub struct Ranked {
    /// Which item it is.
    pub point: PointId,
    /// Higher is better.
    pub rank: f64,
    /// When it was updated last, if that was asked for.
    pub update_time: Option<Time>,
    /// The item, if it was asked for and is still there.
    pub item: Option<Item>,
}

/// Why a write did not happen, or is not known to have happened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// Its precondition does not hold.
    #[error(transparent)]
    Conflict(#[from] Conflict),
    /// It lacks the vectors of an index that it must be in by now.
    #[error("the store has moved on to another index")]
    Outdated,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a store cannot answer. The texts are for operators, not for callers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The store is closed, or what it is built on fails. Later calls may succeed.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// There is too little room left on the disk for what was asked for. Reads and deletes go on.
    #[error("the disk of the data folder has {free} bytes left, and {needed} must stay free")]
    Full {
        /// Bytes that are left.
        free: u64,
        /// Bytes that must stay free.
        needed: u64,
    },
    /// What was stored cannot be read back.
    #[error("stored data is corrupt: {0}")]
    Corrupt(String),
    /// The store was used wrongly or broke down: a bug.
    #[error("the store broke down: {0}")]
    Internal(String),
}
