//! Errands: what the engine does for a run while its worker goes on.

use std::{
    collections::HashMap,
    future::Future,
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::{Arc, OnceLock},
    time::Duration,
};

use futures::{FutureExt as _, StreamExt as _, stream::FuturesUnordered};
use service_runtime::Tenant;
use tokio::{select, sync::mpsc};
use weft_worker::{
    CallId, Failure, Json, RetryPolicy, Usage, UsageMeter,
    protocol::{ExecutionId, FromWorker, Lookup, Outbox, Outcome, TargetCall, WorkerMessage},
};

use super::targets::{TargetContext, Targets};
use crate::{
    domain::{RunId, Timestamp},
    store::{CacheScope, CheckpointStore, Dispatch},
};

/// Passing events of targets that may wait for the driver.
const EVENT_QUEUE: usize = 256;

/// What became of an errand.
#[derive(Debug)]
pub(super) enum Errand {
    /// A target says something, as a worker does.
    Said(WorkerMessage),
    /// The next attempt of a target is due.
    Due { call: Arc<TargetCall>, attempt: u32 },
    /// An attempt of a target ended.
    Attempted {
        call: Arc<TargetCall>,
        attempt: u32,
        outcome: Outcome,
        /// What to do about a retryable failure.
        retry: RetryPolicy,
        /// What was used in this attempt and those before.
        usage: Usage,
    },
    /// A cache was looked into.
    LookedUp {
        lookup: Box<Lookup>,
        found: Option<Json>,
    },
}

/// Errands are those of one dispatch.
pub(super) struct Errands {
    tenant: Tenant,
    run_id: RunId,
    thread_id: Arc<str>,
    config: Json,
    targets: Targets,
    /// What each target that is called has used.
    meters: HashMap<CallId, UsageMeter>,
    under_way: FuturesUnordered<Pin<Box<dyn Future<Output = Errand> + Send>>>,
    /// One that ended, told after what it wrote.
    ended: Option<Errand>,
    outbox: Arc<Outbox>,
    said: mpsc::Receiver<FromWorker>,
}

impl Errands {
    pub(super) fn new(dispatch: &Dispatch, execution: ExecutionId, targets: Targets) -> Self {
        let (link, said) = mpsc::channel(EVENT_QUEUE);
        Self {
            tenant: dispatch.tenant.clone(),
            run_id: dispatch.run.id,
            thread_id: dispatch.run.thread_id.shared(),
            config: Arc::clone(&dispatch.run.config),
            targets,
            meters: HashMap::new(),
            under_way: FuturesUnordered::new(),
            ended: None,
            outbox: Arc::new(Outbox::new(execution, link)),
            said,
        }
    }

    /// Makes an attempt of a target.
    pub(super) fn attempt(&mut self, call: Arc<TargetCall>, attempt: u32) {
        let meter = self.meters.entry(call.call.id.clone()).or_default().clone();
        let other_retry = Arc::new(OnceLock::new());
        let context = TargetContext {
            tenant: self.tenant.clone(),
            run_id: self.run_id,
            thread_id: Arc::clone(&self.thread_id),
            config: Arc::clone(&self.config),
            call: call.call.id.clone(),
            target: Arc::clone(&call.call.task),
            attempt,
            timeout: call.timeout,
            retry: call.retry,
            other_retry: Arc::clone(&other_retry),
            usage: meter.clone(),
            outbox: Arc::clone(&self.outbox),
        };
        let outbox = Arc::clone(&self.outbox);
        let target = self.targets.find(&call.call.task);
        self.under_way.push(Box::pin(async move {
            let outcome = match target {
                Ok(target) => {
                    let input = Arc::clone(&call.input);
                    let performed = AssertUnwindSafe(target.call(context, input)).catch_unwind();
                    select! {
                        biased;
                        outcome = performed => outcome.unwrap_or_else(|_| {
                            Err(Failure::new("PANICKED", "the target panicked; see the log"))
                        }),
                        // After the target, so that what it has just streamed is sent.
                        never = outbox.forward() => match never {},
                        timed_out = too_long(call.timeout) => Err(timed_out),
                    }
                }
                Err(unknown) => Err(unknown),
            };
            outbox.flush().await;
            let outcome = outcome.map_err(|error| error.of_call(&call.call.id, &call.call.task));
            Errand::Attempted {
                retry: other_retry.get().copied().unwrap_or(call.retry),
                call,
                attempt,
                outcome,
                usage: meter.total(),
            }
        }));
    }

    /// Waits for the time of an attempt.
    pub(super) fn attempt_later(&self, call: Arc<TargetCall>, attempt: u32, after: Duration) {
        self.under_way.push(Box::pin(async move {
            tokio::time::sleep(after).await;
            Errand::Due { call, attempt }
        }));
    }

    /// Looks into a task's cache. A store that cannot answer has nothing cached.
    pub(super) fn look_up(
        &self,
        store: Arc<dyn CheckpointStore>,
        scope: CacheScope,
        lookup: Box<Lookup>,
        now: Timestamp,
    ) {
        let tenant = self.tenant.clone();
        self.under_way.push(Box::pin(async move {
            let found = store.cached(&tenant, &scope, &lookup.key, now).await;
            let found = found.unwrap_or_else(|error| {
                tracing::warn!(%error, "a cache cannot be read; its task runs");
                None
            });
            Errand::LookedUp {
                lookup,
                found: found.map(|found| found.value),
            }
        }));
    }

    /// The next thing that happens: what a target streams comes before its outcome. Never, if there
    /// is no errand.
    pub(super) async fn next(&mut self) -> Errand {
        loop {
            if let Ok(said) = self.said.try_recv() {
                return Errand::Said(said.message);
            }
            if let Some(ended) = self.ended.take() {
                return ended;
            }
            select! {
                biased;
                Some(said) = self.said.recv() => return Errand::Said(said.message),
                Some(errand) = self.under_way.next() => self.ended = Some(errand),
                else => std::future::pending().await,
            }
        }
    }

    /// Drops all of them.
    pub(super) fn stop(&mut self) {
        self.under_way.clear();
        self.ended = None;
    }
}

async fn too_long(limit: Option<Duration>) -> Failure {
    let Some(limit) = limit else {
        return std::future::pending().await;
    };
    tokio::time::sleep(limit).await;
    let what = format!("an attempt took longer than {limit:?}");
    Failure::transient("TASK_TIMEOUT", what)
}
