//! The SQLite store, on simulated time: writes take a while, are refused, or are the last thing that
//! the process does; and what is committed is checked.

use std::{future::Future, sync::Arc};

use async_trait::async_trait;
use service_runtime::Tenant;
use weft_worker::CallId;
use workflow_service::{
    domain::{
        Checkpoint, CheckpointId, Origin, Run, RunId, RunState, Thread, ThreadId, ThreadState,
        Timestamp, checkpoint::CheckpointValues, history::RecordedCall,
    },
    store::{
        Answers, CacheScope, CachedResult, CheckpointStore, Claimed, Dispatch, EntrypointVersion,
        Expired, Fence, KnownEntrypoint, NewRun, Pruned, RecordedRun, RequestKey, Rest, RestedRun,
        Retry, RunEnd, RunFilter, StartedRun, StoreError, Swept, ThreadPosition,
        sqlite::SqliteStore,
    },
};

use crate::{
    ledger::{Change, Entry, one_per_thread},
    world::{Fate, World},
};

/// States in which a run holds its thread.
const HOLDING: [RunState; 4] = [
    RunState::Running,
    RunState::Waiting,
    RunState::Interrupted,
    RunState::Paused,
];
pub(crate) struct SimulatedStore {
    pub(crate) inner: Arc<SqliteStore>,
    pub(crate) world: World,
}

/// Does something of the store at once. Its threads do the work; nothing else goes on meanwhile.
pub(crate) fn at_once<T>(work: impl Future<Output = T>) -> T {
    // The budget of the task must not end while this blocks.
    futures::executor::block_on(tokio::task::unconstrained(work))
}

impl SimulatedStore {
    pub(crate) async fn write<T>(
        &self,
        what: String,
        write: impl Future<Output = Result<T, StoreError>>,
        check: impl FnOnce(&Self, &T) -> Result<(), String>,
    ) -> Result<T, StoreError> {
        let world = &self.world;
        world.pause(world.faults().longest_commit).await;
        self.unless_crashed().await;
        let fate = world.fate();
        match fate {
            Fate::Refuse => {
                world.note(format!("{what}: refused for now"));
                return Err(StoreError::Unavailable("simulated".into()));
            }
            Fate::CrashBefore => {
                world.note(format!("{what}: not committed"));
                world.crash();
            }
            Fate::Commit | Fate::CrashAfter => {}
        }
        self.unless_crashed().await;
        let written = at_once(write);
        world.state().commits += 1;
        world.set_clock();
        match &written {
            Ok(value) => {
                world.note(format!("{what}: committed"));
                world.expect(check(self, value));
                self.expect_one_per_thread();
                self.intrude();
            }
            Err(error) => world.note(format!("{what}: {}", kind(error))),
        }
        if fate == Fate::CrashAfter {
            world.crash();
        }
        self.unless_crashed().await;
        world.pause(world.faults().longest_commit).await;
        self.unless_crashed().await;
        written
    }

    /// Nothing goes on in a process that has crashed.
    async fn unless_crashed(&self) {
        if self.world.state().is_crashed {
            std::future::pending::<()>().await;
        }
    }

    /// Checks how a write changed the journal of a run.
    pub(crate) fn journal_changed(&self, run: RunId, change: &Change) -> Result<(), String> {
        let journal = at_once(self.inner.journal(&Tenant::default(), run, i64::MIN));
        let journal = journal.map_err(|error| error.to_string())?;
        let after = journal.iter().map(Entry::new).collect();
        self.world.state().ledger.changed(run, after, change)
    }

    fn dispatched(&self, dispatch: &Dispatch) -> Result<(), String> {
        let world = &self.world;
        world.note(format!(
            "  run {} is handed out, attempt {}, {} recorded",
            world.number_of(dispatch.run.id),
            dispatch.run.attempt,
            dispatch.journal.len()
        ));
        let (timeout, elapsed) = (world.plan_of(dispatch.run.id).timeout, world.elapsed());
        self.in_order(dispatch)?;
        let mut state = world.state();
        state.ledger.dispatched(dispatch)?;
        state.timing.dispatched(dispatch, timeout, elapsed)
    }

