//! Starting runs.

use std::sync::Arc;

use service_runtime::Tenant;
use tokio::sync::OwnedSemaphorePermit;
use weft_worker::InvalidArgument;

use super::{Engine, Follower, dispatcher::execute};
use crate::{
    domain::Run,
    store::{NewRun, StartedRun, StoreError},
};

/// NewRunRequest is what a caller says of a run.
#[derive(Debug)]
pub struct NewRunRequest {
    /// Name of an entrypoint.
    pub entrypoint: String,
    /// Version of it; `None` for the default one.
    pub version: Option<String>,
    /// All else. `entrypoint`, `version` and `claim` are filled in by the engine.
    pub run: NewRun,
}

/// StartError says why a run was not started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Nobody hosts the entrypoint.
    #[error("no entrypoint `{name}` can be run; ListEntrypoints names those that can")]
    NoSuchEntrypoint {
        /// Name, with the version if one was asked for.
        name: String,
    },
    /// The entrypoint refuses its arguments.
    #[error("the arguments are invalid")]
    InvalidArguments(Vec<InvalidArgument>),
    /// The store refuses.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Engine {
    /// Records a run, and executes it as soon as its thread is free. Returns without waiting for the
    /// runs that it takes the place of. A request that was made before returns what it made then,
    /// whoever hosts the entrypoint now.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start_run(
        &self,
        tenant: &Tenant,
        request: NewRunRequest,
    ) -> Result<Run, StartError> {
        let (key, now) = (request.run.request.clone(), request.run.now);
        let refusal = match self.resolved(request) {
            Ok(run) => return Ok(self.record_run(tenant, run).await?),
            Err(refusal) => refusal,
        };
        let Some(key) = key else {
            return Err(refusal);
        };
        let repeated = self.shared.store.repeated_run(tenant, &key, now).await?;
        repeated.map_or(Err(refusal), |run| Ok(self.with_reason(run)))
    }

    /// The run with the version that it is pinned to, if its arguments fit.
    fn resolved(&self, request: NewRunRequest) -> Result<NewRun, StartError> {
        let NewRunRequest {
            entrypoint,
            version,
            mut run,
        } = request;
        let description = self
            .shared
            .workers
            .find(&entrypoint, version.as_deref())
            .ok_or_else(|| StartError::NoSuchEntrypoint {
                name: match version {
                    Some(version) => format!("{entrypoint}@{version}"),
                    None => entrypoint,
                },
            })?;
        let invalid = description.check(&run.input, &run.config);
        if !invalid.is_empty() {
            return Err(StartError::InvalidArguments(invalid));
        }
        run.entrypoint = Arc::clone(&description.name);
        run.version = Arc::clone(&description.version);
        Ok(run)
    }

    async fn record_run(&self, tenant: &Tenant, mut run: NewRun) -> Result<Run, StoreError> {
        let (engine, tenant) = (self.clone(), tenant.clone());
        self.to_its_end(async move {
            let slot = engine.free_slot();
            let room = engine.shared.workers.room(&run.entrypoint, &run.version);
            run.claim = slot.is_some() && room > 0;
            let recorded = engine.shared.store.start_run(&tenant, run).await?;
            for run in recorded.replaced {
                engine.stop_run(&tenant, run).await;
            }
            Ok(engine.started(recorded.started, slot))
        })
        .await
    }

    pub(super) fn free_slot(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.shared.slots).try_acquire_owned().ok()
    }

    /// Executes a run that was claimed for this slot, or sees to it that it will be.
    pub(super) fn started(&self, started: StartedRun, slot: Option<OwnedSemaphorePermit>) -> Run {
        match (started, slot) {
            (StartedRun::Claimed(dispatch), Some(slot)) => {
                let run = dispatch.run.clone();
                execute(&self.shared, *dispatch, slot);
                run
            }
            // Without a slot nothing is claimed.
            (StartedRun::Claimed(dispatch), None) => dispatch.run,
            (StartedRun::Queued(run) | StartedRun::Repeated(run), _) => {
                // Its thread may have become free, or a slot, since it was looked at.
                self.shared.claimable.notify_one();
                self.with_reason(run)
            }
        }
    }

    /// Starts a run and follows it from its first event on, also the passing ones.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start_and_follow(
        &self,
        tenant: &Tenant,
        request: NewRunRequest,
        after_sequence: i64,
    ) -> Result<Follower, StartError> {
        let id = request.run.id;
        // Opened before the run begins, so that it keeps all that happens.
        let log = self.shared.logs.open(id);
        let shared = Arc::clone(&self.shared);
        let follower = Follower::of_log(shared, tenant, id, after_sequence, log);
        match self.start_run(tenant, request).await {
            Ok(run) if run.id == id => {
                follower.cover(run.last_sequence);
                Ok(follower)
            }
            Ok(earlier) => {
                self.shared.logs.forget(id);
                let followed = self.follow(tenant, earlier.id, after_sequence).await?;
                // The store has just returned it.
                followed.ok_or(StartError::Store(StoreError::Fenced))
            }
            Err(error) => {
                self.shared.logs.forget(id);
                Err(error)
            }
        }
    }
}
