//! One attempt of a task, whoever called it.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures::FutureExt as _;

use crate::{
    Call, Context, Failure, Json, TaskContext, UsageMeter,
    protocol::Outcome,
    scope::Scope,
    state::ExecutionState,
    task::{TaskFunction, TaskPolicy},
};

/// What is attempted.
pub(crate) struct Attempt<'a> {
    pub(crate) execution: &'a Arc<ExecutionState>,
    pub(crate) call: &'a Call,
    pub(crate) input: &'a Json,
    pub(crate) policy: &'a TaskPolicy,
    pub(crate) function: &'a TaskFunction,
}

impl Attempt<'_> {
    /// Runs the function, for as long as the policy lets it.
    pub(crate) async fn outcome(self, attempt: u32, usage: UsageMeter) -> Outcome {
        let Self {
            execution, call, ..
        } = self;
        let scope = Scope::new(Some(call.id.clone()), Arc::clone(&call.task));
        let waits = Arc::clone(&scope.waits);
        let _at_work = execution.begin_attempt(call.id.clone(), waits);
        let scope = Arc::new(scope);
        let context = Context {
            execution: Arc::clone(execution),
            scope: Arc::clone(&scope),
        };
        let context = TaskContext {
            context,
            call: call.clone(),
            attempt,
            usage,
        };
        let function = Arc::clone(self.function);
        let input = Arc::clone(self.input);
        let run = AssertUnwindSafe(async move { function(context, input).await });
        let outcome = tokio::select! {
            biased;
            outcome = run.catch_unwind() => {
                outcome.unwrap_or_else(|panic| Err(panicked(panic.as_ref())))
            }
            timed_out = too_long(self.policy.timeout) => Err(timed_out),
            idle = too_idle(&scope, self.policy.idle_timeout) => Err(idle),
        };
        outcome.map_err(|failure| failure.of_call(&call.id, &call.task))
    }
}

/// Completes with the failure of an attempt that takes longer than it may.
async fn too_long(limit: Option<Duration>) -> Failure {
    let Some(limit) = limit else {
        return std::future::pending().await;
    };
    tokio::time::sleep(limit).await;
    let what = format!("an attempt took longer than {limit:?}");
    Failure::transient("TASK_TIMEOUT", what)
}

/// Completes with the failure of an attempt that gives no sign of life.
async fn too_idle(scope: &Scope, limit: Option<Duration>) -> Failure {
    let Some(limit) = limit else {
        return std::future::pending().await;
    };
    scope.idle(limit).await;
    let what = format!("an attempt gave no sign of life for {limit:?}");
    Failure::transient("TASK_IDLE", what)
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
