//! What all code of one execution shares.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{
    Call, CallId, Clock, Failure, Json,
    protocol::{Event, FromWorker, Outbox, Outcome, Question, StartRun, Suspend, Warning},
    replay::{Made, Replay},
};

/// A timer that is due sooner is waited for; for a later one the run gives its worker back. The
/// way out and in again costs two commits, which such a wait outweighs by far.
const SHORT_WAIT: Duration = Duration::from_secs(5);

/// ExecutionState is shared by the code of one execution and by the loop that runs it.
pub(crate) struct ExecutionState {
    pub(crate) start: StartRun,
    pub(crate) clock: Clock,
    pub(crate) cancelled: CancellationToken,
    /// To the engine.
    pub(crate) outbox: Outbox,
    /// Whether a recorded call with another argument is a mismatch.
    is_strict: bool,
    replay: Mutex<Replay>,
    waits: Mutex<Waits>,
    cancel_reason: Mutex<String>,
    /// Calls that the code let go of, until it is clear why.
    dropped: Mutex<Vec<DroppedCall>>,
}

/// DroppedCall is a call under way that its caller let go of.
pub(crate) type DroppedCall = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// What code is waiting for.
#[derive(Default)]
struct Waits {
    /// Attempts of tasks, each with the number of things it waits for itself. One that waits for
    /// none is at work.
    attempts: HashMap<CallId, Arc<AtomicU32>>,
    questions: BTreeMap<CallId, Question>,
    /// When timers are due, in microseconds since the Unix epoch.
    timers: BTreeMap<CallId, i64>,
}

impl ExecutionState {
    pub(crate) fn new(
        mut start: StartRun,
        clock: Clock,
        outbox: mpsc::Sender<FromWorker>,
        is_strict: bool,
    ) -> Self {
        let journal = std::mem::take(&mut start.journal);
        Self {
            outbox: Outbox::new(start.execution, outbox),
            start,
            clock,
            cancelled: CancellationToken::new(),
            is_strict,
            replay: Mutex::new(Replay::new(journal)),
            waits: Mutex::default(),
            cancel_reason: Mutex::default(),
            dropped: Mutex::default(),
        }
    }

    pub(crate) fn replay(&self) -> MutexGuard<'_, Replay> {
        // Nothing panics while it holds the lock, and a replay is valid after each of its steps.
        self.replay.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that the code makes `call`.
    pub(crate) fn make(&self, call: &Call) -> Made {
        let mut replay = self.replay();
        if replay.has_other_input(call) {
            if self.is_strict {
                return replay.refuse_input(call);
            }
            self.outbox.stream(Event::Warning {
                call: Some(call.id.clone()),
                task: Arc::clone(&call.task),
                warning: Warning {
                    reason: "INPUT_CHANGED".into(),
                    message: "a recorded call is made again with another argument; its recorded \
                              result stands"
                        .into(),
                },
            });
        }
        replay.make(call)
    }

    fn waits(&self) -> MutexGuard<'_, Waits> {
        self.waits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether no task is at work.
    pub(crate) fn is_idle(&self) -> bool {
        self.waits()
            .attempts
            .values()
            .all(|waits| waits.load(Ordering::Relaxed) > 0)
    }

    /// What the code waits for, if that is all it can do: answers, and timers that take a while.
    pub(crate) fn suspension(&self) -> Option<Suspend> {
        if !self.replay().is_settled() || !self.is_idle() {
            return None;
        }
        let waits = self.waits();
        let next = waits.timers.values().min().copied();
        let is_soon = next.is_some_and(|due| self.clock.until(due) <= SHORT_WAIT);
        if is_soon || (waits.questions.is_empty() && waits.timers.is_empty()) {
            return None;
        }
        Some(Suspend {
            interrupts: waits.questions.values().cloned().collect(),
            wake_time: next,
        })
    }

    /// Makes calls fail from now on.
    pub(crate) fn cancel(&self, reason: String) {
        *self
            .cancel_reason
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = reason;
        self.cancelled.cancel();
    }

    /// The failure of calls after a cancel.
    pub(crate) fn cancellation(&self) -> Option<Failure> {
        self.cancelled.is_cancelled().then(|| {
            let reason = self
                .cancel_reason
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            Failure::new(Failure::CANCELLED, reason.clone())
        })
    }

    /// Keeps a call that the code let go of, until it is clear why.
    pub(crate) fn keep_dropped(&self, call: DroppedCall) {
        self.dropped_calls().push(call);
    }

