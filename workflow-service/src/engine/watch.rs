//! Waiting for runs to come to rest.

use std::{sync::Arc, time::Duration};

use service_runtime::Tenant;
use tokio::{select, sync::watch};

use super::{Engine, NewRunRequest, StartError, event_log::EventLog};
use crate::{
    domain::{Run, RunId},
    store::StoreError,
};

/// Watch waits for one run to come to rest.
pub struct Watch {
    engine: Engine,
    tenant: Tenant,
    id: RunId,
    watched: Watched,
}

enum Watched {
    Resting(Box<Run>),
    UnderWay(Watching),
}

/// The log of a run that was opened before the run came to rest: it will hold the run once it has.
struct Watching {
    log: Arc<EventLog>,
    changes: watch::Receiver<i64>,
}

impl Watching {
    fn new(log: Arc<EventLog>) -> Self {
        let changes = log.changes();
        Self { log, changes }
    }

    /// The run as it came to rest; `None` if nobody will tell any more.
    async fn rested(mut self) -> Option<Arc<Run>> {
        loop {
            if let Some(run) = self.log.rested() {
                return Some(run);
            }
            self.changes.changed().await.ok()?;
        }
    }
}

impl Engine {
    /// Watches a run. `None` if there is no such run.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn watch(&self, tenant: &Tenant, id: RunId) -> Result<Option<Watch>, StoreError> {
        let logs = &self.shared.logs;
        loop {
            // Opened before the run is read: a run that comes to rest after that closes it.
            let log = logs.open(id);
            let watching = Watching::new(Arc::clone(&log));
            let watched = match self.shared.store.run(tenant, id).await {
                Ok(Some(run)) if !run.state.is_resting() => {
                    if !logs.follow(id, &log, run.last_sequence) {
                        continue;
                    }
                    Watched::UnderWay(watching)
                }
                // Nobody closes a log that was opened too late.
                resting => {
                    logs.forget(id);
                    match resting? {
                        Some(run) => Watched::Resting(Box::new(run)),
                        None => return Ok(None),
                    }
                }
            };
            return Ok(Some(self.watch_of(tenant, id, watched)));
        }
    }

    /// Waits until a run rests, or for `patience`. `None` if there is no such run.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn wait(
        &self,
        tenant: &Tenant,
        id: RunId,
        patience: Duration,
    ) -> Result<Option<Run>, StoreError> {
        match self.watch(tenant, id).await? {
            Some(watch) => watch.rest(patience).await,
            None => Ok(None),
        }
    }

    /// Starts a run and watches it, or the one that the same request started before.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start_and_watch(
        &self,
        tenant: &Tenant,
        request: NewRunRequest,
    ) -> Result<Watch, StartError> {
        let id = request.run.id;
        // Opened before the run begins, so that the store need not be asked what became of it.
        let watching = Watching::new(self.shared.logs.open(id));
        match self.start_run(tenant, request).await {
            Ok(run) if run.id == id => Ok(self.watch_of(tenant, id, Watched::UnderWay(watching))),
            Ok(earlier) => {
                self.shared.logs.forget(id);
                let watched = self.watch(tenant, earlier.id).await?;
                // The store has just returned it.
                watched.ok_or(StartError::Store(StoreError::Fenced))
            }
            Err(error) => {
                self.shared.logs.forget(id);
                Err(error)
            }
        }
    }

    fn watch_of(&self, tenant: &Tenant, id: RunId, watched: Watched) -> Watch {
        Watch {
            engine: self.clone(),
            tenant: tenant.clone(),
            id,
            watched,
        }
    }
}

impl Watch {
    /// The run that is watched.
    #[must_use]
    pub fn id(&self) -> RunId {
        self.id
    }

    /// The run once it rests, or as it is after `patience`. `None` if it was deleted meanwhile.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn rest(self, patience: Duration) -> Result<Option<Run>, StoreError> {
        let watching = match self.watched {
            Watched::Resting(run) => return Ok(Some(*run)),
            Watched::UnderWay(watching) => watching,
        };
        select! {
            biased;
            Some(run) = watching.rested() => Ok(Some(Run::clone(&run))),
            () = tokio::time::sleep(patience) => self.engine.run(&self.tenant, self.id).await,
        }
    }
}
