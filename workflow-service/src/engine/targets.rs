//! Call targets: what the service does itself when a run calls it.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};

use async_trait::async_trait;
use service_runtime::Tenant;
use weft_worker::{
    CallId, Failure, Json, RetryPolicy, Usage, UsageMeter,
    protocol::{Event, MessagePiece, Outbox, Outcome, Warning},
};

use crate::domain::RunId;

/// CallTarget is something that the service does itself when a run calls it by name, such as
/// `llm/chat`. Its outcome is recorded like that of a task; retries and timeouts are the engine's.
#[async_trait]
pub trait CallTarget: Send + Sync + 'static {
    /// Does it. Dropped when the run is cancelled or the attempt takes too long.
    async fn call(&self, context: TargetContext, input: Json) -> Outcome;
}

/// TargetContext is what one attempt of a target can know and do.
#[derive(Clone, Debug)]
pub struct TargetContext {
    /// Tenant of the run.
    pub tenant: Tenant,
    /// The run.
    pub run_id: RunId,
    /// Thread of the run.
    pub thread_id: Arc<str>,
    /// Settings of the run, a JSON object.
    pub config: Json,
    /// The call.
    pub call: CallId,
    /// Name of the target.
    pub target: Arc<str>,
    /// 1 for the first attempt.
    pub attempt: u32,
    /// How long the attempt may take, if that is bounded.
    pub timeout: Option<Duration>,
    /// What the call asks to be done about a retryable failure.
    pub retry: RetryPolicy,
    /// What is done instead.
    pub(super) other_retry: Arc<OnceLock<RetryPolicy>>,
    pub(super) usage: UsageMeter,
    pub(super) outbox: Arc<Outbox>,
}

impl TargetContext {
    /// Key of this call: the same in every attempt and after every replay, and never that of
    /// another call.
    pub fn idempotency_key(&self) -> String {
        format!("{}/{}", self.run_id, self.call)
    }

    /// Notes what a language model took. It is recorded with the call, whatever comes of it.
    pub fn add_usage(&self, usage: Usage) {
        self.usage.add(usage);
    }

    /// Has a retryable failure of this attempt tried again by another policy than the call's. The
    /// first one that is set counts.
    pub fn retry_as(&self, policy: RetryPolicy) {
        let _ = self.other_retry.set(policy);
    }

    /// Tells those who follow the run's tasks something that does not stop it. Not recorded.
    pub fn warn(&self, reason: &str, message: impl Into<String>) {
        self.outbox.stream(Event::Warning {
            call: Some(self.call.clone()),
            task: Arc::clone(&self.target),
            warning: Warning {
                reason: reason.to_owned(),
                message: message.into(),
            },
        });
    }

    /// Streams a piece of a message. Pieces are not recorded and never hold the target up: those that
    /// find no room are joined, and a reader that is too slow misses some.
    pub fn write_message_piece(&self, piece: MessagePiece) {
        self.outbox.stream(Event::Message {
            call: self.call.clone(),
            task: Arc::clone(&self.target),
            piece,
        });
    }

    /// Streams something that a worker says while it does this, under this call, whatever the worker
    /// calls it.
    pub(super) fn pass_on(&self, event: Event) {
        let (call, task) = (self.call.clone(), Arc::clone(&self.target));
        self.outbox.stream(match event {
            // That is told of the call already.
            Event::TaskStarted { .. } => return,
            Event::Message { piece, .. } => Event::Message { call, task, piece },
            Event::Custom { value, .. } => Event::Custom {
                call: Some(call),
                task,
                value,
            },
            Event::Warning { warning, .. } => Event::Warning {
                call: Some(call),
                task,
                warning,
            },
            Event::Dropped { count } => Event::Dropped { count },
        });
    }
}

/// Targets are the targets that runs can call, by name. One whose name ends with `/*` is called by
/// every name that begins like it.
#[derive(Clone, Default)]
pub struct Targets(BTreeMap<Arc<str>, Arc<dyn CallTarget>>);

impl Targets {
    /// Adds a target, in place of another one of that name.
    #[must_use]
    pub fn with(mut self, name: &str, target: impl CallTarget) -> Self {
        self.0.insert(name.into(), Arc::new(target));
        self
    }

    /// The target of this name.
    ///
    /// # Errors
    /// `NO_SUCH_TARGET`, naming those that there are.
    pub(super) fn find(&self, name: &str) -> Result<Arc<dyn CallTarget>, Failure> {
        let family = || {
            let (family, _) = name.split_once('/')?;
            self.0.get(format!("{family}/*").as_str())
        };
        self.0.get(name).or_else(family).cloned().ok_or_else(|| {
            let names: Vec<&str> = self.0.keys().map(|name| &**name).collect();
            let names = match names.as_slice() {
                [] => "there are none".to_owned(),
                names => format!("there are: {}", names.join(", ")),
            };
            Failure::new(
                "NO_SUCH_TARGET",
                format!("this service has no target `{name}`; {names}"),
            )
        })
    }
}

impl fmt::Debug for Targets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
