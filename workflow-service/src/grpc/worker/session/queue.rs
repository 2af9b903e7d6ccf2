//! Messages that wait for room, and what they hold of memory.

use std::collections::VecDeque;

/// Messages that may wait for room in either direction before no more are taken.
const MAX_MESSAGES: usize = 256;
/// What they may hold of memory, in bytes: one message is taken, however large, and none after it.
const MAX_BYTES: usize = 16 * 1024 * 1024;

/// Queue holds messages in order.
#[derive(Debug)]
pub(in super::super) struct Queue<T> {
    /// With the bytes that each has on the wire.
    messages: VecDeque<(T, usize)>,
    bytes: usize,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self {
            messages: VecDeque::new(),
            bytes: 0,
        }
    }
}

impl<T> Queue<T> {
    pub(super) fn push(&mut self, message: T, bytes: usize) {
        self.bytes += bytes;
        self.messages.push_back((message, bytes));
    }

    pub(super) fn pop(&mut self) -> Option<T> {
        let (message, bytes) = self.messages.pop_front()?;
        self.bytes -= bytes;
        Some(message)
    }

    pub(super) fn clear(&mut self) {
        self.messages.clear();
        self.bytes = 0;
    }

    pub(in super::super) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Whether no more should be put into it.
    pub(in super::super) fn is_full(&self) -> bool {
        self.messages.len() >= MAX_MESSAGES || self.is_heavy()
    }

    /// Whether what is in it holds much memory.
    pub(in super::super) fn is_heavy(&self) -> bool {
        self.bytes >= MAX_BYTES
    }

    /// Bytes of the next message.
    pub(in super::super) fn next_bytes(&self) -> usize {
        self.messages.front().map_or(0, |(_, bytes)| *bytes)
    }

    /// All that waits, in order.
    pub(super) fn into_messages(self) -> impl Iterator<Item = T> {
        self.messages.into_iter().map(|(message, _)| message)
    }
}
