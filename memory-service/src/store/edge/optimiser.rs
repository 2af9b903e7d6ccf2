//! The optimiser: what was removed gives its room back, and nobody waits for it.
//!
//! The engine never uses the place of a removed item again. A store whose items come and go would
//! grow, and its scans would pass over ever more that is not there. So once removed items make out
//! [`SHARE`] of a *segment*, as the engine calls a part of its data, a thread of low priority has it
//! written anew without them.
//!
//! # What goes on meanwhile
//! Everything: the old segment is read but not written any more, changes are kept beside it, and
//! at the end they are put into the new one, which takes its place under a lock.
//!
//! Where many items are removed at once ([`purge`](super::purge)), that comes first, and what is under way
//! already is waited for: each of them would be kept and put into the new segment, and no write is let
//! in while the last of that is done.
//!
//! Until then, the statistics of words count what is changed as it was, too: the engine takes them of
//! the old segment as it is.
//!
//! # Why there are no graphs
//! The engine could also make a graph (HNSW) of vectors. It finds most of the nearest, not all, so
//! that pages would miss items or show them twice, and a search would not know when it has seen the
//! best (`crate::rank`). Of 75,000 items with a vector of 256 dimensions each, a graph took 110 s of
//! a processor to make, and a search in one namespace, which is what memories are mostly asked for,
//! 0.95 ms with it and 0.24 ms without. So searches compare with every vector of their scope: of
//! 100,000 such items some 20 ms (`make bench-memory`).
//!
//! # What a crash leaves
//! The new segment counts from the moment on at which its last file is there, and the log keeps
//! writes until all of it is on the disk. What is unfinished is removed at the next start. Between
//! that file and the next flush both segments are there: reads and writes take the newer copy of an
//! item, and the look at the next start makes one segment of all.

use std::{
    fs, io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, Thread},
    time::{Duration, Instant},
};

use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use qdrant_edge::{EdgeOptimizersConfig, ResourceBudget};
use tokio::{
    sync::{RwLock, RwLockReadGuard, oneshot},
    time::timeout,
};

use super::shared::{Growth, Shared, engine_error};
use crate::store::{StoreError, index::Stage};

/// Optimisations under way.
const UNDER_WAY: &str = "memory_optimising";
/// Optimisations that ended, by outcome.
const ENDED: &str = "memory_optimisations_total";
/// How long those took that did something.
const TOOK: &str = "memory_optimisation_seconds";

/// Removed items of a segment, of all that it has, above which it is written anew.
pub(super) const SHARE: f64 = 0.25;

/// How long closing, or a removal of many items, waits for what is under way. When it closes, what takes
/// longer is given up: the thread ends with the process, as it would if that was killed.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the engine is to do when it is told to optimise.
pub(super) fn config(from: u64) -> EdgeOptimizersConfig {
    EdgeOptimizersConfig {
        deleted_threshold: Some(SHARE),
        vacuum_min_vector_number: Some(usize::try_from(from).unwrap_or(usize::MAX)),
        // With one that takes new items, there are two; more are left by a crash, and made one.
        default_segment_number: Some(1),
        max_segment_size: Some(usize::MAX),
        // No graphs.
        indexing_threshold: Some(0),
        ..EdgeOptimizersConfig::default()
    }
}

/// Removes what a crash left of segments that were being written. The engine leaves it there.
pub(super) fn remove_unfinished(engine: &Path) -> Result<(), StoreError> {
    match fs::remove_dir_all(engine.join("temp_segments")) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(StoreError::Unavailable(error.to_string()))
        }
        _ => Ok(()),
    }
}

/// What those who remove items and the optimiser have in common.
#[derive(Debug)]
pub(super) struct Litter {
    /// Items of a segment, removed ones included, from which on it is worth it; 0 for never.
    from: u64,
    /// Items that were removed since the engine was last told to optimise.
    removed: AtomicU64,
    /// Woken now and then while items are removed.
    optimiser: OnceLock<Thread>,
    closing: AtomicBool,
    under_way: AtomicBool,
    /// Held by those who remove many items, and by what is under way.
    pub(super) gate: RwLock<()>,
    /// What the engine may use at once: one thread's worth.
    budget: ResourceBudget,
}

impl Litter {
    pub(super) fn new(from: u64) -> Self {
        Self {
            from,
            removed: AtomicU64::new(0),
            optimiser: OnceLock::new(),
            closing: AtomicBool::new(false),
            under_way: AtomicBool::new(false),
            gate: RwLock::new(()),
            budget: ResourceBudget::new(1, 1),
        }
    }

    /// Takes note that items were removed.
    pub(super) fn add(&self, items: u64) {
        let least = self.least();
        let before = self.removed.fetch_add(items, Ordering::AcqRel);
        if before / least != (before + items) / least {
            self.wake();
        }
    }

    /// Fewer removed ones than this are never worth it.
    fn least(&self) -> u64 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "rounding does no harm"
        )]
        let share = (self.from as f64 * SHARE) as u64;
        share.max(1)
    }

    /// Whether it may be worth it, when so many items are stored.
    fn is_due(&self, stored: u64) -> bool {
        let removed = self.removed.load(Ordering::Acquire);
        let all = stored.saturating_add(removed);
        #[expect(clippy::cast_precision_loss, reason = "rounding does no harm")]
        let share = removed as f64 / all.max(1) as f64;
        all >= self.from && removed >= self.least() && share > SHARE
    }

    /// Whether data is being written anew.
    pub(super) fn is_under_way(&self) -> bool {
        self.under_way.load(Ordering::Acquire)
    }

    /// Waits until no data is written anew, and lets none be for as long as the answer lives; but not
    /// for ever: what takes long goes on beside it.
    pub(super) async fn hold_off(&self) -> Option<RwLockReadGuard<'_, ()>> {
        timeout(PATIENCE, self.gate.read()).await.ok()
    }

    fn wake(&self) {
        if let Some(optimiser) = self.optimiser.get() {
            optimiser.unpark();
        }
    }
}

