//! Reading and following runs.

use std::sync::Arc;

use service_runtime::{Tenant, config::human};

use super::{Engine, Follower};
use crate::{
    domain::{Run, RunId, RunState},
    store::{RunFilter, StoreError},
};

impl Engine {
    /// One run as it is now.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn run(&self, tenant: &Tenant, id: RunId) -> Result<Option<Run>, StoreError> {
        let run = self.shared.store.run(tenant, id).await?;
        Ok(run.map(|run| self.with_reason(run)))
    }

    /// Runs that pass a filter, newest first, those older than `before` if given.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn runs(
        &self,
        tenant: &Tenant,
        filter: RunFilter,
        before: Option<RunId>,
        limit: u32,
    ) -> Result<Vec<Run>, StoreError> {
        let runs = self
            .shared
            .store
            .list_runs(tenant, filter, before, limit)
            .await?;
        Ok(runs.into_iter().map(|run| self.with_reason(run)).collect())
    }

    /// Follows a run from the event after `after_sequence` until it rests. `None` if there is no
    /// such run.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn follow(
        &self,
        tenant: &Tenant,
        id: RunId,
        after_sequence: i64,
    ) -> Result<Option<Follower>, StoreError> {
        Follower::new(Arc::clone(&self.shared), tenant, id, after_sequence).await
    }

    /// Adds what only the engine knows of a run: why it waits, and its passing events.
    pub(super) fn with_reason(&self, mut run: Run) -> Run {
        let workers = &self.shared.workers;
        let lost = self.shared.losses.why(run.id);
        run.state_reason = match run.state {
            RunState::Queued | RunState::Waiting
                if !workers.is_hosted(&run.entrypoint, &run.version) =>
            {
                let none = format!("no worker hosts {}@{}", run.entrypoint, run.version);
                match lost {
                    Some(why) => format!("{none}; {why}"),
                    None => none,
                }
            }
            RunState::Queued if run.wake_time.is_some() => "waits for its start time".to_owned(),
            RunState::Queued if self.shared.slots.available_permits() == 0 => {
                "all slots are in use".to_owned()
            }
            RunState::Queued if lost.is_some() => lost.unwrap_or_default(),
            RunState::Queued if workers.room(&run.entrypoint, &run.version) == 0 => format!(
                "all workers that host {}@{} are busy",
                run.entrypoint, run.version
            ),
            RunState::Queued => "waits for its thread".to_owned(),
            RunState::Waiting => match &run.failure {
                Some(failure) => format!("is tried again after {}", failure.reason),
                None => "waits for a timer".to_owned(),
            },
            RunState::Running => match &run.stop {
                Some(stop) => {
                    let time = human::moment(stop.time.system());
                    format!("was asked to stop at {time}: {}", stop.reason)
                }
                None => {
                    let log = self.shared.logs.get(run.id);
                    log.and_then(|log| log.waits()).unwrap_or_default()
                }
            },
            _ => String::new(),
        };
        if !run.state.is_resting()
            && let Some(log) = self.shared.logs.get(run.id)
        {
            run.last_sequence = run.last_sequence.max(log.last_sequence());
        }
        run
    }
}
