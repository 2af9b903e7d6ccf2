//! What maintenance needs of a store: all that is stored, of all tenants, read and written as it is.

use futures::FutureExt as _;
use serde_json::{Map, Value};
use service_runtime::Tenant;

use super::{
    Answer, PointId, Store, StoreError, Vectors,
    index::{Index, IndexVectors},
    point::{Body, Head, SCOPES, TERMS, indexing, point_id, scopes},
};
use crate::domain::{Indexing, Item, Namespace, Time, filter::terms};

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
    /// Fields that it is found by and that are not what follows from it: none, unless what is stored
    /// is damaged.
    pub strays: Vec<&'static str>,
}

impl Record {
    /// Where it is stored: what [`Records::next`] counts in.
    #[must_use]
    pub fn place(&self) -> PointId {
        point_id(&self.tenant, &self.item.id)
    }

    /// About how many bytes it is.
    pub(super) fn bytes(&self) -> usize {
        let numbers: usize = self.vectors.meanings.iter().map(Vec::len).sum();
        self.item.value.text().len() + numbers * size_of::<f32>()
    }

    /// Reads back what is stored at a place.
    pub(super) fn decode(
        place: PointId,
        mut payload: Map<String, Value>,
        vectors: Vectors,
    ) -> Result<Self, StoreError> {
        let (found_scopes, found_terms) = (payload.remove(SCOPES), payload.remove(TERMS));
        let indexing = indexing(&payload)?;
        let (tenant, item) = Head::decode_item(payload)?;
        if point_id(&tenant, &item.id) != place {
            let named = format!("the item {} of `{tenant}` at a place of another", item.id);
            return Err(StoreError::Corrupt(named));
        }
        let mut strays = Vec::new();
        if found_scopes != Some(scopes(&tenant, &item.id.namespace)) {
            strays.push(SCOPES);
        }
        let document = item.value.parse().ok();
        let terms = document.map(|document| Value::from(terms::of_document(&document)));
        if terms.is_some() && found_terms != terms {
            strays.push(TERMS);
        }
        Ok(Self {
            tenant,
            item,
            indexing,
            vectors,
            strays,
        })
    }

    /// What a put of it would give it that is found by this index.
    pub(super) fn body(&self, index: Index) -> Result<Body, StoreError> {
        let Self {
            item,
            indexing,
            vectors,
            ..
        } = self;
        let document = item.value.parse();
        let document = document.map_err(|error| StoreError::Corrupt(error.to_string()))?;
        let mut found_by = IndexVectors::default();
        *found_by.get_mut(index) = Some(vectors.clone());
        Ok(Body {
            terms: terms::of_document(&document),
            value: item.value.clone(),
            indexing: indexing.clone(),
            vectors: found_by,
        })
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
pub trait Archive: Store {
    /// How many items are stored, expired ones that were not swept yet included.
    fn stored(&self) -> Answer<'_, u64>;

    /// At most `limit` items, from `from` on, in an order that does not change. Each is whole, as it
    /// was at some moment of the call, whoever writes meanwhile.
    fn records(&self, from: Option<PointId>, limit: usize) -> Answer<'_, Records>;

    /// Writes items, no two of one name, as they are, over older ones of the same names; answers
    /// with how many were written. Those that are there with an update as late stay as they are,
    /// so that doing it again changes nothing.
    fn restore(&self, records: Vec<Record>, now: Time) -> Answer<'_, u64>;

    /// How many items that have not expired are in a namespace, not below it, whatever is known of
    /// namespaces: what [`Store::namespaces`] has to say of it.
    fn held<'a>(
        &'a self,
        tenant: &'a Tenant,
        namespace: &'a Namespace,
        now: Time,
    ) -> Answer<'a, u64>;

    /// What is wrong with the store, other than with its items; a sentence each.
    fn faults(&self) -> Answer<'_, Vec<String>> {
        std::future::ready(Ok(Vec::new())).boxed()
    }
}
