//! The service's core: what calls mean, between gRPC and a store.
//!
//! It owns the clock, the rules of lifetimes, and what is configured; stores decide nothing.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use service_runtime::Tenant;
use tokio::sync::Semaphore;

use crate::{
    diversity::diverse,
    domain::{
        Clock, Filter, Item, ItemId, NamespaceCount, NamespacePrefix, NamespaceQuery, Precondition,
    },
    embed::Embedding,
    failure::Failure,
    lexical::Bm25,
    list::{ListQuery, Listed, list},
    plan::Plan,
    prepare::{Indexer, Preparation},
    rank::Order,
    request::{Defaults, ListRequest, SearchRequest},
    room::Room,
    search::{Hit, Search, count, search},
    store::{
        RankOrder, Store, StoreError,
        index::{Each, Index},
    },
};

/// Diverse searches at once: each holds some 200 documents, of 1 MiB at most, until its page is chosen.
const DIVERSE_AT_ONCE: usize = 4;

/// Memory of all tenants.
pub struct Memory {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    preparation: Preparation,
    calls: AtomicU64,
    diverse: Semaphore,
}

impl Memory {
    /// Memory kept in `store`, which was opened for the vectors of `embedding`.
    #[must_use]
    pub fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        bm25: Bm25,
        embedding: Option<Embedding>,
        defaults: Defaults,
    ) -> Self {
        Self {
            store,
            clock,
            preparation: Preparation {
                bm25: Arc::new(bm25),
                indexers: Arc::new(Each::present(Indexer {
                    paths: defaults.index_paths.clone(),
                    embedding,
                })),
                defaults: Arc::new(defaults),
            },
            calls: AtomicU64::new(0),
            diverse: Semaphore::new(DIVERSE_AT_ONCE),
        }
    }

    /// The same memory, whose store may still be searched by an index that was made with `former`.
    #[must_use]
    pub fn with_former(mut self, former: Option<Indexer>) -> Self {
        let present = self.preparation.indexers.present.clone();
        self.preparation.indexers = Arc::new(Each { present, former });
        self
    }

    pub(crate) fn store(&self) -> &dyn Store {
        &*self.store
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    pub(crate) fn preparation(&self) -> &Preparation {
        &self.preparation
    }

    /// How many searches, puts and gets have begun so far.
    pub(crate) fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    pub(crate) fn count_call(&self) {
        self.calls.fetch_add(1, Ordering::Relaxed);
    }

    /// The item of this name, its lifetime restarted if `refresh_ttl` or the configuration says so.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails.
    pub async fn get(
        &self,
        tenant: &Tenant,
        id: &ItemId,
        refresh_ttl: Option<bool>,
    ) -> Result<Option<Item>, StoreError> {
        self.count_call();
        let now = self.clock.now();
        let mut item = self.store.get(tenant, id, now).await?;
        if self.refreshes(refresh_ttl) {
            self.refresh(tenant, item.as_mut_slice()).await?;
        }
        Ok(item)
    }

    /// Removes an item.
    ///
    /// # Errors
    /// [`Failure`] if the precondition does not hold, or the store fails.
    pub async fn delete(
        &self,
        tenant: &Tenant,
        id: ItemId,
        precondition: Precondition,
    ) -> Result<(), Failure> {
        let now = self.clock.now();
        Ok(self.store.delete(tenant, id, precondition, now).await?)
    }

    /// Finds items, best first.
    ///
    /// # Errors
    /// [`Failure`] if there is no embedder although the ranking needs one, the query cannot be
    /// embedded, what is found does not fit into an answer, or the store fails.
    pub async fn search(
        &self,
        tenant: &Tenant,
        request: SearchRequest,
    ) -> Result<Vec<Hit>, Failure> {
        let plans = self.plan(vec![request]).await?;
        let plan = plans.into_iter().next();
        let plan = plan.ok_or_else(|| StoreError::Internal("a search went missing".into()))?;
        self.find(tenant, plan, Room::default()).await
    }

    /// Makes searches ready to be run; equal queries are embedded once.
    ///
    /// # Errors
    /// [`Failure`] if there is no embedder although a ranking needs one, or a query cannot be
    /// embedded.
    pub async fn plan(&self, requests: Vec<SearchRequest>) -> Result<Vec<Plan>, Failure> {
        self.count_call();
        let mut stage = self.store.stage();
        if stage.searched() == Index::Former {
            // Another process may have turned to the present index.
            stage = self.store.look().await?;
        }
        self.preparation.plan(requests, stage).await
    }

    /// Finds items by a search that is ready, best first.
    ///
    /// # Errors
    /// [`Failure`] if there is not enough room for what is found, or the store fails.
    pub async fn find(&self, tenant: &Tenant, plan: Plan, room: Room) -> Result<Vec<Hit>, Failure> {
        let Plan {
            request,
            order,
            index,
        } = plan;
        let Some(order) = order else {
            return Ok(Vec::new());
        };
        let SearchRequest {
            prefix,
            words: _,
            ranking: _,
            filter,
            half_life,
            diversity,
            min_score,
            offset,
            limit,
            refresh_ttl,
        } = request;
        let now = self.clock.now();
        // Without a query nothing has a score that could be too low, or age.
        let scored = !matches!(order, Order::By(RankOrder::Newest));
        let half_life = half_life.filter(|_| scored);
        let min_score = min_score.filter(|_| scored);
        let query = Search {
            prefix,
            filter,
            order,
            index,
            half_life,
            min_score,
            offset,
            limit,
            room,
            now,
        };
        let mut hits = if scored && diversity > 0.0 {
            let turn = self.diverse.acquire().await;
            let _turn = turn.map_err(|error| StoreError::Internal(error.to_string()))?;
            diverse(&*self.store, tenant, &query, diversity).await
        } else {
            search(&*self.store, tenant, &query).await
        }?;
        if self.refreshes(refresh_ttl) {
            let items = hits.iter_mut().map(|hit| &mut hit.item);
            self.refresh(tenant, items.collect::<Vec<_>>()).await?;
        }
        Ok(hits)
    }

    /// Lists one page of items in order of (namespace, key).
    ///
    /// # Errors
    /// [`StoreError`] if the store fails.
    pub async fn list(&self, tenant: &Tenant, request: ListRequest) -> Result<Listed, StoreError> {
        let ListRequest {
            prefix,
            filter,
            after,
            limit,
        } = request;
        let query = ListQuery {
            prefix,
            filter,
            after,
            limit,
            now: self.clock.now(),
        };
        list(&*self.store, tenant, query).await
    }

    /// Random bytes that belong to what is stored, for what only this service may have made.
    #[must_use]
    pub fn secret(&self) -> &[u8] {
        self.store.secret()
    }

    /// Counts the items under a prefix that fulfil a filter.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails.
    pub async fn count(
        &self,
        tenant: &Tenant,
        prefix: &NamespacePrefix,
        filter: Option<&Filter>,
    ) -> Result<u64, StoreError> {
        let now = self.clock.now();
        match filter {
            None => self.store.count(tenant, prefix, now).await,
            Some(filter) => count(&*self.store, tenant, prefix, filter, now).await,
        }
    }

    /// Lists namespaces with their counts.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails.
    pub async fn namespaces(
        &self,
        tenant: &Tenant,
        query: NamespaceQuery,
    ) -> Result<Vec<NamespaceCount>, StoreError> {
        self.store.namespaces(tenant, query, self.clock.now()).await
    }

    /// Removes every item under a prefix; answers with how many there were.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails.
    pub async fn delete_namespace(
        &self,
        tenant: &Tenant,
        prefix: NamespacePrefix,
    ) -> Result<u64, StoreError> {
        self.store
            .delete_under(tenant, prefix, self.clock.now())
            .await
    }

    /// Removes what has expired.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails.
    pub async fn sweep(&self) -> Result<u64, StoreError> {
        self.store.sweep(self.clock.now()).await
    }

    /// Whether the store can serve calls at present.
    ///
    /// # Errors
    /// [`StoreError`] says why it cannot.
    pub async fn probe(&self) -> Result<(), StoreError> {
        self.store.probe().await
    }

    /// Closes the store.
    ///
    /// # Errors
    /// [`StoreError`] if what was written cannot be made durable.
    pub async fn close(&self) -> Result<(), StoreError> {
        self.store.close().await
    }

    fn refreshes(&self, asked: Option<bool>) -> bool {
        asked.unwrap_or(self.preparation.defaults.refresh_ttl_on_read)
    }

    /// Restarts the lifetimes of those items that have one.
    async fn refresh(
        &self,
        tenant: &Tenant,
        items: impl IntoIterator<Item = &mut Item>,
    ) -> Result<(), StoreError> {
        let mut mortal: Vec<_> = items
            .into_iter()
            .filter(|item| item.version.ttl.is_some())
            .collect();
        if mortal.is_empty() {
            return Ok(());
        }
        let ids = mortal.iter().map(|item| item.id.clone()).collect();
        let refreshed = self.store.refresh(tenant, ids, self.clock.now()).await?;
        for (item, version) in mortal.iter_mut().zip(refreshed) {
            // Another etag is another write's: what was read stays what it was.
            if let Some(version) = version.filter(|version| version.etag == item.version.etag) {
                item.version.expire_time = version.expire_time;
            }
        }
        Ok(())
    }
}
