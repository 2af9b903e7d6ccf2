//! Calls of tasks on their way to a worker and at it.

use std::sync::Arc;

use service_runtime::Tenant;
use tokio::{
    select,
    sync::{mpsc::error::TrySendError, oneshot},
};
use weft_worker::{
    TaskDescription,
    protocol::{ExecutionId, RunTask, ToWorker, WorkerMessage},
};

use super::{
    Execution, OfferedTask, Seat, Workers,
    offers::{Match, Offers, TaskKey, TooManyWait, Waiting},
    registry::WorkerId,
};
use crate::{domain::RunId, turns::Ticket};

/// Turn is a call's place among those that wait for a task. To drop it is to give it up.
#[derive(Debug)]
pub(in super::super) struct Turn {
    workers: Arc<Workers>,
    key: TaskKey,
    run: RunId,
    ticket: Ticket,
    /// Gives the worker, once it is there. The queue outlives its waiters: an error does not happen.
    pub(in super::super) assigned: oneshot::Receiver<Assignment>,
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.workers
            .offers()
            .leave(&self.key, self.run, self.ticket);
    }
}

/// Assignment is a call at a worker, which has room for another one when this is dropped. Whatever
/// the worker does for it then is of no use, and it is told so.
#[derive(Debug)]
pub(in super::super) struct Assignment {
    workers: Arc<Workers>,
    execution: Execution,
    /// The task, as this worker describes it.
    pub(in super::super) description: Arc<TaskDescription>,
}

impl Assignment {
    /// Its id at the worker.
    pub(in super::super) fn id(&self) -> ExecutionId {
        self.execution.seat.execution
    }

    /// Hands the call over. That a worker is gone is noticed by [`Assignment::next`].
    pub(in super::super) async fn begin(&self, run: RunTask) {
        let run = ToWorker::RunTask(Box::new(run));
        let _ = self.execution.outbox.send(run).await;
    }

    /// What the worker says next; `None` if it is gone.
    pub(in super::super) async fn next(&mut self) -> Option<WorkerMessage> {
        self.execution.inbox.recv().await
    }

    /// Why the worker is gone.
    pub(in super::super) fn why_lost(&self) -> String {
        self.execution.why_lost()
    }
}

impl Drop for Assignment {
    fn drop(&mut self) {
        let Seat { worker, execution } = self.execution.seat;
        let fenced = ToWorker::Fenced { execution };
        // A worker that is gone needs no telling.
        if let Err(TrySendError::Full(fenced)) = self.execution.outbox.try_send(fenced) {
            let (outbox, stop) = (self.execution.outbox.clone(), self.workers.stop.clone());
            self.workers.tasks.spawn(async move {
                select! {
                    () = stop.cancelled() => {}
                    _ = outbox.send(fenced) => {}
                }
            });
        }
        self.workers.offers().close(worker, execution, None);
        self.workers.fill(worker);
    }
}

impl Workers {
    /// Takes a place among the calls that wait for a task.
    pub(in super::super) fn ask(
        self: &Arc<Self>,
        key: &TaskKey,
        run: RunId,
    ) -> Result<Turn, TooManyWait> {
        let (waiting, assigned) = oneshot::channel();
        let ticket = self.offers().wait(key, run, waiting)?;
        let turn = Turn {
            workers: Arc::clone(self),
            key: key.clone(),
            run,
            ticket,
            assigned,
        };
        self.assign(|offers| offers.match_task(key));
        Ok(turn)
    }

    /// Gives a worker that may have room what waits for it.
    pub(super) fn fill(self: &Arc<Self>, worker: WorkerId) {
        self.assign(|offers| offers.match_worker(worker));
    }

    fn assign(self: &Arc<Self>, next: impl Fn(&mut Offers) -> Option<Match>) {
        while let Some((waiting, assignment)) = self.assignment(&next) {
            // Without the lock: one that cannot be delivered comes back by being dropped.
            let _ = waiting.send(assignment);
        }
    }

    fn assignment(
        self: &Arc<Self>,
        next: impl Fn(&mut Offers) -> Option<Match>,
    ) -> Option<(Waiting, Assignment)> {
        let mut offers = self.offers();
        let found = next(&mut offers)?;
        let (execution, route, inbox) = self.new_execution();
        let lost = Arc::clone(&route.lost);
        offers.open(found.worker, execution, route);
        drop(offers);
        let execution = Execution {
            seat: Seat {
                worker: found.worker,
                execution,
            },
            inbox,
            outbox: found.outbox,
            lost,
            worker_name: found.worker_name,
        };
        let assignment = Assignment {
            workers: Arc::clone(self),
            execution,
            description: found.description,
        };
        Some((found.waiting, assignment))
    }

    /// A task that is on offer now.
    pub(in super::super) fn find_task(&self, key: &TaskKey) -> Option<OfferedTask> {
        self.offers().find(key)
    }

    /// The tasks of a tenant that are on offer now, by name.
    pub(in super::super) fn list_tasks(&self, tenant: &Tenant) -> Vec<OfferedTask> {
        self.offers().list(tenant)
    }

    /// Completes once `found` finds what it looks for among the tasks on offer.
    pub(in super::super) async fn until_offered<T>(
        &self,
        mut found: impl FnMut(&Self) -> Option<T>,
    ) -> T {
        loop {
            // From here on it is told.
            let offered = self.offered.notified();
            if let Some(found) = found(self) {
                return found;
            }
            offered.await;
        }
    }
}
