//! The recorded outcomes of a run, and the order in which code gets to see them.

use std::collections::{HashMap, VecDeque};

use tokio::sync::oneshot;

use crate::{
    Call, CallId, CallKind, Failure,
    protocol::{JournalEntry, Outcome},
};

/// What stands for the hash of an argument that nobody told.
const NO_HASH: [u8; 32] = [0; 32];

/// Replay hands out outcomes, recorded earlier or acknowledged now, one at a time and in commit
/// order.
///
/// Code that races calls sees the same winner again only if outcomes reach it in the same order,
/// and each one only after the code has come to rest after the one before.
#[derive(Debug, Default)]
pub(crate) struct Replay {
    /// Recorded calls that the code has not made yet.
    unmade: HashMap<CallId, JournalEntry>,
    /// Outcomes in commit order, from the next one to release on.
    order: VecDeque<Committed>,
    /// Calls that the code made and that have no outcome yet.
    waiting: HashMap<CallId, oneshot::Sender<Reply>>,
    mismatch: Option<Failure>,
}

/// Committed is an outcome that the code has not seen yet.
#[derive(Debug)]
struct Committed {
    call: CallId,
    outcome: Outcome,
    /// Who waits for it; `None` if that is known only when the code makes its call again.
    waiting: Option<oneshot::Sender<Reply>>,
}

/// What a call that waits is told.
#[derive(Debug)]
pub(crate) enum Reply {
    /// Its recorded outcome.
    Outcome(Outcome),
    /// Try again after this time.
    Retry(std::time::Duration),
}

/// How a call that the code makes stands to the journal.
#[derive(Debug)]
pub(crate) enum Made {
    /// It is recorded: the outcome will arrive here.
    Recorded(oneshot::Receiver<Reply>),
    /// It is new.
    New,
    /// Something else is recorded for it; the execution is about to end.
    Mismatch,
}

impl Replay {
    pub(crate) fn new(journal: Vec<JournalEntry>) -> Self {
        let calls: Vec<CallId> = journal.iter().map(|entry| entry.call.id.clone()).collect();
        // A recorded call is not made again, so what it called itself will not be asked for.
        let inner = |id: &CallId| calls.iter().any(|other| id.is_within(other));
        let nested = calls.iter().any(|id| id.as_str().contains('/'));
        let mut replay = Self::default();
        for entry in journal {
            if nested && inner(&entry.call.id) {
                continue;
            }
            replay.order.push_back(Committed {
                call: entry.call.id.clone(),
                outcome: entry.outcome.clone(),
                waiting: None,
            });
            replay.unmade.insert(entry.call.id.clone(), entry);
        }
        replay
    }

    /// Notes that the code makes `call`.
    pub(crate) fn make(&mut self, call: &Call) -> Made {
        let Some(entry) = self.unmade.remove(&call.id) else {
            return Made::New;
        };
        if (entry.call.kind, &entry.call.task) != (call.kind, &call.task) {
            self.mismatch.get_or_insert_with(|| {
                mismatch(format!(
                    "call {} was recorded as {} `{}`, but the code now makes it {} `{}`",
                    call.id,
                    noun(entry.call.kind),
                    entry.call.task,
                    noun(call.kind),
                    call.task
                ))
                .with("call", call.id.as_str())
                .with("recorded_task", &*entry.call.task)
                .with("task", &*call.task)
            });
            return Made::Mismatch;
        }
        Made::Recorded(self.wait_for(&call.id))
    }

    /// Whether a call that the code has not made yet is recorded.
    pub(crate) fn is_recorded(&self, call: &CallId) -> bool {
        self.unmade.contains_key(call)
    }

    /// Whether `call` is recorded with another argument. Without a hash on either side, nobody knows.
    pub(crate) fn has_other_input(&self, call: &Call) -> bool {
        let recorded = self.unmade.get(&call.id).map(|entry| entry.call.input_hash);
        recorded.is_some_and(|recorded| {
            ![recorded, call.input_hash].contains(&NO_HASH) && recorded != call.input_hash
        })
    }

    /// Notes that the code makes a recorded call with an argument that it must not have.
    pub(crate) fn refuse_input(&mut self, call: &Call) -> Made {
        self.mismatch.get_or_insert_with(|| {
            mismatch(format!(
                "call {} of {} `{}` was recorded with another argument",
                call.id,
                noun(call.kind),
                call.task
            ))
            .with("call", call.id.as_str())
            .with("task", &*call.task)
        });
        Made::Mismatch
    }

    /// Where the next reply to `call` will arrive.
    pub(crate) fn wait_for(&mut self, call: &CallId) -> oneshot::Receiver<Reply> {
        let (sender, receiver) = oneshot::channel();
        self.waiting.insert(call.clone(), sender);
        receiver
    }

    /// Queues an outcome that was committed after everything queued so far. One that nobody waits
    /// for was said before.
    pub(crate) fn acknowledge(&mut self, call: CallId, outcome: Outcome) {
        if let Some(waiting) = self.waiting.remove(&call) {
            self.order.push_back(Committed {
                call,
                outcome,
                waiting: Some(waiting),
            });
        }
    }

    /// Tells a waiting call to try again.
    pub(crate) fn retry(&mut self, call: &CallId, after: std::time::Duration) {
        if let Some(waiting) = self.waiting.remove(call) {
            // The code may have dropped the call; then nobody tries again.
            let _ = waiting.send(Reply::Retry(after));
        }
    }

