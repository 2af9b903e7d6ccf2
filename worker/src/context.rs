//! What the code of an entrypoint can ask and do.

use std::{
    fmt,
    future::Future,
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    task::Poll,
    time::Duration,
};

use futures::FutureExt as _;
use serde::{Serialize, de::DeserializeOwned};
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::{
    Call, CallId, Failure, Json, RetryPolicy, Task, TaskContext,
    call::hash_input,
    json,
    protocol::{Event, FromWorker, Outcome, Record, StartRun, WorkerMessage},
    replay::{Made, Replay, Reply},
    task::TaskFunction,
};

/// Context is what the code of an entrypoint can ask and do. Cheap to clone.
#[derive(Clone)]
pub struct Context {
    execution: Arc<ExecutionState>,
    scope: Arc<Scope>,
}

/// What all code of an execution shares.
pub(crate) struct ExecutionState {
    pub(crate) start: StartRun,
    outbox: mpsc::Sender<FromWorker>,
    replay: Mutex<Replay>,
    attempts_at_work: AtomicU32,
}

/// Where calls are made from: they are counted per caller.
struct Scope {
    caller: Option<CallId>,
    next_order: AtomicU32,
}

impl ExecutionState {
    pub(crate) fn new(mut start: StartRun, outbox: mpsc::Sender<FromWorker>) -> Self {
        let journal = std::mem::take(&mut start.journal);
        Self {
            start,
            outbox,
            replay: Mutex::new(Replay::new(journal)),
            attempts_at_work: AtomicU32::new(0),
        }
    }

    pub(crate) fn replay(&self) -> MutexGuard<'_, Replay> {
        // Nothing panics while it holds the lock, and a replay is valid after each of its steps.
        self.replay.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether no task is at work.
    pub(crate) fn is_idle(&self) -> bool {
        self.attempts_at_work.load(Ordering::Relaxed) == 0
    }

    pub(crate) async fn send(&self, message: WorkerMessage) {
        let message = FromWorker {
            execution: self.start.execution,
            message,
        };
        // A closed link means that the engine is gone: the execution is about to be dropped.
        let _ = self.outbox.send(message).await;
    }
}

impl Context {
    pub(crate) fn new(execution: Arc<ExecutionState>) -> Self {
        Self {
            execution,
            scope: Arc::new(Scope {
                caller: None,
                next_order: AtomicU32::new(0),
            }),
        }
    }

    /// Id of the run.
    pub fn run_id(&self) -> Uuid {
        self.execution.start.run_id
    }

    /// Thread of the run.
    pub fn thread_id(&self) -> &str {
        &self.execution.start.thread_id
    }

    /// Times the run was handed to a worker, this one included.
    pub fn run_attempt(&self) -> u32 {
        self.execution.start.attempt
    }

    /// What the thread's last run saved; `None` for the first run of a thread.
    ///
    /// # Errors
    /// `TYPE_MISMATCH` if it has another shape.
    pub fn previous<T: DeserializeOwned>(&self) -> Result<Option<T>, Failure> {
        self.execution
            .start
            .previous
            .as_ref()
            .map(|previous| json::decode("what the last run saved", previous))
            .transpose()
    }

    /// Settings of the run.
    ///
    /// # Errors
    /// `TYPE_MISMATCH` if they have another shape.
    pub fn config<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        json::decode("the config", &self.execution.start.config)
    }

    /// Calls a task. The call is made now and gets its place in the journal now; its function
    /// starts when the result is first awaited, and is dropped with it.
    pub fn call<I, O>(&self, task: &Task<I, O>, input: I) -> TaskCall<O>
    where
        I: Serialize + DeserializeOwned + Send + 'static,
        O: Serialize + DeserializeOwned + Send + 'static,
    {
        let order = self.scope.next_order.fetch_add(1, Ordering::Relaxed);
        let id = CallId::new(self.scope.caller.as_ref(), order);
        let prepared = json::encode("the argument", &input).map(|input| PreparedCall {
            execution: Arc::clone(&self.execution),
            call: Call {
                id,
                task: Arc::clone(&task.name),
                input_hash: hash_input(&input),
            },
            input,
            retry: task.retry,
            timeout: task.timeout,
            function: Arc::clone(&task.function),
        });
        let made = prepared
            .as_ref()
            .ok()
            .map(|p| self.execution.replay().make(&p.call));
        let name = Arc::clone(&task.name);
        TaskCall(Box::pin(async move {
            let outcome = match (prepared, made) {
                (Ok(prepared), Some(made)) => prepared.outcome(made).await,
                (Err(failure), _) => Err(failure),
                (Ok(_), None) => std::future::pending().await,
            };
            let output = outcome.map_err(|failure| failure.in_task(&name))?;
            json::decode("the recorded result", &output)
        }))
    }

    pub(crate) fn send_event(&self, event: Event) {
        let message = FromWorker {
            execution: self.execution.start.execution,
            message: WorkerMessage::Event(event),
        };
        // Events never hold code up: with a full link they are lost, and the stream shows a gap.
        let _ = self.execution.outbox.try_send(message);
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("run_id", &self.run_id())
            .finish_non_exhaustive()
    }
}

