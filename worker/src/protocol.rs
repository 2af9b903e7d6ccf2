//! The worker protocol: what a worker and the engine tell each other, and the in-memory link.
//!
//! An *execution* is one dispatch of a run to a worker; its id fences everything that is said about
//! it. The rules:
//! - A [`Record`] becomes visible to the entrypoint's code only by the [`ToWorker::Ack`] that
//!   follows its commit. Acks come in commit order.
//! - A worker makes progress on its inbox whatever its user code does, so that neither side can
//!   block the other for good.
//! - [`ToWorker::Fenced`] ends an execution: nothing said about it counts any longer.

mod offer;

use std::{sync::Arc, time::Duration};

use tokio::sync::mpsc;
use uuid::Uuid;

use crate::{Call, CallId, Failure, Json, RetryPolicy, Usage};

pub use crate::outbox::Outbox;
pub use offer::{Done, RunTask};

/// Messages that may wait in each direction of an in-memory link.
const LINK_CAPACITY: usize = 1024;
/// Text that pieces of a message are joined to at most, in bytes, so that each can be streamed to
/// every reader.
const MAX_JOINED_BYTES: usize = 64 * 1024;

/// ExecutionId names one dispatch of a run; never used twice by one engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ExecutionId(pub u64);

/// Outcome is what a task returned or why it failed.
pub type Outcome = Result<Json, Failure>;

/// What the engine tells a worker.
#[derive(Clone, Debug)]
pub enum ToWorker {
    /// Execute a run.
    StartRun(Box<StartRun>),
    /// A record is committed; code may see this outcome.
    Ack {
        /// Execution it belongs to.
        execution: ExecutionId,
        /// The recorded call.
        call: CallId,
        /// What is recorded: the first outcome that was committed for the call.
        outcome: Outcome,
    },
    /// Run the task: its failure is not final, or its cache has nothing for it.
    Retry {
        /// Execution it belongs to.
        execution: ExecutionId,
        /// The call to run.
        call: CallId,
        /// When, from now.
        after: Duration,
    },
    /// Execute a task on offer.
    RunTask(Box<RunTask>),
    /// The run is to stop: calls of its code fail from now on. It may clean up and finish.
    Cancel {
        /// The execution.
        execution: ExecutionId,
        /// Sentence for people.
        reason: String,
    },
    /// The execution is over; forget it.
    Fenced {
        /// The execution.
        execution: ExecutionId,
    },
}

/// StartRun hands a run to a worker.
#[derive(Clone, Debug)]
pub struct StartRun {
    /// Id of this dispatch.
    pub execution: ExecutionId,
    /// The run.
    pub run_id: Uuid,
    /// Thread of the run.
    pub thread_id: Arc<str>,
    /// Entrypoint to call.
    pub entrypoint: Arc<str>,
    /// Version of it.
    pub version: Arc<str>,
    /// 1 for the first dispatch of the run.
    pub attempt: u32,
    /// Argument.
    pub input: Json,
    /// What the thread's last run saved.
    pub previous: Option<Json>,
    /// Settings of the run, a JSON object.
    pub config: Json,
    /// Recorded calls, in commit order.
    pub journal: Vec<JournalEntry>,
}

/// JournalEntry is the recorded outcome of a call.
#[derive(Clone, Debug)]
pub struct JournalEntry {
    /// The call.
    pub call: Call,
    /// Its outcome.
    pub outcome: Outcome,
}

/// What a worker tells the engine.
#[derive(Clone, Debug)]
pub struct FromWorker {
    /// Execution it is about.
    pub execution: ExecutionId,
    /// What it says.
    pub message: WorkerMessage,
}

/// What a worker says about an execution.
#[derive(Clone, Debug)]
pub enum WorkerMessage {
    /// An attempt of a task ended.
    Record(Box<Record>),
    /// The engine is to do something itself and to record what comes of it. Answered by an
    /// [`ToWorker::Ack`].
    Call(Box<TargetCall>),
    /// A task is called that may be cached. Answered by an [`ToWorker::Ack`] if it is, else by a
    /// [`ToWorker::Retry`] at once.
    Lookup(Box<Lookup>),
    /// Something to stream; not recorded.
    Event(Event),
    /// The code can do nothing until something happens outside. Ends the execution.
    Suspend(Box<Suspend>),
    /// The entrypoint returned, failed, or cannot be replayed. Ends the execution.
    Finish(Box<Finish>),
    /// A task on offer returned or failed. Ends the execution.
    Done(Box<Done>),
}

/// Suspend says what the code waits for. The run is handed to a worker again once some of it has
/// happened.
#[derive(Clone, Debug)]
pub struct Suspend {
    /// Questions without an answer, in the order of their calls.
    pub interrupts: Vec<Question>,
    /// When the next timer is due, in microseconds since the Unix epoch.
    pub wake_time: Option<i64>,
}

/// Question is an interrupt that waits for its answer.
#[derive(Clone, Debug)]
pub struct Question {
    /// The call that asks.
    pub call: Call,
    /// Task that asks; `None` for the entrypoint itself.
    pub asked_by: Option<Arc<str>>,
    /// What is asked.
    pub value: Json,
}

/// Record asks the engine to record the end of an attempt.
#[derive(Clone, Debug)]
pub struct Record {
    /// The call.
    pub call: Call,
    /// 1 for the first attempt of this execution.
    pub attempt: u32,
    /// What the attempt came to.
    pub outcome: Outcome,
    /// What to do about a retryable failure.
    pub retry: RetryPolicy,
    /// Where to keep a result for other calls.
    pub cache: Option<CacheEntry>,
    /// What all attempts of this execution used.
    pub usage: Usage,
}

