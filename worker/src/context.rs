//! What the code of an entrypoint can ask and do.

mod calls;
mod values;

use std::{fmt, sync::Arc};

use serde::{Serialize, de::DeserializeOwned};
use uuid::Uuid;

use crate::{
    Failure, json,
    protocol::{Event, StartRun, Warning},
    scope::Scope,
    state::ExecutionState,
};

pub use calls::TaskCall;

/// Context is what the code of an entrypoint can ask and do. Cheap to clone.
///
/// Calls get their place in the journal when they are made, in program order. Futures that are joined
/// or raced make theirs in the same order in every replay; spawned tasks and threads do not, and
/// must not make any.
#[derive(Clone)]
pub struct Context {
    pub(crate) execution: Arc<ExecutionState>,
    pub(crate) scope: Arc<Scope>,
}

impl Context {
    pub(crate) fn new(execution: Arc<ExecutionState>) -> Self {
        let mut scope = Scope::new(None, "".into());
        scope.previous.clone_from(&execution.start.previous);
        Self {
            execution,
            scope: Arc::new(scope),
        }
    }

    fn start(&self) -> &StartRun {
        &self.execution.start
    }

    /// Id of the run.
    pub fn run_id(&self) -> Uuid {
        self.start().run_id
    }

    /// Thread of the run.
    pub fn thread_id(&self) -> &str {
        &self.start().thread_id
    }

    /// Times the run was handed to a worker, this one included.
    pub fn run_attempt(&self) -> u32 {
        self.start().attempt
    }

    /// What the thread's last run saved; `None` for the first run of a thread, and in tasks and
    /// entrypoints that are called by one.
    ///
    /// # Errors
    /// `TYPE_MISMATCH` if it has another shape.
    pub fn previous<T: DeserializeOwned>(&self) -> Result<Option<T>, Failure> {
        let previous = self.scope.previous.as_ref();
        previous
            .map(|previous| json::decode("what the last run saved", previous))
            .transpose()
    }

    /// Settings of the run.
    ///
    /// # Errors
    /// `TYPE_MISMATCH` if they have another shape.
    pub fn config<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        json::decode("the config", &self.start().config)
    }

    /// Writes to the run's custom stream. Nothing is recorded, and code is never held up: what finds
    /// no room waits for it, up to 4 MiB, and a reader that is too slow misses some.
    ///
    /// # Errors
    /// `NOT_SERIALIZABLE`.
    pub fn write<T: Serialize + ?Sized>(&self, value: &T) -> Result<(), Failure> {
        self.scope.note_progress();
        self.execution.outbox.stream(Event::Custom {
            call: self.scope.caller.clone(),
            task: Arc::clone(&self.scope.task),
            value: json::encode("what is written", value)?,
        });
        Ok(())
    }

    /// Whether the run was cancelled. Calls then fail with `CANCELLED`; a task that takes long can
    /// ask here whether to go on.
    pub fn is_cancelled(&self) -> bool {
        self.execution.cancelled.is_cancelled()
    }

    /// Completes when the run is cancelled.
    pub async fn cancelled(&self) {
        self.execution.cancelled.cancelled().await;
    }

    /// Tells those who follow the run's tasks something that does not stop it. Not recorded.
    pub fn warn(&self, reason: &str, message: impl Into<String>) {
        self.execution.outbox.stream(Event::Warning {
            call: self.scope.caller.clone(),
            task: Arc::clone(&self.scope.task),
            warning: Warning {
                reason: reason.to_owned(),
                message: message.into(),
            },
        });
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("run_id", &self.run_id())
            .finish_non_exhaustive()
    }
}
