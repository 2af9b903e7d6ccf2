//! Drives one dispatch: carries messages between the worker, the machine and the store.

use std::{collections::VecDeque, future::Future, pin::Pin, sync::Arc, time::Duration};

use futures::future::OptionFuture;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use tokio::{select, time::Instant};
use weft_worker::protocol::{CacheEntry, Record, StartRun, ToWorker};

use super::{
    Shared,
    errands::{Errand, Errands},
    event_log::EventLog,
    machine::{Effect, RunMachine},
    stops::Listener,
    workers::Execution,
};
use crate::{
    domain::{
        Durability, RunState,
        checkpoint::CheckpointValues,
        history::{self, RecordedCall},
    },
    store::{CacheScope, Dispatch, EntrypointVersion, Fence, Rest, StoreError},
};

/// Records of one run that may wait for the store. While that many do, the worker is not heard.
const MAX_UNCOMMITTED: usize = 256;
/// Pause before a write that failed is tried again.
const WRITE_RETRY_DELAY: Duration = Duration::from_secs(1);

type Append = Pin<Box<dyn Future<Output = Result<usize, StoreError>> + Send>>;

/// What became of a dispatch.
#[derive(Debug)]
pub(super) enum Driven {
    /// The run rests; this is the thread's next run, claimed.
    Rested(Option<Box<Dispatch>>),
    /// The run belongs to someone else now.
    Fenced,
    /// No worker executes it any longer: it is to be queued again.
    Unfinished,
}

/// Drives a dispatch to its end, sooner if it is asked to `stop`.
pub(super) async fn drive(shared: &Shared, dispatch: Dispatch, stop: Listener) -> Driven {
    let Some(execution) = shared
        .workers
        .open(&dispatch.run.entrypoint, &dispatch.run.version)
    else {
        return Driven::Unfinished;
    };
    let seat = execution.seat;
    let log = shared.logs.open(dispatch.run.id);
    log.begin(dispatch.run.last_sequence - 1);
    let outbox = execution.outbox.clone();
    let driver = Driver {
        shared,
        log,
        machine: RunMachine::new(&dispatch),
        jitter: jitter(dispatch.fence),
        errands: Errands::new(&dispatch, seat.execution, shared.targets.clone()),
        begin: Instant::now(),
        overdue: dispatch
            .remaining
            .and_then(|remaining| Instant::now().checked_add(remaining)),
        execution,
        stop,
        is_cancelling: false,
        uncommitted: VecDeque::new(),
        append: None,
        rest: None,
        is_lost: false,
        has_progressed: false,
        dispatch,
    };
    let driven = Box::pin(driver.run()).await;
    shared.workers.close(seat);
    let execution = seat.execution;
    // To a worker that said the last word itself this is no news. One may be gone already.
    let _ = outbox.send(ToWorker::Fenced { execution }).await;
    driven
}

/// Numbers that spread delays: others for each run, so that runs which failed together do not return
/// together, and the same whenever this dispatch is looked at again.
fn jitter(fence: Fence) -> StdRng {
    let (run, dispatch) = (fence.run_id.0.as_u64_pair().1, fence.epoch.unsigned_abs());
    StdRng::seed_from_u64(run.wrapping_add(dispatch))
}

struct Driver<'a> {
    shared: &'a Shared,
    dispatch: Dispatch,
    execution: Execution,
    log: Arc<EventLog>,
    machine: RunMachine,
    jitter: StdRng,
    errands: Errands,
    stop: Listener,
    is_cancelling: bool,
    begin: Instant,
    /// When the run, or its worker's grace after a cancel, has taken too long.
    overdue: Option<Instant>,
    /// Records that wait for the append before them.
    uncommitted: VecDeque<RecordedCall>,
    /// The append under way; it answers with the number of records in it.
    append: Option<Append>,
    /// How to end, once all is appended.
    rest: Option<Rest>,
    /// The worker is gone: what it recorded is kept, and another one goes on.
    is_lost: bool,
    /// Something was recorded in this dispatch.
    has_progressed: bool,
}

