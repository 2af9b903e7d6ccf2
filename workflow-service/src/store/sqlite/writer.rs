//! Group commit: one thread, one connection, one transaction for all that is queued.

use std::{
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use metrics::{counter, describe_counter, describe_histogram, histogram};
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::{StoreError, close::complete_file, condition::Condition};

/// Writes that may wait for the writer; whoever comes later waits for room.
const QUEUE_CAPACITY: usize = 4096;
/// Most writes in one transaction. It bounds what one failed commit can undo, and how long the
/// first of them waits for the last; at 1,000 rows the fsync is a small part of the whole.
const MAX_BATCH: usize = 1000;
/// Bytes that a disk must take to be of use again: the rows and indexes of a run with some calls.
const PROBE_BYTES: i64 = 256 * 1024;

/// How long the writer looks for the next write before it sleeps. To be woken takes about half as
/// long; whatever else wants to run goes first meanwhile.
const AWAKE: Duration = Duration::from_micros(100);

/// What metrics are called.
const COMMITTING: &str = "workflow_commit_seconds";
const WRITES: &str = "workflow_writes_total";

/// Answers a write once its transaction is committed, or has failed.
type Answer = Box<dyn FnOnce(Result<(), StoreError>) + Send>;
/// Does a write, unless there is no transaction to do it in.
type Job = Box<dyn FnOnce(Result<&Connection, StoreError>) -> Done + Send>;

/// A write that was done or has failed.
struct Done {
    answer: Answer,
    /// It failed after it had changed something: its transaction must not be committed.
    is_torn: bool,
}

/// What undoes a write that fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Undo {
    /// One of its own.
    Savepoint,
    /// Its transaction, with all other writes of that.
    Transaction,
}

/// Writer owns the writing connection.
#[derive(Debug)]
pub(super) struct Writer {
    queue: Mutex<Option<mpsc::Sender<Job>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    condition: Arc<Condition>,
}

impl Writer {
    /// Starts the thread.
    pub(super) fn start(
        connection: Connection,
        condition: Arc<Condition>,
    ) -> std::io::Result<Self> {
        let (queue, jobs) = mpsc::channel(QUEUE_CAPACITY);
        let thread = std::thread::Builder::new()
            .name("checkpoint-writer".into())
            .spawn(move || {
                run(&connection, jobs);
                complete_file(connection);
            })?;
        Ok(Self {
            queue: Mutex::new(Some(queue)),
            thread: Mutex::new(Some(thread)),
            condition,
        })
    }

    /// Does a write as part of the next transaction and returns once that is on the disk. A write
    /// that fails leaves nothing behind and does not touch the others.
    pub(super) async fn write<T, F>(&self, write: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        self.submit(Undo::Savepoint, write).await
    }

    /// As [`Self::write`], for a write that checks everything before it changes anything. It does
    /// without a savepoint, for which SQLite copies each page that is about to be changed; should it
    /// fail halfway all the same, the transaction fails with all its writes.
    pub(super) async fn write_checked<T, F>(&self, write: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        self.submit(Undo::Transaction, write).await
    }

    async fn submit<T, F>(&self, undo: Undo, write: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        self.condition.check_file()?;
        let (reply, answer) = oneshot::channel();
        let job = job(undo, write, move |result| {
            // A caller that went away needs no answer.
            let _ = reply.send(result);
        });
        let queue = self
            .queue
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let queue = queue.ok_or_else(closed)?;
        queue.send(job).await.map_err(|_| closed())?;
        self.condition.note(answer.await.map_err(|_| closed())?)
    }

    /// Whether the file is sound, as far as is known, and the disk takes writes: if it has refused one,
    /// about as much as a run writes is written and taken back.
    pub(super) async fn check(&self) -> Result<(), StoreError> {
        self.condition.check_file()?;
        if self.condition.is_refused() {
            for length in [PROBE_BYTES, 0] {
                self.write(move |db| {
                    let mut write = db.prepare_cached("UPDATE probe SET bytes = zeroblob(?1)")?;
                    Ok(write.execute([length])?)
                })
                .await?;
            }
            self.condition.takes_writes();
        }
        Ok(())
    }

