//! The recent events of runs that are under way, for those who follow them.
//!
//! A reader keeps its own place and takes what is newer, so that a thousand readers of one run cost
//! a place each, and one that stops reading holds nobody up. One that is behind gets what is there of
//! a message at once.
//!
//! # Layout
//! - `entry`: events as they are kept

mod entry;

use std::{
    collections::{HashMap, VecDeque, hash_map::Entry as Place},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

use service_runtime::config::human;
use weft_worker::{CallId, protocol::Warning};

use self::entry::Entry;
use crate::domain::{Event, EventKind, Run, RunId, TaskStep};

/// Memory that the kept events of one run may hold, in bytes. Older ones are dropped first; durable
/// ones can be read from the store.
const MAX_WEIGHT: usize = 4 * 1024 * 1024;
/// Events that a reader is given at once.
const READ_BATCH: usize = 256;

/// EventLogs holds the logs of all runs that are under way or followed.
#[derive(Debug, Default)]
pub(super) struct EventLogs {
    logs: Mutex<HashMap<RunId, Arc<EventLog>>>,
}

impl EventLogs {
    /// The log of a run, made if there is none.
    pub(super) fn open(&self, run: RunId) -> Arc<EventLog> {
        Arc::clone(self.lock().entry(run).or_default())
    }

    /// The log of a run, if it is under way or followed.
    pub(super) fn get(&self, run: RunId) -> Option<Arc<EventLog>> {
        self.lock().get(&run).cloned()
    }

    /// Ends the log of a run that rests, after these events. Readers that hold it read on to its end.
    /// Does nothing if the run has gone on meanwhile, and somebody waits for what comes of that.
    pub(super) fn close(&self, rested: Run, events: Vec<Event>) {
        let mut logs = self.lock();
        if let Place::Occupied(log) = logs.entry(rested.id)
            && log.get().close(Arc::new(rested), events)
        {
            log.remove();
        }
    }

    /// Notes that somebody who follows a run by this log has found it unfinished after the event with
    /// the number `last_sequence`. If that is over by now, the log tells nothing of what comes next:
    /// look again.
    pub(super) fn follow(&self, run: RunId, log: &Arc<EventLog>, last_sequence: i64) -> bool {
        log.cover(last_sequence)
            && self
                .get(run)
                .is_some_and(|current| Arc::ptr_eq(&current, log))
    }

    /// Forgets the log of a run that gave its worker back, unless someone follows it.
    pub(super) fn release(&self, run: RunId) {
        let mut logs = self.lock();
        if logs
            .get(&run)
            .is_some_and(|log| log.changed.receiver_count() == 0)
        {
            logs.remove(&run);
        }
    }

    /// Forgets a log that was opened for a run that turned out to rest, unless the run has gone on
    /// meanwhile.
    pub(super) fn forget(&self, run: RunId) {
        let mut logs = self.lock();
        let is_of_use = |kept: &Kept| kept.begun || kept.covered > 0;
        if logs.get(&run).is_some_and(|log| !is_of_use(&log.lock())) {
            logs.remove(&run);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<RunId, Arc<EventLog>>> {
        self.logs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// EventLog holds the recent events of one run.
#[derive(Debug)]
pub(super) struct EventLog {
    kept: Mutex<Kept>,
    changed: watch::Sender<i64>,
}

#[derive(Debug, Default)]
struct Kept {
    entries: VecDeque<Entry>,
    weight: usize,
    /// Events up to this number are not kept.
    floor: i64,
    /// Events up to this number belong to earlier dispatches.
    base: i64,
    /// Whether a dispatch writes here.
    begun: bool,
    /// Number of the last event after which somebody found the run unfinished.
    covered: i64,
    /// What calls wait for, those that began to wait first.
    waits: Vec<(CallId, String)>,
    rested: Option<Arc<Run>>,
}

/// What a reader finds.
#[derive(Debug)]
pub(super) enum Read {
    /// Events that follow its place.
    Events(Vec<Arc<Event>>),
    /// Its place is before what is kept: it must ask the store up to `floor`.
    Behind {
        /// Events up to this number are not kept.
        floor: i64,
        /// Events up to this number belong to earlier dispatches.
        base: i64,
    },
    /// Nothing newer yet.
    UpToDate,
    /// Nothing more will come.
    End,
}

impl Default for EventLog {
    fn default() -> Self {
        Self {
            kept: Mutex::default(),
            changed: watch::Sender::new(0),
        }
    }
}

impl EventLog {
    /// Starts a dispatch, whose events have numbers above `base`.
    pub(super) fn begin(&self, base: i64) {
        let mut kept = self.lock();
        kept.begun = true;
        kept.base = base;
        // What earlier dispatches left here is behind the floor now.
        kept.entries.clear();
        kept.weight = 0;
        kept.floor = kept.floor.max(base);
        kept.waits.clear();
    }

    /// What a call of the run waits for, if one says so.
    pub(super) fn waits(&self) -> Option<String> {
        self.lock().waits.first().map(|(_, what)| what.clone())
    }

    /// Notes that somebody found the run unfinished after the event with this number: events up to it
    /// are in the store, unless a dispatch writes here. Whether the log is not closed by an earlier
    /// rest.
    pub(super) fn cover(&self, last_sequence: i64) -> bool {
        let mut kept = self.lock();
        if let Some(rested) = &kept.rested {
            return rested.last_sequence > last_sequence;
        }
        kept.covered = kept.covered.max(last_sequence);
        if !kept.begun {
            kept.floor = kept.floor.max(last_sequence);
        }
        true
    }

    /// Adds an event, newer than all before.
    pub(super) fn push(&self, event: Event) {
        let sequence = event.sequence;
        {
            let mut kept = self.lock();
            kept.note_wait(&event.kind);
            kept.add(event);
        }
        self.changed.send_replace(sequence);
    }

    /// What follows the event with number `after`.
    pub(super) fn read(&self, after: i64) -> Read {
        let kept = self.lock();
        if after < kept.floor {
            return Read::Behind {
                floor: kept.floor,
                base: kept.base,
            };
        }
        let first = kept
            .entries
            .partition_point(|entry| entry.last_sequence() <= after);
        let newer = kept.entries.iter().skip(first).take(READ_BATCH);
        let events: Vec<_> = newer.map(|entry| entry.following(after)).collect();
        if !events.is_empty() {
            Read::Events(events)
        } else if kept.rested.is_some() {
            Read::End
        } else {
            Read::UpToDate
        }
    }

    /// Something to wait on for news.
    pub(super) fn changes(&self) -> watch::Receiver<i64> {
        self.changed.subscribe()
    }

    /// The run as it came to rest, once it has.
    pub(super) fn rested(&self) -> Option<Arc<Run>> {
        self.lock().rested.clone()
    }

    /// Number of the newest event.
    pub(super) fn last_sequence(&self) -> i64 {
        *self.changed.borrow()
    }

    /// Whether it is closed by that: not if somebody has found the run unfinished after it.
    fn close(&self, rested: Arc<Run>, events: Vec<Event>) -> bool {
        let last = rested.last_sequence;
        {
            let mut kept = self.lock();
            // A dispatch that has begun here came after the rest before it, too.
            if kept.covered.max(kept.base) >= last {
                return false;
            }
            events.into_iter().for_each(|event| kept.add(event));
            kept.rested = Some(rested);
        }
        self.changed.send_replace(last);
        true
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn add(&mut self, event: Event) {
        let last = self.entries.back_mut();
        let joined = last.and_then(|last| last.join(&event));
        self.weight += joined.unwrap_or_else(|| {
            let entry = Entry::new(event);
            let weight = entry.weight();
            self.entries.push_back(entry);
            weight
        });
        while self.weight > MAX_WEIGHT
            && self.entries.len() > 1
            && let Some(dropped) = self.entries.pop_front()
        {
            self.weight -= dropped.weight();
            self.floor = dropped.last_sequence();
        }
    }

    /// Notes what a call waits for, or that it waits no longer: whatever else it says.
    fn note_wait(&mut self, event: &EventKind) {
        let (call, waits) = match event {
            EventKind::Task {
                call,
                task,
                step:
                    TaskStep::Retrying {
                        failure,
                        next_attempt_time,
                    },
                ..
            } => {
                let time = human::moment(next_attempt_time.system());
                let waits = format!("`{task}` is tried again at {time}: {failure}");
                (call, Some(waits))
            }
            EventKind::Warning {
                call: Some(call),
                task,
                warning,
            } => {
                let waits = warning.reason == Warning::WAITS;
                let waits = waits.then(|| format!("`{task}` {}", warning.message));
                (call, waits)
            }
            EventKind::Task { call, .. } | EventKind::Message { call, .. } => (call, None),
            _ => return,
        };
        self.waits.retain(|(other, _)| other != call);
        self.waits.extend(waits.map(|waits| (call.clone(), waits)));
    }
}

#[cfg(test)]
mod tests;
