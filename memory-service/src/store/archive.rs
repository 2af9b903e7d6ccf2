//! What maintenance needs of a store: all that is stored, of all tenants, read and written as it is.

use service_runtime::Tenant;

use super::{Answer, PointId, StoreError, Vectors, point::point_id};
use crate::domain::{Indexing, Item};

/// An item with all that is stored of it.
#[derive(Clone, Debug)]
pub struct Record {
    /// Whose it is.
    pub tenant: Tenant,
    /// The item, version and all.
    pub item: Item,
    /// What its put said about indexing.
    pub indexing: Indexing,
    /// What queries find it by.
    pub vectors: Vectors,
}

impl Record {
    /// Where it is stored: what [`Records::next`] counts in.
    #[must_use]
    pub fn place(&self) -> PointId {
        point_id(&self.tenant, &self.item.id)
    }
}

/// One part of all records.
#[derive(Debug)]
pub struct Records {
    /// The records, or what is wrong with one.
    pub records: Vec<Result<Record, StoreError>>,
    /// Where the next part begins, if there is one.
    pub next: Option<PointId>,
}

/// A store that can be read and written whole.
pub trait Archive: Send + Sync + 'static {
    /// How many items are stored, expired ones that were not swept yet included.
    fn stored(&self) -> u64;

    /// At most `limit` items, from `from` on, in an order that does not change.
    fn records(&self, from: Option<PointId>, limit: usize) -> Answer<'_, Records>;

    /// Writes items as they are, over older ones of the same names; answers with how many were
    /// written. Those that are there with a later update stay as they are, so that doing it again
    /// changes nothing.
    fn restore(&self, records: Vec<Record>) -> Answer<'_, u64>;
}
