//! What becomes of calls: attempts, retries, records and their commits.

use std::{sync::Arc, time::Duration};

use weft_worker::{
    Call, CallId, Failure, Json, RetryPolicy, Usage,
    protocol::{JournalEntry, Lookup, Record, TargetCall},
};

use super::{Effect, Held, Recorded, RunMachine, too_large};
use crate::domain::{
    Durability, EventKind, Origin, TaskStep, Timestamp,
    history::{self, RecordedCall},
};

impl RunMachine {
    /// The next attempt of a target is due.
    pub(in super::super) fn due(
        &mut self,
        call: Arc<TargetCall>,
        attempt: u32,
        now: Timestamp,
    ) -> Vec<Effect> {
        if self.finishing {
            return Vec::new();
        }
        let started = EventKind::Task {
            call: call.call.id.clone(),
            task: Arc::clone(&call.call.task),
            attempt,
            step: TaskStep::Started(Arc::clone(&call.input)),
            usage: Usage::default(),
        };
        let mut effects: Vec<_> = self.publish(started, now).into_iter().collect();
        effects.push(Effect::Attempt(call, attempt));
        effects
    }

    /// An attempt of a target ended. `jitter` is a random number from 0 to 1.
    pub(in super::super) fn attempted(
        &mut self,
        call: Arc<TargetCall>,
        record: Record,
        now: Timestamp,
        jitter: f64,
    ) -> Vec<Effect> {
        if self.finishing {
            return Vec::new();
        }
        let next = record.attempt + 1;
        self.record(record, now, jitter, |delay| {
            Effect::AttemptLater(call, next, delay)
        })
    }

    /// A task's cache was looked into.
    pub(in super::super) fn looked_up(
        &mut self,
        lookup: Lookup,
        found: Option<Json>,
        now: Timestamp,
    ) -> Vec<Effect> {
        if self.finishing {
            return Vec::new();
        }
        match found {
            Some(result) => {
                let record = Record {
                    call: lookup.call,
                    attempt: 1,
                    outcome: Ok(result),
                    retry: RetryPolicy::NEVER,
                    cache: None,
                    usage: Usage::default(),
                };
                self.append(record, now, Origin::Cache)
            }
            None => vec![Effect::Retry(lookup.call.id, Duration::ZERO)],
        }
    }

    /// The store committed the oldest append.
    pub(in super::super) fn appended(&mut self) -> Vec<Effect> {
        let Some(call) = self.committing.pop_front() else {
            return Vec::new();
        };
        let id = call.entry.call.id.clone();
        self.recorded.insert(id.clone(), Recorded::of(&call));
        self.messages.remove(&id);
        if self.durability == Durability::Exit {
            return Vec::new();
        }
        let mut effects = Vec::new();
        // The front is this record: everything before it was released with the one before.
        self.held_back.pop_front();
        effects.extend(
            history::recorded(&self.run, &call)
                .into_iter()
                .map(Effect::Publish),
        );
        while let Some(Held::Event(event)) = self
            .held_back
            .pop_front_if(|held| matches!(held, Held::Event(_)))
        {
            self.held_bytes -= event.kind.weight();
            effects.push(Effect::Publish(*event));
        }
        let repeats = self.repeated.remove(&id).unwrap_or(0);
        if self.durability == Durability::Sync {
            let ack = || Effect::Ack(id.clone(), call.entry.outcome.clone());
            effects.extend((0..=repeats).map(|_| ack()));
        }
        effects
    }

    /// The worker asks for something that the engine does.
    pub(super) fn call(&mut self, call: Arc<TargetCall>, now: Timestamp) -> Vec<Effect> {
        match self.known(&call.call.id) {
            Some(effects) => effects,
            None => self.due(call, 1, now),
        }
    }

    /// What to do about a call that was asked for before; `None` if it is new.
    pub(super) fn known(&mut self, id: &CallId) -> Option<Vec<Effect>> {
        if let Some(stored) = self.recorded.get(id) {
            return Some(vec![Effect::Ack(id.clone(), stored.outcome.clone())]);
        }
        let is_new = self.asked.insert(id.clone());
        (!is_new).then(Vec::new)
    }

