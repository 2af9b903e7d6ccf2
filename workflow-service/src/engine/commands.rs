//! What callers ask for after a run was started: answers, another try, an end.

use std::{sync::Arc, time::Duration};

use service_runtime::Tenant;
use weft_worker::Failure;

use super::Engine;
use crate::{
    domain::{Concurrency, Run, RunId, RunState, ThreadId, history},
    store::{Answers, RunFilter, StoreError},
};

/// How often a cancel looks for the run anew when it changes hands at that moment.
const MAX_CANCEL_TRIES: usize = 100;
/// Pause before it looks again: a claim takes about a commit.
const CANCEL_RETRY_DELAY: Duration = Duration::from_millis(10);
/// What a run that is replaced may take beyond the grace to come to rest.
const REST_MARGIN: Duration = Duration::from_secs(10);
/// Most unfinished runs of a thread that a new one replaces at once.
const MAX_REPLACED: u32 = 1000;

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
        let slot = self.free_slot();
        let (store, is_room) = (&self.shared.store, slot.is_some());
        let started = store
            .answer_run(tenant, id, answers, is_room, self.shared.now())
            .await?;
        Ok(self.started(started, slot))
    }

    /// Runs a run again that failed, was cancelled or is paused.
    ///
    /// # Errors
    /// As [`crate::store::CheckpointStore::retry_run`].
    pub async fn retry_run(
        &self,
        tenant: &Tenant,
        id: RunId,
        version: Option<Arc<str>>,
    ) -> Result<Run, StoreError> {
        let slot = self.free_slot();
        let (store, is_room) = (&self.shared.store, slot.is_some());
        let started = store
            .retry_run(tenant, id, version, is_room, self.shared.now())
            .await?;
        Ok(self.started(started, slot))
    }

    /// Asks a run to stop. One that a worker executes is given time to; every other one is
    /// CANCELLED at once, and one that is CANCELLED stays so.
    ///
    /// # Errors
    /// [`StoreError::NoSuchRun`]; [`StoreError::WrongState`] if it succeeded or failed.
    pub async fn cancel_run(
        &self,
        tenant: &Tenant,
        id: RunId,
        reason: &str,
    ) -> Result<Run, StoreError> {
        for _ in 0..MAX_CANCEL_TRIES {
            let run = self
                .run(tenant, id)
                .await?
                .ok_or(StoreError::NoSuchRun(id))?;
            if run.state == RunState::Cancelled {
                return Ok(run);
            }
            let worker = self.shared.under_way().get(&id).cloned();
            if let (RunState::Running, Some(worker)) = (run.state, worker) {
                // A full queue holds an earlier cancel, a closed one a run that has just ended.
                let _ = worker.try_send(reason.to_owned());
                return Ok(run);
            }
            let failure = Failure::new(Failure::CANCELLED, reason);
            match self
                .shared
                .store
                .cancel_run(tenant, id, failure, self.shared.now())
                .await
            {
                Ok(cancelled) => {
                    self.settle_without_worker(cancelled.clone());
                    return Ok(cancelled);
                }
                // It was claimed since it was looked at.
                Err(StoreError::WrongState {
                    state: RunState::Running,
                    ..
                }) => {
                    tokio::time::sleep(CANCEL_RETRY_DELAY).await;
                }
                Err(error) => return Err(error),
            }
        }
        Err(StoreError::Unavailable(
            "the run changes hands; try again".into(),
        ))
    }

    /// Cancels the unfinished runs of a thread, and deletes them if they are to be rolled back.
    pub(super) async fn clear_thread(
        &self,
        tenant: &Tenant,
        thread: &ThreadId,
        concurrency: Concurrency,
    ) -> Result<(), StoreError> {
        let states = RunState::ALL
            .into_iter()
            .filter(|state| !state.is_final())
            .collect();
        let filter = RunFilter {
            thread_id: Some(thread.clone()),
            states,
            ..RunFilter::default()
        };
        // Newest first: none of them starts because the one before it ended.
        for run in self
            .shared
            .store
            .list_runs(tenant, filter, None, MAX_REPLACED)
            .await?
        {
            match self
                .cancel_run(tenant, run.id, "replaced by a new run of its thread")
                .await
            {
                // It finished by itself.
                Ok(_) | Err(StoreError::WrongState { .. } | StoreError::NoSuchRun(_)) => {}
                Err(error) => return Err(error),
            }
            self.wait(tenant, run.id, self.shared.cancel_grace + REST_MARGIN)
                .await?;
            if concurrency == Concurrency::Rollback {
                match self.shared.store.delete_run(tenant, run.id).await {
                    Ok(()) | Err(StoreError::NoSuchRun(_)) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }

    /// Tells those who follow a run that it came to rest without a worker.
    fn settle_without_worker(&self, run: Run) {
        if let Some(log) = self.shared.logs.get(run.id) {
            history::settled(&run, None)
                .into_iter()
                .for_each(|event| log.push(event));
        }
        self.shared.logs.close(run.id, &Arc::new(run));
        // Its thread is free now.
        self.shared.claimable.notify_one();
    }
}
