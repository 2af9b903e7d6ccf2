//! Tasks on offer: who offers them, who waits for them, and who executes them now.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
    sync::Arc,
};

use service_runtime::Tenant;
use tokio::sync::{mpsc, oneshot};
use weft_worker::{
    TaskDescription,
    protocol::{ExecutionId, ToWorker, WorkerMessage},
};

use super::{
    Assignment,
    registry::{Route, WorkerId},
};
use crate::{
    domain::RunId,
    turns::{Ticket, Turns},
};

/// Calls that may wait for one task. They hold their arguments in memory.
const MAX_WAITING: usize = 10_000;

/// Whose task, and its name.
pub(in super::super) type TaskKey = (Tenant, Arc<str>);

/// A call that waits for a worker.
pub(super) type Waiting = oneshot::Sender<Assignment>;

/// Too many calls wait for the task already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{MAX_WAITING} calls wait for the task already")]
pub(in super::super) struct TooManyWait;

/// Offers is plain data behind one lock; nothing in it waits. As long as a worker has room, nobody
/// waits for any task of it.
#[derive(Debug, Default)]
pub(super) struct Offers {
    workers: BTreeMap<WorkerId, Offering>,
    tasks: BTreeMap<TaskKey, Offer>,
}

/// A worker that offers tasks.
#[derive(Debug)]
pub(super) struct Offering {
    pub(super) name: Arc<str>,
    pub(super) tenant: Tenant,
    pub(super) outbox: mpsc::Sender<ToWorker>,
    pub(super) max_tasks: u32,
    pub(super) tasks: BTreeMap<Arc<str>, Arc<TaskDescription>>,
    /// Its connection is lost, and it may come back.
    is_away: bool,
    executions: BTreeMap<ExecutionId, Route>,
    /// The task that it was given last: the next turn is that of the next one.
    last: Option<Arc<str>>,
}

/// A task that somebody offers or waits for.
#[derive(Debug, Default)]
struct Offer {
    workers: BTreeSet<WorkerId>,
    /// Who was given a call last: the next one is the next one's.
    last: Option<WorkerId>,
    /// Runs take turns.
    waiting: Turns<RunId, Waiting>,
}

/// A call, and the worker that is to execute it.
#[derive(Debug)]
pub(super) struct Match {
    pub(super) waiting: Waiting,
    pub(super) worker: WorkerId,
    pub(super) worker_name: Arc<str>,
    pub(super) outbox: mpsc::Sender<ToWorker>,
    pub(super) description: Arc<TaskDescription>,
}

/// A task on offer, and how many workers offer it.
#[derive(Clone, Debug)]
pub struct OfferedTask {
    /// What the worker says of it that connected last.
    pub description: Arc<TaskDescription>,
    /// Workers that offer it and are connected now.
    pub workers: usize,
}

impl Offering {
    pub(super) fn new(
        name: Arc<str>,
        tenant: Tenant,
        tasks: Vec<TaskDescription>,
        max_tasks: u32,
        outbox: mpsc::Sender<ToWorker>,
    ) -> Self {
        let tasks = tasks.into_iter();
        Self {
            name,
            tenant,
            outbox,
            max_tasks,
            tasks: tasks
                .map(|task| (Arc::clone(&task.name), Arc::new(task)))
                .collect(),
            is_away: false,
            executions: BTreeMap::new(),
            last: None,
        }
    }

    fn has_room(&self) -> bool {
        let busy = u32::try_from(self.executions.len()).unwrap_or(u32::MAX);
        !self.is_away && busy < self.max_tasks
    }

    fn key(&self, task: &Arc<str>) -> TaskKey {
        (self.tenant.clone(), Arc::clone(task))
    }
}

impl Offers {
    pub(super) fn add(&mut self, worker: WorkerId, offering: Offering) {
        for task in offering.tasks.keys() {
            let offer = self.tasks.entry(offering.key(task)).or_default();
            offer.workers.insert(worker);
        }
        self.workers.insert(worker, offering);
    }

    /// Forgets a worker, and tells its executions why.
    pub(super) fn remove(&mut self, worker: WorkerId, why: &str) {
        let Some(gone) = self.workers.remove(&worker) else {
            return;
        };
        for route in gone.executions.values() {
            let _ = route.lost.set(why.to_owned());
        }
        for task in gone.tasks.keys() {
            let key = gone.key(task);
            if let Some(offer) = self.tasks.get_mut(&key) {
                offer.workers.remove(&worker);
            }
            self.forget_idle(&key);
        }
    }

    fn forget_idle(&mut self, key: &TaskKey) {
        let offer = self.tasks.get(key);
        if offer.is_some_and(|offer| offer.workers.is_empty() && offer.waiting.is_empty()) {
            self.tasks.remove(key);
        }
    }

    pub(super) fn set_max_tasks(&mut self, worker: WorkerId, max_tasks: u32) {
        if let Some(offering) = self.workers.get_mut(&worker) {
            offering.max_tasks = max_tasks;
        }
    }

