//! The engine: claims runs, hands them to workers, records what they do, and shows it.
//!
//! # Layout
//! - `machine`: the rules of one dispatch, without input or output
//! - `driver`: carries messages between worker, machine and store
//! - `workers`: the connected workers and what they host
//! - `event_log`: recent events of runs under way
//! - `commands`: what callers ask for after a run was started
//! - `follow`: durable events from the store and recent ones from the log, in one stream

mod commands;
mod driver;
mod event_log;
mod follow;
mod machine;
mod workers;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::future::OptionFuture;
use service_runtime::Tenant;
use tokio::{
    select,
    sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use weft_worker::{EntrypointDescription, InvalidArgument, Worker, protocol::in_memory_link};

use self::{driver::Driven, event_log::EventLogs, workers::Workers};
use crate::{
    domain::{Run, RunId, RunState, Timestamp},
    store::{CheckpointStore, Dispatch, NewRun, RunFilter, StartedRun, StoreError},
};

pub use follow::Follower;

/// Pause before queued runs are claimed again after the store failed.
const CLAIM_RETRY_DELAY: Duration = Duration::from_secs(1);
/// Longest wait for a timer: the clock may be set meanwhile.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);
/// How often a new run tries to replace the unfinished ones of its thread before it gives up
/// against others that do the same.
const MAX_REPLACEMENTS: usize = 10;
/// Most runs that are claimed in one transaction.
const CLAIM_BATCH: u32 = 64;

/// Engine executes runs. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    shared: Arc<Shared>,
}

