//! What is deleted because it is old.

use crate::domain::Timestamp;

/// Expired says how old things must be to be deleted; `None` keeps them.
#[derive(Clone, Copy, Debug)]
pub struct Expired {
    /// Threads on which nothing happened since, with their runs and checkpoints. One with an
    /// unfinished run is kept.
    pub threads: Option<Timestamp>,
    /// Runs that finished before, with their journals; the checkpoints that they wrote are kept.
    pub runs: Option<Timestamp>,
    /// Journals of runs that SUCCEEDED before.
    pub journals: Option<Timestamp>,
    /// The current time, for what has an expiry of its own: cached results and request ids.
    pub now: Timestamp,
}

/// Swept counts what was deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Threads.
    pub threads: usize,
    /// Runs, those of deleted threads not counted.
    pub runs: usize,
    /// Journals.
    pub journals: usize,
    /// Cached results.
    pub cached: usize,
    /// Request ids.
    pub requests: usize,
}

impl Swept {
    /// The largest of the counts: less than the limit means that nothing is left to delete.
    pub fn most(&self) -> usize {
        let counts = [
            self.threads,
            self.runs,
            self.journals,
            self.cached,
            self.requests,
        ];
        counts.into_iter().max().unwrap_or_default()
    }
}
