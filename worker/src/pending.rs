//! Calls under way: from the place in the journal to the recorded outcome.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures::FutureExt as _;
use tokio::sync::oneshot;

use crate::{
    Call, Context, Failure, Json, RetryPolicy, TaskContext,
    protocol::{Event, Outcome, Question, Record, WorkerMessage},
    replay::{Made, Reply},
    state::{ExecutionState, Scope},
    task::TaskFunction,
};

/// A call of a task.
pub(crate) struct PendingTask {
    pub(crate) execution: Arc<ExecutionState>,
    pub(crate) scope: Arc<Scope>,
    pub(crate) call: Call,
    pub(crate) input: Json,
    pub(crate) retry: RetryPolicy,
    pub(crate) timeout: Option<Duration>,
    pub(crate) function: TaskFunction,
}

impl PendingTask {
    pub(crate) async fn outcome(self, made: Made) -> Outcome {
        let _waiting = self.scope.wait();
        match made {
            Made::Recorded(reply) => recorded(reply).await,
            Made::Mismatch => std::future::pending().await,
            Made::New => match self.execution.cancellation() {
                Some(cancelled) => Err(cancelled),
                None => self.attempts().await,
            },
        }
    }

    async fn attempts(&self) -> Outcome {
        let mut attempt = 1;
        loop {
            let outcome = self.attempt(attempt).await;
            match record(&self.execution, &self.call, attempt, outcome, self.retry).await {
                Reply::Outcome(outcome) => return outcome,
                Reply::Retry(after) => {
                    let _at_work = self
                        .execution
                        .begin_attempt(self.call.id.clone(), Arc::default());
                    tokio::select! {
                        biased;
                        () = tokio::time::sleep(after) => {}
                        () = self.execution.cancelled.cancelled() => {}
                    }
                }
            }
            if let Some(cancelled) = self.execution.cancellation() {
                return Err(cancelled);
            }
            attempt += 1;
        }
    }

    async fn attempt(&self, attempt: u32) -> Outcome {
        let scope = Scope::new(Some(self.call.id.clone()), Arc::clone(&self.call.task));
        let waits = Arc::clone(&scope.waits);
        let _at_work = self.execution.begin_attempt(self.call.id.clone(), waits);
        self.execution.send_event(Event::TaskStarted {
            call: self.call.id.clone(),
            task: Arc::clone(&self.call.task),
            attempt,
            input: Arc::clone(&self.input),
        });
        let context = Context {
            execution: Arc::clone(&self.execution),
            scope: Arc::new(scope),
        };
        let context = TaskContext {
            context,
            call: self.call.clone(),
            attempt,
        };
        let function = Arc::clone(&self.function);
        let input = Arc::clone(&self.input);
        let run = AssertUnwindSafe(async move { function(context, input).await });
        let limit = self.timeout.unwrap_or(Duration::MAX);
        let outcome = match tokio::time::timeout(limit, run.catch_unwind()).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(panic)) => Err(panicked(panic.as_ref())),
            Err(_) => {
                let what = format!("an attempt took longer than {limit:?}");
                Err(Failure::transient("TASK_TIMEOUT", what))
            }
        };
        outcome.map_err(|failure| failure.of_call(&self.call.id, &self.call.task))
    }
}

/// A question that waits for its answer.
pub(crate) struct PendingQuestion {
    pub(crate) execution: Arc<ExecutionState>,
    pub(crate) scope: Arc<Scope>,
    pub(crate) call: Call,
    pub(crate) value: Json,
}

impl PendingQuestion {
    pub(crate) async fn outcome(self, made: Made) -> Outcome {
        let _waiting = self.scope.wait();
        match made {
            Made::Recorded(reply) => recorded(reply).await,
            Made::Mismatch => std::future::pending().await,
            Made::New => {
                let asked_by = self
                    .scope
                    .caller
                    .is_some()
                    .then(|| Arc::clone(&self.scope.task));
                let question = Question {
                    call: self.call,
                    asked_by,
                    value: self.value,
                };
                // The answer comes with the journal of the next execution.
                let _open = self.execution.ask(question);
                self.execution.cancelled.cancelled().await;
                Err(self
                    .execution
                    .cancellation()
                    .unwrap_or_else(Failure::cancelled))
            }
        }
    }
}

/// A value that is made here and recorded.
pub(crate) struct PendingSide<'a> {
    pub(crate) execution: &'a ExecutionState,
    pub(crate) scope: &'a Scope,
    pub(crate) call: Call,
}

impl PendingSide<'_> {
    pub(crate) async fn outcome(self, made: Made, value: impl FnOnce() -> Outcome) -> Outcome {
        let _waiting = self.scope.wait();
        match made {
            Made::Recorded(reply) => recorded(reply).await,
            Made::Mismatch => std::future::pending().await,
            Made::New => {
                if let Some(cancelled) = self.execution.cancellation() {
                    return Err(cancelled);
                }
                match record(self.execution, &self.call, 1, value(), RetryPolicy::NEVER).await {
                    Reply::Outcome(outcome) => outcome,
                    Reply::Retry(_) => std::future::pending().await,
                }
            }
        }
    }
}

/// Asks for an outcome to be recorded, and waits for what the engine says.
async fn record(
    execution: &ExecutionState,
    call: &Call,
    attempt: u32,
    outcome: Outcome,
    retry: RetryPolicy,
) -> Reply {
    let reply = execution.replay().wait_for(&call.id);
    let record = Record {
        call: call.clone(),
        attempt,
        outcome,
        retry,
    };
    execution
        .send(WorkerMessage::Record(Box::new(record)))
        .await;
    match reply.await {
        Ok(reply) => reply,
        // The execution was fenced; it is about to be dropped.
        Err(_) => std::future::pending().await,
    }
}

/// The outcome of a call that was recorded before.
async fn recorded(reply: oneshot::Receiver<Reply>) -> Outcome {
    match reply.await {
        Ok(Reply::Outcome(outcome)) => outcome,
        Ok(Reply::Retry(_)) | Err(_) => std::future::pending().await,
    }
}

/// The failure of code that panicked.
pub(crate) fn panicked(panic: &(dyn std::any::Any + Send)) -> Failure {
    let message = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "it gave no message".to_owned());
    Failure::new("PANICKED", format!("the code panicked: {message}"))
}
