//! Writes that must change nothing: in the name of dispatches that are over, and of calls that are
//! recorded.

use std::time::Duration;

use rand::RngExt as _;
use service_runtime::Tenant;
use weft_worker::{Call, CallId, CallKind, Failure, Usage, json, protocol::JournalEntry};
use workflow_service::{
    domain::{
        Timestamp,
        history::{Origin, RecordedCall},
    },
    store::{CheckpointStore as _, Fence, Rest, RunEnd, StoreError},
};

use crate::{
    ledger::Change,
    store::{SimulatedStore, at_once},
};

/// Share of writes that such a one follows.
const INTRUSIONS: f64 = 0.1;

impl SimulatedStore {
    /// Writes something now and then that must change nothing.
    pub(crate) fn intrude(&self) {
        if !self.world.chance(INTRUSIONS) {
            return;
        }
        let (stale, current, what) = {
            let mut state = self.world.state();
            let choice = state.random.random_range(0..1000);
            let what = state.random.random_range(0..3);
            let (stale, current) = (state.ledger.stale_fence(choice), state.ledger.fence(choice));
            (stale, current, what)
        };
        match (what, stale, current) {
            (0, Some(fence), _) => self.rest_again(fence),
            (1, Some(fence), _) => self.record_under(fence),
            (_, _, Some(fence)) => self.record_again(fence),
            _ => {}
        }
    }

    /// As a replica would that was taken for dead.
    fn rest_again(&self, fence: Fence) {
        let rest = Rest {
            end: RunEnd::Failed(Failure::new("STALE", "said too late")),
            last_sequence: 1,
            executed: Duration::ZERO,
            now: self.world.now(),
        };
        let rested = at_once(self.inner.rest_run(fence, rest, true));
        self.expect_fenced(fence, rested.map(drop));
    }

    fn record_under(&self, fence: Fence) {
        let call = Call {
            id: CallId::new(None, 0),
            kind: CallKind::Task,
            task: "stale".into(),
            input_hash: [0; 32],
        };
        let recorded = at_once(
            self.inner
                .append(fence, vec![other_result(call, self.world.now())]),
        );
        self.expect_fenced(fence, recorded);
    }

    fn expect_fenced(&self, fence: Fence, written: Result<(), StoreError>) {
        if !matches!(written, Err(StoreError::Fenced)) {
            self.world.fail(format!(
                "a write of run {} under {fence:?}, which is over: {written:?}",
                self.world.number_of(fence.run_id)
            ));
        }
    }

    /// Another result of a call that is recorded, under the fence that holds.
    fn record_again(&self, fence: Fence) {
        let journal = at_once(
            self.inner
                .journal(&Tenant::default(), fence.run_id, i64::MIN),
        );
        let Some(recorded) = journal.ok().and_then(|journal| journal.into_iter().next()) else {
            return;
        };
        let again = other_result(recorded.entry.call, self.world.now());
        let written = at_once(self.inner.append(fence, vec![again]));
        let checked = match written {
            Ok(()) => self.journal_changed(fence.run_id, &Change::None),
            Err(error) => Err(format!("a second result of a call is refused: {error:?}")),
        };
        self.world.expect(checked);
    }
}

fn other_result(call: Call, now: Timestamp) -> RecordedCall {
    RecordedCall {
        entry: JournalEntry {
            call,
            outcome: Ok(json::null()),
        },
        commit_sequence: 1_000_000,
        sequence: 1,
        attempt: 1,
        time: now,
        origin: Origin::Executed(None),
        usage: Usage::default(),
    }
}
