//! The engine: claims runs, hands them to workers, records what they do, and shows it.
//!
//! # Layout
//! - `machine`: the rules of one dispatch, without input or output
//! - `driver`: carries messages between worker, machine and store
//! - `targets`: what the service does itself when a run calls it
//! - `tasks`: tasks that workers offer, as such targets
//! - `errands`: such calls, and lookups in caches, under way
//! - `workers`: the connected workers and what they host
//! - `event_log`: recent events of runs under way
//! - `retention`: deletes what is old
//! - `losses`: runs whose workers were lost
//! - `stops`: asks the runs under way to stop
//! - `dispatcher`: claims runs and sees them to their end
//! - `start`, `read`, `commands`: what callers ask for
//! - `watch`: waits for runs to rest
//! - `follow`: durable events from the store and recent ones from the log, in one stream

mod commands;
mod dispatcher;
mod driver;
mod errands;
mod event_log;
mod follow;
mod losses;
mod machine;
mod read;
mod retention;
mod start;
mod stops;
mod targets;
mod tasks;
mod watch;
mod workers;

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError, atomic::AtomicBool},
    time::Duration,
};

use service_runtime::Tenant;
use tokio::{
    select,
    sync::{Notify, Semaphore},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use weft_worker::{
    Clock, EntrypointDescription, Worker,
    protocol::{EngineLink, in_memory_link},
};

use self::{event_log::EventLogs, losses::Losses, stops::Stops, workers::Workers};
use crate::{
    domain::{Run, Timestamp, history},
    store::{CheckpointStore, KnownEntrypoint},
};

pub use follow::Follower;
pub use retention::Retention;
pub use start::{NewRunRequest, StartError};
pub use targets::{CallTarget, TargetContext, Targets};
pub use watch::Watch;
pub use workers::{HostedEntrypoint, Hosting, NewWorker, OfferedTask};

/// Engine executes runs. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    shared: Arc<Shared>,
}

/// EngineSettings are the engine's limits.
#[derive(Clone, Debug)]
pub struct EngineSettings {
    /// Most runs under way at once.
    pub max_runs: usize,
    /// How long workers have to stop a run that is cancelled.
    pub cancel_grace: Duration,
    /// How long calls of tasks wait while no worker offers them.
    pub task_wait: Duration,
    /// How long things are kept.
    pub retention: Retention,
}

