//! Calls: what is recorded of what an entrypoint asks for.

use std::{
    fmt,
    future::Future,
    marker::PhantomData,
    pin::Pin,
    sync::Arc,
    task::{Context as PollContext, Poll},
};

use serde::{Serialize, de::DeserializeOwned};

use super::Context;
use crate::{
    Call, CallId, CallKind, Entrypoint, Failure, Json, Target, Task, TaskContext,
    call::hash_input,
    json,
    pending::{PendingQuestion, PendingTarget, PendingTask},
    protocol::Outcome,
    state::ExecutionState,
    task::{TaskFunction, TaskPolicy},
};

impl Context {
    /// Calls a task. Its function starts when the result is first awaited.
    ///
    /// A call that is dropped, such as the one that loses a race, is stopped and not recorded. A
    /// call that is dropped because the run fails is given [`Entrypoint::sibling_grace`] to end, so
    /// that its result is not lost to a retry.
    pub fn call<I, O>(&self, task: &Task<I, O>, input: I) -> TaskCall<O>
    where
        I: Serialize + DeserializeOwned + Send + 'static,
        O: Serialize + DeserializeOwned + Send + 'static,
    {
        self.call_task(task, Ok(self.scope.next_call()), &input)
    }

    /// Calls a task under a key that stands for this call in every replay, whatever else the code
    /// calls around it: calls with keys may change their order, and new ones may come between them.
    /// Fails with `DUPLICATE_KEY` if this caller used the key before, with `INVALID_KEY` if it has
    /// not 1 to 256 bytes.
    pub fn call_keyed<I, O>(&self, key: &str, task: &Task<I, O>, input: I) -> TaskCall<O>
    where
        I: Serialize + DeserializeOwned + Send + 'static,
        O: Serialize + DeserializeOwned + Send + 'static,
    {
        self.call_task(task, self.scope.keyed_call(key), &input)
    }

    /// Calls something that the service does itself, such as `llm/chat`.
    pub fn call_target<I, O>(&self, target: &Target<I, O>, input: &I) -> TaskCall<O>
    where
        I: Serialize,
        O: DeserializeOwned + Send + 'static,
    {
        let id = self.scope.next_call();
        let name = Arc::clone(&target.name);
        let made = self.make(id, CallKind::Target, &name, "the argument", input);
        let (retry, timeout) = (target.retry, target.timeout);
        let outcome = made.map(|(call, input)| {
            let made = self.execution.make(&call);
            PendingTarget {
                execution: Arc::clone(&self.execution),
                scope: Arc::clone(&self.scope),
                call,
                input,
                retry,
                timeout,
            }
            .outcome(made)
        });
        TaskCall::new(&self.execution, outcome)
    }

    /// Calls an entrypoint as a part of this run, as if it were a task: its own calls are recorded
    /// within this call, and its questions are this run's. It has no `previous`, and what it saves
    /// is dropped.
    pub fn call_entrypoint<I, O>(&self, entrypoint: &Entrypoint, input: &I) -> TaskCall<O>
    where
        I: Serialize,
        O: DeserializeOwned + Send + 'static,
    {
        let id = self.scope.next_call();
        let name = Arc::clone(&entrypoint.name);
        let made = self.make(id, CallKind::Task, &name, "the input", input);
        let called = Arc::clone(&entrypoint.function);
        let function: TaskFunction = Arc::new(move |task: TaskContext, input: Json| {
            let returned = called(task.context, input);
            Box::pin(async move { Ok(returned.await?.value) })
        });
        let policy = TaskPolicy {
            retry: entrypoint.retry,
            ..TaskPolicy::default()
        };
        self.pending_task(made, policy, function)
    }

    /// Asks a question and waits for the answer, for as long as it takes: the run gives its worker
    /// back and is executed again once it is answered. Several questions can be open at once; each
    /// has an id of its own. `null` is an answer.
    pub fn interrupt<Q, A>(&self, question: &Q) -> TaskCall<A>
    where
        Q: Serialize + ?Sized,
        A: DeserializeOwned + Send + 'static,
    {
        let (id, name) = (self.scope.next_call(), "interrupt".into());
        let made = self.make(id, CallKind::Interrupt, &name, "the question", question);
        let outcome = made.map(|(call, value)| {
            let made = self.execution.make(&call);
            PendingQuestion {
                execution: Arc::clone(&self.execution),
                scope: Arc::clone(&self.scope),
                call,
                value,
            }
            .outcome(made)
        });
        TaskCall::new(&self.execution, outcome)
    }