    /// The calls that the code let go of since this was last asked.
    pub(crate) fn take_dropped(&self) -> Vec<DroppedCall> {
        std::mem::take(&mut *self.dropped_calls())
    }

    /// Stops the calls that the code let go of, and those that they made.
    pub(crate) fn stop_dropped(&self) {
        while !self.take_dropped().is_empty() {}
    }

    fn dropped_calls(&self) -> MutexGuard<'_, Vec<DroppedCall>> {
        self.dropped.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a question open for as long as the guard lives.
    pub(crate) fn ask(self: &Arc<Self>, question: Question) -> Open {
        let call = question.call.id.clone();
        self.waits().questions.insert(call.clone(), question);
        Open {
            state: Arc::clone(self),
            call,
        }
    }

    /// Keeps a timer for as long as the guard lives.
    pub(crate) fn set_timer(self: &Arc<Self>, call: CallId, due: i64) -> Open {
        self.waits().timers.insert(call.clone(), due);
        Open {
            state: Arc::clone(self),
            call,
        }
    }

    /// Counts an attempt as at work, but for what `waits` counts, for as long as the guard lives.
    pub(crate) fn begin_attempt(self: &Arc<Self>, call: CallId, waits: Arc<AtomicU32>) -> Open {
        self.waits().attempts.insert(call.clone(), waits);
        Open {
            state: Arc::clone(self),
            call,
        }
    }
}

/// Open is something that code waits for, or an attempt at work, until it is dropped.
pub(crate) struct Open {
    state: Arc<ExecutionState>,
    call: CallId,
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut waits = self.state.waits();
        waits.attempts.remove(&self.call);
        waits.questions.remove(&self.call);
        waits.timers.remove(&self.call);
    }
}

/// Scope is where calls are made from: they are counted per caller.
pub(crate) struct Scope {
    /// The call that makes them; `None` for the entrypoint.
    pub(crate) caller: Option<CallId>,
    /// Name of the calling task; empty for the entrypoint.
    pub(crate) task: Arc<str>,
    /// What the last run of the thread saved, for the entrypoint that the run is of.
    pub(crate) previous: Option<Json>,
    next_order: AtomicU32,
    next_value: AtomicU32,
    last_progress: Mutex<Instant>,
    keys: Mutex<HashSet<String>>,
    /// Things it waits for now.
    pub(crate) waits: Arc<AtomicU32>,
}

impl Scope {
    pub(crate) fn new(caller: Option<CallId>, task: Arc<str>) -> Self {
        Self {
            caller,
            task,
            previous: None,
            next_order: AtomicU32::new(0),
            next_value: AtomicU32::new(0),
            last_progress: Mutex::new(Instant::now()),
            keys: Mutex::default(),
            waits: Arc::default(),
        }
    }

    /// Id of the next call that is made from here.
    pub(crate) fn next_call(&self) -> CallId {
        CallId::new(
            self.caller.as_ref(),
            self.next_order.fetch_add(1, Ordering::Relaxed),
        )
    }

    /// Id of a call that is made from here under a key.
    pub(crate) fn keyed_call(&self, key: &str) -> Result<CallId, Failure> {
        let id = CallId::keyed(self.caller.as_ref(), key)?;
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if keys.insert(key.to_owned()) {
            return Ok(id);
        }
        let what = format!("the key `{key}` stands for another call already; a key names one call");
        Err(Failure::new("DUPLICATE_KEY", what))
    }

    /// Name of the next value that is derived here, unique in the run.
    pub(crate) fn next_value(&self) -> String {
        let order = self.next_value.fetch_add(1, Ordering::Relaxed);
        let caller = self.caller.as_ref().map_or("", CallId::as_str);
        format!("{caller}#{order}")
    }

    /// Notes that code here gets on.
    pub(crate) fn note_progress(&self) {
        *self.last_progress() = Instant::now();
    }

    /// Completes when code here did not get on for `limit`. Waiting for a call counts as getting on.
    pub(crate) async fn idle(&self, limit: Duration) {
        loop {
            if self.waits.load(Ordering::Relaxed) > 0 {
                self.note_progress();
            }
            let due = *self.last_progress() + limit;
            if due <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(due).await;
        }
    }

    fn last_progress(&self) -> MutexGuard<'_, Instant> {
        self.last_progress
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that code here waits for something, for as long as the guard lives.
    pub(crate) fn wait(&self) -> Waiting {
        self.waits.fetch_add(1, Ordering::Relaxed);
        Waiting(Arc::clone(&self.waits))
    }
}

/// Waiting counts one thing that code waits for.
pub(crate) struct Waiting(Arc<AtomicU32>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
