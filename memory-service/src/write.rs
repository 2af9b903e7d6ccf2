//! Puts, in a store that may move on to another index while they are under way.

use service_runtime::Tenant;

use crate::{
    domain::{Item, Version},
    failure::Failure,
    memory::Memory,
    request::PutRequest,
    store::{
        Put, StoreError, WriteError,
        archive::Record,
        index::{Index, Stage},
    },
};

/// Tries of a write in a store that moves on to another index meanwhile: it does so three times.
const WRITE_TRIES: usize = 4;

impl Memory {
    /// Creates or replaces an item.
    ///
    /// # Errors
    /// [`Failure`] if the precondition does not hold, texts cannot be embedded, or the store fails.
    pub async fn put(&self, tenant: &Tenant, request: PutRequest) -> Result<Version, Failure> {
        let mut puts = self.prepare(vec![request]).await?;
        let put = puts.pop();
        let put = put.ok_or_else(|| StoreError::Internal("a put went missing".into()))?;
        self.write(tenant, put).await
    }

    /// Makes puts ready to be written; equal texts are embedded once.
    ///
    /// # Errors
    /// [`Failure`] if texts cannot be embedded.
    pub async fn prepare(&self, requests: Vec<PutRequest>) -> Result<Vec<Put>, Failure> {
        self.count_call();
        let stage = self.store().stage();
        let now = self.clock().now();
        self.preparation().prepare(requests, now, stage).await
    }

    /// Writes a put that is ready.
    ///
    /// # Errors
    /// [`Failure`] if the precondition does not hold, or the store fails.
    pub async fn write(&self, tenant: &Tenant, put: Put) -> Result<Version, Failure> {
        // Embedding took its time; the item's begins now.
        let mut put = Put {
            now: self.clock().now(),
            ..put
        };
        for _ in 0..WRITE_TRIES {
            // The store may move on to another index, for which the put has no vectors.
            let settled = self.store().stage() == Stage::Settled && put.vectors.present.is_some();
            let spare = (!settled).then(|| put.clone());
            match (self.store().put(tenant, put).await, spare) {
                (Err(WriteError::Outdated), Some(spare)) => {
                    put = spare;
                    let stage = self.store().stage();
                    self.preparation().complete(&mut put, stage).await?;
                }
                (Ok(version), Some(spare)) => {
                    self.catch_up(tenant, spare, &version).await?;
                    return Ok(version);
                }
                (outcome, _) => return Ok(outcome?),
            }
        }
        Err(WriteError::Outdated.into())
    }

    /// Puts an item that was just written into the present index, if searches turned to that while
    /// it was written.
    async fn catch_up(&self, tenant: &Tenant, put: Put, version: &Version) -> Result<(), Failure> {
        let store = self.store();
        let is_in_time = put.vectors.present.is_some() || !store.stage().needs(Index::Present);
        if is_in_time || store.catches_up().await? {
            return Ok(());
        }
        let item = (put.id.clone(), put.value.clone(), put.indexing.clone());
        let vectors = self.preparation().vectors(Index::Present, vec![item]);
        let vectors = vectors.await.map_err(after_writes)?;
        let record = Record {
            tenant: tenant.clone(),
            item: Item {
                id: put.id,
                value: put.value,
                version: version.clone(),
            },
            indexing: put.indexing,
            vectors: vectors.into_iter().next().unwrap_or_default(),
            strays: Vec::new(),
        };
        Ok(store.index(vec![record]).await?)
    }
}

/// What is said of texts that could not be embedded when something was written already: that they
/// could not be means that nothing was.
pub(crate) fn after_writes(failure: Failure) -> Failure {
    match failure {
        Failure::Embed(_) | Failure::TooManyTexts { .. } => {
            let cause = format!("it moved on to another index in the middle of writes: {failure}");
            Failure::Store(StoreError::Unavailable(cause))
        }
        other => other,
    }
}
