//! What all code of one execution shares.

use std::{
    collections::{BTreeMap, HashMap},
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{
    Call, CallId, Clock, Failure,
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
    /// Whether this is a task on offer, which has no journal to record calls in.
    is_offered: bool,
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
            is_offered: false,
            replay: Mutex::new(Replay::new(journal)),
            waits: Mutex::default(),
            cancel_reason: Mutex::default(),
            dropped: Mutex::default(),
        }
    }

    /// That of a task on offer.
    pub(crate) fn offered(start: StartRun, clock: Clock, outbox: mpsc::Sender<FromWorker>) -> Self {
        Self {
            is_offered: true,
            ..Self::new(start, clock, outbox, false)
        }
    }

    /// Fails where nothing can be called, for there is no journal to record it in.
    pub(crate) fn may_call(&self, task: &str) -> Result<(), Failure> {
        if !self.is_offered {
            return Ok(());
        }
        let what = format!(
            "a task that a worker offers on its own cannot call `{task}`: only calls of \
             entrypoints, and of tasks that they call themselves, are recorded"
        );
        Err(Failure::new("NOTHING_TO_RECORD_IN", what))
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
