//! Runs that are to stop, and those that take the place of others.

use std::collections::{BTreeMap, HashMap};

use service_runtime::Tenant;
use workflow_service::{
    domain::{Run, RunId, RunState, ThreadId},
    store::{CheckpointStore as _, Dispatch, RecordedRun, RunFilter, StartedRun},
};

use crate::{
    ledger::Change,
    store::{SimulatedStore, at_once},
};

/// Stops is what the store said of cancels.
#[derive(Default)]
pub(crate) struct Stops {
    /// Runs under way that are to stop, and whether they are deleted then.
    stopping: BTreeMap<RunId, bool>,
    /// The queued run of a thread that took the place of others.
    next: HashMap<ThreadId, RunId>,
}

impl Stops {
    /// A run was cancelled.
    fn cancelled(&mut self, run: &Run) {
        match &run.stop {
            Some(stop) => {
                self.stopping.insert(run.id, stop.rolls_back);
            }
            None => self.next.retain(|_, next| *next != run.id),
        }
    }

    /// A run is handed out.
    fn dispatched(&mut self, dispatch: &Dispatch) -> Result<(), String> {
        let run = &dispatch.run;
        match self.next.get(&run.thread_id) {
            Some(next) if *next == run.id => {
                self.next.remove(&run.thread_id);
                Ok(())
            }
            // What follows from results of its own goes before.
            Some(next) if dispatch.journal.is_empty() => {
                Err(format!("{} goes before {next}, which took a place", run.id))
            }
            _ => Ok(()),
        }
    }
}

impl SimulatedStore {
    /// Checks the order in which runs are handed out.
    pub(crate) fn in_order(&self, dispatch: &Dispatch) -> Result<(), String> {
        // A branch goes on from where it began, whatever its thread has come to.
        let may_be_branch = self.world.plan_of(dispatch.run.id).branches;
        match dispatch.run.attempt > 1 && may_be_branch {
            true => Ok(()),
            false => self.world.state().stops.dispatched(dispatch),
        }
    }

    /// A cancel was recorded.
    pub(crate) fn cancelled(&self, run: &Run) -> Result<(), String> {
        self.world.state().stops.cancelled(run);
        self.left(run.id, &Change::None)
    }

    /// A run was recorded: those that it takes the place of have made way, or are about to.
    pub(crate) fn took_place(&self, new: &Run, recorded: &RecordedRun) -> Result<(), String> {
        for run in &recorded.replaced {
            self.cancelled(run)?;
        }
        let unfinished = RunFilter {
            thread_id: Some(new.thread_id.clone()),
            states: RunState::ALL
                .into_iter()
                .filter(|state| !state.is_final())
                .collect(),
            ..RunFilter::default()
        };
        let tenant = Tenant::default();
        let unfinished = at_once(self.inner.list_runs(&tenant, unfinished, None, 100));
        for other in unfinished.map_err(|error| error.to_string())? {
            if other.id != new.id && other.stop.is_none() {
                return Err(format!("{} leaves {other:?} in its way", new.id));
            }
        }
        if let StartedRun::Queued(_) = recorded.started {
            let next = &mut self.world.state().stops.next;
            next.insert(new.thread_id.clone(), new.id);
        }
        Ok(())
    }

    /// Checks what is left of a run after its dispatch, or without one: its journal, or nothing if it
    /// was to be deleted.
    pub(crate) fn left(&self, id: RunId, change: &Change) -> Result<(), String> {
        let run = at_once(self.inner.run(&Tenant::default(), id));
        let run = run.map_err(|error| error.to_string())?;
        let is_under_way = run.as_ref().is_some_and(|run| run.stop.is_some());
        let mut state = self.world.state();
        if let Some(rolls_back) = state.stops.stopping.get(&id).copied()
            && !is_under_way
        {
            state.stops.stopping.remove(&id);
            match (rolls_back, &run) {
                (true, None) => {}
                (false, Some(run)) if run.state == RunState::Cancelled => {}
                _ => return Err(format!("{id} was to stop, {rolls_back}, and is {run:?}")),
            }
        }
        if run.is_none() {
            state.ledger.forget(id);
            return Ok(());
        }
        drop(state);
        self.journal_changed(id, change)
    }

    /// Checks what a crash has left of the runs that were to stop.
    pub(crate) fn all_stopped(&self) -> Result<(), String> {
        let stopping: Vec<_> = self.world.state().stops.stopping.keys().copied().collect();
        stopping
            .into_iter()
            .try_for_each(|id| self.left(id, &Change::None))
    }
}
