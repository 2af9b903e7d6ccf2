//! The workers that are connected, and which entrypoints they host.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::sync::mpsc;
use weft_worker::{
    EntrypointDescription,
    protocol::{EngineLink, ExecutionId, FromWorker, ToWorker, WorkerMessage},
};

use crate::store::EntrypointVersion;

/// Messages of one execution that may wait for its driver.
const EXECUTION_QUEUE: usize = 256;

/// Workers knows the connected workers.
#[derive(Debug, Default)]
pub(super) struct Workers {
    hosted: Mutex<Hosted>,
    executions: Mutex<HashMap<ExecutionId, mpsc::Sender<WorkerMessage>>>,
    next_execution: AtomicU64,
}

#[derive(Debug, Default)]
struct Hosted {
    /// By name, then version; the last version in text order is the default one.
    entrypoints: BTreeMap<Arc<str>, BTreeMap<Arc<str>, Host>>,
}

#[derive(Clone, Debug)]
struct Host {
    description: EntrypointDescription,
    outbox: mpsc::Sender<ToWorker>,
}

/// Execution is the engine's end of one dispatch.
#[derive(Debug)]
pub(super) struct Execution {
    /// Its id.
    pub(super) id: ExecutionId,
    /// What the worker says about it; closed when the worker is gone.
    pub(super) inbox: mpsc::Receiver<WorkerMessage>,
    /// To the worker.
    pub(super) outbox: mpsc::Sender<ToWorker>,
}

impl Workers {
    /// Makes a worker's entrypoints known.
    pub(super) fn add(
        &self,
        descriptions: Vec<EntrypointDescription>,
        outbox: &mpsc::Sender<ToWorker>,
    ) {
        let mut hosted = self.hosted();
        for description in descriptions {
            let versions = hosted
                .entrypoints
                .entry(Arc::clone(&description.name))
                .or_default();
            let version = Arc::clone(&description.version);
            versions.insert(
                version,
                Host {
                    description,
                    outbox: outbox.clone(),
                },
            );
        }
    }

    /// Passes on what a worker says until it is gone, then ends its executions.
    pub(super) async fn route(&self, mut link: EngineLink) {
        while let Some(FromWorker { execution, message }) = link.inbox.recv().await {
            let driver = self.executions().get(&execution).cloned();
            if let Some(driver) = driver {
                // A driver that has just ended wants no more.
                let _ = driver.send(message).await;
            }
        }
        let mut hosted = self.hosted();
        for versions in hosted.entrypoints.values_mut() {
            versions.retain(|_, host| !host.outbox.same_channel(&link.outbox));
        }
        hosted
            .entrypoints
            .retain(|_, versions| !versions.is_empty());
    }

    /// Opens an execution on a worker that hosts the entrypoint; `None` if there is none.
    pub(super) fn open(&self, entrypoint: &str, version: &str) -> Option<Execution> {
        let outbox = {
            let hosted = self.hosted();
            hosted
                .entrypoints
                .get(entrypoint)?
                .get(version)?
                .outbox
                .clone()
        };
        let id = ExecutionId(self.next_execution.fetch_add(1, Ordering::Relaxed));
        let (sender, inbox) = mpsc::channel(EXECUTION_QUEUE);
        self.executions().insert(id, sender);
        Some(Execution { id, inbox, outbox })
    }

    /// Ends an execution.
    pub(super) fn close(&self, id: ExecutionId) {
        self.executions().remove(&id);
    }

    /// An entrypoint that can be run; the default version if none is named.
    pub(super) fn find(&self, name: &str, version: Option<&str>) -> Option<EntrypointDescription> {
        let hosted = self.hosted();
        let versions = hosted.entrypoints.get(name)?;
        let host = match version {
            Some(version) => versions.get(version)?,
            None => versions.values().next_back()?,
        };
        Some(host.description.clone())
    }

    /// The default version of each entrypoint, by name.
    pub(super) fn list(&self) -> Vec<EntrypointDescription> {
        let hosted = self.hosted();
        hosted
            .entrypoints
            .values()
            .filter_map(|versions| versions.values().next_back())
            .map(|host| host.description.clone())
            .collect()
    }

    /// Everything that can be executed now.
    pub(super) fn hosted_versions(&self) -> Vec<EntrypointVersion> {
        let hosted = self.hosted();
        let versions = hosted.entrypoints.iter().flat_map(|(name, versions)| {
            versions.keys().map(|version| EntrypointVersion {
                name: Arc::clone(name),
                version: Arc::clone(version),
            })
        });
        versions.collect()
    }

    fn hosted(&self) -> MutexGuard<'_, Hosted> {
        self.hosted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn executions(&self) -> MutexGuard<'_, HashMap<ExecutionId, mpsc::Sender<WorkerMessage>>> {
        self.executions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
