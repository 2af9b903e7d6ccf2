//! What a loss of power cannot take any more.
//!
//! The engine writes an operation to its log before it does it, and does it again from there when it
//! is opened. So what is to survive needs the log on the disk and no more: a file or two, for which
//! nobody has to wait. A flush of the engine, in contrast, lets no write in until dozens of files are
//! on the disk, one after the other. It only keeps the log short, so it can wait for a moment in which
//! nothing is written. If there is none, there are small ones, often; and before each, the files are
//! written out as they are while writes go on, so that the flush finds little that the disk lacks.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Notify, oneshot},
    task::spawn_blocking,
    time::{Instant, MissedTickBehavior, interval_at},
};

use super::{
    settings::{Flush, SYNC_INTERVAL},
    shared::{Engines, Shared, engine_error},
};
use crate::store::StoreError;

/// Bytes of documents and vectors after which the log is made short although something is written: a
/// flush of so many lets writes wait for some 50 ms.
const LONG_LOG: usize = 4 << 20;

/// What a write adds to that besides its documents and vectors: what the engine remembers of it until
/// it is flushed takes as long to write, however small the item is.
const WRITE_BYTES: usize = 512;

/// Since when there may be something in the log that a start has to do again.
const LONGEST_LOG: Duration = Duration::from_secs(60);

/// What the disk has of what was written, and what it is to have.
#[derive(Debug)]
pub(super) struct Disk {
    flush: Flush,
    /// Whether something was written since the last flush.
    dirty: AtomicBool,
    /// Whether something was written since the log was looked after.
    busy: AtomicBool,
    /// Bytes that were written since the last flush.
    written: AtomicUsize,
    /// Told when those are many.
    long: Notify,
    log: Log,
}

impl Disk {
    pub(super) fn new(flush: Flush) -> Self {
        Self {
            flush,
            dirty: AtomicBool::new(true),
            busy: AtomicBool::new(false),
            written: AtomicUsize::new(0),
            long: Notify::new(),
            log: Log::default(),
        }
    }

    /// Takes note that something was written; not before it was, or the note is gone too early.
    pub(super) fn lags(&self) {
        self.dirty.store(true, Ordering::Release);
        self.busy.store(true, Ordering::Release);
    }

    /// Counts so many writes, of so many bytes of documents and vectors together.
    pub(super) fn count(&self, writes: usize, bytes: usize) {
        let bytes = writes.saturating_mul(WRITE_BYTES).saturating_add(bytes);
        let before = self.written.fetch_add(bytes, Ordering::AcqRel);
        if before < LONG_LOG && before.saturating_add(bytes) >= LONG_LOG {
            self.long.notify_one();
        }
    }

    /// What was counted since the last flush.
    pub(super) fn unflushed(&self) -> usize {
        self.written.load(Ordering::Acquire)
    }
}

impl Shared {
    /// Makes what was done last survive what it is promised to, before it is acknowledged.
    pub(super) fn acknowledge(&self) -> Result<(), StoreError> {
        match self.disk.flush {
            Flush::Always => self.sync(),
            Flush::Every(_) => Ok(()),
        }
    }

    /// Makes everything that was done survive a loss of power.
    fn sync(&self) -> Result<(), StoreError> {
        let synced = self.disk.log.sync(self.shard().path());
        synced.map_err(|error| StoreError::Unavailable(error.to_string()))
    }

    /// Makes everything survive a loss of power, and keeps the log short if nobody has to wait for that
    /// now, or if it is long, or `late`. Whether it did.
    pub(super) fn keep(&self, late: bool) -> Result<bool, StoreError> {
        let busy = self.disk.busy.swap(false, Ordering::AcqRel);
        if busy {
            self.sync().inspect_err(|_| {
                self.disk.busy.store(true, Ordering::Release);
            })?;
            if self.disk.unflushed() < LONG_LOG && !late {
                return Ok(false);
            }
            self.write_out();
        }
        self.flush().map(|()| true)
    }

    pub(super) fn is_dirty(&self) -> bool {
        self.disk.dirty.load(Ordering::Acquire)
    }