    /// What is recorded for the first time is cached, if it is to be.
    fn keep_results(&self, run: RunId, calls: &[RecordedCall]) {
        let plan = self.world.plan_of(run);
        let mut state = self.world.state();
        for recorded in calls {
            let call = &recorded.entry.call;
            if let (Origin::Executed(Some(entry)), Ok(value), None) = (
                &recorded.origin,
                &recorded.entry.outcome,
                state.ledger.commit_of(run, &call.id),
            ) {
                let (task, time) = (Some(&*call.task), recorded.time);
                let caches = &mut state.caches;
                caches.keep(plan.entrypoint(), task, entry, (value, None), time);
            }
        }
    }

    fn keep_output(&self, run: &Run, rest: &Rest) {
        if let RunEnd::Succeeded {
            values,
            origin: Origin::Executed(Some(entry)),
        } = &rest.end
            && run.state == RunState::Succeeded
        {
            let entrypoint = self.world.plan_of(run.id).entrypoint();
            let values = (&values.value, Some(&values.saved));
            let caches = &mut self.world.state().caches;
            caches.keep(entrypoint, None, entry, values, rest.now);
        }
    }

    fn started(&self, started: &StartedRun) -> Result<(), String> {
        match started {
            StartedRun::Claimed(dispatch) => self.dispatched(dispatch),
            StartedRun::Queued(_) | StartedRun::Repeated(_) => Ok(()),
        }
    }

    fn expect_one_per_thread(&self) {
        let filter = RunFilter {
            states: HOLDING.into(),
            ..RunFilter::default()
        };
        let holding = at_once(self.inner.list_runs(&Tenant::default(), filter, None, 100));
        let checked = holding.map_err(|error| error.to_string());
        self.world
            .expect(checked.and_then(|runs| one_per_thread(&runs)));
    }
}

/// The name of an error: ids are not the same in every try.
fn kind(error: &StoreError) -> String {
    let text = format!("{error:?}");
    let end = text.find(|c: char| !c.is_alphanumeric());
    text[..end.unwrap_or(text.len())].to_owned()
}

#[async_trait]
impl CheckpointStore for SimulatedStore {
    async fn start_run(&self, tenant: &Tenant, run: NewRun) -> Result<RecordedRun, StoreError> {
        let replaces = run.concurrency.replaces();
        let what = format!("start run {}", self.world.number_of(run.id));
        let write = self.inner.start_run(tenant, run);
        self.write(what, write, |store, recorded| match &recorded.started {
            StartedRun::Repeated(_) => Ok(()),
            StartedRun::Queued(new) if replaces => store.took_place(new, recorded),
            StartedRun::Claimed(dispatch) if replaces => {
                store.took_place(&dispatch.run, recorded)?;
                store.dispatched(dispatch)
            }
            started => store.started(started),
        })
        .await
    }

    async fn repeated_run(
        &self,
        tenant: &Tenant,
        request: &RequestKey,
        now: Timestamp,
    ) -> Result<Option<Run>, StoreError> {
        self.unless_crashed().await;
        at_once(self.inner.repeated_run(tenant, request, now))
    }

    async fn remember_entrypoints(
        &self,
        entrypoints: Vec<KnownEntrypoint>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.unless_crashed().await;
        at_once(self.inner.remember_entrypoints(entrypoints, now))
    }

    async fn known_entrypoints(&self) -> Result<Vec<KnownEntrypoint>, StoreError> {
        self.unless_crashed().await;
        at_once(self.inner.known_entrypoints())
    }

    async fn append(&self, fence: Fence, calls: Vec<RecordedCall>) -> Result<(), StoreError> {
        let entries: Vec<_> = calls.iter().map(Entry::new).collect();
        let recorded = calls.clone();
        let ids: Vec<_> = calls
            .iter()
            .map(|call| call.entry.call.id.as_str())
            .collect();
        let run = self.world.number_of(fence.run_id);
        let what = format!("record calls {} of run {run}", ids.join(", "));
        let write = self.inner.append(fence, calls);
        self.write(what, write, |store, ()| {
            store.keep_results(fence.run_id, &recorded);
            store.journal_changed(fence.run_id, &Change::Append(entries))
        })
        .await
    }

