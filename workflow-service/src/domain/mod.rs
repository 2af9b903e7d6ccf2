//! Words and rules of the service. Knows no transport and no database.

pub mod checkpoint;
pub mod clock;
pub mod event;
pub mod history;
pub mod ids;
pub mod run;
pub mod thread;

pub use checkpoint::{Checkpoint, CheckpointSource};
pub use clock::Timestamp;
pub use event::{Event, EventKind, StreamMode, TaskStep};
pub use history::Origin;
pub use ids::{CheckpointId, RunId, ThreadId};
pub use run::{
    Concurrency, Durability, IllegalTransition, Interrupt, Run, RunState, StopRequest, Transition,
};
pub use thread::{Thread, ThreadState};
