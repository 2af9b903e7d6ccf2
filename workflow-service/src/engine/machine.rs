//! The rules of one dispatch of a run, without any input or output of its own.
//!
//! The machine is fed with what the worker says and what the store did, and answers with what to
//! do. It holds events back until the records before them are committed, so that streams show
//! events in the order of their numbers.
//!
//! How a dispatch ends here is what its code came to. If the run was asked to stop by then, the store
//! makes it CANCELLED all the same.

mod calls;
mod events;

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use serde_json::value::RawValue;
use weft_worker::{
    CallId, CallKind, Failure,
    protocol::{
        CacheEntry, Finish, Lookup, MessagePiece, Outcome, Question, Suspend, TargetCall,
        WorkerMessage,
    },
};

use crate::{
    domain::{
        Durability, Event, Origin, Run, Timestamp,
        checkpoint::CheckpointValues,
        history::{self, RecordedCall},
    },
    store::{Dispatch, RunEnd},
};

/// Largest result, output or saved value, in bytes of JSON: that of an input.
const MAX_VALUE_BYTES: usize = 8 * 1024 * 1024;
/// Shortest and longest pause before a run is given to a worker again that waited for a time that had passed.
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// What the machine wants done, in this order.
#[derive(Debug)]
pub(super) enum Effect {
    /// Show an event to those who follow the run.
    Publish(Event),
    /// Record outcomes; then call [`RunMachine::appended`].
    Append(RecordedCall),
    /// Tell the worker that a call has this outcome.
    Ack(CallId, Outcome),
    /// Tell the worker to run the task of a call.
    Retry(CallId, Duration),
    /// Make an attempt of a target; then call [`RunMachine::attempted`].
    Attempt(Arc<TargetCall>, u32),
    /// Wait for the time of an attempt; then call [`RunMachine::due`].
    AttemptLater(Arc<TargetCall>, u32, Duration),
    /// Look into a task's cache; then call [`RunMachine::looked_up`].
    LookUp(Box<Lookup>),
    /// Tell the worker that the run is to stop.
    Cancel(String),
    /// End the dispatch, after all appends.
    Rest {
        /// How it ends.
        end: RunEnd,
        /// Number of the run's last event.
        last_sequence: i64,
        /// When.
        now: Timestamp,
    },
}

/// RunMachine is the state of one dispatch.
#[derive(Debug)]
pub(super) struct RunMachine {
    run: Run,
    next_sequence: i64,
    next_commit: u32,
    /// Place of the first record of this dispatch.
    first_commit: u32,
    recorded: HashMap<CallId, Recorded>,
    /// Records that are being committed, in order.
    committing: VecDeque<RecordedCall>,
    /// The last attempt of a call that was answered with another try.
    retried: HashMap<CallId, u32>,
    /// Events that wait for a record before them.
    held_back: VecDeque<Held>,
    /// Roughly what they hold of memory.
    held_bytes: usize,
    /// Calls of targets and lookups that were asked for: each is seen to once, however often it is said.
    asked: HashSet<CallId>,
    /// How often a call was recorded again while its record was being committed.
    repeated: HashMap<CallId, u32>,
    /// Where the run's output is to be kept.
    cache: Option<CacheEntry>,
    /// Messages that a call's current attempt wrote pieces of.
    messages: HashMap<CallId, BTreeMap<Arc<str>, MessagePiece>>,
    /// How often the entrypoint was tried again before.
    retries: u32,
    durability: Durability,
    /// How long it may execute.
    timeout: Option<Duration>,
    start_time: Timestamp,
    /// Why the run is to stop, if it is.
    cancelling: Option<Failure>,
    /// The last word was said: nothing more is heard.
    finishing: bool,
}

/// What a call came to, and what it was.
#[derive(Debug)]
struct Recorded {
    kind: CallKind,
    task: Arc<str>,
    outcome: Outcome,
}