    /// The failure of a call whose id another one has that is recorded.
    pub(super) fn contradicted(&self, call: &Call) -> Option<Failure> {
        let mut committing = self.committing.iter().map(|call| &call.entry.call);
        let (kind, task) = match self.recorded.get(&call.id) {
            Some(recorded) => (recorded.kind, &recorded.task),
            None => {
                let same = committing.find(|other| other.id == call.id)?;
                (same.kind, &same.task)
            }
        };
        let is_same = kind == call.kind && *task == call.task;
        (!is_same).then(|| {
            let what = format!(
                "the worker broke the protocol: it says of the call `{}` that it is `{}` \
                 ({:?}), which is recorded as `{task}` ({kind:?})",
                call.id, call.task, call.kind
            );
            Failure::new("PROTOCOL_VIOLATION", what)
        })
    }

    /// An attempt ended; `again` makes the next one, if there is to be one.
    pub(super) fn record(
        &mut self,
        mut record: Record,
        now: Timestamp,
        jitter: f64,
        again: impl FnOnce(Duration) -> Effect,
    ) -> Vec<Effect> {
        let id = record.call.id.clone();
        if let Some(failure) = record
            .outcome
            .as_ref()
            .ok()
            .and_then(|result| too_large(result))
        {
            record.outcome = Err(failure.of_call(&id, &record.call.task));
        }
        if let Some(stored) = self.recorded.get(&id) {
            return vec![Effect::Ack(id, stored.outcome.clone())];
        }
        // Said twice: the answer to the first one is under way.
        if let Some(first) = self.committing.iter().find(|call| call.entry.call.id == id) {
            if self.durability != Durability::Sync {
                return vec![Effect::Ack(id, first.entry.outcome.clone())];
            }
            *self.repeated.entry(id).or_default() += 1;
            return Vec::new();
        }
        let answered = self.retried.get(&id);
        if answered.is_some_and(|&last| record.attempt <= last) {
            return Vec::new();
        }
        if let Err(failure) = &record.outcome
            && let Some(delay) = record.retry.delay(record.attempt, failure, jitter)
        {
            let step = TaskStep::Retrying {
                failure: failure.clone(),
                next_attempt_time: now.after(delay),
            };
            let task = Arc::clone(&record.call.task);
            let resets = self.forget_messages(&id, &task);
            let attempt = record.attempt;
            self.retried.insert(id.clone(), attempt);
            let mut effects: Vec<_> = resets
                .into_iter()
                .filter_map(|reset| self.publish(reset, now))
                .collect();
            let retrying = EventKind::Task {
                call: id,
                task,
                attempt,
                step,
                usage: Usage::default(),
            };
            effects.extend(self.publish(retrying, now));
            effects.push(again(delay));
            return effects;
        }
        let origin = Origin::Executed(record.cache.take());
        self.append(record, now, origin)
    }

    /// Records an outcome.
    pub(super) fn append(&mut self, record: Record, now: Timestamp, origin: Origin) -> Vec<Effect> {
        let (call, outcome) = (record.call, record.outcome);
        let id = call.id.clone();
        let call = RecordedCall {
            sequence: self.take_sequences(history::events_of_record(call.kind, &outcome)),
            entry: JournalEntry { call, outcome },
            commit_sequence: self.next_commit,
            attempt: record.attempt,
            time: now,
            origin,
            usage: record.usage,
        };
        self.next_commit += 1;
        self.committing.push_back(call.clone());
        let ack = Effect::Ack(id, call.entry.outcome.clone());
        match self.durability {
            Durability::Sync => {
                self.held_back.push_back(Held::Record);
                vec![Effect::Append(call)]
            }
            Durability::Async => {
                self.held_back.push_back(Held::Record);
                vec![Effect::Append(call), ack]
            }
            // Nothing is durable before the end, so that nothing is held back for it.
            Durability::Exit => {
                let events = history::recorded(&self.run, &call).into_iter();
                let shown = events.map(Effect::Publish);
                [Effect::Append(call), ack]
                    .into_iter()
                    .chain(shown)
                    .collect()
            }
        }
    }
}
