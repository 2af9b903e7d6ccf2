//! Claims runs as far as there are slots, and sees each of them to its end.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::{select, sync::OwnedSemaphorePermit};

use super::{
    Shared,
    driver::{self, Driven, until_available},
    stops,
    workers::Claimable,
};
use crate::{
    domain::Timestamp,
    store::{Dispatch, StoreError},
};

/// Pause before queued runs are claimed again after the store failed.
const CLAIM_RETRY_DELAY: Duration = Duration::from_secs(1);
/// Longest wait for a timer: the clock may be set meanwhile.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);
/// Most runs that are claimed in one transaction.
const CLAIM_BATCH: u32 = 64;

/// Executes a run, and after it the runs of its thread that waited for it.
pub(super) fn execute(shared: &Arc<Shared>, dispatch: Dispatch, slot: OwnedSemaphorePermit) {
    let owner = Arc::clone(shared);
    shared.tasks.spawn(async move {
        let mut next = Some(Box::new(dispatch));
        while let Some(dispatch) = next.take() {
            let (fence, id) = (dispatch.fence, dispatch.run.id);
            let key = stops::Key::from(&dispatch.run);
            let stop = owner.stops.listen(key);
            let driven = select! {
                biased;
                () = owner.stop.cancelled() => return,
                driven = driver::drive(&owner, *dispatch, stop) => driven,
            };
            match driven {
                Driven::Rested(following) => next = following,
                Driven::Fenced => tracing::warn!(run_id = %id, "a run was fenced"),
                Driven::Unfinished => {
                    let store = &owner.store;
                    let requeued = select! {
                        biased;
                        () = owner.stop.cancelled() => return,
                        requeued = until_available(|| store.requeue_run(fence)) => requeued,
                    };
                    match requeued {
                        // It was to stop: nobody goes on with it.
                        Ok(run) if run.state.is_final() => owner.settle_without_worker(run),
                        Ok(_) => owner.claimable.notify_one(),
                        Err(StoreError::Fenced) => {}
                        Err(error) => tracing::error!(run_id = %id, %error, "cannot requeue a run"),
                    }
                }
            }
            // Not before: one that is RUNNING and not here has no driver yet.
            owner.stops.forget(key);
        }
        drop(slot);
        if owner.has_backlog.load(Ordering::Acquire) {
            owner.claimable.notify_one();
        }
    });
}

/// Claims runs whenever some may be claimable, as far as there are slots.
pub(super) async fn claim_runs(shared: &Arc<Shared>) {
    let mut next_wake = None;
    loop {
        // Also without a timer to come: one that had passed while its thread was in use is one to come
        // again once the clock is set back.
        let sleep = next_wake.map_or(LONGEST_SLEEP, |time: Timestamp| {
            time.since(shared.now()).min(LONGEST_SLEEP)
        });
        select! {
            biased;
            () = shared.claimable.notified() => {}
            () = tokio::time::sleep(sleep) => {}
        }
        loop {
            let Ok(slot) = Arc::clone(&shared.slots).acquire_owned().await else {
                return;
            };
            let more = u32::try_from(shared.slots.available_permits()).unwrap_or(u32::MAX);
            // Before it is looked at how much room there is: a run that ends from now on tells.
            shared.has_backlog.store(true, Ordering::Release);
            let Claimable {
                hosted,
                room,
                is_some_busy,
            } = shared.workers.claimable();
            let room = u32::try_from(room).unwrap_or(u32::MAX);
            let limit = CLAIM_BATCH.min(more.saturating_add(1)).min(room);
            let claimed = match shared.store.claim_runs(hosted, limit, shared.now()).await {
                Ok(claimed) => claimed,
                Err(error) => {
                    tracing::error!(%error, "cannot claim runs; trying again");
                    tokio::time::sleep(CLAIM_RETRY_DELAY).await;
                    continue;
                }
            };
            next_wake = claimed.next_wake;
            let is_limited = is_some_busy || claimed.dispatches.len() >= limit as usize;
            shared.has_backlog.store(is_limited, Ordering::Release);
            if claimed.dispatches.is_empty() {
                break;
            }
            let mut slot = Some(slot);
            for dispatch in claimed.dispatches {
                let slot = match slot.take() {
                    Some(slot) => slot,
                    // Runs started meanwhile may have taken the rest: these wait here for theirs.
                    None => match Arc::clone(&shared.slots).acquire_owned().await {
                        Ok(slot) => slot,
                        Err(_) => return,
                    },
                };
                execute(shared, dispatch, slot);
            }
        }
    }
}
