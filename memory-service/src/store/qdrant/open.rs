//! Why a collection cannot be used.

use super::connection::ConnectError;
use crate::store::StoreError;

/// The oldest servers that this engine works with. Older ones ignore over which items the rarity
/// of words is to be counted, and so let tenants show in each other's scores.
pub(super) const LEAST_VERSION: (u32, u32) = (1, 19);

/// Why a collection cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The server cannot be reached at all.
    #[error("`--qdrant-url` cannot be used: {0}")]
    Connect(#[from] ConnectError),
    /// It is too old.
    #[error(
        "the Qdrant server at `{url}` has version {found}, but memory-service needs {}.{} or newer", LEAST_VERSION.0, LEAST_VERSION.1
    )]
    Version {
        /// Where it is.
        url: String,
        /// Its version.
        found: String,
    },
    /// The collection is of another version of this program.
    #[error(
        "the Qdrant collection `{collection}` has format `{found}`, but this version reads `{read}`"
    )]
    Format {
        /// The collection.
        collection: String,
        /// Its format.
        found: String,
        /// The one that is read.
        read: &'static str,
    },
    /// Its vectors are of another embedder.
    #[error(
        "the Qdrant collection `{collection}` has vectors of {found}, but the embedder is {configured}; configure the former, or give it as `--former-embedder` beside the latter to have everything indexed anew while it is served, or give another `qdrant_collection`"
    )]
    Embedder {
        /// The collection.
        collection: String,
        /// What made its vectors.
        found: String,
        /// What is to make them now.
        configured: String,
    },
    /// It is another program's.
    #[error(
        "the Qdrant collection `{0}` is not a memory store's; give another `qdrant_collection`"
    )]
    Foreign(String),
    /// The server fails.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Major and minor version of a text such as `1.19.2-dev`.
pub(super) fn minor_version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.split('.').map(|number| number.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        assert_eq!(minor_version("1.19.2-dev"), Some((1, 19)));
        assert!(minor_version("1.9.0") < Some(LEAST_VERSION));
        assert!(minor_version("2.0.0") > Some(LEAST_VERSION));
        for text in ["", "1", "one.two", "1.x"] {
            assert_eq!(minor_version(text), None, "{text}");
        }
    }
}
