//! Tasks: the functions whose results are recorded.

use std::{
    fmt, future::Future, marker::PhantomData, ops::Deref, pin::Pin, sync::Arc, time::Duration,
};

use serde::{Serialize, de::DeserializeOwned};

use crate::{
    Call, CallId, Context, Failure, Json, RetryPolicy, Usage, UsageMeter, json,
    protocol::{CacheEntry, Event, MessagePiece, Outcome},
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
    pub(crate) description: String,
    pub(crate) input_schema: Option<Json>,
    pub(crate) output_schema: Option<Json>,
    pub(crate) policy: TaskPolicy,
    pub(crate) cache: Option<CachePolicy<I>>,
    pub(crate) function: TaskFunction,
    types: PhantomData<fn(I) -> O>,
}

/// TaskPolicy says when an attempt of a task ends, and what becomes of its outcome.
#[derive(Clone, Debug, Default)]
pub(crate) struct TaskPolicy {
    pub(crate) retry: RetryPolicy,
    pub(crate) timeout: Option<Duration>,
    pub(crate) idle_timeout: Option<Duration>,
    /// Where the result of a call is looked for first, and kept.
    pub(crate) cache: Option<CacheEntry>,
}

/// CachePolicy says for how long, and under which key, the results of a task are kept.
pub(crate) struct CachePolicy<I> {
    ttl: Duration,
    key: CacheKey<I>,
}

enum CacheKey<I> {
    /// The hash of the argument.
    Input,
    Function(Arc<dyn Fn(&I) -> String + Send + Sync>),
}

impl<I> CachePolicy<I> {
    /// Where the result of a call is kept.
    pub(crate) fn entry(&self, call: &Call, input: &I) -> CacheEntry {
        let key = match &self.key {
            CacheKey::Input => call
                .input_hash
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect(),
            CacheKey::Function(key) => key(input),
        };
        CacheEntry { key, ttl: self.ttl }
    }
}

impl<I> Clone for CachePolicy<I> {
    fn clone(&self) -> Self {
        let key = match &self.key {
            CacheKey::Input => CacheKey::Input,
            CacheKey::Function(key) => CacheKey::Function(Arc::clone(key)),
        };
        Self { ttl: self.ttl, key }
    }
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
            description: String::new(),
            input_schema: None,
            output_schema: None,
            policy: TaskPolicy::default(),
            cache: None,
            function: erased,
            types: PhantomData,
        }
    }

    /// What it does, for people and models, where a worker [offers](crate::Worker::task) it.
    #[must_use]
    pub fn description(mut self, text: &str) -> Self {
        text.clone_into(&mut self.description);
        self
    }

    /// JSON Schema of the argument, where a worker offers it: calls that do not fit fail with
    /// `INVALID_ARGUMENT`.
    #[must_use]
    pub fn input_schema(mut self, schema: Json) -> Self {
        self.input_schema = Some(schema);
        self
    }

    /// JSON Schemas of argument and result, made from their types; see [`Task::input_schema`].
    #[must_use]
    pub fn typed(mut self) -> Self
    where
        I: schemars::JsonSchema,
        O: schemars::JsonSchema,
    {
        self.input_schema = json::encode("the schema", &schemars::schema_for!(I)).ok();
        self.output_schema = json::encode("the schema", &schemars::schema_for!(O)).ok();
        self
    }

    /// Tries the task again after retryable failures.
    #[must_use]
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.policy.retry = policy;
        self
    }

    /// Ends an attempt that takes longer with the retryable failure `TASK_TIMEOUT`.
    #[must_use]
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.policy.timeout = Some(limit);
        self
    }

    /// Ends an attempt that gives no sign of life for that long with the retryable failure
    /// `TASK_IDLE`. Signs of life are [`TaskContext::heartbeat`], whatever is streamed, and calls
    /// of its own that it waits for.
    #[must_use]
    pub fn idle_timeout(mut self, limit: Duration) -> Self {
        self.policy.idle_timeout = Some(limit);
        self
    }

    /// Keeps results for that long, for all calls with the same argument, on every thread of the
    /// tenant: those do not run the task. A result is kept for this task of this version of the
    /// entrypoint.
    #[must_use]
    pub fn cache(mut self, ttl: Duration) -> Self {
        let key = CacheKey::Input;
        self.cache = Some(CachePolicy { ttl, key });
        self
    }

    /// Like [`Task::cache`], for all calls whose arguments have the same key.
    #[must_use]
    pub fn cache_by<K>(mut self, ttl: Duration, key: K) -> Self
    where
        K: Fn(&I) -> String + Send + Sync + 'static,
    {
        let key = CacheKey::Function(Arc::new(key));
        self.cache = Some(CachePolicy { ttl, key });
        self
    }
}

impl<I, O> Clone for Task<I, O> {
    fn clone(&self) -> Self {
        Self {
            name: Arc::clone(&self.name),
            description: self.description.clone(),
            input_schema: self.input_schema.clone(),
            output_schema: self.output_schema.clone(),
            policy: self.policy.clone(),
            cache: self.cache.clone(),
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
    pub(crate) usage: UsageMeter,
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

    /// Says that the attempt gets on; see [`Task::idle_timeout`].
    pub fn heartbeat(&self) {
        self.context.scope.note_progress();
    }

    /// Notes what a language model took. It is recorded with the call, whatever comes of it.
    pub fn add_usage(&self, usage: Usage) {
        self.usage.add(usage);
    }

    /// Streams a piece of a message. Pieces are not recorded and never hold the task up: those that
    /// find no room are joined, and a reader that is too slow misses some.
    pub fn write_message_piece(&self, piece: MessagePiece) {
        self.heartbeat();
        self.context.execution.outbox.stream(Event::Message {
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
