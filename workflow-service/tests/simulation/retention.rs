//! What a sweep deletes: what was kept for long enough, all of it, and nothing else.

use std::{collections::HashSet, time::Duration};

use service_runtime::Tenant;
use workflow_service::{
    domain::{Run, RunId, RunState, Thread, ThreadId, Timestamp},
    engine::{Engine, Retention},
    store::{CheckpointStore, Expired, RunFilter, StoreError, Swept as Counts},
};

use crate::{
    ledger::Change,
    store::{SimulatedStore, at_once},
    world::World,
};

/// More than a seed has of anything, and than a sweep deletes at once.
const ALL: u32 = 100;
/// Long enough for several sweeps.
const A_FEW_SWEEPS: Duration = Duration::from_secs(300);

/// Swept is what is gone because its time was over.
#[derive(Default)]
pub(crate) struct Swept {
    runs: HashSet<RunId>,
    threads: HashSet<ThreadId>,
}

impl Swept {
    pub(crate) fn has(&self, run: RunId) -> bool {
        self.runs.contains(&run)
    }

    pub(crate) fn has_thread(&self, thread: &ThreadId) -> bool {
        self.threads.contains(thread)
    }
}

/// All runs and threads.
struct Kept {
    runs: Vec<Run>,
    threads: Vec<Thread>,
}

impl Kept {
    async fn by(store: &dyn CheckpointStore) -> Result<Self, StoreError> {
        let (tenant, all) = (Tenant::default(), RunFilter::default());
        Ok(Self {
            runs: store.list_runs(&tenant, all, None, ALL).await?,
            threads: store.list_threads(&tenant, Vec::new(), None, ALL).await?,
        })
    }

    fn has_run(&self, id: RunId) -> bool {
        self.runs.iter().any(|run| run.id == id)
    }

    fn has_thread(&self, id: &ThreadId) -> bool {
        self.threads.iter().any(|thread| thread.id == *id)
    }

    /// Whether a thread is to be deleted.
    fn is_over(&self, thread: &Thread, expired: &Expired) -> bool {
        let is_old = expired
            .threads
            .is_some_and(|before| thread.update_time < before);
        let mut runs = self.runs.iter();
        is_old && !runs.any(|run| run.thread_id == thread.id && !run.state.is_final())
    }
}

/// Whether a run, or its journal, is to be deleted.
fn is_over(run: &Run, before: Option<Timestamp>) -> bool {
    let ended = run.end_time.filter(|_| run.state.is_final());
    matches!((ended, before), (Some(ended), Some(before)) if ended < before)
}

impl SimulatedStore {
    pub(crate) async fn checked_sweep(
        &self,
        expired: Expired,
        limit: u32,
    ) -> Result<Counts, StoreError> {
        if self.world.faults().retention == Retention::default() {
            // Nothing but what is cached can be gone: one write less that may go wrong.
            let swept = at_once(self.inner.sweep(expired, limit))?;
            self.world.state().caches.sweep(expired.now);
            return Ok(swept);
        }
        let sweep = async {
            let before = Kept::by(&*self.inner).await?;
            Ok((before, self.inner.sweep(expired, limit).await?))
        };
        let swept = self
            .write("sweep".to_owned(), sweep, |store, (before, _)| {
                store.world.state().caches.sweep(expired.now);
                let after = at_once(Kept::by(&*store.inner)).map_err(|error| error.to_string())?;
                store.check_swept(before, &after, &expired)
            })
            .await?;
        Ok(swept.1)
    }

    fn check_swept(&self, before: &Kept, after: &Kept, expired: &Expired) -> Result<(), String> {
        let world = &self.world;
        for thread in &before.threads {
            let is_over = before.is_over(thread, expired);
            if is_over == after.has_thread(&thread.id) {
                return Err(format!("a sweep of {expired:?} left or took {thread:?}"));
            }
            if is_over {
                world.note(format!("  {} is gone", thread.id));
                world.state().swept.threads.insert(thread.id.clone());
            }
        }
        for run in &before.runs {
            let is_over = is_over(run, expired.runs) || !after.has_thread(&run.thread_id);
            if is_over == after.has_run(run.id) {
                return Err(format!("a sweep of {expired:?} left or took {run:?}"));
            }
            if is_over {
                world.note(format!("  run {} is gone", world.number_of(run.id)));
                let mut state = world.state();
                state.swept.runs.insert(run.id);
                state.ledger.forget(run.id);
                continue;
            }
            self.check_journal(run, expired)?;
        }
        Ok(())
    }

    fn check_journal(&self, run: &Run, expired: &Expired) -> Result<(), String> {
        if run.state == RunState::Succeeded && is_over(run, expired.journals) {
            self.world.state().ledger.forget_journal(run.id);
        }
        self.journal_changed(run.id, &Change::None)
    }
}

/// In the end, all that is not kept for ever is gone.
pub(crate) async fn check_end(engine: &Engine, world: &World) -> Result<(), String> {
    let retention = world.faults().retention;
    world.set_clock_to_the_end();
    tokio::time::sleep(A_FEW_SWEEPS).await;
    let left = Kept::by(&**engine.store()).await;
    let left = left.map_err(|error| error.to_string())?;
    if retention.threads.is_some() && !left.threads.is_empty() {
        return Err(format!("threads are left: {:?}", left.threads));
    }
    if retention.runs.is_some() && !left.runs.is_empty() {
        return Err(format!("runs are left: {:?}", left.runs));
    }
    for run in &left.runs {
        let journal = engine.store().journal(&Tenant::default(), run.id, 0).await;
        let journal = journal.map_err(|error| error.to_string())?;
        if retention.journals.is_some() && run.state == RunState::Succeeded && !journal.is_empty() {
            return Err(format!("a journal is left of {run:?}"));
        }
    }
    Ok(())
}