    async fn rest_run(
        &self,
        fence: Fence,
        rest: Rest,
        claim_next: bool,
    ) -> Result<RestedRun, StoreError> {
        let run = self.world.number_of(fence.run_id);
        let what = format!("end run {run} as {:?}", rest.end.transition());
        let change = match rest.end {
            RunEnd::Retrying { .. } => Change::Forget,
            _ => Change::None,
        };
        let write = self.inner.rest_run(fence, rest.clone(), claim_next);
        self.write(what, write, |store, rested| {
            store.keep_output(&rested.run, &rest);
            let (world, elapsed) = (&store.world, store.world.elapsed());
            let is_prompt = world.faults().longest_delay.is_zero();
            let mut state = world.state();
            state.ledger.over(fence);
            let timed = state.timing.rested(fence.run_id, &rest, elapsed, is_prompt);
            drop(state);
            timed?;
            store.left(fence.run_id, &change)?;
            match &rested.next {
                Some(next) => store.dispatched(next),
                None => Ok(()),
            }
        })
        .await
    }

    async fn requeue_run(&self, fence: Fence) -> Result<Run, StoreError> {
        let what = format!("requeue run {}", self.world.number_of(fence.run_id));
        let write = self.inner.requeue_run(fence);
        self.write(what, write, |store, _| {
            store.world.state().ledger.over(fence);
            store.left(fence.run_id, &Change::None)
        })
        .await
    }

    async fn claim_runs(
        &self,
        hosted: Vec<EntrypointVersion>,
        limit: u32,
        now: Timestamp,
    ) -> Result<Claimed, StoreError> {
        let write = self.inner.claim_runs(hosted, limit, now);
        self.write("claim".to_owned(), write, |store, claimed| {
            claimed
                .dispatches
                .iter()
                .try_for_each(|dispatch| store.dispatched(dispatch))
        })
        .await
    }

    async fn answer_run(
        &self,
        tenant: &Tenant,
        id: RunId,
        answers: Answers,
        claim: bool,
        now: Timestamp,
    ) -> Result<StartedRun, StoreError> {
        let calls: Vec<CallId> = match &answers {
            Answers::ById(answers) => answers.keys().cloned().collect(),
            Answers::Only(_) => Vec::new(),
        };
        let names: Vec<_> = calls.iter().map(CallId::as_str).collect();
        let run = self.world.number_of(id);
        let what = format!("answer {} of run {run}", names.join(", "));
        let write = self.inner.answer_run(tenant, id, answers, claim, now);
        self.write(what, write, |store, started| {
            store.world.state().ledger.answered(id, calls);
            store.journal_changed(id, &Change::None)?;
            store.started(started)
        })
        .await
    }

    async fn retry_run(
        &self,
        tenant: &Tenant,
        id: RunId,
        retry: Retry,
        claim: bool,
        now: Timestamp,
    ) -> Result<StartedRun, StoreError> {
        let what = format!("retry run {}", self.world.number_of(id));
        let write = self.inner.retry_run(tenant, id, retry, claim, now);
        self.write(what, write, |store, started| {
            store.world.state().timing.retried(id);
            store.journal_changed(id, &Change::Forget)?;
            store.started(started)
        })
        .await
    }

    async fn cancel_run(
        &self,
        tenant: &Tenant,
        id: RunId,
        reason: &str,
        now: Timestamp,
    ) -> Result<Run, StoreError> {
        let what = format!("cancel run {}", self.world.number_of(id));
        let write = self.inner.cancel_run(tenant, id, reason, now);
        self.write(what, write, |store, run| store.cancelled(run))
            .await
    }

    async fn run(&self, tenant: &Tenant, id: RunId) -> Result<Option<Run>, StoreError> {
        self.unless_crashed().await;
        at_once(self.inner.run(tenant, id))
    }

