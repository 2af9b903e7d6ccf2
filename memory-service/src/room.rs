//! How much one answer may hold: without a bound, a small call could have all memory filled with
//! documents of 1 MiB each.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// The most that the documents of one answer may have together, in bytes of JSON text: what a
/// request may have.
pub const MAX_ANSWER_BYTES: usize = 16 << 20;

/// The documents of an answer would have more than [`MAX_ANSWER_BYTES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the answer would have more than 16 MiB")]
pub struct NoRoom;

/// What is left of the room of one answer. All operations of a batch share one.
#[derive(Clone, Debug)]
pub struct Room(Arc<AtomicUsize>);

impl Room {
    /// Room for so many bytes.
    #[must_use]
    pub fn of(bytes: usize) -> Self {
        Self(Arc::new(AtomicUsize::new(bytes)))
    }

    /// How many bytes are left.
    #[must_use]
    pub fn left(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// Takes so many bytes of it.
    ///
    /// # Errors
    /// [`NoRoom`] if there are fewer left.
    pub fn take(&self, bytes: usize) -> Result<(), NoRoom> {
        let taken = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                left.checked_sub(bytes)
            });
        taken.map(drop).map_err(|_| NoRoom)
    }
}

impl Default for Room {
    /// The room of a whole answer.
    fn default() -> Self {
        Self::of(MAX_ANSWER_BYTES)
    }
}
