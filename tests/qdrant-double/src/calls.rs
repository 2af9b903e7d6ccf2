//! What calls for points have in common: where they run, and what a cluster needs of their callers.

use std::sync::Arc;

use qdrant_client::qdrant::{
    ReadConsistency, UpdateResult, UpdateStatus, WriteOrdering, WriteOrderingType,
};
use tonic::Status;

use crate::{
    catalog::Catalog,
    collection::Collection,
    refusal::{broken, invalid},
};

/// The service.
pub(crate) struct PointsService {
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) insist: bool,
    pub(crate) slow_vectors: bool,
}

impl PointsService {
    /// Does something with a collection on a thread that may block.
    pub(crate) async fn with<T: Send + 'static>(
        &self,
        collection: &str,
        act: impl FnOnce(&Collection) -> Result<T, Status> + Send + 'static,
    ) -> Result<T, Status> {
        let collection = self.catalog.find_copy(collection)?;
        blocking(move || act(&collection)).await
    }

    /// Reads, as it is to be done in a cluster.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        collection: &str,
        consistency: Option<ReadConsistency>,
        act: impl FnOnce(&Collection) -> Result<T, Status> + Send + 'static,
    ) -> Result<T, Status> {
        if self.insist && consistency.is_none() {
            return Err(invalid("the double insists on `read_consistency`"));
        }
        self.with(collection, act).await
    }

    /// Writes, as it is to be done in a cluster. Answers that it is done only if that was waited for.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        collection: &str,
        wait: Option<bool>,
        ordering: Option<WriteOrdering>,
        act: impl FnOnce(&Collection) -> Result<T, Status> + Send + 'static,
    ) -> Result<(T, UpdateResult), Status> {
        let waits = wait == Some(true);
        let is_strong = ordering.is_some_and(|one| one.r#type() == WriteOrderingType::Strong);
        if self.insist && !(waits && is_strong) {
            return Err(invalid(
                "the double insists on `wait` and a strong `ordering`",
            ));
        }
        let done = self.with(collection, act).await?;
        let status = if waits {
            UpdateStatus::Completed
        } else {
            UpdateStatus::Acknowledged
        };
        let result = UpdateResult {
            operation_id: Some(0),
            status: status.into(),
        };
        Ok((done, result))
    }

    /// What is said of vectors that come or go.
    pub(crate) fn hurried(&self, mut result: UpdateResult) -> UpdateResult {
        if self.slow_vectors {
            result.set_status(UpdateStatus::WaitTimeout);
        }
        result
    }
}

/// Does something on a thread that may block.
pub(crate) async fn blocking<T: Send + 'static>(
    act: impl FnOnce() -> Result<T, Status> + Send + 'static,
) -> Result<T, Status> {
    let done = tokio::task::spawn_blocking(act).await;
    done.map_err(broken)?
}
