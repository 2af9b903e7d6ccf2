//! Events: what happens in a run, as streams show it.

use std::sync::Arc;

use weft_worker::{
    CallId, Failure, Json, Usage,
    protocol::{MessagePiece, Warning},
};

use super::{Checkpoint, Interrupt, Run, RunId, Timestamp};

/// Event is something that happened in a run.
#[derive(Clone, Debug)]
pub struct Event {
    /// Grows with every event of the run.
    pub sequence: i64,
    /// Run it belongs to.
    pub run_id: RunId,
    /// When it happened.
    pub time: Timestamp,
    /// What happened.
    pub kind: EventKind,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum EventKind {
    /// The entrypoint's output.
    Value(Json),
    /// The run stopped to ask.
    Interrupted(Vec<Interrupt>),
    /// A result was recorded.
    Update {
        /// Task that returned it; the entrypoint's name for its output.
        task: Arc<str>,
        /// Call of the task; `None` for the entrypoint.
        call: Option<CallId>,
        /// The result.
        result: Json,
        /// Whether it came from a cache.
        is_cached: bool,
    },
    /// A piece of a message that a model writes.
    Message {
        /// Call that writes.
        call: CallId,
        /// Name of the task.
        task: Arc<str>,
        /// The piece.
        piece: MessagePiece,
        /// Whether to forget this message's pieces, because the task is tried again.
        reset: bool,
    },
    /// User code wrote to the stream.
    Custom {
        /// Call that wrote; `None` for the entrypoint.
        call: Option<CallId>,
        /// Name of the task; empty for the entrypoint.
        task: Arc<str>,
        /// What it wrote.
        value: Json,
    },
    /// A step in a task's life.
    Task {
        /// Call of the task.
        call: CallId,
        /// Name of the task.
        task: Arc<str>,
        /// 1 for the first attempt.
        attempt: u32,
        /// What happened.
        step: TaskStep,
        /// What language models took, once it is known.
        usage: Usage,
    },
    /// Something that people should know, and that does not stop the run.
    Warning {
        /// Call it is about; `None` for the entrypoint.
        call: Option<CallId>,
        /// Name of the task; empty for the entrypoint.
        task: Arc<str>,
        /// What.
        warning: Warning,
    },
    /// A checkpoint was written.
    Checkpoint(Box<Checkpoint>),
    /// The run has a new state.
    Run(Box<Run>),
    /// Events could not be delivered.
    Gap {
        /// How many.
        dropped: i64,
    },
}

/// Step in the life of a task call.
#[derive(Clone, Debug)]
pub enum TaskStep {
    /// An attempt began, with this argument.
    Started(Json),
    /// An attempt failed and another follows.
    Retrying {
        /// Why.
        failure: Failure,
        /// When the next attempt starts.
        next_attempt_time: Timestamp,
    },
    /// This result was recorded.
    Succeeded(Json),
    /// It failed for good.
    Failed(Failure),
}

/// What a stream shows. The numbers are those of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i32)]
pub enum StreamMode {
    /// The output of the entrypoint, or its interrupts.
    Values = 1,
    /// Recorded results.
    Updates = 2,
    /// Pieces of messages.
    Messages = 3,
    /// What user code writes.
    Custom = 4,
    /// Steps of tasks.
    Tasks = 5,
    /// Checkpoints.
    Checkpoints = 6,
    /// Changes of the run's state.
    States = 7,
}

impl EventKind {
    /// Mode that selects the event; `None` for one that every stream shows.
    pub const fn mode(&self) -> Option<StreamMode> {
        match self {
            Self::Value(_) | Self::Interrupted(_) => Some(StreamMode::Values),
            Self::Update { .. } => Some(StreamMode::Updates),
            Self::Message { .. } => Some(StreamMode::Messages),
            Self::Custom { .. } => Some(StreamMode::Custom),
            Self::Task { .. } | Self::Warning { .. } => Some(StreamMode::Tasks),
            Self::Checkpoint(_) => Some(StreamMode::Checkpoints),
            Self::Run(_) => Some(StreamMode::States),
            Self::Gap { .. } => None,
        }
    }

    /// Whether a stream of these modes shows the event.
    pub fn is_shown_in(&self, modes: &[StreamMode]) -> bool {
        // A run that stopped to ask has no output to show: its questions stand for it.
        let stands_for_update =
            matches!(self, Self::Interrupted(_)) && modes.contains(&StreamMode::Updates);
        stands_for_update || self.mode().is_none_or(|mode| modes.contains(&mode))
    }

    /// Roughly the memory it holds, in bytes, so that what is kept of a run can be bounded.
    pub fn weight(&self) -> usize {
        let payload = match self {
            Self::Value(json)
            | Self::Update { result: json, .. }
            | Self::Custom { value: json, .. } => json.get().len(),
            Self::Interrupted(interrupts) => interrupts
                .iter()
                .map(|interrupt| interrupt.value.get().len())
                .sum(),
            Self::Message { piece, .. } => piece.text.len(),
            Self::Task {
                step: TaskStep::Started(json) | TaskStep::Succeeded(json),
                ..
            } => json.get().len(),
            Self::Checkpoint(checkpoint) => {
                checkpoint.value.get().len() + checkpoint.saved.get().len()
            }
            Self::Run(run) => run.input.get().len() + run.config.get().len(),
            Self::Warning { warning, .. } => warning.message.len(),
            Self::Task { .. } | Self::Gap { .. } => 0,
        };
        payload + 256
    }
}
