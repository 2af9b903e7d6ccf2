//! What callers ask for after a run was started: answers, another try, an end.

use service_runtime::Tenant;
use tokio::sync::OwnedSemaphorePermit;

use super::{Engine, StartError, stops};
use crate::{
    domain::{Run, RunId, RunState},
    store::{Answers, Retry, StoreError},
};

impl Engine {
    /// Answers interrupts of a run, which then goes on.
    ///
    /// # Errors
    /// As [`crate::store::CheckpointStore::answer_run`].
    pub async fn answer_run(
        &self,
        tenant: &Tenant,
        id: RunId,
        answers: Answers,
    ) -> Result<Run, StoreError> {
        let (engine, tenant) = (self.clone(), tenant.clone());
        self.to_its_end(async move {
            let slot = engine.slot_to_go_on(&tenant, id, None).await?;
            let (store, is_room) = (&engine.shared.store, slot.is_some());
            let started = store
                .answer_run(&tenant, id, answers, is_room, engine.shared.now())
                .await?;
            Ok(engine.started(started, slot))
        })
        .await
    }

    /// Runs a run again that failed, was cancelled or is paused.
    ///
    /// # Errors
    /// As [`crate::store::CheckpointStore::retry_run`]; [`StartError::NoSuchEntrypoint`] if nobody
    /// hosts the version that it is to go on with.
    pub async fn retry_run(
        &self,
        tenant: &Tenant,
        id: RunId,
        retry: Retry,
    ) -> Result<Run, StartError> {
        if let Some(version) = &retry.version
            && let Some(run) = self.shared.store.run(tenant, id).await?
            && **version != *run.version
            && self
                .shared
                .workers
                .find(&run.entrypoint, Some(version))
                .is_none()
        {
            let name = format!("{}@{version}", run.entrypoint);
            return Err(StartError::NoSuchEntrypoint { name });
        }
        let (engine, tenant) = (self.clone(), tenant.clone());
        self.to_its_end(async move {
            let slot = engine
                .slot_to_go_on(&tenant, id, retry.version.as_deref())
                .await?;
            let (store, is_room) = (&engine.shared.store, slot.is_some());
            let started = store
                .retry_run(&tenant, id, retry, is_room, engine.shared.now())
                .await?;
            Ok(engine.started(started, slot))
        })
        .await
        .map_err(StartError::Store)
    }

    /// A slot for a run that goes on, if some worker has room for it.
    async fn slot_to_go_on(
        &self,
        tenant: &Tenant,
        id: RunId,
        version: Option<&str>,
    ) -> Result<Option<OwnedSemaphorePermit>, StoreError> {
        let Some(run) = self.shared.store.run(tenant, id).await? else {
            return Ok(None);
        };
        let version = version.unwrap_or(&run.version);
        let room = self.shared.workers.room(&run.entrypoint, version);
        Ok(self.free_slot().filter(|_| room > 0))
    }

    /// Asks a run to stop. One that a worker executes is given time to and CANCELLED then, whatever
    /// it comes to; every other one is CANCELLED at once, and one that is CANCELLED stays so.
    ///
    /// # Errors
    /// [`StoreError::NoSuchRun`]; [`StoreError::WrongState`] if it succeeded or failed.
    pub async fn cancel_run(
        &self,
        tenant: &Tenant,
        id: RunId,
        reason: &str,
    ) -> Result<Run, StoreError> {
        let (engine, owner, reason) = (self.clone(), tenant.clone(), reason.to_owned());
        let cancelled = self.to_its_end(async move {
            let (store, now) = (&engine.shared.store, engine.shared.now());
            let run = store.cancel_run(&owner, id, &reason, now).await?;
            engine.stop_run(&owner, run.clone()).await;
            Ok(run)
        });
        match cancelled.await {
            Err(StoreError::WrongState {
                state: RunState::Cancelled,
                ..
            }) => {
                let run = self.run(tenant, id).await?;
                run.ok_or(StoreError::NoSuchRun(id))
            }
            cancelled => Ok(self.with_reason(cancelled?)),
        }
    }

    /// Passes on that a run was cancelled in the store: to its worker, or to those who follow it.
    pub(super) async fn stop_run(&self, tenant: &Tenant, run: Run) {
        let Some(stop) = &run.stop else {
            return self.shared.settle_without_worker(run);
        };
        let dispatch = stops::Key::from(&run);
        if self.shared.stops.ask(dispatch, &stop.reason) {
            return;
        }
        let found = self.shared.store.run(tenant, run.id).await;
        let is_under_way =
            |found: &Run| found.state == RunState::Running && stops::Key::from(found) == dispatch;
        // Its driver has ended, and nobody else would forget it. Another one is on its way.
        if found.is_ok_and(|found| !found.as_ref().is_some_and(is_under_way)) {
            self.shared.stops.forget(dispatch);
        }
    }

    /// Does something to its end, also if the caller goes away meanwhile: a run that was claimed
    /// for it must be executed, and those who wait must be told.
    pub(super) async fn to_its_end<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, StoreError>> + Send + 'static,
    ) -> Result<T, StoreError> {
        let done = self.shared.tasks.spawn(work).await;
        done.unwrap_or_else(|error| Err(StoreError::Unavailable(error.to_string().into())))
    }
}
