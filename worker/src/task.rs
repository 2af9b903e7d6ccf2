//! Tasks: the functions whose results are recorded.

use std::{
    fmt, future::Future, marker::PhantomData, ops::Deref, pin::Pin, sync::Arc, time::Duration,
};

use serde::{Serialize, de::DeserializeOwned};

use crate::{
    Call, CallId, Context, Failure, Json, RetryPolicy, json,
    protocol::{Event, MessagePiece, Outcome},
};

pub(crate) type TaskFuture = Pin<Box<dyn Future<Output = Outcome> + Send>>;
pub(crate) type TaskFunction = Arc<dyn Fn(TaskContext, Json) -> TaskFuture + Send + Sync>;

/// Task is a function that an entrypoint calls and whose result is recorded.
///
/// Its function may run more than once, as long as no result was recorded; after that it never runs
/// again for the same call. Use [`TaskContext::idempotency_key`] where an effect must not be
/// repeated.
pub struct Task<I, O> {
    pub(crate) name: Arc<str>,
    pub(crate) retry: RetryPolicy,
    pub(crate) timeout: Option<Duration>,
    pub(crate) function: TaskFunction,
    types: PhantomData<fn(I) -> O>,
}

impl<I, O> Task<I, O>
where
    I: Serialize + DeserializeOwned + Send + 'static,
    O: Serialize + DeserializeOwned + Send + 'static,
{
    /// A task with this name, which is recorded with every call: renaming a task makes unfinished
    /// runs that called it mismatch.
    pub fn new<F, R>(name: &str, function: F) -> Self
    where
        F: Fn(TaskContext, I) -> R + Send + Sync + 'static,
        R: Future<Output = Result<O, Failure>> + Send + 'static,
    {
        let function = Arc::new(function);
        let erased: TaskFunction = Arc::new(move |context: TaskContext, input: Json| {
            let function = Arc::clone(&function);
            Box::pin(async move {
                let input = json::decode("the argument", &input)?;
                let output = function(context, input).await?;
                json::encode("the result", &output)
            })
        });
        Self {
            name: name.into(),
            retry: RetryPolicy::NEVER,
            timeout: None,
            function: erased,
            types: PhantomData,
        }
    }

    /// Tries the task again after retryable failures.
    #[must_use]
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.retry = policy;
        self
    }

    /// Ends an attempt that takes longer with the retryable failure `TASK_TIMEOUT`.
    #[must_use]
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = Some(limit);
        self
    }
}

impl<I, O> Clone for Task<I, O> {
    fn clone(&self) -> Self {
        Self {
            name: Arc::clone(&self.name),
            retry: self.retry,
            timeout: self.timeout,
            function: Arc::clone(&self.function),
            types: PhantomData,
        }
    }
}

impl<I, O> fmt::Debug for Task<I, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// TaskContext is what one attempt of a task can ask and do. It is a [`Context`] too: a task can
/// call tasks.
#[derive(Clone, Debug)]
pub struct TaskContext {
    pub(crate) context: Context,
    pub(crate) call: Call,
    pub(crate) attempt: u32,
}

impl TaskContext {
    /// Key of this call: the same in every attempt and after every replay, and never that of
    /// another call. Pass it on to make an effect happen once.
    pub fn idempotency_key(&self) -> String {
        format!("{}/{}", self.context.run_id(), self.call.id)
    }

    /// 1 for the first attempt since the run was last handed to a worker.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Id of this call within the run.
    pub fn call_id(&self) -> &CallId {
        &self.call.id
    }

    /// Streams a piece of a message. Pieces are not recorded and never hold the task up: a reader
    /// that is too slow misses some.
    pub fn write_message_piece(&self, piece: MessagePiece) {
        self.context.execution.send_event(Event::Message {
            call: self.call.id.clone(),
            task: Arc::clone(&self.call.task),
            piece,
        });
    }
}

impl Deref for TaskContext {
    type Target = Context;

    fn deref(&self) -> &Context {
        &self.context
    }
}