impl Driver<'_> {
    async fn run(mut self) -> Driven {
        let started = self.machine.start();
        match self.cached_output().await {
            Some(values) => {
                self.perform(started).await;
                let effects = self.machine.cached(values, self.shared.now());
                self.perform(effects).await;
            }
            None => {
                // A worker that is gone is noticed when its inbox closes.
                let _ = self.execution.outbox.send(self.start()).await;
                self.perform(started).await;
            }
        }
        loop {
            self.begin_append();
            if self.append.is_none()
                && let Some(rest) = self.rest.take()
            {
                return self.rest(rest).await;
            }
            if self.is_lost && self.append.is_none() && self.rest.is_none() {
                return Driven::Unfinished;
            }
            let hears = self.rest.is_none()
                && !self.is_lost
                && self.uncommitted.len() < MAX_UNCOMMITTED
                && !self.machine.holds_much_back();
            select! {
                biased;
                Some(committed) = OptionFuture::from(self.append.as_mut()) => {
                    self.append = None;
                    let Ok(count) = committed else { return Driven::Fenced };
                    self.has_progressed = true;
                    for _ in 0..count {
                        let effects = self.machine.appended();
                        self.perform(effects).await;
                    }
                }
                Some(()) = OptionFuture::from(self.overdue.map(tokio::time::sleep_until)),
                    if self.rest.is_none() =>
                {
                    let now = self.shared.now();
                    let effects = match self.is_cancelling {
                        true => self.machine.cancel_overdue(now),
                        false => self.machine.timed_out(now),
                    };
                    self.perform(effects).await;
                }
                reason = self.stop.asked(), if !self.is_cancelling => {
                    self.is_cancelling = true;
                    self.overdue = Some(Instant::now() + self.shared.cancel_grace);
                    let effects = self.machine.cancel(reason);
                    self.perform(effects).await;
                }
                errand = self.errands.next(), if hears => self.errand(errand).await,
                message = self.execution.inbox.recv(), if hears => match message {
                    None => self.lost().await,
                    Some(message) => {
                        let now = self.shared.now();
                        let jitter = self.jitter.random();
                        let effects = self.machine.heard(message, now, jitter);
                        self.perform(effects).await;
                    }
                }
            }
        }
    }

    /// What another run of the entrypoint returned for the same arguments, if that is cached.
    async fn cached_output(&mut self) -> Option<CheckpointValues> {
        let run = &self.dispatch.run;
        // A run that has recorded something is to go on where it stands.
        if !self.dispatch.journal.is_empty() {
            return None;
        }
        let described = self
            .shared
            .workers
            .find(&run.entrypoint, Some(&run.version));
        let ttl = described?.cache_ttl?;
        let key = history::output_key(run, self.dispatch.previous.as_ref());
        let found = self
            .shared
            .store
            .cached(
                &self.dispatch.tenant,
                &self.cache_scope(None),
                &key,
                self.shared.now(),
            )
            .await;
        match found {
            Ok(Some(found)) => {
                let saved = found.saved.as_ref().unwrap_or(&found.value);
                return Some(CheckpointValues::new(&found.value, saved));
            }
            Ok(None) => self.machine.keep_output(CacheEntry { key, ttl }),
            Err(error) => tracing::warn!(%error, "a cache cannot be read; its run is executed"),
        }
        None
    }

    fn cache_scope(&self, task: Option<Arc<str>>) -> CacheScope {
        let run = &self.dispatch.run;
        let entrypoint = EntrypointVersion {
            name: Arc::clone(&run.entrypoint),
            version: Arc::clone(&run.version),
        };
        CacheScope { entrypoint, task }
    }

    async fn errand(&mut self, errand: Errand) {
        let now = self.shared.now();
        let effects = match errand {
            Errand::Said(message) => self.machine.heard(message, now, self.jitter.random()),
            Errand::Due { call, attempt } => self.machine.due(call, attempt, now),
            Errand::Attempted {
                call,
                attempt,
                outcome,
                retry,
                usage,
            } => {
                let record = Record {
                    call: call.call.clone(),
                    attempt,
                    outcome,
                    retry,
                    cache: None,
                    usage,
                };
                let jitter = self.jitter.random();
                self.machine.attempted(call, record, now, jitter)
            }
            Errand::LookedUp { lookup, found } => self.machine.looked_up(*lookup, found, now),
        };
        self.perform(effects).await;
    }

    /// The worker is gone. The run goes on elsewhere, unless it is to stop or has lost too many.
    async fn lost(&mut self) {
        self.is_lost = true;
        let (run, why) = (self.dispatch.run.id, self.execution.why_lost());
        tracing::warn!(run_id = %run, %why, "a run lost its worker");
        let losses = &self.shared.losses;
        if let Some(failure) = losses.note(run, why, self.has_progressed) {
            let effects = self.machine.given_up(failure, self.shared.now());
            self.perform(effects).await;
        }
    }

    fn start(&self) -> ToWorker {
        let run = &self.dispatch.run;
        ToWorker::StartRun(Box::new(StartRun {
            execution: self.execution.seat.execution,
            run_id: run.id.0,
            thread_id: run.thread_id.shared(),
            entrypoint: Arc::clone(&run.entrypoint),
            version: Arc::clone(&run.version),
            attempt: run.attempt,
            input: Arc::clone(&run.input),
            previous: self.dispatch.previous.clone(),
            config: Arc::clone(&run.config),
            journal: self
                .dispatch
                .journal
                .iter()
                .map(|call| call.entry.clone())
                .collect(),
        }))
    }

    /// Appends all that waits, as soon as nothing is being appended: what comes meanwhile makes the
    /// next batch.
    fn begin_append(&mut self) {
        let may_wait = self.dispatch.durability == Durability::Exit
            && self.rest.is_none()
            && self.uncommitted.len() < MAX_UNCOMMITTED;
        if self.append.is_some() || self.uncommitted.is_empty() || may_wait {
            return;
        }
        let calls: Vec<_> = self.uncommitted.drain(..).collect();
        let store = Arc::clone(&self.shared.store);
        let fence = self.dispatch.fence;
        self.append = Some(Box::pin(async move {
            let count = calls.len();
            until_available(|| store.append(fence, calls.clone()))
                .await
                .map(|()| count)
        }));
    }

    async fn rest(self, rest: Rest) -> Driven {
        let fence = self.dispatch.fence;
        let store = &self.shared.store;
        let rested = until_available(|| store.rest_run(fence, rest.clone(), true)).await;
        match rested {
            Ok(mut rested) => {
                let events = history::settled(&rested.run, rested.checkpoint.as_ref());
                self.shared.losses.forget(rested.run.id);
                let next = rested.next.take();
                if rested.run.wake_time.is_some() || rested.run.state == RunState::Queued {
                    // Whoever sleeps until the next timer is due must know of this one; and whoever
                    // claims runs, of one that was answered before it asked again.
                    self.shared.claimable.notify_one();
                }
                match rested.run.state.is_resting() {
                    true => self.shared.logs.close(rested.run, events),
                    false => {
                        events.into_iter().for_each(|event| self.log.push(event));
                        self.shared.logs.release(rested.run.id);
                    }
                }
                Driven::Rested(next)
            }
            Err(_) => Driven::Fenced,
        }
    }

    async fn perform(&mut self, effects: Vec<Effect>) {
        let execution = self.execution.seat.execution;
        for effect in effects {
            match effect {
                Effect::Publish(event) => self.log.push(event),
                Effect::Append(call) => self.uncommitted.push_back(call),
                Effect::Rest {
                    end,
                    last_sequence,
                    now,
                } => {
                    self.rest = Some(Rest {
                        end,
                        last_sequence,
                        // Not from the times of day: the clock may have been set meanwhile.
                        executed: self.begin.elapsed(),
                        now,
                    });
                }
                Effect::Attempt(call, attempt) => self.errands.attempt(call, attempt),
                Effect::AttemptLater(call, attempt, after) => {
                    self.errands.attempt_later(call, attempt, after);
                }
                Effect::LookUp(lookup) => {
                    let scope = self.cache_scope(Some(Arc::clone(&lookup.call.task)));
                    let store = Arc::clone(&self.shared.store);
                    self.errands
                        .look_up(store, scope, lookup, self.shared.now());
                }
                Effect::Cancel(reason) => {
                    self.errands.stop();
                    self.tell(ToWorker::Cancel { execution, reason }).await;
                }
                Effect::Ack(call, outcome) => {
                    self.tell(ToWorker::Ack {
                        execution,
                        call,
                        outcome,
                    })
                    .await;
                }
                Effect::Retry(call, after) => {
                    self.tell(ToWorker::Retry {
                        execution,
                        call,
                        after,
                    })
                    .await;
                }
            }
        }
    }

    /// A worker that is gone is noticed when its inbox closes.
    async fn tell(&mut self, message: ToWorker) {
        let _ = self.execution.outbox.send(message).await;
    }
}

/// Tries a write until the store can do it or refuses it. Nothing is lost while the store is away:
/// the run stands still, and its worker waits for an answer.
pub(super) async fn until_available<T, F>(mut write: impl FnMut() -> F) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    loop {
        match write().await {
            Err(error @ (StoreError::Corrupt(_) | StoreError::Damaged(_))) => {
                // Trying again would not mend it; the run stands still until the next start.
                tracing::error!(%error, "a run cannot be recorded");
                return Err(error);
            }
            Err(StoreError::Unavailable(cause) | StoreError::DiskRefuses(cause)) => {
                tracing::error!(%cause, "a write failed and will be tried again");
                tokio::time::sleep(WRITE_RETRY_DELAY).await;
            }
            done => return done,
        }
    }
}
