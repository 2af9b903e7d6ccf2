//! Why a task or an entrypoint failed.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use crate::CallId;

/// Failure is the recorded outcome of a task or an entrypoint that did not succeed.
///
/// It replays as it was recorded: code that catches it takes the same branch again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Stable UPPER_SNAKE_CASE reason, for programs.
    pub reason: String,
    /// Sentence for people.
    pub message: String,
    /// Whether another attempt may succeed. Only then a retry policy applies.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub retryable: bool,
    /// Earliest time until another attempt makes sense, if the cause said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<Duration>,
    /// Call that failed, if it was one: the innermost, where calls are nested.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<Box<FailedCall>>,
    /// Details for programs.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
}

/// FailedCall is the call that a failure comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedCall {
    /// Id of the call within the run.
    pub id: CallId,
    /// Name of the task.
    pub task: Arc<str>,
}

impl Failure {
    /// Reason of calls that fail because their run was cancelled.
    pub const CANCELLED: &'static str = "CANCELLED";

    /// The failure of a call whose run was cancelled.
    pub fn cancelled() -> Self {
        Self::new(Self::CANCELLED, "the run was cancelled")
    }

    /// A failure that no further attempt will mend.
    pub fn new(reason: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            message: message.into(),
            retryable: false,
            retry_after: None,
            call: None,
            metadata: BTreeMap::new(),
        }
    }

    /// A failure that may pass, such as a service that is away.
    pub fn transient(reason: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            retryable: true,
            ..Self::new(reason, message)
        }
    }

    /// Sets the earliest time until another attempt.
    #[must_use]
    pub fn retry_after(mut self, delay: Option<Duration>) -> Self {
        self.retry_after = delay;
        self
    }

    /// Names the call that failed, unless one is named already.
    #[must_use]
    pub fn of_call(mut self, id: &CallId, task: &Arc<str>) -> Self {
        self.call.get_or_insert_with(|| {
            Box::new(FailedCall {
                id: id.clone(),
                task: Arc::clone(task),
            })
        });
        self
    }

    /// Name of the task that failed, if it was one.
    pub fn task(&self) -> Option<&str> {
        self.call.as_ref().map(|call| &*call.task)
    }

    /// Adds a detail for programs.
    #[must_use]
    pub fn with(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata.insert(key.into(), value.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason, self.message)
    }
}

impl std::error::Error for Failure {}
