//! Why the service's core cannot do what it was asked for.

use crate::{
    domain::Conflict,
    embed::EmbedError,
    room::NoRoom,
    store::{StoreError, WriteError},
};

/// Why a call failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The precondition of a write does not hold.
    #[error(transparent)]
    Conflict(#[from] Conflict),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Texts could not be embedded.
    #[error(transparent)]
    Embed(#[from] EmbedError),
    /// What was asked for does not fit into one answer.
    #[error(transparent)]
    NoRoom(#[from] NoRoom),
    /// The search ranks by meaning, and there is no embedder.
    #[error("the ranking needs an embedder")]
    EmbedderMissing,
    /// A document has more texts to embed than one item may have.
    #[error("the index paths select {found} texts, which is more than {max}")]
    TooManyTexts {
        /// How many.
        found: usize,
        /// How many there may be.
        max: usize,
        /// Which of the documents that were given, from 0 on; of a batch, which operation.
        of: usize,
    },
}

impl Failure {
    /// The same failure, of the documents that `place` has in these places.
    pub(crate) fn among(self, place: impl FnOnce(usize) -> usize) -> Self {
        match self {
            Self::TooManyTexts { found, max, of } => Self::TooManyTexts {
                found,
                max,
                of: place(of),
            },
            other => other,
        }
    }
}

impl From<WriteError> for Failure {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Conflict(conflict) => Self::Conflict(conflict),
            error @ WriteError::Outdated => Self::Store(StoreError::Unavailable(error.to_string())),
            WriteError::Store(error) => Self::Store(error),
        }
    }
}
