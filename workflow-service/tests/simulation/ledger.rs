//! What the store was told and must hold.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use weft_worker::CallId;
use workflow_service::{
    domain::{Run, RunId, ThreadId, history::RecordedCall},
    store::{Dispatch, Fence},
};

/// Ledger holds what was committed, as the store showed it last.
#[derive(Default)]
pub(crate) struct Ledger {
    journals: HashMap<RunId, Vec<Entry>>,
    /// Questions whose answers were accepted, and are to be recorded when their run is claimed next.
    answered: HashMap<RunId, BTreeSet<CallId>>,
    /// Last dispatch of each run, and whether it is over.
    dispatches: BTreeMap<RunId, (Fence, bool)>,
}

/// Entry is a recorded call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    commit: u32,
    call: CallId,
    is_failure: bool,
    /// All that is recorded of it.
    text: String,
}

impl Entry {
    pub(crate) fn new(recorded: &RecordedCall) -> Self {
        let call = &recorded.entry.call;
        let outcome = match &recorded.entry.outcome {
            Ok(result) => result.get().to_owned(),
            Err(failure) => format!("failure {failure} {:?}", failure.call),
        };
        Self {
            commit: recorded.commit_sequence,
            call: call.id.clone(),
            is_failure: recorded.entry.outcome.is_err(),
            text: format!("{:?} `{}` = {outcome}", call.kind, call.task),
        }
    }
}

/// How a write may change a journal.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    /// Not at all.
    None,
    /// By these calls, as far as they are new.
    Append(Vec<Entry>),
    /// Failures may be gone.
    Forget,
}

impl Ledger {
    /// Answers to these calls were accepted.
    pub(crate) fn answered(&mut self, run: RunId, calls: Vec<CallId>) {
        self.answered.entry(run).or_default().extend(calls);
    }

    /// Checks a journal against the one before, and keeps it. Answers that were accepted may be new in
    /// it, after all else: the run was claimed with the same write.
    pub(crate) fn changed(
        &mut self,
        run: RunId,
        mut after: Vec<Entry>,
        change: &Change,
    ) -> Result<(), String> {
        let before = self.journals.entry(run).or_default();
        let accepted = self.answered.entry(run).or_default();
        let mut answers = Vec::new();
        while let Some(answer) = after.pop_if(|entry| accepted.remove(&entry.call)) {
            answers.insert(0, answer);
        }
        let wrong = |what: &str| {
            Err(format!(
                "the journal {what} by {change:?}\nbefore: {before:#?}\nafter: {after:#?}"
            ))
        };
        if !after.is_sorted_by(|a, b| a.commit < b.commit) {
            return wrong("has two calls of one place");
        }
        let kept = before.iter().zip(&after).take_while(|(a, b)| a == b);
        let (kept, is_fine) = match change {
            Change::Forget => {
                let is_left = |entry: &&Entry| !after.contains(entry);
                let gone = before
                    .iter()
                    .find(|entry| is_left(entry) && !entry.is_failure);
                let is_new = after.iter().any(|entry| !before.contains(entry));
                (gone.is_none(), !is_new)
            }
            Change::None => (kept.count() == before.len(), after.len() == before.len()),
            Change::Append(calls) => {
                let is_known = |call: &&Entry| before.iter().any(|entry| entry.call == call.call);
                let new: Vec<_> = calls.iter().filter(|call| !is_known(call)).collect();
                let is_kept = kept.count() == before.len();
                (is_kept, after.iter().skip(before.len()).eq(new))
            }
        };
        if !kept {
            return wrong("lost or changed what it had");
        }
        if !is_fine {
            return wrong("did not change as it was to");
        }
        let mut calls: Vec<_> = after.iter().map(|entry| &entry.call).collect();
        calls.sort_unstable();
        if calls.windows(2).any(|pair| pair[0] == pair[1]) {
            return wrong("has two results of one call");
        }
        *before = after;
        before.append(&mut answers);
        Ok(())
    }