    fn call_task<I, O>(
        &self,
        task: &Task<I, O>,
        id: Result<CallId, Failure>,
        input: &I,
    ) -> TaskCall<O>
    where
        I: Serialize,
        O: DeserializeOwned + Send + 'static,
    {
        let made =
            id.and_then(|id| self.make(id, CallKind::Task, &task.name, "the argument", input));
        let mut policy = task.policy.clone();
        if let (Some(cache), Ok((call, _))) = (&task.cache, &made) {
            policy.cache = Some(cache.entry(call, input));
        }
        self.pending_task(made, policy, Arc::clone(&task.function))
    }

    fn pending_task<O>(
        &self,
        made: Result<(Call, Json), Failure>,
        policy: TaskPolicy,
        function: TaskFunction,
    ) -> TaskCall<O>
    where
        O: DeserializeOwned + Send + 'static,
    {
        let outcome = made.map(|(call, input)| {
            let made = self.execution.make(&call);
            PendingTask {
                execution: Arc::clone(&self.execution),
                scope: Arc::clone(&self.scope),
                call,
                input,
                policy,
                function,
            }
            .outcome(made)
        });
        TaskCall::new(&self.execution, outcome)
    }

    /// What a call asks for. Fails if the argument is no JSON, and where nothing can be called.
    fn make<T: Serialize + ?Sized>(
        &self,
        id: CallId,
        kind: CallKind,
        task: &Arc<str>,
        what: &str,
        input: &T,
    ) -> Result<(Call, Json), Failure> {
        self.execution.may_call(task)?;
        let input = json::encode(what, input).map_err(|failure| failure.of_call(&id, task))?;
        let call = Call {
            id,
            kind,
            task: Arc::clone(task),
            input_hash: hash_input(&input),
        };
        Ok((call, input))
    }
}

/// TaskCall is a call whose result is recorded; awaiting it gives that result.
#[must_use = "a task starts when its call is awaited"]
pub struct TaskCall<O> {
    execution: Arc<ExecutionState>,
    progress: Progress,
    types: PhantomData<fn() -> O>,
}

type Pending = Pin<Box<dyn Future<Output = Outcome> + Send>>;

enum Progress {
    /// Nobody has asked for it yet.
    Unawaited(Pending),
    UnderWay(Pending),
    Done,
}

impl<O> TaskCall<O> {
    fn new(
        execution: &Arc<ExecutionState>,
        outcome: Result<impl Future<Output = Outcome> + Send + 'static, Failure>,
    ) -> Self {
        let pending: Pending = match outcome {
            Ok(outcome) => Box::pin(outcome),
            Err(failure) => Box::pin(std::future::ready(Err(failure))),
        };
        Self {
            execution: Arc::clone(execution),
            progress: Progress::Unawaited(pending),
            types: PhantomData,
        }
    }
}

impl<O: DeserializeOwned> Future for TaskCall<O> {
    type Output = Result<O, Failure>;

    fn poll(mut self: Pin<&mut Self>, context: &mut PollContext<'_>) -> Poll<Self::Output> {
        let (Progress::Unawaited(mut pending) | Progress::UnderWay(mut pending)) =
            std::mem::replace(&mut self.progress, Progress::Done)
        else {
            return Poll::Pending;
        };
        match pending.as_mut().poll(context) {
            Poll::Ready(outcome) => Poll::Ready(
                outcome.and_then(|outcome| json::decode("the recorded result", &outcome)),
            ),
            Poll::Pending => {
                self.progress = Progress::UnderWay(pending);
                Poll::Pending
            }
        }
    }
}

impl<O> Drop for TaskCall<O> {
    fn drop(&mut self) {
        let progress = std::mem::replace(&mut self.progress, Progress::Done);
        if let Progress::UnderWay(pending) = progress {
            self.execution.keep_dropped(pending);
        }
    }
}

impl<O> fmt::Debug for TaskCall<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskCall").finish_non_exhaustive()
    }
}