    /// Waits until all writes are done, takes no more, and closes the connection.
    pub(super) async fn close(&self) {
        drop(
            self.queue
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take(),
        );
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(thread) = thread {
            // It ends after the last queued write; a panic in it was reported by the panic hook.
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
    }
}

fn job<T, F>(
    undo: Undo,
    write: F,
    reply: impl FnOnce(Result<T, StoreError>) + Send + 'static,
) -> Job
where
    T: Send + 'static,
    F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
{
    Box::new(move |connection| {
        let mut is_torn = false;
        let result = connection.and_then(|db| {
            if undo == Undo::Savepoint {
                return in_savepoint(db, write);
            }
            let before = db.total_changes();
            let result = write(db);
            is_torn = result.is_err() && db.total_changes() != before;
            result
        });
        let answer: Answer = Box::new(move |committed| {
            reply(match (committed, result) {
                // Its own failure is why the transaction failed.
                (Err(_), Err(own)) if is_torn => Err(own),
                (committed, result) => committed.and(result),
            });
        });
        Done { answer, is_torn }
    })
}

fn closed() -> StoreError {
    StoreError::Unavailable("it is shutting down".into())
}

fn run(connection: &Connection, mut jobs: mpsc::Receiver<Job>) {
    describe_histogram!(
        COMMITTING,
        "how long commits took, each of all writes that waited"
    );
    describe_counter!(WRITES, "writes that were committed");
    let (committing, writes) = (histogram!(COMMITTING), counter!(WRITES));
    let mut batch = Vec::with_capacity(MAX_BATCH);
    while let Some(first) = next(&mut jobs) {
        batch.push(first);
        while batch.len() < MAX_BATCH
            && let Ok(job) = jobs.try_recv()
        {
            batch.push(job);
        }
        let count = batch.len();
        if let Some(took) = commit(connection, &mut batch) {
            committing.record(took);
            writes.increment(count as u64);
        }
    }
}

/// The next write. A run that goes on alone records its next result at once: it finds the writer
/// awake.
fn next(jobs: &mut mpsc::Receiver<Job>) -> Option<Job> {
    let begin = Instant::now();
    while begin.elapsed() < AWAKE {
        if let Ok(job) = jobs.try_recv() {
            return Some(job);
        }
        std::thread::yield_now();
    }
    jobs.blocking_recv()
}

/// Does the writes in one transaction and answers them. How long its commit took; `None` if it failed.
fn commit(connection: &Connection, batch: &mut Vec<Job>) -> Option<Duration> {
    let begun = execute(connection, "BEGIN IMMEDIATE").map_err(transaction_failed);
    let done: Vec<Done> = batch
        .drain(..)
        .map(|job| {
            job(begun
                .as_ref()
                .map(|()| connection)
                .map_err(StoreError::clone))
        })
        .collect();
    let begin = Instant::now();
    let committed = begun.and_then(|()| {
        let committed = match done.iter().any(|done| done.is_torn) {
            true => Err(StoreError::Unavailable(
                "another write of the same transaction failed".into(),
            )),
            false => execute(connection, "COMMIT").map_err(transaction_failed),
        };
        if committed.is_err() && !connection.is_autocommit() {
            // The transaction is still open; the next one must start afresh.
            let _ = execute(connection, "ROLLBACK");
        }
        committed
    });
    let took = begin.elapsed();
    let is_committed = committed.is_ok();
    for Done { answer, .. } in done {
        answer(committed.clone());
    }
    is_committed.then_some(took)
}

fn transaction_failed(error: rusqlite::Error) -> StoreError {
    tracing::error!(%error, "a transaction of the checkpoint store failed");
    error.into()
}

/// Runs a write so that all of it counts or none, within a transaction.
pub(super) fn in_savepoint<T>(
    connection: &Connection,
    write: impl FnOnce(&Connection) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    execute(connection, "SAVEPOINT job")?;
    match write(connection) {
        Ok(value) => {
            execute(connection, "RELEASE job")?;
            Ok(value)
        }
        Err(error) => {
            execute(connection, "ROLLBACK TO job")?;
            execute(connection, "RELEASE job")?;
            Err(error)
        }
    }
}

/// Executes a statement that is kept prepared.
fn execute(connection: &Connection, statement: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(statement)?.execute([])?;
    Ok(())
}

#[cfg(test)]
mod tests;