/// What the engine's tasks share.
struct Shared {
    store: Arc<dyn CheckpointStore>,
    clock: Clock,
    workers: Arc<Workers>,
    targets: Targets,
    losses: Losses,
    /// Names of the entrypoints that this process hosts.
    built_in: Mutex<HashSet<Arc<str>>>,
    logs: EventLogs,
    /// One permit for each run that may be under way.
    slots: Arc<Semaphore>,
    stops: Stops,
    /// How long a worker has to stop after a cancel.
    cancel_grace: Duration,
    retention: Retention,
    /// Told when a queued run may have become claimable.
    claimable: Notify,
    /// Whether runs may be queued for want of a slot or of a worker with room, so that each run that
    /// ends makes room for another.
    has_backlog: AtomicBool,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Engine {
    /// An engine on `store` whose runs can call `targets`.
    pub fn new(
        store: Arc<dyn CheckpointStore>,
        targets: Targets,
        settings: EngineSettings,
    ) -> Self {
        Self::with_clock(store, targets, settings, Clock::system())
    }

    /// An engine that reads the time from `clock`.
    pub fn with_clock(
        store: Arc<dyn CheckpointStore>,
        targets: Targets,
        settings: EngineSettings,
        clock: Clock,
    ) -> Self {
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        // Microseconds count faster than runs.
        let first_execution = clock.now_micros().unsigned_abs();
        let workers = Arc::new(Workers::new(first_execution, tasks.clone(), stop.clone()));
        let shared = Arc::new(Shared {
            store,
            clock,
            targets: tasks::add_to(targets, &workers, settings.task_wait),
            workers,
            losses: Losses::default(),
            built_in: Mutex::default(),
            logs: EventLogs::default(),
            slots: Arc::new(Semaphore::new(settings.max_runs)),
            stops: Stops::default(),
            cancel_grace: settings.cancel_grace,
            retention: settings.retention,
            claimable: Notify::new(),
            has_backlog: AtomicBool::new(false),
            tasks,
            stop,
        });
        Self { shared }
    }

    /// Hosts a worker in this process.
    pub fn host(&self, worker: Worker) {
        let (worker_link, engine_link) = in_memory_link();
        let hosted = worker.describe();
        let new = Self::without_bounds(&worker);
        let mut built_in = self
            .shared
            .built_in
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        built_in.extend(hosted.iter().map(|entrypoint| Arc::clone(&entrypoint.name)));
        drop(built_in);
        let worker = worker.clock(self.shared.clock.clone());
        let shared = Arc::clone(&self.shared);
        self.shared.tasks.spawn(async move {
            select! {
                biased;
                () = shared.stop.cancelled() => {}
                () = worker.serve(worker_link) => {}
            }
        });
        self.attach(new, engine_link);
    }

    /// Takes `worker`, which is at the other end of `link`, without bounds.
    pub fn connect(&self, worker: &Worker, link: EngineLink) -> Hosting {
        self.attach(Self::without_bounds(worker), link)
    }

    fn without_bounds(worker: &Worker) -> NewWorker {
        NewWorker {
            name: "of the service".into(),
            tenant: Tenant::default(),
            hosted: worker.describe(),
            max_runs: u32::MAX,
            offered: worker.describe_tasks(),
            max_tasks: u32::MAX,
        }
    }

    /// Takes a worker at the other end of `link`, until that is closed.
    pub fn attach(&self, worker: NewWorker, link: EngineLink) -> Hosting {
        let is_foreign = |entrypoint: &&EntrypointDescription| !self.is_built_in(&entrypoint.name);
        let known = worker.hosted.iter().filter(is_foreign).map(known).collect();
        let hosting = Workers::add(&self.shared, worker, &link);
        let routed = hosting.clone();
        self.shared.tasks.spawn(async move {
            let stop = routed.shared.stop.clone();
            let work = async {
                tokio::join!(routed.shared.remember(known), Workers::route(&routed, link))
            };
            select! {
                biased;
                () = stop.cancelled() => {}
                ((), ()) = work => {}
            }
            routed.end();
        });
        self.shared.claimable.notify_one();
        hosting
    }

    /// Knows an entrypoint that a worker hosted before the service was started anew: runs of it are
    /// taken, and wait until one does again.
    pub fn recall(&self, entrypoint: EntrypointDescription) {
        self.shared.workers.recall(entrypoint);
    }

    /// Begins to claim queued runs, also those that a former process left behind, and to delete what
    /// has expired.
    pub fn start(&self) {
        let shared = Arc::clone(&self.shared);
        self.shared.tasks.spawn(async move {
            select! {
                biased;
                () = shared.stop.cancelled() => {}
                () = dispatcher::claim_runs(&shared) => {}
            }
        });
        let shared = Arc::clone(&self.shared);
        self.shared.tasks.spawn(async move {
            select! {
                () = shared.stop.cancelled() => {}
                () = retention::sweep(&shared) => {}
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

    /// Whether the service itself hosts entrypoints of this name.
    pub fn is_built_in(&self, name: &str) -> bool {
        let built_in = self.shared.built_in.lock();
        let built_in = built_in.unwrap_or_else(PoisonError::into_inner);
        built_in.contains(name)
    }

    /// The entrypoints that can be run, by name.
    pub fn entrypoints(&self) -> Vec<HostedEntrypoint> {
        self.shared.workers.list()
    }

    /// The tasks that workers offer to the runs of a tenant, by name.
    pub fn tasks(&self, tenant: &Tenant) -> Vec<OfferedTask> {
        self.shared.workers.list_tasks(tenant)
    }
}

/// What is remembered of an entrypoint.
fn known(entrypoint: &EntrypointDescription) -> KnownEntrypoint {
    KnownEntrypoint {
        name: Arc::clone(&entrypoint.name),
        version: Arc::clone(&entrypoint.version),
        description: entrypoint.description.clone(),
        input_schema: entrypoint.input_schema.clone(),
    }
}

impl Shared {
    /// Remembers entrypoints, so that runs of them are taken after a restart although no worker has
    /// come back yet. One that cannot be remembered is known for as long as this process lives.
    async fn remember(&self, entrypoints: Vec<KnownEntrypoint>) {
        if entrypoints.is_empty() {
            return;
        }
        let remembered = self.store.remember_entrypoints(entrypoints, self.now());
        if let Err(error) = remembered.await {
            tracing::warn!(%error, "what a worker hosts will be forgotten by a restart");
        }
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.clock.now_micros())
    }

    /// Tells those who follow a run that it came to rest without a worker.
    fn settle_without_worker(&self, run: Run) {
        self.losses.forget(run.id);
        let events = history::settled(&run, None);
        self.logs.close(run, events);
        // Its thread is free now.
        self.claimable.notify_one();
    }
}