    /// Notes a dispatch, and checks what it is handed.
    pub(crate) fn dispatched(&mut self, dispatch: &Dispatch) -> Result<(), String> {
        let run = dispatch.run.id;
        let handed: Vec<_> = dispatch.journal.iter().map(Entry::new).collect();
        self.changed(run, handed.clone(), &Change::None)?;
        if let Some(lost) = self.answered.remove(&run).filter(|calls| !calls.is_empty()) {
            return Err(format!(
                "a worker is not handed the accepted answers to {lost:?}"
            ));
        }
        let recorded = self.journals.entry(run).or_default();
        if handed != *recorded {
            return Err(format!(
                "a worker is handed another journal than the run has\nhanded: {handed:#?}\n\
                 recorded: {recorded:#?}"
            ));
        }
        match self.dispatches.insert(run, (dispatch.fence, false)) {
            Some((before, _)) if before.epoch >= dispatch.fence.epoch => Err(format!(
                "{:?} follows {before:?}: it fences nothing off",
                dispatch.fence
            )),
            _ => Ok(()),
        }
    }

    /// Notes that a dispatch is over.
    pub(crate) fn over(&mut self, fence: Fence) {
        if let Some((last, is_over)) = self.dispatches.get_mut(&fence.run_id)
            && *last == fence
        {
            *is_over = true;
        }
    }

    /// All dispatches are over: the process has crashed.
    pub(crate) fn all_over(&mut self) {
        self.dispatches
            .values_mut()
            .for_each(|(_, is_over)| *is_over = true);
    }

    /// The journal of a run is deleted, and the run is not.
    pub(crate) fn forget_journal(&mut self, run: RunId) {
        self.journals.insert(run, Vec::new());
    }

    /// The run is deleted.
    pub(crate) fn forget(&mut self, run: RunId) {
        self.journals.remove(&run);
        self.answered.remove(&run);
        self.dispatches.remove(&run);
    }

    /// Fence of the dispatch of a run that is under way.
    pub(crate) fn fence_of(&self, run: RunId) -> Option<Fence> {
        let (fence, is_over) = self.dispatches.get(&run)?;
        (!is_over).then_some(*fence)
    }

    /// The fence of some dispatch that is under way.
    pub(crate) fn fence(&self, choice: usize) -> Option<Fence> {
        let under_way: Vec<_> = self
            .dispatches
            .values()
            .filter(|(_, is_over)| !is_over)
            .map(|(fence, _)| *fence)
            .collect();
        (!under_way.is_empty()).then(|| under_way[choice % under_way.len()])
    }

    /// A fence that must hold: of a dispatch that is over.
    pub(crate) fn stale_fence(&self, choice: usize) -> Option<Fence> {
        let mut stale = Vec::new();
        for (fence, is_over) in self.dispatches.values() {
            if *is_over {
                stale.push(*fence);
            }
            if fence.epoch > 1 {
                stale.push(Fence {
                    epoch: fence.epoch - 1,
                    ..*fence
                });
            }
        }
        (!stale.is_empty()).then(|| stale[choice % stale.len()])
    }

    /// Place of a recorded call among the commits of its run.
    pub(crate) fn commit_of(&self, run: RunId, call: &CallId) -> Option<u32> {
        let journal = self.journals.get(&run)?;
        let entry = journal.iter().find(|entry| entry.call == *call)?;
        Some(entry.commit)
    }
}

/// Checks that no thread has two runs that hold it.
pub(crate) fn one_per_thread(holding: &[Run]) -> Result<(), String> {
    let mut threads: HashMap<&ThreadId, &Run> = HashMap::new();
    for run in holding {
        if let Some(other) = threads.insert(&run.thread_id, run) {
            return Err(format!("two runs hold one thread: {other:?}\nand {run:?}"));
        }
    }
    Ok(())
}