    pub(super) fn set_away(&mut self, worker: WorkerId, is_away: bool) {
        if let Some(offering) = self.workers.get_mut(&worker) {
            offering.is_away = is_away;
        }
    }

    /// Lets a call of a run wait for its turn.
    pub(super) fn wait(
        &mut self,
        key: &TaskKey,
        run: RunId,
        waiting: Waiting,
    ) -> Result<Ticket, TooManyWait> {
        let offer = self.tasks.entry(key.clone()).or_default();
        if offer.waiting.len() >= MAX_WAITING {
            return Err(TooManyWait);
        }
        Ok(offer.waiting.push(&run, waiting))
    }

    /// A call does not wait any more.
    pub(super) fn leave(&mut self, key: &TaskKey, run: RunId, ticket: Ticket) {
        if let Some(offer) = self.tasks.get_mut(key) {
            offer.waiting.leave(&run, ticket);
            self.forget_idle(key);
        }
    }

    /// The next call of a task, if a worker that offers it has room.
    pub(super) fn match_task(&mut self, key: &TaskKey) -> Option<Match> {
        let offer = self.tasks.get(key)?;
        let after = offer.last.map_or(Bound::Unbounded, Bound::Excluded);
        let later = offer.workers.range((after, Bound::Unbounded));
        let has_room =
            |worker: &&WorkerId| self.workers.get(*worker).is_some_and(Offering::has_room);
        let worker = *later.chain(&offer.workers).find(has_room)?;
        self.matched(worker, key)
    }

    /// The next call of any task of a worker, if that has room.
    pub(super) fn match_worker(&mut self, worker: WorkerId) -> Option<Match> {
        let offering = self.workers.get(&worker).filter(|one| one.has_room())?;
        let last = offering.last.as_ref();
        let after = last.map_or(Bound::Unbounded, |last| Bound::Excluded(&**last));
        let later = offering.tasks.range::<str, _>((after, Bound::Unbounded));
        let is_wanted = |key: &TaskKey| {
            let offer = self.tasks.get(key);
            offer.is_some_and(|offer| !offer.waiting.is_empty())
        };
        let keys = later.chain(&offering.tasks);
        let mut keys = keys.map(|(task, _)| offering.key(task));
        let key = keys.find(is_wanted)?;
        self.matched(worker, &key)
    }

    fn matched(&mut self, worker: WorkerId, key: &TaskKey) -> Option<Match> {
        let (offer, offering) = (self.tasks.get_mut(key)?, self.workers.get_mut(&worker)?);
        let waiting = offer.waiting.pop()?;
        offer.last = Some(worker);
        offering.last = Some(Arc::clone(&key.1));
        Some(Match {
            waiting,
            worker,
            worker_name: Arc::clone(&offering.name),
            outbox: offering.outbox.clone(),
            description: Arc::clone(offering.tasks.get(&key.1)?),
        })
    }

    pub(super) fn open(&mut self, worker: WorkerId, execution: ExecutionId, route: Route) {
        if let Some(offering) = self.workers.get_mut(&worker) {
            offering.executions.insert(execution, route);
        }
    }

    /// Ends an execution, and says why if it ends before its time.
    pub(super) fn close(&mut self, worker: WorkerId, execution: ExecutionId, why: Option<&str>) {
        let offering = self.workers.get_mut(&worker);
        let route = offering.and_then(|offering| offering.executions.remove(&execution));
        if let (Some(route), Some(why)) = (route, why) {
            let _ = route.lost.set(why.to_owned());
        }
    }

    /// Where to send what a worker says about one of its own executions.
    pub(super) fn route(
        &self,
        worker: WorkerId,
        execution: ExecutionId,
    ) -> Option<mpsc::Sender<WorkerMessage>> {
        let route = self.workers.get(&worker)?.executions.get(&execution)?;
        Some(route.sender.clone())
    }

    /// A task that is on offer now.
    pub(super) fn find(&self, key: &TaskKey) -> Option<OfferedTask> {
        self.offered(key, self.tasks.get(key)?)
    }

    /// The tasks of a tenant that are on offer now, by name.
    pub(super) fn list(&self, tenant: &Tenant) -> Vec<OfferedTask> {
        let tasks = self.tasks.iter();
        let of_tenant = tasks.filter(|((owner, _), _)| owner == tenant);
        let offered = of_tenant.filter_map(|(key, offer)| self.offered(key, offer));
        offered.collect()
    }

    fn offered(&self, (_, task): &TaskKey, offer: &Offer) -> Option<OfferedTask> {
        let workers = offer.workers.iter();
        let here = workers.filter_map(|worker| self.workers.get(worker));
        let here: Vec<_> = here.filter(|offering| !offering.is_away).collect();
        let description = here.last()?.tasks.get(task)?;
        Some(OfferedTask {
            description: Arc::clone(description),
            workers: here.len(),
        })
    }
}
