//! A worker: hosts entrypoints and executes the runs that the engine hands it.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use serde::{Serialize, de::DeserializeOwned};
use tokio::{select, sync::mpsc, task::JoinSet};

use crate::{
    Clock, Entrypoint, EntrypointDescription, Failure, Task, TaskDescription,
    execution::{Reply, execute},
    offer::{self, OfferedTask},
    protocol::{ExecutionId, Finish, FromWorker, StartRun, ToWorker, WorkerLink, WorkerMessage},
};

/// Replies that may wait for an execution. It takes them whatever its code does, so that a small
/// number is enough.
const REPLY_CAPACITY: usize = 64;

/// Worker hosts entrypoints, and offers tasks.
#[derive(Clone, Debug, Default)]
pub struct Worker {
    entrypoints: HashMap<(Arc<str>, Arc<str>), Entrypoint>,
    tasks: BTreeMap<Arc<str>, OfferedTask>,
    clock: Clock,
}

impl Worker {
    /// A worker that hosts nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Hosts `entrypoint`, in place of another one of the same name and version.
    #[must_use]
    pub fn entrypoint(mut self, entrypoint: Entrypoint) -> Self {
        let key = (
            Arc::clone(&entrypoint.name),
            Arc::clone(&entrypoint.version),
        );
        self.entrypoints.insert(key, entrypoint);
        self
    }

    /// Offers `task` to the runs of others, in place of another one of the same name.
    #[must_use]
    pub fn task<I, O>(mut self, task: Task<I, O>) -> Self
    where
        I: Serialize + DeserializeOwned + Send + 'static,
        O: Serialize + DeserializeOwned + Send + 'static,
    {
        let task = OfferedTask::new(task);
        self.tasks.insert(Arc::clone(&task.description.name), task);
        self
    }

    /// Reads the time from `clock`, in place of the one of the system.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// The entrypoints it hosts, by name and version.
    pub fn describe(&self) -> Vec<EntrypointDescription> {
        let mut descriptions: Vec<_> = self
            .entrypoints
            .values()
            .map(Entrypoint::describe)
            .collect();
        descriptions.sort_by(|a, b| (&a.name, &a.version).cmp(&(&b.name, &b.version)));
        descriptions
    }

    /// The tasks it offers, by name.
    pub fn describe_tasks(&self) -> Vec<TaskDescription> {
        let tasks = self.tasks.values();
        tasks.map(|task| task.description.clone()).collect()
    }

    /// Executes runs until the engine closes the link. What is then under way is dropped: it is
    /// recorded and will be handed to a worker again.
    pub async fn serve(self, mut link: WorkerLink) {
        let mut executions = JoinSet::new();
        let mut replies: HashMap<ExecutionId, mpsc::Sender<Reply>> = HashMap::new();
        loop {
            select! {
                biased;
                message = link.inbox.recv() => match message {
                    None => break,
                    Some(ToWorker::StartRun(start)) => {
                        let (sender, receiver) = mpsc::channel(REPLY_CAPACITY);
                        replies.insert(start.execution, sender);
                        let execution = start.execution;
                        let entrypoint = self.hosted(&start);
                        let (clock, outbox) = (self.clock.clone(), link.outbox.clone());
                        executions.spawn(async move {
                            match entrypoint {
                                Ok(entrypoint) => {
                                    Box::pin(execute(entrypoint, *start, clock, outbox, receiver)).await;
                                }
                                Err(failure) => refuse(execution, failure, &outbox).await,
                            }
                            execution
                        });
                    }
                    Some(ToWorker::RunTask(run)) => {
                        let (sender, receiver) = mpsc::channel(REPLY_CAPACITY);
                        replies.insert(run.execution, sender);
                        let execution = run.execution;
                        let task = self.tasks.get(&run.task).cloned();
                        let (clock, outbox) = (self.clock.clone(), link.outbox.clone());
                        executions.spawn(async move {
                            match task {
                                Some(task) => {
                                    Box::pin(task.execute(*run, clock, outbox, receiver)).await;
                                }
                                None => {
                                    let message = offer::unknown(&run.task);
                                    let _ = outbox.send(FromWorker { execution, message }).await;
                                }
                            }
                            execution
                        });
                    }
                    Some(ToWorker::Ack { execution, call, outcome }) => {
                        forward(&replies, execution, Reply::Ack(call, outcome)).await;
                    }
                    Some(ToWorker::Retry { execution, call, after }) => {
                        forward(&replies, execution, Reply::Retry(call, after)).await;
                    }
                    Some(ToWorker::Cancel { execution, reason }) => {
                        forward(&replies, execution, Reply::Cancel(reason)).await;
                    }
                    Some(ToWorker::Fenced { execution }) => {
                        replies.remove(&execution);
                    }
                },
                Some(ended) = executions.join_next(), if !executions.is_empty() => {
                    if let Ok(execution) = ended {
                        replies.remove(&execution);
                    }
                }
            }
        }
        executions.shutdown().await;
    }

    fn hosted(&self, start: &StartRun) -> Result<Entrypoint, Failure> {
        let key = (Arc::clone(&start.entrypoint), Arc::clone(&start.version));
        let accepting = || {
            self.entrypoints.values().find(|entrypoint| {
                entrypoint.name == start.entrypoint && entrypoint.accepts.contains(&start.version)
            })
        };
        let hosting = self.entrypoints.get(&key).or_else(accepting);
        hosting.cloned().ok_or_else(|| {
            Failure::new(
                "NO_SUCH_ENTRYPOINT",
                format!(
                    "this worker does not host {}@{}",
                    start.entrypoint, start.version
                ),
            )
        })
    }
}

async fn forward(
    replies: &HashMap<ExecutionId, mpsc::Sender<Reply>>,
    execution: ExecutionId,
    reply: Reply,
) {
    if let Some(sender) = replies.get(&execution) {
        // An execution that has just ended needs no reply.
        let _ = sender.send(reply).await;
    }
}

async fn refuse(execution: ExecutionId, failure: Failure, outbox: &mpsc::Sender<FromWorker>) {
    let message = WorkerMessage::Finish(Box::new(Finish::Mismatch(failure)));
    let _ = outbox.send(FromWorker { execution, message }).await;
}