/// What the engine's tasks share.
struct Shared {
    store: Arc<dyn CheckpointStore>,
    workers: Workers,
    logs: EventLogs,
    /// One permit for each run that may be under way.
    slots: Arc<Semaphore>,
    /// Where to ask the runs under way to stop.
    under_way: Mutex<HashMap<RunId, mpsc::Sender<String>>>,
    /// How long a worker has to stop after a cancel.
    cancel_grace: Duration,
    /// Told when a queued run may have become claimable.
    claimable: Notify,
    tasks: TaskTracker,
    stop: CancellationToken,
}

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
    /// An engine with room for `max_runs` runs under way at once, whose workers have
    /// `cancel_grace` to stop a run that is cancelled.
    pub fn new(store: Arc<dyn CheckpointStore>, max_runs: usize, cancel_grace: Duration) -> Self {
        let shared = Arc::new(Shared {
            store,
            workers: Workers::default(),
            logs: EventLogs::default(),
            slots: Arc::new(Semaphore::new(max_runs)),
            under_way: Mutex::default(),
            cancel_grace,
            claimable: Notify::new(),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        });
        Self { shared }
    }

    /// Hosts a worker in this process.
    pub fn host(&self, worker: Worker) {
        let (worker_link, engine_link) = in_memory_link();
        self.shared
            .workers
            .add(worker.describe(), &engine_link.outbox);
        let shared = Arc::clone(&self.shared);
        self.shared.tasks.spawn(async move {
            select! {
                () = shared.stop.cancelled() => {}
                () = worker.serve(worker_link) => {}
            }
        });
        let shared = Arc::clone(&self.shared);
        self.shared.tasks.spawn(async move {
            select! {
                () = shared.stop.cancelled() => {}
                () = shared.workers.route(engine_link) => {}
            }
        });
        self.shared.claimable.notify_one();
    }

    /// Begins to claim queued runs, also those that a former process left behind.
    pub fn start(&self) {
        let shared = Arc::clone(&self.shared);
        self.shared.tasks.spawn(async move {
            select! {
                () = shared.stop.cancelled() => {}
                () = claim_runs(&shared) => {}
            }
        });
        self.shared.claimable.notify_one();
    }

    /// Stops: drops what is under way, which is recorded as far as it was acknowledged, and closes
    /// the store.
    pub async fn stop(&self) {
        self.shared.stop.cancel();
        self.shared.tasks.close();
        self.shared.tasks.wait().await;
        self.shared.store.close().await;
    }

    /// Where runs and threads are kept.
    pub fn store(&self) -> &Arc<dyn CheckpointStore> {
        &self.shared.store
    }

    /// The entrypoints that can be run, by name.
    pub fn entrypoints(&self) -> Vec<EntrypointDescription> {
        self.shared.workers.list()
    }

    /// Records a run, and executes it as soon as its thread is free.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start_run(
        &self,
        tenant: &Tenant,
        request: NewRunRequest,
    ) -> Result<Run, StartError> {
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
        for _ in 0..MAX_REPLACEMENTS {
            let slot = self.free_slot();
            run.claim = slot.is_some();
            match self.shared.store.start_run(tenant, run.clone()).await {
                Err(StoreError::ThreadBusy(_)) if run.concurrency.replaces() => {
                    drop(slot);
                    self.clear_thread(tenant, &run.thread_id, run.concurrency)
                        .await?;
                }
                started => return Ok(self.started(started?, slot)),
            }
        }
        Err(StoreError::ThreadBusy(run.thread_id).into())
    }

    fn free_slot(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.shared.slots).try_acquire_owned().ok()
    }

    /// Executes a run that was claimed for this slot, or sees to it that it will be.
    fn started(&self, started: StartedRun, slot: Option<OwnedSemaphorePermit>) -> Run {
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
        let Some(run) = self.run(tenant, id).await? else {
            return Ok(None);
        };
        if run.state.is_resting() {
            return Ok(Some(run));
        }
        let log = self.shared.logs.open(id);
        let mut changes = log.changes();
        // It may have come to rest before its log was opened; then nobody closes that log.
        let Some(run) = self.run(tenant, id).await? else {
            return Ok(None);
        };
        if run.state.is_resting() {
            self.shared.logs.forget(id);
            return Ok(Some(run));
        }
        let rested = async {
            loop {
                if let Some(run) = log.rested() {
                    return Some(run);
                }
                changes.changed().await.ok()?;
            }
        };
        select! {
            Some(run) = rested => Ok(Some(Run::clone(&run))),
            () = tokio::time::sleep(patience) => self.run(tenant, id).await,
        }
    }

    /// Adds what only the engine knows of a run: why it waits, and its passing events.
    fn with_reason(&self, mut run: Run) -> Run {
        let hosted = || {
            self.shared
                .workers
                .find(&run.entrypoint, Some(&run.version))
                .is_some()
        };
        run.state_reason = match run.state {
            RunState::Queued | RunState::Waiting if !hosted() => {
                format!("no worker hosts {}@{}", run.entrypoint, run.version)
            }
            RunState::Queued if run.wake_time.is_some() => "waits for its start time".to_owned(),
            RunState::Queued if self.shared.slots.available_permits() == 0 => {
                "all slots are in use".to_owned()
            }
            RunState::Queued => "waits for its thread".to_owned(),
            RunState::Waiting => match &run.failure {
                Some(failure) => format!("is tried again after {}", failure.reason),
                None => "waits for a timer".to_owned(),
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

/// Executes a run, and after it the runs of its thread that waited for it.
fn execute(shared: &Arc<Shared>, dispatch: Dispatch, slot: OwnedSemaphorePermit) {
    let owner = Arc::clone(shared);
    shared.tasks.spawn(async move {
        let mut next = Some(Box::new(dispatch));
        while let Some(dispatch) = next.take() {
            let (fence, id) = (dispatch.fence, dispatch.run.id);
            let (cancel, cancels) = mpsc::channel(1);
            owner.under_way().insert(id, cancel);
            let driven = select! {
                () = owner.stop.cancelled() => return,
                driven = driver::drive(&owner, *dispatch, cancels) => driven,
            };
            owner.under_way().remove(&id);
            match driven {
                Driven::Rested(following) => next = following,
                Driven::Fenced => tracing::warn!(run_id = %id, "a run was fenced"),
                Driven::WorkerLost => match owner.store.requeue_run(fence).await {
                    Ok(()) | Err(StoreError::Fenced) => {}
                    Err(error) => tracing::error!(run_id = %id, %error, "cannot requeue a run"),
                },
            }
        }
        drop(slot);
        owner.claimable.notify_one();
    });
}

impl Shared {
    fn under_way(&self) -> MutexGuard<'_, HashMap<RunId, mpsc::Sender<String>>> {
        self.under_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Claims runs whenever some may be claimable, as far as there are slots.
async fn claim_runs(shared: &Arc<Shared>) {
    let mut next_wake = None;
    loop {
        let due = next_wake.map(|time: Timestamp| {
            tokio::time::sleep(time.since(Timestamp::now()).min(LONGEST_SLEEP))
        });
        select! {
            () = shared.claimable.notified() => {}
            Some(()) = OptionFuture::from(due) => {}
        }
        loop {
            let Ok(slot) = Arc::clone(&shared.slots).acquire_owned().await else {
                return;
            };
            let more = u32::try_from(shared.slots.available_permits()).unwrap_or(u32::MAX);
            let limit = CLAIM_BATCH.min(more.saturating_add(1));
            let hosted = shared.workers.hosted_versions();
            let claimed = match shared
                .store
                .claim_runs(hosted, limit, Timestamp::now())
                .await
            {
                Ok(claimed) => claimed,
                Err(error) => {
                    tracing::error!(%error, "cannot claim runs; trying again");
                    tokio::time::sleep(CLAIM_RETRY_DELAY).await;
                    continue;
                }
            };
            next_wake = claimed.next_wake;
            if claimed.dispatches.is_empty() {
                break;
            }
            let mut slot = Some(slot);
            for dispatch in claimed.dispatches {
                let slot = match slot.take() {
                    Some(slot) => slot,
                    // Runs started meanwhile may have taken the rest: these wait here for theirs.
                    None => match Arc::clone(&shared.slots).acquire_owned().await {
                        Ok(slot) => slot,
                        Err(_) => return,
                    },
                };
                execute(shared, dispatch, slot);
            }
        }
    }
}