    pub(super) fn flush(&self) -> Result<(), StoreError> {
        if self.disk.dirty.swap(false, Ordering::AcqRel) {
            self.disk.written.store(0, Ordering::Release);
            let Engines { first, other, .. } = self.engines();
            first.flush().map_err(|error| {
                self.disk.dirty.store(true, Ordering::Release);
                engine_error(error)
            })?;
            // What it lacks after a loss of power is found out when it is opened.
            if let Some(Err(error)) = other.map(|other| other.flush()) {
                tracing::warn!(%error, "the index that is not searched was not flushed");
            }
        }
        Ok(())
    }

    /// Flushes also if nothing was written, for what the engine did by itself.
    pub(super) fn flush_all(&self) -> Result<(), StoreError> {
        self.disk.dirty.store(true, Ordering::Release);
        self.write_out();
        self.flush()
    }

    /// Has the disk take what the engine's files hold, so that a flush right after it lets writes wait
    /// for little.
    fn write_out(&self) {
        let Engines { first, other, .. } = self.engines();
        for engine in [Some(&first), other.as_ref()].into_iter().flatten() {
            if let Err(error) = write_out(&engine.path().join("segments")) {
                // The flush says what it means.
                tracing::debug!(%error, "files were not written out beforehand");
            }
        }
    }
}

/// Has the log written to the disk, and kept short, until it is told to stop.
pub(super) async fn keep_regularly(shared: Arc<Shared>, mut stopped: oneshot::Receiver<()>) {
    let interval = match shared.disk.flush {
        Flush::Always => SYNC_INTERVAL,
        Flush::Every(interval) => interval,
    };
    let mut ticks = interval_at(Instant::now() + interval, interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut flushed = Instant::now();
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = shared.disk.long.notified() => {}
            _ = &mut stopped => return,
        }
        if !shared.is_dirty() {
            continue;
        }
        let (shared, late) = (shared.clone(), flushed.elapsed() >= LONGEST_LOG);
        match spawn_blocking(move || shared.keep(late)).await {
            Ok(Ok(true)) => flushed = Instant::now(),
            Ok(Ok(false)) | Err(_) => {}
            Ok(Err(error)) => {
                tracing::error!(%error, "flush failed; what was written since the last one would not survive a loss of power");
            }
        }
    }
}

/// Has the disk take what the operating system holds of all files in a folder. Blocks.
fn write_out(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let written = if entry.file_type()?.is_dir() {
            write_out(&entry.path())
        } else {
            sync(&entry.path())
        };
        match written {
            // Nobody needs it any more.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            written => written?,
        }
    }
    Ok(())
}

/// The log of the engine, as far as the disk has it.
#[derive(Debug, Default)]
struct Log {
    /// Parts that are complete, and wholly on the disk.
    done: Mutex<BTreeSet<PathBuf>>,
}

impl Log {
    /// Writes what the operating system holds of the log of an engine to the disk. Blocks.
    ///
    /// # Errors
    /// If it is not known to be on the disk.
    fn sync(&self, engine: &Path) -> io::Result<()> {
        let folder = engine.join("wal");
        loop {
            let (open, complete) = parts(&folder)?;
            match self.try_sync(open, &complete) {
                // One was completed, and got another name by that, or nobody needs it any more.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                synced => return synced,
            }
        }
    }

    fn try_sync(&self, open: Option<PathBuf>, complete: &BTreeSet<PathBuf>) -> io::Result<()> {
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        done.retain(|part| complete.contains(part));
        for part in complete {
            if !done.contains(part) {
                sync(part)?;
                done.insert(part.clone());
            }
        }
        match open {
            Some(part) => sync(&part),
            None => Ok(()),
        }
    }
}

fn sync(file: &Path) -> io::Result<()> {
    // Not every system writes out what cannot be written to.
    File::options().write(true).open(file)?.sync_data()
}

/// The part of a log that is being written, and those that are complete.
fn parts(folder: &Path) -> io::Result<(Option<PathBuf>, BTreeSet<PathBuf>)> {
    let (mut open, mut complete) = (None, BTreeSet::new());
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let Some((kind, number)) = name.and_then(|name| name.split_once('-')) else {
            continue;
        };
        match (kind, number.parse::<u64>()) {
            // The one after it is there beforehand, and empty.
            ("open", Ok(number)) => {
                let first = open.take().filter(|(first, _)| *first < number);
                open = first.or(Some((number, path)));
            }
            ("closed", Ok(_)) => drop(complete.insert(path)),
            _ => {}
        }
    }
    Ok((open.map(|(_, path)| path), complete))
}
