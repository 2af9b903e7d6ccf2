//! Whose turn it is: a write that has been at it for long goes before searches that begin.
//!
//! A write waits for the searches that are under way, and now and then for the engine itself, which
//! puts what changed into data that was written anew. The thread that does that has a low priority:
//! beside searches that keep every processor busy, a tenth of a second of its work takes a whole one.

use std::time::Duration;

use tokio::{
    sync::watch,
    time::{Instant, timeout},
};

/// How long a write may take until searches wait for it.
const LONG: Duration = Duration::from_millis(20);

/// How long a search waits for a write at most.
const PATIENCE: Duration = Duration::from_millis(500);

/// Since when a write is under way.
#[derive(Debug)]
pub(super) struct Turn(watch::Sender<Option<Instant>>);

impl Turn {
    pub(super) fn new() -> Self {
        Self(watch::Sender::new(None))
    }

    /// Begins a write.
    pub(super) fn begin(&self) {
        self.0.send_replace(Some(Instant::now()));
    }

    /// Ends it.
    pub(super) fn end(&self) {
        self.0.send_replace(None);
    }

    /// Waits until a search may begin.
    pub(super) async fn of_search(&self) {
        let is_short = |since: &Option<Instant>| since.is_none_or(|since| since.elapsed() < LONG);
        let mut write = self.0.subscribe();
        // After its patience it begins all the same.
        let _ = timeout(PATIENCE, write.wait_for(is_short)).await;
    }
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt as _, poll};
    use tokio::{pin, time::advance};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_search_begins_beside_a_write_unless_that_takes_long() {
        let turn = Turn::new();
        turn.begin();
        advance(LONG / 2).await;
        assert!(turn.of_search().now_or_never().is_some());
        advance(LONG / 2).await;
        let search = turn.of_search();
        pin!(search);
        assert!(poll!(&mut search).is_pending());
        turn.end();
        assert!(poll!(&mut search).is_ready());
        turn.begin();
        assert!(turn.of_search().now_or_never().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_search_waits_for_no_write_for_ever() {
        let turn = Turn::new();
        turn.begin();
        advance(LONG).await;
        let begin = Instant::now();
        turn.of_search().await;
        let waited = begin.elapsed();
        assert!((PATIENCE..PATIENCE * 2).contains(&waited), "{waited:?}");
    }
}