/// TaskCall is a call of a task; awaiting it gives the task's recorded result.
#[must_use = "a task starts when its call is awaited"]
pub struct TaskCall<O>(Pin<Box<dyn Future<Output = Result<O, Failure>> + Send>>);

impl<O> Future for TaskCall<O> {
    type Output = Result<O, Failure>;

    fn poll(mut self: Pin<&mut Self>, context: &mut std::task::Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(context)
    }
}

impl<O> fmt::Debug for TaskCall<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskCall").finish_non_exhaustive()
    }
}

struct PreparedCall {
    execution: Arc<ExecutionState>,
    call: Call,
    input: Json,
    retry: RetryPolicy,
    timeout: Option<Duration>,
    function: TaskFunction,
}

impl PreparedCall {
    async fn outcome(self, made: Made) -> Outcome {
        match made {
            Made::Recorded(reply) => match reply.await {
                Ok(Reply::Outcome(outcome)) => outcome,
                Ok(Reply::Retry(_)) | Err(_) => std::future::pending().await,
            },
            Made::New => self.attempts().await,
            Made::Mismatch => std::future::pending().await,
        }
    }

    async fn attempts(self) -> Outcome {
        let mut attempt = 1;
        loop {
            let outcome = self.attempt(attempt).await;
            let reply = self.execution.replay().wait_for(&self.call.id);
            let record = Record {
                call: self.call.clone(),
                attempt,
                outcome,
                retry: self.retry,
            };
            self.execution
                .send(WorkerMessage::Record(Box::new(record)))
                .await;
            match reply.await {
                Ok(Reply::Outcome(outcome)) => return outcome,
                Ok(Reply::Retry(after)) => tokio::time::sleep(after).await,
                // The execution was fenced; it is about to be dropped.
                Err(_) => std::future::pending().await,
            }
            attempt += 1;
        }
    }

    async fn attempt(&self, attempt: u32) -> Outcome {
        let scope = Scope {
            caller: Some(self.call.id.clone()),
            next_order: AtomicU32::new(0),
        };
        let context = Context {
            execution: Arc::clone(&self.execution),
            scope: Arc::new(scope),
        };
        context.send_event(Event::TaskStarted {
            call: self.call.id.clone(),
            task: Arc::clone(&self.call.task),
            attempt,
            input: Arc::clone(&self.input),
        });
        let task_context = TaskContext {
            context,
            call: self.call.clone(),
            attempt,
        };
        let function = Arc::clone(&self.function);
        let input = Arc::clone(&self.input);
        let run = AssertUnwindSafe(async move { function(task_context, input).await });
        let limit = self.timeout.unwrap_or(Duration::MAX);
        let _at_work = AtWork::new(&self.execution.attempts_at_work);
        match tokio::time::timeout(limit, run.catch_unwind()).await {
            Ok(Ok(outcome)) => outcome.map_err(|failure| failure.in_task(&self.call.task)),
            Ok(Err(panic)) => Err(panicked(panic.as_ref()).in_task(&self.call.task)),
            Err(_) => Err(Failure::transient(
                "TASK_TIMEOUT",
                format!("an attempt took longer than {limit:?}"),
            )
            .in_task(&self.call.task)),
        }
    }
}

/// Counts an attempt for as long as it lives.
struct AtWork<'a>(&'a AtomicU32);

impl<'a> AtWork<'a> {
    fn new(count: &'a AtomicU32) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
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
