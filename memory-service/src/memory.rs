//! The service's core: what calls mean, between gRPC and a store.
//!
//! It owns the clock, the rules of lifetimes, and what is configured; stores decide nothing.

use std::{sync::Arc, time::Duration};

use service_runtime::Tenant;

use crate::{
    domain::{
        Clock, Document, Etag, Filter, IndexPath, Indexing, Item, ItemId, NamespaceCount,
        NamespacePrefix, NamespaceQuery, Precondition, Time, Ttl, Version, filter::terms,
    },
    lexical::Bm25,
    list::{ListQuery, Listed, list},
    search::{Hit, Search, count, search},
    store::{Put, RankOrder, Store, StoreError, WriteError},
};

/// Documents longer than this, in bytes, are taken apart on a thread that may block: it takes about
/// a millisecond for 16 KiB, which is as long as other calls should have to wait.
const LONG_DOCUMENT: usize = 16 << 10;

/// How long an item is to live.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lifetime {
    /// As the service is configured.
    #[default]
    Configured,
    /// For ever.
    Unlimited,
    /// Until it has been left alone for this long.
    Limited(Ttl),
}

/// What the service is configured with.
#[derive(Clone, Debug, Default)]
pub struct Defaults {
    /// Where the texts of documents are.
    pub index_paths: Vec<IndexPath>,
    /// How long items live; `None` for ever.
    pub ttl: Option<Ttl>,
    /// Whether reads restart lifetimes.
    pub refresh_ttl_on_read: bool,
}

/// A put as it was asked for.
#[derive(Clone, Debug)]
pub struct PutRequest {
    /// Which item.
    pub id: ItemId,
    /// Its document.
    pub value: Document,
    /// How to index it.
    pub indexing: Indexing,
    /// How long it lives.
    pub lifetime: Lifetime,
    /// What must hold.
    pub precondition: Precondition,
}

/// A search as it was asked for.
#[derive(Clone, Debug)]
pub struct SearchRequest {
    /// Where.
    pub prefix: NamespacePrefix,
    /// Words to rank by; `None` for the last updated first.
    pub words: Option<String>,
    /// What documents must fulfil.
    pub filter: Option<Filter>,
    /// Halve scores for every such span since the last update.
    pub half_life: Option<Duration>,
    /// Leave out what scores less.
    pub min_score: Option<f64>,
    /// Skip this many of the best.
    pub offset: usize,
    /// Return at most this many.
    pub limit: usize,
    /// Whether to restart the lifetimes of what is found; `None` as configured.
    pub refresh_ttl: Option<bool>,
}

/// A page of items as it was asked for.
#[derive(Clone, Debug)]
pub struct ListRequest {
    /// Where.
    pub prefix: NamespacePrefix,
    /// What documents must fulfil.
    pub filter: Option<Filter>,
    /// The last item of the page before.
    pub after: Option<ItemId>,
    /// At most this many.
    pub limit: usize,
}

/// Memory of all tenants.
pub struct Memory {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    bm25: Arc<Bm25>,
    defaults: Arc<Defaults>,
}

impl Memory {
    /// Memory kept in `store`.
    #[must_use]
    pub fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        bm25: Bm25,
        defaults: Defaults,
    ) -> Self {
        Self {
            store,
            clock,
            bm25: Arc::new(bm25),
            defaults: Arc::new(defaults),
        }
    }

    /// Creates or replaces an item.
    ///
    /// # Errors
    /// [`WriteError`] if the precondition does not hold, or the store fails.
    pub async fn put(&self, tenant: &Tenant, request: PutRequest) -> Result<Version, WriteError> {
        let now = self.clock.now();
        let put = if request.value.text().len() > LONG_DOCUMENT {
            let (bm25, defaults) = (self.bm25.clone(), self.defaults.clone());
            let prepare = move || prepare(&bm25, &defaults, request, now);
            let prepared = tokio::task::spawn_blocking(prepare).await;
            prepared.map_err(|error| StoreError::Internal(error.to_string()))?
        } else {
            prepare(&self.bm25, &self.defaults, request, now)
        }?;
        self.store.put(tenant, put).await
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
    /// [`WriteError`] if the precondition does not hold, or the store fails.
    pub async fn delete(
        &self,
        tenant: &Tenant,
        id: ItemId,
        precondition: Precondition,
    ) -> Result<(), WriteError> {
        self.store
            .delete(tenant, id, precondition, self.clock.now())
            .await
    }

    /// Finds items, best first.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails.
    pub async fn search(
        &self,
        tenant: &Tenant,
        request: SearchRequest,
    ) -> Result<Vec<Hit>, StoreError> {
        let order = match &request.words {
            None => RankOrder::Newest,
            Some(words) => match self.bm25.query(words) {
                Some(words) => RankOrder::Words(words),
                None => return Ok(Vec::new()),
            },
        };
        let SearchRequest {
            prefix,
            words: _,
            filter,
            half_life,
            min_score,
            offset,
            limit,
            refresh_ttl,
        } = request;
        let now = self.clock.now();
        // Without a query nothing has a score that could be too low, or age.
        let scored = matches!(order, RankOrder::Words(_));
        let half_life = half_life.filter(|_| scored);
        let min_score = min_score.filter(|_| scored);
        let query = Search {
            prefix,
            filter,
            order,
            half_life,
            min_score,
            offset,
            limit,
            now,
        };
        let mut hits = search(&*self.store, tenant, &query).await?;
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

    /// Closes the store.
    ///
    /// # Errors
    /// [`StoreError`] if what was written cannot be made durable.
    pub async fn close(&self) -> Result<(), StoreError> {
        self.store.close().await
    }

    fn refreshes(&self, asked: Option<bool>) -> bool {
        asked.unwrap_or(self.defaults.refresh_ttl_on_read)
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

/// Takes a document apart: what filters and queries will find it by.
fn prepare(
    bm25: &Bm25,
    defaults: &Defaults,
    request: PutRequest,
    now: Time,
) -> Result<Put, StoreError> {
    let PutRequest {
        id,
        value,
        indexing,
        lifetime,
        precondition,
    } = request;
    let document = value
        .parse()
        .map_err(|error| StoreError::Internal(error.to_string()))?;
    let texts = indexing.texts(&defaults.index_paths, &document);
    let ttl = match lifetime {
        Lifetime::Configured => defaults.ttl,
        Lifetime::Unlimited => None,
        Lifetime::Limited(ttl) => Some(ttl),
    };
    Ok(Put {
        id,
        terms: terms::of_document(&document),
        words: bm25.document(&texts),
        value,
        indexing,
        ttl,
        precondition,
        etag: Etag::fresh(),
        now,
    })
}
