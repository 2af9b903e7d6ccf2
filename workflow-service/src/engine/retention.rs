//! Retention: deletes in the background what has been kept for long enough.

use std::time::Duration;

use super::Shared;
use crate::{
    domain::Timestamp,
    store::{Expired, StoreError},
};

/// Time between sweeps. What expires is visible for as much longer; nothing depends on it.
const INTERVAL: Duration = Duration::from_secs(60);
/// Things of each kind that are deleted in one transaction, so that other writes do not wait long.
const BATCH: u32 = 100;

/// Retention says how long things are kept; `None` is for ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Threads on which nothing happens, with their runs and checkpoints.
    pub threads: Option<Duration>,
    /// Finished runs, with their journals.
    pub runs: Option<Duration>,
    /// Journals of runs that succeeded.
    pub journals: Option<Duration>,
}

impl Retention {
    fn expired(&self, now: Timestamp) -> Expired {
        let before = |ttl: Option<Duration>| ttl.map(|ttl| now.before(ttl));
        Expired {
            threads: before(self.threads),
            runs: before(self.runs),
            journals: before(self.journals),
            now,
        }
    }
}

/// Sweeps now and then, for ever.
pub(super) async fn sweep(shared: &Shared) {
    loop {
        if let Err(error) = sweep_once(shared).await {
            tracing::warn!(%error, "what has expired cannot be deleted; trying again later");
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

async fn sweep_once(shared: &Shared) -> Result<(), StoreError> {
    loop {
        let expired = shared.retention.expired(shared.now());
        let swept = shared.store.sweep(expired, BATCH).await?;
        if swept.most() > 0 {
            tracing::debug!(?swept, "deleted what had expired");
        }
        if swept.most() < BATCH as usize {
            return Ok(());
        }
    }
}
