//! The workers that are connected, which entrypoints they host, and which tasks they offer.
//!
//! # Layout
//! - `registry`: who hosts which entrypoints and has room for how many runs
//! - `offers`: who offers which tasks, and who waits for them
//! - `assignment`: calls of tasks on their way to a worker and at it
//! - `version`: which version is the last one

mod assignment;
mod offers;
mod registry;
mod version;

use std::sync::{
    Arc, Mutex, MutexGuard, OnceLock, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use service_runtime::Tenant;
use tokio::sync::{Notify, mpsc};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use weft_worker::{
    EntrypointDescription, TaskDescription,
    protocol::{EngineLink, ExecutionId, FromWorker, ToWorker, WorkerMessage},
};

use self::{
    offers::{Offering, Offers},
    registry::{Registry, Route, WorkerId},
    version::Version,
};
use super::Shared;

pub(super) use assignment::Assignment;
pub use offers::OfferedTask;
pub(super) use offers::TaskKey;
pub(super) use registry::Claimable;
pub use registry::HostedEntrypoint;

/// Messages of one execution that may wait for its driver.
const EXECUTION_QUEUE: usize = 256;

/// Workers knows the connected workers.
#[derive(Debug)]
pub(super) struct Workers {
    registry: Mutex<Registry>,
    offers: Mutex<Offers>,
    /// Told when a task may be on offer that was not before.
    offered: Notify,
    next_execution: AtomicU64,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// A worker that connects.
#[derive(Debug)]
pub struct NewWorker {
    /// Names it to people.
    pub name: Arc<str>,
    /// Whose runs can call the tasks that it offers.
    pub tenant: Tenant,
    /// What it hosts.
    pub hosted: Vec<EntrypointDescription>,
    /// Most runs that it executes at a time.
    pub max_runs: u32,
    /// Tasks that it offers.
    pub offered: Vec<TaskDescription>,
    /// Most of them that it executes at a time.
    pub max_tasks: u32,
}

/// Hosting is a connected worker, as the engine knows it. It is forgotten when its link is closed and
/// all that it said is heard.
#[derive(Clone)]
pub struct Hosting {
    pub(super) shared: Arc<Shared>,
    worker: WorkerId,
    /// Why its link closes, if that was told.
    why: Arc<OnceLock<String>>,
}

impl Hosting {
    /// Changes how many runs the worker takes.
    pub fn set_max_runs(&self, max_runs: u32) {
        self.shared
            .workers
            .registry()
            .set_max_runs(self.worker, max_runs);
        self.shared.claimable.notify_one();
    }

    /// Changes how many tasks on offer the worker takes.
    pub fn set_max_tasks(&self, max_tasks: u32) {
        let workers = &self.shared.workers;
        workers.offers().set_max_tasks(self.worker, max_tasks);
        workers.fill(self.worker);
    }

    /// Notes that the worker's connection is lost, or there again. Meanwhile runs and calls of tasks
    /// are for others.
    pub fn set_away(&self, is_away: bool) {
        let workers = &self.shared.workers;
        workers.registry().set_away(self.worker, is_away);
        workers.offers().set_away(self.worker, is_away);
        self.shared.claimable.notify_one();
        workers.offered.notify_waiters();
        workers.fill(self.worker);
    }

    /// Takes an execution away from the worker: its run, or its call of a task, goes to another one.
    /// `why` continues "the worker was lost: ".
    pub fn lose(&self, execution: ExecutionId, why: &str) {
        let workers = &self.shared.workers;
        workers.registry().close(self.worker, execution, Some(why));
        workers.offers().close(self.worker, execution, Some(why));
        workers.fill(self.worker);
    }

    /// Gives the worker no more runs and tasks, and says why its link will close. `why` continues "the
    /// worker was lost: ".
    pub fn leaves(&self, why: &str) {
        self.set_max_runs(0);
        self.set_max_tasks(0);
        let _ = self.why.set(why.to_owned());
    }

    /// Forgets the worker: its runs go to other ones.
    pub(super) fn end(&self) {
        let why = self.why.get().map_or("its link closed", String::as_str);
        self.shared.workers.registry().remove(self.worker, why);
        self.shared.workers.offers().remove(self.worker, why);
    }
}

/// Where an execution is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seat {
    worker: WorkerId,
    /// Its id.
    pub(super) execution: ExecutionId,
}

/// Execution is the engine's end of one dispatch.
#[derive(Debug)]
pub(super) struct Execution {
    /// Where it is.
    pub(super) seat: Seat,
    /// What the worker says about it; closed when the worker is gone.
    pub(super) inbox: mpsc::Receiver<WorkerMessage>,
    /// To the worker.
    pub(super) outbox: mpsc::Sender<ToWorker>,
    lost: Arc<OnceLock<String>>,
    worker_name: Arc<str>,
}

impl Execution {
    /// Why the inbox is closed.
    pub(super) fn why_lost(&self) -> String {
        let why = self.lost.get().map_or("its link closed", String::as_str);
        format!("worker `{}` was lost: {why}", self.worker_name)
    }
}

impl Workers {
    /// Nobody is connected. Ids of executions count from `first_execution` on: those of an engine
    /// that ran before must be lower, since its workers may still talk of them.
    /// What is sent in the background belongs to `tasks`, until `stop`.
    pub(super) fn new(first_execution: u64, tasks: TaskTracker, stop: CancellationToken) -> Self {
        Self {
            registry: Mutex::default(),
            offers: Mutex::default(),
            offered: Notify::new(),
            next_execution: AtomicU64::new(first_execution.max(1)),
            tasks,
            stop,
        }
    }

    /// Makes a worker's entrypoints and tasks known.
    pub(super) fn add(shared: &Arc<Shared>, new: NewWorker, link: &EngineLink) -> Hosting {
        let (workers, outbox) = (&shared.workers, &link.outbox);
        let name = Arc::clone(&new.name);
        let worker = workers
            .registry()
            .add(name, new.hosted, new.max_runs, outbox.clone());
        if !new.offered.is_empty() {
            let (tenant, max_tasks) = (new.tenant, new.max_tasks);
            let offering = Offering::new(new.name, tenant, new.offered, max_tasks, outbox.clone());
            workers.offers().add(worker, offering);
            workers.offered.notify_waiters();
            workers.fill(worker);
        }
        Hosting {
            shared: Arc::clone(shared),
            worker,
            why: Arc::default(),
        }
    }

    /// Passes on what a worker says about its executions until its link closes.
    pub(super) async fn route(hosting: &Hosting, mut link: EngineLink) {
        let workers = &hosting.shared.workers;
        while let Some(FromWorker { execution, message }) = link.inbox.recv().await {
            let of_run = workers.registry().route(hosting.worker, execution);
            let of_task = || workers.offers().route(hosting.worker, execution);
            if let Some(driver) = of_run.or_else(of_task) {
                // A driver that has just ended wants no more.
                let _ = driver.send(message).await;
            }
        }
    }

    /// Opens an execution on a worker that can execute the entrypoint and has room; `None` if there
    /// is none.
    pub(super) fn open(&self, entrypoint: &str, version: &Arc<str>) -> Option<Execution> {
        let (execution, route, inbox) = self.new_execution();
        let lost = Arc::clone(&route.lost);
        let version = Version(Arc::clone(version));
        let mut registry = self.registry();
        let (worker, outbox) = registry.open((entrypoint, &version), execution, route)?;
        Some(Execution {
            seat: Seat { worker, execution },
            inbox,
            outbox,
            lost,
            worker_name: registry.name(worker)?,
        })
    }

    fn new_execution(&self) -> (ExecutionId, Route, mpsc::Receiver<WorkerMessage>) {
        let execution = ExecutionId(self.next_execution.fetch_add(1, Ordering::Relaxed));
        let (sender, inbox) = mpsc::channel(EXECUTION_QUEUE);
        let lost = Arc::default();
        (execution, Route { sender, lost }, inbox)
    }

    /// Ends an execution of a run.
    pub(super) fn close(&self, seat: Seat) {
        self.registry().close(seat.worker, seat.execution, None);
    }

    /// Knows an entrypoint that nobody hosts yet.
    pub(super) fn recall(&self, entrypoint: EntrypointDescription) {
        self.registry().recall(entrypoint);
    }

    /// An entrypoint that runs can be started of; the default version if none is named.
    pub(super) fn find(&self, name: &str, version: Option<&str>) -> Option<EntrypointDescription> {
        self.registry().find(name, version)
    }

    /// The default version of each entrypoint, by name.
    pub(super) fn list(&self) -> Vec<HostedEntrypoint> {
        self.registry().list()
    }

    /// How many runs of a version the workers have room for.
    pub(super) fn room(&self, entrypoint: &str, version: &str) -> u64 {
        self.registry().room(entrypoint, version)
    }

    /// Whether a worker that can execute a version is connected.
    pub(super) fn is_hosted(&self, entrypoint: &str, version: &str) -> bool {
        self.registry().is_hosted(entrypoint, version)
    }

    /// What can be claimed.
    pub(super) fn claimable(&self) -> Claimable {
        self.registry().claimable()
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn offers(&self) -> MutexGuard<'_, Offers> {
        self.offers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
