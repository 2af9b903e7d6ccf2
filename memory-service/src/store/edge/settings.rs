//! What the embedded engine is opened with.

use std::{collections::BTreeSet, time::Duration};

use crate::domain::{EmbedderIdentity, IndexIdentity};

/// Between two flushes, unless it is configured: what a loss of power can take at most.
pub const SYNC_INTERVAL: Duration = Duration::from_secs(1);

/// Room that puts leave on the disk, unless it is configured. The engine's files are mapped into
/// memory and get their space when they are first touched, up to 32 MiB at a time for its log, for
/// documents and for vectors each; a process that touches them on a full disk is killed.
const LEAST_FREE: u64 = 256 << 20;

/// Items from which on removed ones give their room back, unless it is configured.
const OPTIMISE_FROM: u64 = 10_000;

/// What the embedded engine is opened with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What makes the vectors; `None` for none.
    pub embedder: Option<EmbedderIdentity>,
    /// Where documents have their texts, unless their puts say; `None` for wherever the data in the
    /// folder has them.
    pub index_paths: Option<BTreeSet<String>>,
    /// What the data may have been indexed with before; it is searched by that until everything is
    /// indexed anew.
    pub former: Option<IndexIdentity>,
    /// When writes are on the disk.
    pub flush: Flush,
    /// Bytes of the disk that puts leave free. Deletes, which make room for later puts, go on until
    /// half of that is used up, and with less than a quarter of it left nothing is opened.
    pub least_free: u64,
    /// What becomes of an engine that was begun to come after this one.
    pub begun: Begun,
    /// Items, removed ones included, from which on removed ones give their room back in the
    /// background; 0 for never.
    pub optimise_from: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            embedder: None,
            index_paths: None,
            former: None,
            flush: Flush::Every(SYNC_INTERVAL),
            least_free: LEAST_FREE,
            begun: Begun::Abandon,
            optimise_from: OPTIMISE_FROM,
        }
    }
}

impl Settings {
    /// The index that is configured.
    pub(super) fn index(&self) -> IndexIdentity {
        IndexIdentity {
            embedder: self.embedder.clone(),
            paths: self.index_paths.clone(),
        }
    }
}

/// What becomes of an engine that was begun and did not get as far as to be in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begun {
    /// It is removed, unless everything is to be indexed anew like that.
    Abandon,
    /// It stays, since nothing is written.
    Keep,
}

/// When writes are on the disk, so that a loss of power cannot take them. A crash of the process
/// takes none in either case: what is acknowledged is in the operating system's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flush {
    /// Before they are acknowledged. Writes that wait together share a flush.
    Always,
    /// At most this long after they were acknowledged.
    Every(Duration),
}
