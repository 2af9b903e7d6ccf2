//! The workers that are connected, and which entrypoints they host.
//!
//! # Layout
//! - `registry`: who hosts what and has room for how much
//! - `version`: which version is the last one

mod registry;
mod version;

use std::sync::{
    Arc, Mutex, MutexGuard, OnceLock, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use tokio::sync::mpsc;
use weft_worker::{
    EntrypointDescription,
    protocol::{EngineLink, ExecutionId, FromWorker, ToWorker, WorkerMessage},
};

use self::{
    registry::{Registry, Route, WorkerId},
    version::Version,
};
use super::Shared;

pub(super) use registry::Claimable;
pub use registry::HostedEntrypoint;

/// Messages of one execution that may wait for its driver.
const EXECUTION_QUEUE: usize = 256;

/// Workers knows the connected workers.
#[derive(Debug)]
pub(super) struct Workers {
    registry: Mutex<Registry>,
    next_execution: AtomicU64,
}

/// A worker that connects.
#[derive(Debug)]
pub struct NewWorker {
    /// Names it to people.
    pub name: Arc<str>,
    /// What it hosts.
    pub hosted: Vec<EntrypointDescription>,
    /// Most runs that it executes at a time.
    pub max_runs: u32,
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

    /// Notes that the worker's connection is lost, or there again. Meanwhile runs are for others.
    pub fn set_away(&self, is_away: bool) {
        let mut registry = self.shared.workers.registry();
        registry.set_away(self.worker, is_away);
        drop(registry);
        self.shared.claimable.notify_one();
    }

    /// Takes an execution away from the worker: its run goes to another one. `why` continues "the
    /// worker was lost: ".
    pub fn lose(&self, execution: ExecutionId, why: &str) {
        let mut registry = self.shared.workers.registry();
        registry.close(self.worker, execution, Some(why));
    }

    /// Gives the worker no more runs, and says why its link will close. `why` continues "the worker
    /// was lost: ".
    pub fn leaves(&self, why: &str) {
        self.set_max_runs(0);
        let _ = self.why.set(why.to_owned());
    }

    /// Forgets the worker: its runs go to other ones.
    pub(super) fn end(&self) {
        let why = self.why.get().map_or("its link closed", String::as_str);
        self.shared.workers.registry().remove(self.worker, why);
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
    pub(super) fn new(first_execution: u64) -> Self {
        Self {
            registry: Mutex::default(),
            next_execution: AtomicU64::new(first_execution.max(1)),
        }
    }

    /// Makes a worker's entrypoints known.
    pub(super) fn add(shared: &Arc<Shared>, new: NewWorker, link: &EngineLink) -> Hosting {
        let outbox = link.outbox.clone();
        let mut registry = shared.workers.registry();
        let worker = registry.add(new.name, new.hosted, new.max_runs, outbox);
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
            let driver = workers.registry().route(hosting.worker, execution);
            if let Some(driver) = driver {
                // A driver that has just ended wants no more.
                let _ = driver.send(message).await;
            }
        }
    }

    /// Opens an execution on a worker that can execute the entrypoint and has room; `None` if there
    /// is none.
    pub(super) fn open(&self, entrypoint: &str, version: &Arc<str>) -> Option<Execution> {
        let execution = ExecutionId(self.next_execution.fetch_add(1, Ordering::Relaxed));
        let (sender, inbox) = mpsc::channel(EXECUTION_QUEUE);
        let lost = Arc::default();
        let route = Route {
            sender,
            lost: Arc::clone(&lost),
        };
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

    /// Ends an execution.
    pub(super) fn close(&self, seat: Seat) {
        self.registry().close(seat.worker, seat.execution, None);
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
}
