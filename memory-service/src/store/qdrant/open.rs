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
    /// It is not there, and is not to be made.
    #[error(
        "the Qdrant server has no collection `{0}` of a memory store; name one by `qdrant_collection`"
    )]
    Missing(String),
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

/// Major and minor version of a text such as `1.19.2`, `1.20.0-dev` or `v1.20-rc.1`.
pub(super) fn minor_version(text: &str) -> Option<(u32, u32)> {
    let text = text.trim();
    let numbers = text.strip_prefix('v').unwrap_or(text);
    let (major, rest) = numbers.split_once('.')?;
    let end = rest.find(|character: char| !character.is_ascii_digit());
    let minor = &rest[..end.unwrap_or(rest.len())];
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        for text in [
            "1.19.2",
            "1.19.2-dev",
            "1.19",
            "1.19-rc.1",
            "v1.19.0",
            "1.19.0+7f3a",
            " 1.19.0\n",
        ] {
            assert_eq!(minor_version(text), Some((1, 19)), "{text}");
        }
        assert!(minor_version("1.20.0-dev") > Some(LEAST_VERSION));
        assert!(minor_version("1.9.0") < Some(LEAST_VERSION));
        assert!(minor_version("2.0.0") > Some(LEAST_VERSION));
        for text in [
            "",
            "1",
            "one.two",
            "1.x",
            "1.",
            ".19",
            "-1.19",
            "dev-1.19",
            "1.99999999999",
        ] {
            assert_eq!(minor_version(text), None, "{text}");
        }
    }
}
