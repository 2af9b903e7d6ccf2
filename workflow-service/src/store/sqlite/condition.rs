//! Whether disk and file are of use, as far as reads and writes have shown.

use std::sync::{
    OnceLock,
    atomic::{AtomicBool, Ordering},
};

use super::StoreError;

/// Condition remembers what reads and writes have met.
#[derive(Debug, Default)]
pub(super) struct Condition {
    /// The disk has refused a write, and has taken none since that was meant to try it.
    is_refused: AtomicBool,
    /// How the file is damaged. It stays so: what SQLite still reads of it may be right or wrong, and
    /// what is written to it may be lost with it.
    damage: OnceLock<StoreError>,
}

impl Condition {
    /// Takes note of what a read or a write came to.
    pub(super) fn note<T>(&self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        match &result {
            Err(StoreError::DiskRefuses(_)) => self.is_refused.store(true, Ordering::Relaxed),
            Err(error @ StoreError::Damaged(_)) if self.damage.set(error.clone()).is_ok() => {
                tracing::error!(%error, "no more writes are taken");
            }
            _ => {}
        }
        result
    }

    /// Whether the file may be written to.
    ///
    /// # Errors
    /// [`StoreError::Damaged`].
    pub(super) fn check_file(&self) -> Result<(), StoreError> {
        self.damage.get().cloned().map_or(Ok(()), Err)
    }

    pub(super) fn is_refused(&self) -> bool {
        self.is_refused.load(Ordering::Relaxed)
    }

    /// The disk has taken a write that was meant to try it.
    pub(super) fn takes_writes(&self) {
        self.is_refused.store(false, Ordering::Relaxed);
    }
}
