//! Asking runs under way to stop.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

use crate::domain::{Run, RunId};

/// Key names a dispatch: its run, and how often that was handed to a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key(RunId, u32);

impl From<&Run> for Key {
    fn from(run: &Run) -> Self {
        Self(run.id, run.attempt)
    }
}

/// Stops passes cancels on to the drivers of runs. That a run is to stop stands in the store by then;
/// here its code is told.
#[derive(Debug, Default)]
pub(super) struct Stops {
    dispatches: Mutex<HashMap<Key, watch::Sender<Option<String>>>>,
}

/// Listener is where the driver of a dispatch hears that it is to stop.
#[derive(Debug)]
pub(super) struct Listener(watch::Receiver<Option<String>>);

impl Listener {
    /// Completes with the reason once the run is asked to stop.
    pub(super) async fn asked(&mut self) -> String {
        let asked = self.0.wait_for(Option::is_some).await;
        match asked.map(|reason| reason.clone()) {
            Ok(reason) => reason.unwrap_or_default(),
            Err(_) => std::future::pending().await,
        }
    }
}

impl Stops {
    /// For the driver of a dispatch, also of one that was asked to stop before it had a driver.
    pub(super) fn listen(&self, dispatch: Key) -> Listener {
        let mut dispatches = self.lock();
        let asked = dispatches.entry(dispatch);
        Listener(
            asked
                .or_insert_with(|| watch::Sender::new(None))
                .subscribe(),
        )
    }

    /// Asks a dispatch to stop. Whether it has a driver: if it has none, one may be on its way, or
    /// have ended, and then nobody else forgets that it was asked.
    pub(super) fn ask(&self, dispatch: Key, reason: &str) -> bool {
        let reason = Some(reason.to_owned());
        match self.lock().entry(dispatch) {
            Entry::Occupied(listened) => {
                listened.get().send_replace(reason);
                true
            }
            Entry::Vacant(early) => {
                early.insert(watch::Sender::new(reason));
                false
            }
        }
    }

    /// The dispatch is over, and the store knows.
    pub(super) fn forget(&self, dispatch: Key) {
        self.lock().remove(&dispatch);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, watch::Sender<Option<String>>>> {
        self.dispatches
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_dispatch_hears_that_it_is_to_stop_whichever_of_both_comes_first() {
        let (stops, run) = (Stops::default(), RunId::new());
        let (before, after, next) = (Key(run, 1), Key(run, 2), Key(run, 3));
        assert!(!stops.ask(before, "early"));
        assert_eq!(stops.listen(before).asked().await, "early");
        let mut driver = stops.listen(after);
        assert!(stops.ask(after, "late"));
        assert_eq!(driver.asked().await, "late");
        // Neither is heard by another dispatch of the run.
        let mut other = stops.listen(next);
        let asked = futures::FutureExt::now_or_never(other.asked());
        assert_eq!(asked, None);
        for dispatch in [before, after, next] {
            stops.forget(dispatch);
        }
        assert!(stops.lock().is_empty());
    }
}
