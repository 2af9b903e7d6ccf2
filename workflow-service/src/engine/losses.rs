//! Runs whose workers were lost.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use weft_worker::Failure;

use crate::domain::RunId;

/// Workers that a run may lose in a row without recording anything. A run whose code brings its
/// worker down would otherwise bring down one after the other.
const MAX_IN_A_ROW: u32 = 10;

/// Losses remembers why runs are back in the queue. It is forgotten when the service ends.
#[derive(Debug, Default)]
pub(super) struct Losses {
    runs: Mutex<HashMap<RunId, Loss>>,
}

#[derive(Debug)]
struct Loss {
    in_a_row: u32,
    why: String,
}

impl Losses {
    /// Notes that a run lost its worker. The failure to pause it with, if it is to be given to no
    /// other one.
    pub(super) fn note(&self, run: RunId, why: String, has_progressed: bool) -> Option<Failure> {
        let mut runs = self.runs();
        let before = runs.get(&run).map_or(0, |loss| loss.in_a_row);
        let in_a_row = if has_progressed { 1 } else { before + 1 };
        if in_a_row >= MAX_IN_A_ROW {
            runs.remove(&run);
            let message = format!(
                "{in_a_row} workers in a row were lost while they executed the run and recorded \
                 nothing; the last: {why}"
            );
            return Some(Failure::new("WORKER_LOST", message));
        }
        runs.insert(run, Loss { in_a_row, why });
        None
    }

    /// Why the run's last worker was lost, if it was.
    pub(super) fn why(&self, run: RunId) -> Option<String> {
        self.runs().get(&run).map(|loss| loss.why.clone())
    }

    /// The run came to rest.
    pub(super) fn forget(&self, run: RunId) {
        self.runs().remove(&run);
    }

    fn runs(&self) -> MutexGuard<'_, HashMap<RunId, Loss>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_only_loses_workers_is_given_to_no_more_of_them() {
        let (losses, run) = (Losses::default(), RunId::new());
        for _ in 1..MAX_IN_A_ROW {
            assert_eq!(losses.note(run, "first".to_owned(), false), None);
        }
        assert_eq!(losses.why(run).unwrap(), "first");
        // One that gets on may lose as many again.
        assert_eq!(losses.note(run, "second".to_owned(), true), None);
        for _ in 2..MAX_IN_A_ROW {
            assert_eq!(losses.note(run, "third".to_owned(), false), None);
        }
        let failure = losses.note(run, "last".to_owned(), false).unwrap();
        assert_eq!(failure.reason, "WORKER_LOST");
        assert!(failure.message.ends_with("the last: last"));
        assert_eq!(losses.why(run), None);
    }
}
