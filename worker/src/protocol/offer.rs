//! What is said about tasks on offer.

use std::{sync::Arc, time::Duration};

use uuid::Uuid;

use super::{ExecutionId, Outcome};
use crate::{CallId, Json, RetryPolicy, Usage};

/// RunTask hands a call of a task on offer to a worker, which answers with
/// [`Done`].
#[derive(Clone, Debug)]
pub struct RunTask {
    /// Id of this attempt.
    pub execution: ExecutionId,
    /// The run that calls.
    pub run_id: Uuid,
    /// Thread of the run.
    pub thread_id: Arc<str>,
    /// The call.
    pub call: CallId,
    /// Name of the task.
    pub task: Arc<str>,
    /// 1 for the first attempt since the run was last handed to a worker.
    pub attempt: u32,
    /// Argument.
    pub input: Json,
    /// Settings of the run, a JSON object.
    pub config: Json,
    /// How long it may take until it is fenced; `None` for no bound.
    pub timeout: Option<Duration>,
}

/// Done is what an attempt of a task on offer came to.
#[derive(Clone, Debug)]
pub struct Done {
    /// What it returned or why it failed.
    pub outcome: Outcome,
    /// What to do about a retryable failure, if the call does not say.
    pub retry: RetryPolicy,
    /// What language models took that the worker called itself, in this attempt.
    pub usage: Usage,
}