    /// Releases the next outcome. False if there is none, or if the code has not made its call yet.
    pub(crate) fn release_next(&mut self) -> bool {
        let Some(mut next) = self.order.pop_front() else {
            return false;
        };
        let waiting = next.waiting.take();
        let Some(waiting) = waiting.or_else(|| self.waiting.remove(&next.call)) else {
            self.order.push_front(next);
            return false;
        };
        // The code may have dropped the call; the next one is released all the same.
        let _ = waiting.send(Reply::Outcome(next.outcome));
        true
    }

    /// Whether nothing is to come from the engine: no outcome to release, none to wait for.
    pub(crate) fn is_settled(&self) -> bool {
        self.order.is_empty() && self.waiting.is_empty()
    }

    /// Whether an outcome is held back because the code has not made its call.
    pub(crate) fn is_held_back(&self) -> bool {
        !self.order.is_empty()
    }

    /// The mismatch found while calls were made, if any.
    pub(crate) fn mismatch(&self) -> Option<Failure> {
        self.mismatch.clone()
    }

    /// The mismatch if the code ended now: one found before, or recorded calls it did not make.
    pub(crate) fn mismatch_at_end(&self) -> Option<Failure> {
        self.mismatch.clone().or_else(|| self.left_over())
    }

    fn left_over(&self) -> Option<Failure> {
        let entry = self.unmade.values().min_by_key(|entry| &entry.call.id)?;
        Some(
            mismatch(format!(
                "{} recorded call(s) were not made again, the first is call {} of {} `{}`",
                self.unmade.len(),
                entry.call.id,
                noun(entry.call.kind),
                entry.call.task
            ))
            .with("call", entry.call.id.as_str())
            .with("recorded_task", &*entry.call.task),
        )
    }
}

fn noun(kind: CallKind) -> &'static str {
    match kind {
        CallKind::Task => "task",
        CallKind::Target => "target",
        CallKind::Interrupt => "interrupt",
        CallKind::Side => "side value",
    }
}

fn mismatch(message: String) -> Failure {
    Failure::new(
        "NON_DETERMINISTIC",
        format!("{message}; restore the code that recorded it, or start a new run"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    fn call(id: &str, task: &str) -> Call {
        Call {
            id: CallId::from_recorded(id),
            kind: CallKind::Task,
            task: task.into(),
            input_hash: [0; 32],
        }
    }

    fn recorded(id: &str, task: &str) -> JournalEntry {
        JournalEntry {
            call: call(id, task),
            outcome: Ok(json::null()),
        }
    }

    #[test]
    fn outcomes_are_released_in_commit_order_whatever_the_order_of_calls() {
        let mut replay = Replay::new(vec![recorded("1", "b"), recorded("0", "a")]);
        let Made::Recorded(mut first) = replay.make(&call("0", "a")) else {
            panic!("recorded")
        };
        assert!(
            !replay.release_next(),
            "call 1 was committed first and is not made yet"
        );
        let Made::Recorded(mut second) = replay.make(&call("1", "b")) else {
            panic!("recorded")
        };
        assert!(replay.release_next());
        assert!(second.try_recv().is_ok());
        assert!(first.try_recv().is_err());
        assert!(replay.release_next());
        assert!(first.try_recv().is_ok());
        assert!(!replay.is_held_back());
    }

    #[test]
    fn an_outcome_that_is_acknowledged_twice_is_released_once() {
        let mut replay = Replay::default();
        let mut reply = replay.wait_for(&call("0", "a").id);
        for _ in 0..3 {
            replay.acknowledge(call("0", "a").id, Ok(json::null()));
        }
        assert!(replay.release_next());
        assert!(reply.try_recv().is_ok());
        replay.acknowledge(call("0", "a").id, Ok(json::null()));
        assert!(!replay.release_next() && replay.is_settled());
    }

    #[test]
    fn a_renamed_task_is_a_mismatch_that_names_both() {
        let mut replay = Replay::new(vec![recorded("0", "charge")]);
        assert!(matches!(replay.make(&call("0", "refund")), Made::Mismatch));
        let failure = replay.mismatch().unwrap();
        assert_eq!(failure.reason, "NON_DETERMINISTIC");
        assert!(failure.message.contains("`charge`") && failure.message.contains("`refund`"));
    }

    #[test]
    fn another_argument_is_noticed_if_both_sides_tell_theirs() {
        let with = |hash| Call {
            input_hash: [hash; 32],
            ..call("0", "a")
        };
        for (recorded, now, is_other) in [(1, 1, false), (1, 2, true), (0, 2, false), (1, 0, false)]
        {
            let entry = JournalEntry {
                call: with(recorded),
                outcome: Ok(json::null()),
            };
            let replay = Replay::new(vec![entry]);
            assert_eq!(replay.has_other_input(&with(now)), is_other);
        }
    }

    #[test]
    fn records_that_are_not_asked_for_again_are_left_over() {
        let replay = Replay::new(vec![recorded("0", "a")]);
        assert!(
            replay
                .left_over()
                .unwrap()
                .message
                .contains("call 0 of task `a`")
        );
    }

    #[test]
    fn what_a_recorded_call_called_itself_is_not_left_over() {
        let mut replay = Replay::new(vec![recorded("0/0", "inner"), recorded("0", "outer")]);
        assert!(matches!(
            replay.make(&call("0", "outer")),
            Made::Recorded(_)
        ));
        assert!(replay.release_next());
        assert!(replay.left_over().is_none());
    }
}