impl Recorded {
    fn of(RecordedCall { entry, .. }: &RecordedCall) -> Self {
        Self {
            kind: entry.call.kind,
            task: Arc::clone(&entry.call.task),
            outcome: entry.outcome.clone(),
        }
    }
}

#[derive(Debug)]
enum Held {
    Event(Box<Event>),
    /// The events of the next record to be committed.
    Record,
}

impl RunMachine {
    pub(super) fn new(dispatch: &Dispatch) -> Self {
        let journal = &dispatch.journal;
        let places = journal.iter().map(|call| call.commit_sequence + 1);
        let first_commit = places.max().unwrap_or(0);
        Self {
            run: dispatch.run.clone(),
            next_sequence: dispatch.run.last_sequence,
            next_commit: first_commit,
            first_commit,
            recorded: journal
                .iter()
                .map(|call| (call.entry.call.id.clone(), Recorded::of(call)))
                .collect(),
            committing: VecDeque::new(),
            retried: HashMap::new(),
            held_back: VecDeque::new(),
            held_bytes: 0,
            asked: HashSet::new(),
            repeated: HashMap::new(),
            cache: None,
            messages: HashMap::new(),
            retries: dispatch.retries,
            durability: dispatch.durability,
            timeout: dispatch.timeout,
            start_time: dispatch.run.update_time,
            cancelling: None,
            finishing: false,
        }
    }

    /// The dispatch begins.
    pub(super) fn start(&mut self) -> Vec<Effect> {
        let sequence = self.take_sequences(1);
        // When the run was claimed: what those who come late read from the store.
        let now = self.start_time;
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
        let about = match &message {
            WorkerMessage::Record(record) => Some(&record.call),
            WorkerMessage::Call(call) => Some(&call.call),
            WorkerMessage::Lookup(lookup) => Some(&lookup.call),
            _ => None,
        };
        if let Some(violation) = about.and_then(|call| self.contradicted(call)) {
            return self.given_up(violation, now);
        }
        match message {
            WorkerMessage::Event(event) => self.event(event, now),
            WorkerMessage::Record(record) => {
                let call = record.call.id.clone();
                self.record(*record, now, jitter, |delay| Effect::Retry(call, delay))
            }
            WorkerMessage::Call(call) => self.call(Arc::from(call), now),
            WorkerMessage::Lookup(lookup) => match self.known(&lookup.call.id) {
                Some(effects) => effects,
                None => vec![Effect::LookUp(lookup)],
            },
            WorkerMessage::Suspend(suspend) => self.suspend(*suspend, now),
            WorkerMessage::Finish(finish) => self.finish(*finish, now, jitter),
            WorkerMessage::Done(_) => {
                let what = "the worker said of a run what is said of a task on offer";
                self.given_up(Failure::new("PROTOCOL_VIOLATION", what), now)
            }
        }
    }

    /// The run's output is to be kept for others with the same arguments.
    pub(super) fn keep_output(&mut self, cache: CacheEntry) {
        self.cache = Some(cache);
    }

    /// Another run with the same arguments returned this.
    pub(super) fn cached(&mut self, values: CheckpointValues, now: Timestamp) -> Vec<Effect> {
        let cached = RunEnd::Succeeded {
            values,
            origin: Origin::Cache,
        };
        self.end(cached, now)
    }

    /// Somebody wants the run to stop.
    pub(super) fn cancel(&mut self, reason: String) -> Vec<Effect> {
        if self.finishing || self.cancelling.is_some() {
            return Vec::new();
        }
        self.cancelling = Some(Failure::new(Failure::CANCELLED, reason.clone()));
        vec![Effect::Cancel(reason)]
    }

    /// The worker did not stop in time after a cancel.
    pub(super) fn cancel_overdue(&mut self, now: Timestamp) -> Vec<Effect> {
        match self.cancelling.clone() {
            Some(failure) => self.end(RunEnd::Cancelled(failure), now),
            None => Vec::new(),
        }
    }