/// TargetCall asks the engine to do something itself, such as to call a language model.
#[derive(Clone, Debug)]
pub struct TargetCall {
    /// The call; its `task` names what is to be done, e.g. `llm/chat`.
    pub call: Call,
    /// Argument.
    pub input: Json,
    /// What to do about a retryable failure.
    pub retry: RetryPolicy,
    /// Longest time of one attempt.
    pub timeout: Option<Duration>,
}

/// Lookup asks whether the result of a task is cached.
#[derive(Clone, Debug)]
pub struct Lookup {
    /// The call.
    pub call: Call,
    /// Under which key.
    pub key: String,
}

/// CacheEntry says where, and for how long, a result is kept for other calls of the same task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheEntry {
    /// Key, beside the names of entrypoint, version and task.
    pub key: String,
    /// How long.
    pub ttl: Duration,
}

/// Event is something to stream while a run executes.
#[derive(Clone, Debug)]
pub enum Event {
    /// An attempt of a task began.
    TaskStarted {
        /// The call.
        call: CallId,
        /// Name of the task.
        task: Arc<str>,
        /// 1 for the first attempt.
        attempt: u32,
        /// Argument of the task.
        input: Json,
    },
    /// A piece of a message that a model writes.
    Message {
        /// The call that writes.
        call: CallId,
        /// Name of the task.
        task: Arc<str>,
        /// The piece.
        piece: MessagePiece,
    },
    /// Something that user code writes to the stream.
    Custom {
        /// The call that writes; `None` for the entrypoint itself.
        call: Option<CallId>,
        /// Name of the task; empty for the entrypoint itself.
        task: Arc<str>,
        /// What it writes.
        value: Json,
    },
    /// Something that people should know, and that does not stop the run.
    Warning {
        /// The call it is about; `None` for the entrypoint itself.
        call: Option<CallId>,
        /// Name of the task; empty for the entrypoint itself.
        task: Arc<str>,
        /// What.
        warning: Warning,
    },
    /// Events that code wrote here are lost: there were more than could be held until there was
    /// room for them.
    Dropped {
        /// How many.
        count: u64,
    },
}

/// Warning is something that people should know, and that does not stop the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// Stable UPPER_SNAKE_CASE reason, for programs.
    pub reason: String,
    /// Sentence for people.
    pub message: String,
}

impl Warning {
    /// Reason of a warning that says what its call waits for. A run shows it as its reason until
    /// the call says something else.
    pub const WAITS: &str = "WAITS";
    /// Reason of a warning that says that a call which waited goes on.
    pub const GOES_ON: &str = "GOES_ON";
}

/// MessagePiece is a piece of a message that a model writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessagePiece {
    /// Message it belongs to.
    pub message_id: Arc<str>,
    /// What of the message goes on.
    pub part: MessagePart,
    /// Text to append to it.
    pub text: String,
    /// Model that writes, as `provider:model`.
    pub model: Arc<str>,
}

impl MessagePiece {
    /// Makes one piece of this and `next`, if that goes on with the same part of the same message
    /// and they are not too long to be one. Says whether it did.
    pub fn join(&mut self, next: &Self) -> bool {
        let is_one = self.message_id == next.message_id
            && self.part == next.part
            && self.model == next.model
            && self.text.len() + next.text.len() <= MAX_JOINED_BYTES;
        if is_one {
            self.text.push_str(&next.text);
        }
        is_one
    }
}

/// MessagePart is what a piece of a message goes on with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum MessagePart {
    /// What the message says.
    #[default]
    Text,
    /// What the model thinks.
    Thinking,
    /// The arguments of a call of a tool.
    ToolCall {
        /// Place of the call among those of its message, from 0.
        index: u32,
        /// Id of the call; empty as long as the provider has not told it.
        id: Arc<str>,
        /// Name of the tool; empty likewise.
        name: Arc<str>,
    },
}

/// Finish ends an execution.
#[derive(Clone, Debug)]
pub enum Finish {
    /// The entrypoint returned.
    Returned {
        /// Value for the caller.
        value: Json,
        /// Value for the thread's next run.
        saved: Json,
    },
    /// The entrypoint failed. Retryable failures are tried again as `retry` says.
    Failed {
        /// Why.
        failure: Failure,
        /// Policy of the entrypoint.
        retry: RetryPolicy,
    },
    /// The code does not do what the journal says it did.
    Mismatch(Failure),
}

/// The worker's end of a link.
#[derive(Debug)]
pub struct WorkerLink {
    /// From the engine; closed when the engine lets the worker go.
    pub inbox: mpsc::Receiver<ToWorker>,
    /// To the engine.
    pub outbox: mpsc::Sender<FromWorker>,
}

/// The engine's end of a link.
#[derive(Debug)]
pub struct EngineLink {
    /// From the worker; closed when the worker is gone.
    pub inbox: mpsc::Receiver<FromWorker>,
    /// To the worker.
    pub outbox: mpsc::Sender<ToWorker>,
}

/// A link between an engine and a worker in the same process.
pub fn in_memory_link() -> (WorkerLink, EngineLink) {
    let (to_worker, from_engine) = mpsc::channel(LINK_CAPACITY);
    let (to_engine, from_worker) = mpsc::channel(LINK_CAPACITY);
    (
        WorkerLink {
            inbox: from_engine,
            outbox: to_engine,
        },
        EngineLink {
            inbox: from_worker,
            outbox: to_worker,
        },
    )
}
