//! What is said about one execution, on its way to the engine.
//!
//! Streaming never holds code up, and nothing that is streamed is lost for want of room: what finds
//! none is held, where pieces of a message are joined, and goes on as there is room, always before
//! what is said after it.

use std::{
    collections::VecDeque,
    convert::Infallible,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{
    Notify,
    mpsc::{self, Permit, error::TrySendError},
};

use crate::{
    CallId,
    protocol::{Event, ExecutionId, FromWorker, WorkerMessage},
};

/// Memory that the held events of one execution may take, in bytes: as much as the engine keeps of a
/// run for its readers. What code writes beyond that, before any of it has gone on, is dropped.
const MAX_HELD_BYTES: usize = 4 * 1024 * 1024;
/// Held events, the newest first, among which one is looked for that a piece can be joined to.
const LOOK_BACK: usize = 64;

/// Outbox sends what is said about one execution.
#[derive(Debug)]
pub struct Outbox {
    execution: ExecutionId,
    link: mpsc::Sender<FromWorker>,
    held: Mutex<Held>,
    /// Told when something is held that was not.
    holding: Notify,
}

impl Outbox {
    /// Sends what is said about `execution` over `link`.
    pub fn new(execution: ExecutionId, link: mpsc::Sender<FromWorker>) -> Self {
        Self {
            execution,
            link,
            held: Mutex::default(),
            holding: Notify::new(),
        }
    }

    /// Streams an event without waiting: now, or as soon as [`Outbox::forward`] finds room for it.
    pub fn stream(&self, event: Event) {
        let mut held = self.held();
        if held.events.is_empty() {
            match self.link.try_reserve() {
                Ok(room) => return room.send(self.message(WorkerMessage::Event(event))),
                // Nobody is there to be told.
                Err(TrySendError::Closed(())) => return,
                Err(TrySendError::Full(())) => {}
            }
        }
        held.hold(event);
        drop(held);
        self.holding.notify_one();
    }

    /// Sends a message after all that was streamed before, as soon as there is room. Returns without
    /// having sent it if the engine is gone.
    pub async fn send(&self, message: WorkerMessage) {
        self.flush().await;
        let _ = self.link.send(self.message(message)).await;
    }

    /// Completes when what was streamed before is sent, or the engine is gone.
    pub async fn flush(&self) {
        let mut left = self.held().events.len();
        while left > 0 && !self.held().events.is_empty() {
            let Ok(room) = self.link.reserve().await else {
                return;
            };
            self.send_oldest(room);
            left -= 1;
        }
    }

    /// Sends what is held as there is room for it, for as long as this is polled.
    pub async fn forward(&self) -> Infallible {
        loop {
            if self.held().events.is_empty() {
                self.holding.notified().await;
                continue;
            }
            match self.link.reserve().await {
                Ok(room) => self.send_oldest(room),
                Err(_) => std::future::pending().await,
            }
        }
    }

    fn send_oldest(&self, room: Permit<'_, FromWorker>) {
        // Held until it is sent, so that nothing overtakes it.
        let mut held = self.held();
        if let Some(event) = held.next() {
            room.send(self.message(WorkerMessage::Event(event)));
        }
    }

    fn message(&self, message: WorkerMessage) -> FromWorker {
        FromWorker {
            execution: self.execution,
            message,
        }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Events that found no room, the oldest first.
#[derive(Debug, Default)]
struct Held {
    events: VecDeque<Event>,
    bytes: usize,
}

impl Held {
    fn hold(&mut self, event: Event) {
        let bytes = event.bytes();
        if self.bytes + bytes > MAX_HELD_BYTES && !self.events.is_empty() {
            match self.events.back_mut() {
                Some(Event::Dropped { count }) => *count += 1,
                _ => self.events.push_back(Event::Dropped { count: 1 }),
            }
            return;
        }
        if self.join(&event) {
            self.bytes += bytes - size_of::<Event>();
        } else {
            self.bytes += bytes;
            self.events.push_back(event);
        }
    }

    /// Joins a piece to the last thing that its call said, if it goes on with that.
    fn join(&mut self, event: &Event) -> bool {
        let Event::Message { call, piece, .. } = event else {
            return false;
        };
        let newest = self.events.iter_mut().rev().take(LOOK_BACK);
        let last = newest
            .take_while(|held| !matches!(held, Event::Dropped { .. }))
            .find(|held| held.call() == Some(call));
        match last {
            Some(Event::Message { piece: before, .. }) => before.join(piece),
            _ => false,
        }
    }

    fn next(&mut self) -> Option<Event> {
        let event = self.events.pop_front()?;
        self.bytes = match self.events.is_empty() {
            true => 0,
            false => self.bytes.saturating_sub(event.bytes()),
        };
        Some(event)
    }
}

impl Event {
    /// The call that it is about; `None` for the entrypoint itself.
    fn call(&self) -> Option<&CallId> {
        match self {
            Self::TaskStarted { call, .. } | Self::Message { call, .. } => Some(call),
            Self::Custom { call, .. } | Self::Warning { call, .. } => call.as_ref(),
            Self::Dropped { .. } => None,
        }
    }

    /// Roughly the memory that it holds, in bytes.
    fn bytes(&self) -> usize {
        let text = match self {
            Self::Message { piece, .. } => piece.text.len(),
            Self::Custom { value, .. } => value.get().len(),
            Self::Warning { warning, .. } => warning.message.len(),
            // The argument is the task's own.
            Self::TaskStarted { .. } | Self::Dropped { .. } => 0,
        };
        text + size_of::<Self>()
    }
}

#[cfg(test)]
mod tests;
