//! Following a run: every durable event once and in order, and the passing ones that are kept.

use std::{collections::VecDeque, sync::Arc};

use service_runtime::Tenant;
use tokio::sync::watch;

use super::{
    Shared,
    event_log::{EventLog, Read},
};
use crate::{
    domain::{Event, EventKind, RunId, history},
    store::StoreError,
};

/// Follower reads the events of one run. Dropping it does not touch the run.
pub struct Follower {
    shared: Arc<Shared>,
    tenant: Tenant,
    run_id: RunId,
    /// Number of the last event that was given out.
    place: i64,
    pending: VecDeque<Arc<Event>>,
    /// `None` once the run rests and all that is left is pending.
    live: Option<Live>,
}

struct Live {
    log: Arc<EventLog>,
    changes: watch::Receiver<i64>,
}

impl Follower {
    pub(super) async fn new(
        shared: Arc<Shared>,
        tenant: &Tenant,
        run_id: RunId,
        after_sequence: i64,
    ) -> Result<Option<Self>, StoreError> {
        loop {
            // Opened before the run is read: a run that comes to rest after that closes it.
            let log = shared.logs.open(run_id);
            let opened = Arc::clone(&log);
            let mut follower =
                Self::of_log(Arc::clone(&shared), tenant, run_id, after_sequence, opened);
            let run = match shared.store.run(tenant, run_id).await {
                Ok(Some(run)) if !run.state.is_resting() => {
                    if !shared.logs.follow(run_id, &log, run.last_sequence) {
                        continue;
                    }
                    return Ok(Some(follower));
                }
                run => run,
            };
            // Nobody else closes a log that was opened too late.
            follower.live = None;
            shared.logs.forget(run_id);
            if run?.is_none() {
                return Ok(None);
            }
            follower.catch_up(i64::MAX).await?;
            return Ok(Some(follower));
        }
    }

    /// Follows a run whose log was opened before the run began.
    pub(super) fn of_log(
        shared: Arc<Shared>,
        tenant: &Tenant,
        run_id: RunId,
        after_sequence: i64,
        log: Arc<EventLog>,
    ) -> Self {
        let changes = log.changes();
        Self {
            shared,
            tenant: tenant.clone(),
            run_id,
            place: after_sequence,
            pending: VecDeque::new(),
            live: Some(Live { log, changes }),
        }
    }

    /// Notes that events up to `last_sequence` are in the store, if no dispatch has begun.
    pub(super) fn cover(&self, last_sequence: i64) {
        if let Some(live) = &self.live {
            live.log.cover(last_sequence);
        }
    }

    /// The next event; `None` when the run rests and all was given out.
    ///
    /// # Errors
    /// [`StoreError`] if events that are no longer in memory cannot be read.
    pub async fn next(&mut self) -> Result<Option<Arc<Event>>, StoreError> {
        loop {
            if let Some(event) = self.pending.pop_front() {
                self.place = self.place.max(event.sequence);
                return Ok(Some(event));
            }
            let Some(live) = &mut self.live else {
                return Ok(None);
            };
            // Seen before the log is read, so that what comes later wakes the wait below.
            live.changes.borrow_and_update();
            match live.log.read(self.place) {
                Read::Events(events) => self.pending.extend(events),
                Read::UpToDate => {
                    if live.changes.changed().await.is_err() {
                        self.live = None;
                    }
                }
                Read::End => self.live = None,
                Read::Behind { floor, base } => self.skip_to(floor, base).await?,
            }
        }
    }

    /// Reads the durable events up to `floor` from the store, and tells of the ones that are lost.
    async fn skip_to(&mut self, floor: i64, base: i64) -> Result<(), StoreError> {
        let place = self.place;
        self.catch_up(floor).await?;
        let from = place.max(base);
        let durable = self
            .pending
            .iter()
            .filter(|event| event.sequence > from)
            .count();
        let dropped = floor - from - i64::try_from(durable).unwrap_or(i64::MAX);
        if dropped > 0 {
            self.pending.push_back(Arc::new(Event {
                sequence: floor,
                run_id: self.run_id,
                time: self.shared.now(),
                kind: EventKind::Gap { dropped },
            }));
        }
        self.place = floor;
        Ok(())
    }

    /// Queues the durable events after this place, up to the number `last`.
    async fn catch_up(&mut self, last: i64) -> Result<(), StoreError> {
        let store = &self.shared.store;
        let Some(run) = store.run(&self.tenant, self.run_id).await? else {
            return Ok(());
        };
        let journal = store.journal(&self.tenant, self.run_id, self.place).await?;
        let mut events = vec![history::queued(&run)];
        if let (Some(start_time), Some(sequence)) = (run.start_time, run.start_sequence) {
            events.push(history::started(&run, sequence, 1, start_time));
        }
        events.extend(
            journal
                .iter()
                .flat_map(|call| history::recorded(&run, call)),
        );
        let checkpoint = match run.checkpoint_id {
            Some(id) if run.state.is_resting() => {
                store.checkpoint(&self.tenant, &run.thread_id, id).await?
            }
            _ => None,
        };
        events.extend(history::settled(&run, checkpoint.as_ref()));
        let place = self.place;
        events.retain(|event| event.sequence > place && event.sequence <= last);
        if let Some(event) = events.last() {
            self.place = event.sequence;
        }
        self.pending.extend(events.into_iter().map(Arc::new));
        Ok(())
    }
}
