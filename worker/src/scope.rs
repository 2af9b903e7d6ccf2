//! Where calls are made from.

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

use crate::{CallId, Failure, Json};

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
