//! What is kept of a run's events: each by itself, but what goes on with one message as one.

use std::sync::Arc;

use weft_worker::{CallId, protocol::MessagePiece};

use crate::domain::{Event, EventKind, RunId, Timestamp};

/// Entry is an event, or pieces of a message that follow one another.
#[derive(Debug)]
pub(super) enum Entry {
    Event(Arc<Event>),
    Pieces(Box<Pieces>),
}

impl Entry {
    pub(super) fn new(event: Event) -> Self {
        match event.kind {
            EventKind::Message {
                call,
                task,
                piece,
                reset: false,
            } => Self::Pieces(Box::new(Pieces {
                run_id: event.run_id,
                call,
                task,
                joined: piece,
                earlier: Vec::new(),
                sequence: event.sequence,
                time: event.time,
            })),
            _ => Self::Event(Arc::new(event)),
        }
    }

    /// Adds the next event of the run, if it is a piece that goes on with these: what it weighs here.
    pub(super) fn join(&mut self, next: &Event) -> Option<usize> {
        match self {
            Self::Event(_) => None,
            Self::Pieces(pieces) => pieces.join(next),
        }
    }

    /// Number of the last event in it.
    pub(super) fn last_sequence(&self) -> i64 {
        match self {
            Self::Event(event) => event.sequence,
            Self::Pieces(pieces) => pieces.sequence,
        }
    }

    /// What of it follows the event with number `after`, as one event.
    pub(super) fn following(&self, after: i64) -> Arc<Event> {
        match self {
            Self::Event(event) => Arc::clone(event),
            Self::Pieces(pieces) => Arc::new(pieces.following(after)),
        }
    }

    /// Roughly the memory it holds, in bytes.
    pub(super) fn weight(&self) -> usize {
        match self {
            Self::Event(event) => event.kind.weight(),
            Self::Pieces(pieces) => {
                let earlier = pieces.earlier.len() * size_of::<Earlier>();
                pieces.joined.text.len() + earlier + size_of::<Pieces>()
            }
        }
    }
}

/// Pieces of a message. There may be thousands, of a few letters each: they share one text.
#[derive(Debug)]
pub(super) struct Pieces {
    run_id: RunId,
    call: CallId,
    task: Arc<str>,
    joined: MessagePiece,
    /// Each but the last one.
    earlier: Vec<Earlier>,
    /// Number of the last one.
    sequence: i64,
    /// Time of the last one.
    time: Timestamp,
}

/// A piece that others follow.
#[derive(Debug)]
struct Earlier {
    sequence: i64,
    /// Where its text ends.
    end: usize,
}

impl Pieces {
    fn join(&mut self, next: &Event) -> Option<usize> {
        let EventKind::Message {
            call,
            piece,
            reset: false,
            ..
        } = &next.kind
        else {
            return None;
        };
        let end = self.joined.text.len();
        if *call != self.call || !self.joined.join(piece) {
            return None;
        }
        let sequence = self.sequence;
        self.earlier.push(Earlier { sequence, end });
        (self.sequence, self.time) = (next.sequence, next.time);
        Some(piece.text.len() + size_of::<Earlier>())
    }

    fn following(&self, after: i64) -> Event {
        let known = self
            .earlier
            .partition_point(|earlier| earlier.sequence <= after);
        let known = known.checked_sub(1).and_then(|last| self.earlier.get(last));
        let text = match known {
            Some(known) => self.joined.text.get(known.end..).unwrap_or_default(),
            None => &self.joined.text,
        };
        let piece = MessagePiece {
            message_id: Arc::clone(&self.joined.message_id),
            part: self.joined.part.clone(),
            text: text.to_owned(),
            model: Arc::clone(&self.joined.model),
        };
        Event {
            sequence: self.sequence,
            run_id: self.run_id,
            time: self.time,
            kind: EventKind::Message {
                call: self.call.clone(),
                task: Arc::clone(&self.task),
                piece,
                reset: false,
            },
        }
    }
}
