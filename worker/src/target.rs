//! Targets: what the service does itself when code calls it.

use std::{fmt, marker::PhantomData, sync::Arc, time::Duration};

use crate::RetryPolicy;

/// Target is something that the service does itself, such as `llm/chat` or `memory/search`, or has
/// done by a worker that offers a task, `task/NAME`: the code that calls it needs neither a client
/// nor a key. Its result is recorded like that of a task.
pub struct Target<I, O> {
    pub(crate) name: Arc<str>,
    pub(crate) retry: RetryPolicy,
    pub(crate) timeout: Option<Duration>,
    types: PhantomData<fn(I) -> O>,
}

impl<I, O> Target<I, O> {
    /// The target with this name. Calls fail with `NO_SUCH_TARGET` if the service has none.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            retry: RetryPolicy::NEVER,
            timeout: None,
            types: PhantomData,
        }
    }

    /// Tries again after retryable failures.
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

impl<I, O> fmt::Debug for Target<I, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