    /// No worker is to execute the run any more.
    pub(super) fn given_up(&mut self, failure: Failure, now: Timestamp) -> Vec<Effect> {
        self.end(RunEnd::Paused(failure), now)
    }

    /// The run took longer than it may.
    pub(super) fn timed_out(&mut self, now: Timestamp) -> Vec<Effect> {
        let timeout = self.timeout.unwrap_or_default();
        let what = format!("the run executed for longer than its timeout, {timeout:?}");
        let failure = Failure::new("RUN_TIMEOUT", what);
        self.end(RunEnd::Failed(failure), now)
    }

    fn suspend(&mut self, suspend: Suspend, now: Timestamp) -> Vec<Effect> {
        let wake_time = suspend.wake_time.map(Timestamp::from_micros);
        let wake_time = wake_time.map(|due| self.wake_time(due, now));
        let questions = suspend.interrupts;
        if let Some(violation) = self.unanswerable(&questions) {
            return self.end(RunEnd::Paused(violation), now);
        }
        let end = match wake_time {
            Some(wake_time) if questions.is_empty() => RunEnd::Waiting { wake_time },
            wake_time => RunEnd::Interrupted {
                questions,
                wake_time,
            },
        };
        self.end(end, now)
    }

    /// When a run that waits until `due` is to go on. A worker that has recorded nothing and waits for
    /// a time that has passed has a clock that is behind: it is given the run again after as long as
    /// that is past, so that it is asked ever less often until its clock has come there too.
    fn wake_time(&self, due: Timestamp, now: Timestamp) -> Timestamp {
        if due > now || self.next_commit > self.first_commit {
            return due;
        }
        now.after(now.since(due).clamp(SHORTEST_PAUSE, LONGEST_PAUSE))
    }

    /// The failure of questions that could not be told from one another, or from what is recorded.
    fn unanswerable(&self, questions: &[Question]) -> Option<Failure> {
        let mut ids = HashSet::new();
        let twice = questions
            .iter()
            .map(|question| &question.call.id)
            .find(|id| {
                let committing = &mut self.committing.iter();
                self.recorded.contains_key(*id)
                    || committing.any(|call| call.entry.call.id == **id)
                    || !ids.insert(*id)
            })?;
        let what = format!("the worker asks under the id `{twice}`, which has another meaning");
        Some(Failure::new("PROTOCOL_VIOLATION", what))
    }

    fn finish(&mut self, finish: Finish, now: Timestamp, jitter: f64) -> Vec<Effect> {
        let end = match finish {
            Finish::Returned { value, saved } => {
                match too_large(&value).or_else(|| too_large(&saved)) {
                    Some(failure) => RunEnd::Failed(failure),
                    None => RunEnd::Succeeded {
                        values: CheckpointValues::new(&value, &saved),
                        origin: Origin::Executed(self.cache.take()),
                    },
                }
            }
            Finish::Failed { failure, retry } => {
                match retry.delay(self.retries + 1, &failure, jitter) {
                    Some(delay) => RunEnd::Retrying {
                        failure,
                        wake_time: now.after(delay),
                    },
                    None => RunEnd::Failed(failure),
                }
            }
            Finish::Mismatch(failure) => RunEnd::Paused(failure),
        };
        self.end(end, now)
    }

    fn end(&mut self, end: RunEnd, now: Timestamp) -> Vec<Effect> {
        if std::mem::replace(&mut self.finishing, true) {
            return Vec::new();
        }
        let count = history::events_of_settling(end.state());
        let last_sequence = self.take_sequences(count) + count - 1;
        vec![Effect::Rest {
            end,
            last_sequence,
            now,
        }]
    }
}

/// The failure of a value that is larger than a value may be.
fn too_large(value: &RawValue) -> Option<Failure> {
    let bytes = value.get().len();
    (bytes > MAX_VALUE_BYTES).then(|| {
        let what = format!("a value has {bytes} bytes of JSON, at most {MAX_VALUE_BYTES} are kept");
        Failure::new("PAYLOAD_TOO_LARGE", what)
    })
}
