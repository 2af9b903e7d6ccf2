//! The one thread that writes: what makes "read, check, write" atomic, and many puts one
//! operation of the engine.
//!
//! It takes whatever is waiting, up to a bound, and never waits for more.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use service_runtime::Tenant;
use tokio::sync::{mpsc, oneshot};

use super::{apart::Apart, batch::write, shared::Shared};
use crate::{
    domain::{ItemId, Precondition, Time, Version},
    store::{Put, StoreError, WriteError},
};

/// Writes that may wait. More callers than that wait for a place in the queue, within their
/// deadlines.
const QUEUE: usize = 1024;

/// Most writes of one operation: enough to make the cost of an operation disappear.
const BATCH_WRITES: usize = 256;

/// Most bytes of documents and vectors in one operation, so that a batch of large ones does not hold
/// up small ones for long.
const BATCH_BYTES: usize = 4 << 20;

/// While data is written anew, the writer rests after each batch for twice as long as that took, up to
/// this: all that changes meanwhile is put into the new data at the end, and no write is let in then.
const LONGEST_REST: Duration = Duration::from_millis(10);

/// What the writer is asked to do, and whom it tells.
pub(super) enum Command {
    Put {
        tenant: Tenant,
        put: Box<Put>,
        reply: Reply<Version, WriteError>,
    },
    Delete {
        tenant: Tenant,
        delete: Delete,
        reply: Reply<(), WriteError>,
    },
    Refresh {
        tenant: Tenant,
        ids: Vec<ItemId>,
        now: Time,
        reply: Reply<Vec<Option<Version>>>,
    },
    /// What is done between batches.
    Apart(Apart),
}

pub(super) type Reply<T, E = StoreError> = oneshot::Sender<Result<T, E>>;

/// A delete of one item.
pub(super) struct Delete {
    pub(super) id: ItemId,
    pub(super) precondition: Precondition,
    pub(super) now: Time,
}

/// The writer's thread and the way to it.
pub(super) struct Writer {
    commands: mpsc::Sender<Command>,
    thread: JoinHandle<()>,
}

impl Writer {
    /// Starts the thread. It ends when the sender is dropped and everything sent has been done.
    pub(super) fn start(shared: std::sync::Arc<Shared>) -> std::io::Result<Self> {
        let (commands, mut queue) = mpsc::channel(QUEUE);
        let thread = thread::Builder::new()
            .name("memory-writer".into())
            .spawn(move || {
                while let Some(first) = queue.blocking_recv() {
                    let begin = Instant::now();
                    shared.turn.begin();
                    // Callers of a run that panicked see a write without an answer; others go on.
                    let done = catch_unwind(AssertUnwindSafe(|| run(&shared, first, &mut queue)));
                    if done.is_err() {
                        shared.seal.doubt();
                    }
                    shared.turn.end();
                    if shared.litter.is_under_way() {
                        rest(begin.elapsed());
                    }
                }
            })?;
        Ok(Self { commands, thread })
    }

    pub(super) fn commands(&self) -> mpsc::Sender<Command> {
        self.commands.clone()
    }

    /// Waits until everything sent has been done. Blocks.
    pub(super) fn finish(self) {
        drop(self.commands);
        // A panic of the thread has been logged by the panic hook.
        let _ = self.thread.join();
    }
}

/// Rests after a batch that took so long.
fn rest(took: Duration) {
    #[expect(
        clippy::disallowed_methods,
        reason = "the writer's own thread has nothing else to do"
    )]
    thread::sleep((2 * took).min(LONGEST_REST));
}

fn run(shared: &Shared, first: Command, queue: &mut mpsc::Receiver<Command>) {
    let mut writes = Vec::new();
    let (mut count, mut bytes) = (0, 0);
    let mut next = Some(first);
    while let Some(command) = next {
        if let Command::Apart(apart) = command {
            write(shared, std::mem::take(&mut writes));
            shared.disk.count(count, bytes);
            return apart.run(shared);
        }
        let (changed, size) = match &command {
            Command::Put { put, .. } => (1, put.bytes()),
            Command::Delete { .. } => (1, 0),
            Command::Refresh { ids, .. } => (ids.len(), 0),
            Command::Apart(_) => (0, 0),
        };
        (count, bytes) = (count + changed, bytes + size);
        writes.push(command);
        let full = writes.len() >= BATCH_WRITES || bytes >= BATCH_BYTES;
        next = if full { None } else { queue.try_recv().ok() };
    }
    write(shared, writes);
    shared.disk.count(count, bytes);
}
