//! The way to a store, and why a collection cannot be used.

use std::sync::{Arc, atomic::AtomicBool};

use futures::FutureExt as _;
use tokio::{
    sync::{Mutex, mpsc},
    task::JoinSet,
};

use super::{
    QdrantSettings, QdrantStore, collection,
    connection::{ConnectError, Connection},
    description::{self, SECRET_BYTES},
    indexes::Indexing,
    registry::Announced,
    writer,
};
use crate::{
    domain::{EmbedderIdentity, IndexIdentity},
    store::{StoreError, queue::Commands},
};

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

impl QdrantStore {
    /// Opens the collection, which is made if it is not there. All its vectors are of one embedder.
    /// Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`OpenError`] if the server is away or too old, or the collection is of another format or
    /// embedder.
    pub async fn open(
        settings: &QdrantSettings,
        embedder: Option<&EmbedderIdentity>,
    ) -> Result<Self, OpenError> {
        let index = IndexIdentity {
            embedder: embedder.cloned(),
            paths: None,
        };
        Self::open_for(settings, index, None).await
    }

    /// As [`open`](Self::open), for this index; with `former` also a collection that is still
    /// searched by that.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn open_for(
        settings: &QdrantSettings,
        index: IndexIdentity,
        former: Option<IndexIdentity>,
    ) -> Result<Self, OpenError> {
        let indexing = Indexing::new(index, former);
        let connection = Connection::new(settings, indexing)?;
        collection::check_version(&connection, &settings.url).await?;
        let secret = collection::prepare(&connection, settings).boxed();
        let secret = secret.await?;
        Ok(Self::start(connection, secret))
    }

    /// Opens the collection as it is, to be read only, and tells what made the vectors that it is
    /// searched by. Nothing is made or mended. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`OpenError`] if the server is away or too old, or has no collection of ours.
    pub async fn attach(
        settings: &QdrantSettings,
    ) -> Result<(Self, Option<EmbedderIdentity>), OpenError> {
        let missing = || OpenError::Missing(settings.collection.clone());
        let index = Self::indexed_with(settings).await?.ok_or_else(missing)?;
        let embedder = index.embedder.clone();
        let connection = Connection::new(settings, Indexing::new(index, None))?;
        let description = description::look(&connection).await?;
        Ok((Self::start(connection, description.secret), embedder))
    }

    fn start(connection: Connection, secret: [u8; SECRET_BYTES]) -> Self {
        let connection = Arc::new(connection);
        let announced = Arc::<Announced>::default();
        let (commands, queue) = mpsc::channel(writer::QUEUE);
        let mut writer = JoinSet::new();
        writer.spawn(writer::run(connection.clone(), announced.clone(), queue));
        Self {
            connection,
            announced,
            secret,
            closed: AtomicBool::new(false),
            commands: Commands::new(commands),
            writer: Mutex::new(writer),
        }
    }

    /// What the collection is searched by; `None` if there is none yet.
    ///
    /// # Errors
    /// [`OpenError`] if the server is away or too old.
    pub async fn indexed_with(
        settings: &QdrantSettings,
    ) -> Result<Option<IndexIdentity>, OpenError> {
        let nothing = IndexIdentity {
            embedder: None,
            paths: None,
        };
        let connection = Connection::new(settings, Indexing::new(nothing, None))?;
        collection::check_version(&connection, &settings.url).await?;
        collection::indexed_with(&connection).await
    }
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
