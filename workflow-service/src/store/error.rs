//! Why the store did not do something.

use std::sync::Arc;

use crate::domain::{CheckpointId, RunId, RunState, ThreadId};

/// Most open interrupts that an error names.
const MAX_NAMED: usize = 8;

/// StoreError says why the store did not do something.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// The thread has an unfinished run, and what was asked for does not wait.
    #[error("thread `{thread}` has the unfinished run `{run}`; wait for its end, or cancel it")]
    ThreadBusy {
        /// The thread.
        thread: ThreadId,
        /// The run that has it, or else one that waits for it.
        run: RunId,
    },
    /// A run of the thread has begun and is not finished.
    #[error("thread `{thread}` is in use by run `{run}`; wait for its end, or cancel it")]
    ThreadInUse {
        /// The thread.
        thread: ThreadId,
        /// The run that has it.
        run: RunId,
    },
    /// The thread has a newer checkpoint than the one that the recorded results of a run follow
    /// from.
    #[error(
        "run `{run}` began with {}, and its thread has come to `{newest}` since; start a new run to \
         build on that, or retry with `branch` to go on from where it began",
        began_with.map_or_else(|| "an empty thread".to_owned(), |id| format!("checkpoint `{id}`"))
    )]
    ThreadMovedOn {
        /// The run.
        run: RunId,
        /// The checkpoint that it builds on.
        began_with: Option<CheckpointId>,
        /// The newest checkpoint of its thread.
        newest: CheckpointId,
    },
    /// The thread has no such checkpoint.
    #[error("the thread has no checkpoint `{0}`")]
    NoSuchCheckpoint(CheckpointId),
    /// The request id was used for another request.
    #[error(
        "request id `{request}` started run `{run}` with another request; to start another \
         run, use another request id"
    )]
    RequestIdReused {
        /// The request id.
        request: String,
        /// The run of the first request.
        run: RunId,
    },
    /// The request id is that of a run that has been deleted.
    #[error(
        "request id `{request}` started run `{run}`, which has been deleted since; to start another \
         run, use another request id"
    )]
    RunDeleted {
        /// The request id.
        request: String,
        /// The run.
        run: RunId,
    },
    /// There is no such run.
    #[error("there is no run `{0}`")]
    NoSuchRun(RunId),
    /// There is no such thread.
    #[error("there is no thread `{0}`")]
    NoSuchThread(ThreadId),
    /// There is such a thread already.
    #[error("there is a thread `{0}` already")]
    ThreadExists(ThreadId),
    /// The run is in another state.
    #[error("run `{id}` is {state}, and must be {required}")]
    WrongState {
        /// The run.
        id: RunId,
        /// Its state.
        state: RunState,
        /// The states it must be in.
        required: &'static str,
    },
    /// The run does not ask that, or not any longer.
    #[error("the interrupt `{interrupt}` of run `{run}` {}", not_open(*was_answered, open))]
    NoSuchInterrupt {
        /// The run.
        run: RunId,
        /// The id of the interrupt.
        interrupt: String,
        /// Whether it did ask.
        was_answered: bool,
        /// The ids of those that are open.
        open: Vec<String>,
    },
    /// One answer was given to several interrupts.
    #[error("run `{run}` waits for {count} answers; give them by interrupt id")]
    AmbiguousAnswer {
        /// The run.
        run: RunId,
        /// Open interrupts.
        count: usize,
    },
    /// The run belongs to another dispatch now, or rests.
    #[error("the run no longer belongs to this dispatch")]
    Fenced,
    /// The store cannot be used now; trying again may help.
    #[error("the checkpoint store is not available: {0}")]
    Unavailable(Arc<str>),
    /// The disk takes no more; what was written before is safe. Trying again may help.
    #[error("the disk of the checkpoint store takes no writes: {0}")]
    DiskRefuses(Arc<str>),
    /// The file is not what was written to it, and takes no more writes. Trying again does not help.
    #[error(
        "`workflow.db` is damaged ({0}); stop the service and put a backup in its place: see `Backups` in README"
    )]
    Damaged(Arc<str>),
    /// Something stored cannot be read.
    #[error("stored data cannot be read: {0}")]
    Corrupt(Arc<str>),
}

fn not_open(was_answered: bool, open: &[String]) -> String {
    if was_answered {
        return "was answered already".to_owned();
    }
    let named: Vec<_> = open
        .iter()
        .take(MAX_NAMED)
        .map(|id| format!("`{id}`"))
        .collect();
    match (named.join(", "), open.len().saturating_sub(MAX_NAMED)) {
        (named, _) if named.is_empty() => "is not open, and no other one is".to_owned(),
        (named, 0) => format!("is not open; open are {named}"),
        (named, more) => format!("is not open; open are {named} and {more} more"),
    }
}