    async fn journal(
        &self,
        tenant: &Tenant,
        id: RunId,
        after_sequence: i64,
    ) -> Result<Vec<RecordedCall>, StoreError> {
        self.unless_crashed().await;
        at_once(self.inner.journal(tenant, id, after_sequence))
    }

    async fn list_runs(
        &self,
        tenant: &Tenant,
        filter: RunFilter,
        before: Option<RunId>,
        limit: u32,
    ) -> Result<Vec<Run>, StoreError> {
        self.unless_crashed().await;
        at_once(self.inner.list_runs(tenant, filter, before, limit))
    }

    async fn list_threads(
        &self,
        tenant: &Tenant,
        states: Vec<ThreadState>,
        before: Option<ThreadPosition>,
        limit: u32,
    ) -> Result<Vec<Thread>, StoreError> {
        self.unless_crashed().await;
        at_once(self.inner.list_threads(tenant, states, before, limit))
    }

    async fn update_thread(
        &self,
        tenant: &Tenant,
        id: &ThreadId,
        parent: Option<CheckpointId>,
        values: CheckpointValues,
        now: Timestamp,
    ) -> Result<Checkpoint, StoreError> {
        let write = self.inner.update_thread(tenant, id, parent, values, now);
        self.write(format!("update {id}"), write, |_, _| Ok(()))
            .await
    }

    async fn fork_thread(
        &self,
        tenant: &Tenant,
        id: &ThreadId,
        last: Option<CheckpointId>,
        copy: &ThreadId,
        now: Timestamp,
    ) -> Result<Thread, StoreError> {
        let write = self.inner.fork_thread(tenant, id, last, copy, now);
        self.write(format!("fork {id}"), write, |_, _| Ok(())).await
    }

    async fn prune_thread(
        &self,
        tenant: &Tenant,
        id: &ThreadId,
        keep_checkpoints: u32,
    ) -> Result<Pruned, StoreError> {
        let write = self.inner.prune_thread(tenant, id, keep_checkpoints);
        self.write(format!("prune {id}"), write, |_, _| Ok(()))
            .await
    }

    async fn delete_thread(&self, tenant: &Tenant, id: &ThreadId) -> Result<(), StoreError> {
        let write = self.inner.delete_thread(tenant, id);
        self.write(format!("delete {id}"), write, |_, ()| Ok(()))
            .await
    }

    async fn thread(&self, tenant: &Tenant, id: &ThreadId) -> Result<Option<Thread>, StoreError> {
        self.unless_crashed().await;
        at_once(self.inner.thread(tenant, id))
    }

    async fn checkpoint(
        &self,
        tenant: &Tenant,
        thread: &ThreadId,
        id: CheckpointId,
    ) -> Result<Option<Checkpoint>, StoreError> {
        self.unless_crashed().await;
        at_once(self.inner.checkpoint(tenant, thread, id))
    }

    async fn list_checkpoints(
        &self,
        tenant: &Tenant,
        thread: &ThreadId,
        before: Option<CheckpointId>,
        limit: u32,
    ) -> Result<Vec<Checkpoint>, StoreError> {
        self.unless_crashed().await;
        at_once(self.inner.list_checkpoints(tenant, thread, before, limit))
    }

    async fn cached(
        &self,
        tenant: &Tenant,
        scope: &CacheScope,
        key: &str,
        now: Timestamp,
    ) -> Result<Option<CachedResult>, StoreError> {
        self.unless_crashed().await;
        let found = at_once(self.inner.cached(tenant, scope, key, now))?;
        let checked = self
            .world
            .state()
            .caches
            .found(scope, key, now, found.as_ref());
        self.world.expect(checked);
        if found.is_some() {
            self.world.note("  a cached result is found");
        }
        Ok(found)
    }

    async fn sweep(&self, expired: Expired, limit: u32) -> Result<Swept, StoreError> {
        self.unless_crashed().await;
        self.checked_sweep(expired, limit).await
    }

    fn secret(&self) -> &[u8] {
        self.inner.secret()
    }

    async fn check_writes(&self) -> Result<(), StoreError> {
        self.unless_crashed().await;
        at_once(self.inner.check_writes())
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}
