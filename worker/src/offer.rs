//! Tasks on offer: those that runs of others can call.

use std::{fmt, sync::Arc};

use serde::{Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;
use tokio::{select, sync::mpsc};

use crate::{
    Call, CallKind, Clock, Failure, InvalidArgument, Json, RetryPolicy, Task, Usage, UsageMeter,
    attempt::Attempt,
    call::hash_input,
    execution::Reply,
    protocol::{Done, FromWorker, RunTask, StartRun, WorkerMessage},
    state::ExecutionState,
    task::{TaskFunction, TaskPolicy},
};

type Check = Arc<dyn Fn(&RawValue) -> Vec<InvalidArgument> + Send + Sync>;

/// TaskDescription is what a worker tells of a task that it offers.
#[derive(Clone)]
pub struct TaskDescription {
    /// Name that it is called by.
    pub name: Arc<str>,
    /// What it does, for people and models.
    pub description: String,
    /// JSON Schema of the argument; `None` if any JSON is taken.
    pub input_schema: Option<Json>,
    /// JSON Schema of the result; `None` if that is not told.
    pub output_schema: Option<Json>,
    check: Option<Check>,
}

impl TaskDescription {
    /// A task that takes anything.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self {
            name: name.into(),
            description: String::new(),
            input_schema: None,
            output_schema: None,
            check: None,
        }
    }

    /// Sets what an argument is checked with before a worker is given it.
    pub fn check_with<F>(&mut self, check: F)
    where
        F: Fn(&RawValue) -> Vec<InvalidArgument> + Send + Sync + 'static,
    {
        self.check = Some(Arc::new(check));
    }

    /// All that is wrong with an argument.
    pub fn check(&self, input: &RawValue) -> Vec<InvalidArgument> {
        self.check
            .as_ref()
            .map_or_else(Vec::new, |check| check(input))
    }
}

impl fmt::Debug for TaskDescription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskDescription")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// OfferedTask is a task of a worker, whatever its types.
#[derive(Clone)]
pub(crate) struct OfferedTask {
    pub(crate) description: TaskDescription,
    policy: TaskPolicy,
    function: TaskFunction,
}

impl OfferedTask {
    pub(crate) fn new<I, O>(task: Task<I, O>) -> Self
    where
        I: Serialize + DeserializeOwned + Send + 'static,
        O: Serialize + DeserializeOwned + Send + 'static,
    {
        Self {
            description: TaskDescription {
                name: task.name,
                description: task.description,
                input_schema: task.input_schema,
                output_schema: task.output_schema,
                check: None,
            },
            policy: task.policy,
            function: task.function,
        }
    }

    /// Runs the task, and says what came of it. Ends without a word once it is fenced: then `replies`
    /// is closed.
    pub(crate) async fn execute(
        self,
        run: RunTask,
        clock: Clock,
        outbox: mpsc::Sender<FromWorker>,
        mut replies: mpsc::Receiver<Reply>,
    ) {
        let call = Call {
            id: run.call,
            kind: CallKind::Task,
            task: run.task,
            input_hash: hash_input(&run.input),
        };
        let start = StartRun {
            execution: run.execution,
            run_id: run.run_id,
            thread_id: run.thread_id,
            entrypoint: Arc::clone(&call.task),
            version: "".into(),
            attempt: 1,
            input: Arc::clone(&run.input),
            previous: None,
            config: run.config,
            journal: Vec::new(),
        };
        let state = Arc::new(ExecutionState::offered(start, clock, outbox));
        // Also a worker that the service cannot reach stops in time.
        let limits = [self.policy.timeout, run.timeout];
        let policy = TaskPolicy {
            timeout: limits.into_iter().flatten().min(),
            ..self.policy
        };
        let usage = UsageMeter::default();
        let attempt = Attempt {
            execution: &state,
            call: &call,
            input: &run.input,
            policy: &policy,
            function: &self.function,
        };
        let fenced = async { while replies.recv().await.is_some() {} };
        let outcome = select! {
            biased;
            () = fenced => return,
            outcome = attempt.outcome(run.attempt, usage.clone()) => outcome,
            // After the task, so that what it has just streamed is sent.
            never = state.outbox.forward() => match never {},
        };
        let done = Done {
            outcome,
            retry: policy.retry,
            usage: usage.total(),
        };
        let done = WorkerMessage::Done(Box::new(done));
        state.outbox.send(done).await;
    }
}

impl fmt::Debug for OfferedTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.description.fmt(f)
    }
}

/// The failure of a call of a task that the worker does not offer.
pub(crate) fn unknown(task: &str) -> WorkerMessage {
    let what = format!("this worker does not offer the task `{task}`");
    WorkerMessage::Done(Box::new(Done {
        outcome: Err(Failure::new("NO_SUCH_TASK", what)),
        retry: RetryPolicy::NEVER,
        usage: Usage::default(),
    }))
}
