//! Calls under way: from the place in the journal to the recorded outcome.

use std::{sync::Arc, time::Duration};

use tokio::sync::oneshot;

use crate::{
    Call, Failure, Json, RetryPolicy, Usage, UsageMeter,
    attempt::Attempt,
    protocol::{Event, Lookup, Outcome, Question, Record, TargetCall, WorkerMessage},
    replay::{Made, Reply},
    scope::Scope,
    state::ExecutionState,
    task::{TaskFunction, TaskPolicy},
};

/// A call of a task.
pub(crate) struct PendingTask {
    pub(crate) execution: Arc<ExecutionState>,
    pub(crate) scope: Arc<Scope>,
    pub(crate) call: Call,
    pub(crate) input: Json,
    pub(crate) policy: TaskPolicy,
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
                None => match self.cached().await {
                    Some(outcome) => outcome,
                    None => self.attempts().await,
                },
            },
        }
    }

    /// The outcome that was recorded from the cache, if the task has one and it has the result.
    async fn cached(&self) -> Option<Outcome> {
        let key = self.policy.cache.as_ref()?.key.clone();
        let lookup = Lookup {
            call: self.call.clone(),
            key,
        };
        match ask(
            &self.execution,
            &self.call,
            WorkerMessage::Lookup(Box::new(lookup)),
        )
        .await
        {
            Reply::Outcome(outcome) => Some(outcome),
            Reply::Retry(_) => None,
        }
    }

    async fn attempts(&self) -> Outcome {
        let mut attempt = 1;
        let usage = UsageMeter::default();
        loop {
            let outcome = self.attempt(attempt, usage.clone()).await;
            // What a cancel cut short has no outcome yet: the run may be retried.
            if let (Err(failure), Some(_)) = (&outcome, self.execution.cancellation())
                && failure.reason == Failure::CANCELLED
            {
                return outcome;
            }
            let record = Record {
                call: self.call.clone(),
                attempt,
                outcome,
                retry: self.policy.retry,
                cache: self.policy.cache.clone(),
                usage: usage.total(),
            };
            match ask(
                &self.execution,
                &self.call,
                WorkerMessage::Record(Box::new(record)),
            )
            .await
            {
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

    async fn attempt(&self, number: u32, usage: UsageMeter) -> Outcome {
        self.execution.outbox.stream(Event::TaskStarted {
            call: self.call.id.clone(),
            task: Arc::clone(&self.call.task),
            attempt: number,
            input: Arc::clone(&self.input),
        });
        let attempt = Attempt {
            execution: &self.execution,
            call: &self.call,
            input: &self.input,
            policy: &self.policy,
            function: &self.function,
        };
        attempt.outcome(number, usage).await
    }
}

/// A call of something that the service does.
pub(crate) struct PendingTarget {
    pub(crate) execution: Arc<ExecutionState>,
    pub(crate) scope: Arc<Scope>,
    pub(crate) call: Call,
    pub(crate) input: Json,
    pub(crate) retry: RetryPolicy,
    pub(crate) timeout: Option<Duration>,
}

impl PendingTarget {
    pub(crate) async fn outcome(self, made: Made) -> Outcome {
        let _waiting = self.scope.wait();
        match made {
            Made::Recorded(reply) => recorded(reply).await,
            Made::Mismatch => std::future::pending().await,
            Made::New => {
                if let Some(cancelled) = self.execution.cancellation() {
                    return Err(cancelled);
                }
                let call = TargetCall {
                    call: self.call.clone(),
                    input: self.input,
                    retry: self.retry,
                    timeout: self.timeout,
                };
                let asked = ask(
                    &self.execution,
                    &self.call,
                    WorkerMessage::Call(Box::new(call)),
                );
                tokio::select! {
                    biased;
                    reply = asked => match reply {
                        Reply::Outcome(outcome) => outcome,
                        // The engine tries again itself.
                        Reply::Retry(_) => std::future::pending().await,
                    },
                    () = self.execution.cancelled.cancelled() => Err(self
                        .execution
                        .cancellation()
                        .unwrap_or_else(Failure::cancelled)),
                }
            }
        }
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
                let record = Record {
                    call: self.call.clone(),
                    attempt: 1,
                    outcome: value(),
                    retry: RetryPolicy::NEVER,
                    cache: None,
                    usage: Usage::default(),
                };
                let record = WorkerMessage::Record(Box::new(record));
                match ask(self.execution, &self.call, record).await {
                    Reply::Outcome(outcome) => outcome,
                    Reply::Retry(_) => std::future::pending().await,
                }
            }
        }
    }
}

/// Tells the engine something about a call, and waits for what it says.
async fn ask(execution: &ExecutionState, call: &Call, message: WorkerMessage) -> Reply {
    let reply = execution.replay().wait_for(&call.id);
    execution.outbox.send(message).await;
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