/// The optimiser's thread.
pub(super) struct Optimiser {
    shared: Arc<Shared>,
    /// Ends with the thread.
    ended: oneshot::Receiver<()>,
}

impl Optimiser {
    /// Starts the thread; `None` if nothing is to be optimised.
    ///
    /// # Errors
    /// If there is no thread to be had.
    pub(super) fn start(shared: &Arc<Shared>) -> io::Result<Option<Self>> {
        if shared.litter.from == 0 {
            return Ok(None);
        }
        describe_gauge!(UNDER_WAY, "optimisations of the engine's data under way");
        describe_counter!(ENDED, "optimisations that ended");
        describe_histogram!(TOOK, "how long optimisations took");
        let (ending, ended) = oneshot::channel();
        let own = shared.clone();
        let thread = thread::Builder::new()
            .name("memory-optimiser".into())
            .spawn(move || {
                lower_priority();
                run(&own);
                drop(own);
                drop::<oneshot::Sender<()>>(ending);
            })?;
        let _ = shared.litter.optimiser.set(thread.thread().clone());
        Ok(Some(Self {
            shared: shared.clone(),
            ended,
        }))
    }

    /// Lets nothing begin any more, and waits for what is under way, but not for long; whether it has
    /// ended.
    pub(super) async fn finish(self) -> bool {
        let Self { shared, ended } = self;
        shared.litter.closing.store(true, Ordering::Release);
        shared.litter.wake();
        let has_ended = timeout(PATIENCE, ended).await.is_ok();
        if !has_ended {
            tracing::warn!("data is being written anew; the next start begins that again");
        }
        has_ended
    }
}

#[cfg(target_os = "linux")]
fn lower_priority() {
    use thread_priority::{ThreadPriority, ThreadPriorityValue};

    let low = ThreadPriorityValue::try_from(25_u8);
    let lowered = low.map(|low| ThreadPriority::Crossplatform(low).set_for_current());
    if !matches!(lowered, Ok(Ok(()))) {
        tracing::debug!("the optimiser's thread keeps the priority of the others");
    }
}

#[cfg(not(target_os = "linux"))]
fn lower_priority() {}

fn run(shared: &Shared) {
    // A crash, or another version of this program, may have left something.
    let mut due = true;
    while !shared.litter.closing.load(Ordering::Acquire) {
        if due {
            let _nobody_removes_much = shared.litter.gate.blocking_write();
            // That may have taken until it was closed.
            if !shared.litter.closing.load(Ordering::Acquire) {
                optimise(shared);
            }
        }
        // Not at once again, if that came to nothing.
        thread::park();
        due = shared.litter.is_due(shared.registry().stored_in_all());
    }
}

/// Has the engine write anew what it finds worth it, and reports that.
pub(super) fn optimise(shared: &Shared) {
    let begin = Instant::now();
    let _under_way = UnderWay::new(&shared.litter);
    let outcome = catch_unwind(AssertUnwindSafe(|| write_anew(shared))).unwrap_or_else(|_| {
        Err(StoreError::Internal(
            "the engine panicked while it wrote data anew".into(),
        ))
    });
    let outcome = match outcome {
        Ok(false) => return,
        Ok(true) => {
            let took = begin.elapsed();
            histogram!(TOOK).record(took);
            tracing::info!(?took, "removed items gave their room back");
            "done"
        }
        Err(error) => {
            tracing::warn!(%error, "removed items keep their room for now");
            "failed"
        }
    };
    counter!(ENDED, "outcome" => outcome).increment(1);
}

/// Shows that the engine is at it.
struct UnderWay<'a>(&'a Litter);

impl<'a> UnderWay<'a> {
    fn new(litter: &'a Litter) -> Self {
        litter.under_way.store(true, Ordering::Release);
        gauge!(UNDER_WAY).increment(1.0);
        Self(litter)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.under_way.store(false, Ordering::Release);
        gauge!(UNDER_WAY).decrement(1.0);
    }
}

/// Whether anything was worth it.
fn write_anew(shared: &Shared) -> Result<bool, StoreError> {
    let removed = shared.litter.removed.load(Ordering::Acquire);
    let engines = shared.engines();
    if engines.stage != Stage::Settled {
        // Another engine takes the place of this one soon, and has nothing that was removed.
        return Ok(false);
    }
    shared.check_room(Growth::Little)?;
    shared.seal.open(shared.folder().path())?;
    let budget = shared.litter.budget.clone();
    let worth_it = engines.first.optimize_with_budget(budget);
    let worth_it = worth_it.map_err(engine_error);
    if worth_it != Ok(false) || removed > 0 {
        // What was written anew, or was nothing but removed items, goes when that is on the disk; some
        // of it may also have been if the rest failed.
        shared.flush_all()?;
    }
    let worth_it = worth_it?;
    shared.litter.removed.fetch_sub(removed, Ordering::AcqRel);
    Ok(worth_it)
}

#[cfg(test)]
#[path = "optimiser_tests.rs"]
mod tests;
