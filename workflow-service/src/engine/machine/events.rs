//! Events: their numbers, and which of them wait for a record before them.

use std::sync::Arc;

use weft_worker::{
    CallId, Usage,
    protocol::{self, MessagePart, MessagePiece},
};

use super::{Effect, Held, RunMachine};
use crate::domain::{Event, EventKind, TaskStep, Timestamp};

/// Memory that events which wait for a record may hold, in bytes, before no more is heard.
const MAX_HELD_BYTES: usize = 4 * 1024 * 1024;

impl RunMachine {
    pub(super) fn event(&mut self, event: protocol::Event, now: Timestamp) -> Vec<Effect> {
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
                usage: Usage::default(),
            },
            protocol::Event::Message { call, task, piece } => {
                return self.message_piece(call, task, piece, now);
            }
            protocol::Event::Custom { call, task, value } => {
                EventKind::Custom { call, task, value }
            }
            protocol::Event::Warning {
                call,
                task,
                warning,
            } => EventKind::Warning {
                call,
                task,
                warning,
            },
            protocol::Event::Dropped { count } => EventKind::Gap {
                dropped: i64::try_from(count).unwrap_or(i64::MAX),
            },
        };
        self.publish(kind, now).into_iter().collect()
    }

    pub(super) fn message_piece(
        &mut self,
        call: CallId,
        task: Arc<str>,
        piece: MessagePiece,
        now: Timestamp,
    ) -> Vec<Effect> {
        let messages = self.messages.get(&call);
        let begins = messages.is_none_or(|known| !known.contains_key(&piece.message_id));
        let mut reset = None;
        if begins {
            let empty = MessagePiece {
                message_id: Arc::clone(&piece.message_id),
                part: MessagePart::Text,
                text: String::new(),
                model: Arc::clone(&piece.model),
            };
            // A worker before this one may have written half of it before it was lost.
            reset = (self.run.attempt > 1).then(|| EventKind::Message {
                call: call.clone(),
                task: Arc::clone(&task),
                piece: empty.clone(),
                reset: true,
            });
            let messages = self.messages.entry(call.clone()).or_default();
            messages.insert(Arc::clone(&piece.message_id), empty);
        }
        let piece = EventKind::Message {
            call,
            task,
            piece,
            reset: false,
        };
        let kinds = reset.into_iter().chain([piece]);
        kinds.filter_map(|kind| self.publish(kind, now)).collect()
    }

    pub(super) fn forget_messages(&mut self, call: &CallId, task: &Arc<str>) -> Vec<EventKind> {
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
    pub(super) fn publish(&mut self, kind: EventKind, now: Timestamp) -> Option<Effect> {
        let event = Event {
            sequence: self.take_sequences(1),
            run_id: self.run.id,
            time: now,
            kind,
        };
        if self.held_back.is_empty() {
            return Some(Effect::Publish(event));
        }
        self.held_bytes += event.kind.weight();
        self.held_back.push_back(Held::Event(Box::new(event)));
        None
    }

    /// Whether so much waits for a record to be committed that no more should be heard before it is.
    pub(in super::super) fn holds_much_back(&self) -> bool {
        self.held_bytes > MAX_HELD_BYTES
    }

    /// The first of `count` new numbers.
    pub(super) fn take_sequences(&mut self, count: i64) -> i64 {
        let first = self.next_sequence;
        self.next_sequence += count;
        first
    }
}
