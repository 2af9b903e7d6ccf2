//! The rules of one dispatch of a run, without any input or output of its own.
//!
//! The machine is fed with what the worker says and what the store did, and answers with what to
//! do. It holds events back until the records before them are committed, so that streams show
//! events in the order of their numbers.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use weft_worker::{
    CallId,
    protocol::{self, Finish, JournalEntry, MessagePiece, Outcome, Record, WorkerMessage},
};

use crate::{
    domain::{
        Event, EventKind, Run, TaskStep, Timestamp,
        checkpoint::CheckpointValues,
        history::{self, RecordedCall},
    },
    store::{Dispatch, Rest, RestedRun, RunEnd},
};

/// What the machine wants done, in this order.
#[derive(Debug)]
pub(super) enum Effect {
    /// Show an event to those who follow the run.
    Publish(Event),
    /// Record outcomes; then call [`RunMachine::appended`].
    Append(RecordedCall),
    /// Tell the worker that a call has this outcome.
    Ack(CallId, Outcome),
    /// Tell the worker to try a call again.
    Retry(CallId, Duration),
    /// Bring the run to rest, after all appends; then call [`RunMachine::rested`].
    Rest(Rest),
}

/// RunMachine is the state of one dispatch.
#[derive(Debug)]
pub(super) struct RunMachine {
    run: Run,
    next_sequence: i64,
    next_commit: u32,
    recorded: HashMap<CallId, Outcome>,
    /// Records that are being committed, in order.
    committing: VecDeque<RecordedCall>,
    /// Events that wait for a record before them.
    held_back: VecDeque<Held>,
    /// Messages that a call's current attempt wrote pieces of.
    messages: HashMap<CallId, BTreeMap<Arc<str>, MessagePiece>>,
    finishing: bool,
}

#[derive(Debug)]
enum Held {
    Event(Event),
    /// The events of the next record to be committed.
    Record,
}

impl RunMachine {
    pub(super) fn new(dispatch: &Dispatch) -> Self {
        let journal = &dispatch.journal;
        Self {
            run: dispatch.run.clone(),
            next_sequence: dispatch.run.last_sequence,
            next_commit: journal
                .iter()
                .map(|call| call.commit_sequence + 1)
                .max()
                .unwrap_or(0),
            recorded: journal
                .iter()
                .map(|call| (call.entry.call.id.clone(), call.entry.outcome.clone()))
                .collect(),
            committing: VecDeque::new(),
            held_back: VecDeque::new(),
            messages: HashMap::new(),
            finishing: false,
        }
    }

    /// The dispatch begins.
    pub(super) fn start(&mut self, now: Timestamp) -> Vec<Effect> {
        let sequence = self.take_sequences(1);
        vec![Effect::Publish(history::started(
            &self.run,
            sequence,
            self.run.attempt,
            now,
        ))]
    }

    /// The worker says something. `jitter` is a random number from 0 to 1.
    pub(super) fn heard(
        &mut self,
        message: WorkerMessage,
        now: Timestamp,
        jitter: f64,
    ) -> Vec<Effect> {
        if self.finishing {
            return Vec::new();
        }
        match message {
            WorkerMessage::Event(event) => self.event(event, now),
            WorkerMessage::Record(record) => self.record(*record, now, jitter),
            WorkerMessage::Finish(finish) => self.finish(*finish, now),
        }
    }

    /// The store committed the oldest append.
    pub(super) fn appended(&mut self) -> Vec<Effect> {
        let Some(call) = self.committing.pop_front() else {
            return Vec::new();
        };
        let id = call.entry.call.id.clone();
        self.recorded.insert(id.clone(), call.entry.outcome.clone());
        self.messages.remove(&id);
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
            effects.push(Effect::Publish(event));
        }
        effects.push(Effect::Ack(id, call.entry.outcome));
        effects
    }

    /// The store brought the run to rest.
    pub(super) fn rested(rested: &RestedRun) -> Vec<Effect> {
        history::ended(&rested.run, rested.checkpoint.as_ref())
            .into_iter()
            .map(Effect::Publish)
            .collect()
    }

    fn event(&mut self, event: protocol::Event, now: Timestamp) -> Vec<Effect> {
        let kind = match event {
            protocol::Event::TaskStarted {
                call,
                task,
                attempt,
                input,
            } => EventKind::Task {
                call,
                task,
                attempt,
                step: TaskStep::Started(input),
            },
            protocol::Event::Message { call, task, piece } => {
                let forgettable = MessagePiece {
                    text: String::new(),
                    ..piece.clone()
                };
                let messages = self.messages.entry(call.clone()).or_default();
                messages
                    .entry(Arc::clone(&piece.message_id))
                    .or_insert(forgettable);
                EventKind::Message {
                    call,
                    task,
                    piece,
                    reset: false,
                }
            }
        };
        self.publish(kind, now).into_iter().collect()
    }

    fn record(&mut self, record: Record, now: Timestamp, jitter: f64) -> Vec<Effect> {
        let id = record.call.id.clone();
        if let Some(stored) = self.recorded.get(&id) {
            return vec![Effect::Ack(id, stored.clone())];
        }
        if self.committing.iter().any(|call| call.entry.call.id == id) {
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
            let mut effects: Vec<_> = resets
                .into_iter()
                .filter_map(|reset| self.publish(reset, now))
                .collect();
            let retrying = EventKind::Task {
                call: id.clone(),
                task,
                attempt,
                step,
            };
            effects.extend(self.publish(retrying, now));
            effects.push(Effect::Retry(id, delay));
            return effects;
        }
        let call = RecordedCall {
            sequence: self.take_sequences(history::events_of_outcome(&record.outcome)),
            entry: JournalEntry {
                call: record.call,
                outcome: record.outcome,
            },
            commit_sequence: self.next_commit,
            attempt: record.attempt,
            time: now,
        };
        self.next_commit += 1;
        self.held_back.push_back(Held::Record);
        self.committing.push_back(call.clone());
        vec![Effect::Append(call)]
    }

    fn finish(&mut self, finish: Finish, now: Timestamp) -> Vec<Effect> {
        self.finishing = true;
        let end = match finish {
            Finish::Returned { value, saved } => {
                RunEnd::Succeeded(CheckpointValues::new(&value, &saved))
            }
            Finish::Failed(failure) => RunEnd::Failed(failure),
            Finish::Mismatch(failure) => RunEnd::Paused(failure),
        };
        let count = history::events_of_end(end.state());
        let last_sequence = self.take_sequences(count) + count - 1;
        vec![Effect::Rest(Rest {
            end,
            last_sequence,
            now,
        })]
    }

    fn forget_messages(&mut self, call: &CallId, task: &Arc<str>) -> Vec<EventKind> {
        self.messages
            .remove(call)
            .unwrap_or_default()
            .into_values()
            .map(|piece| EventKind::Message {
                call: call.clone(),
                task: Arc::clone(task),
                piece,
                reset: true,
            })
            .collect()
    }

    /// Numbers an event and shows it, now or after the records before it.
    fn publish(&mut self, kind: EventKind, now: Timestamp) -> Option<Effect> {
        let event = Event {
            sequence: self.take_sequences(1),
            run_id: self.run.id,
            time: now,
            kind,
        };
        if self.held_back.is_empty() {
            return Some(Effect::Publish(event));
        }
        self.held_back.push_back(Held::Event(event));
        None
    }

    /// The first of `count` new numbers.
    fn take_sequences(&mut self, count: i64) -> i64 {
        let first = self.next_sequence;
        self.next_sequence += count;
        first
    }
}
