//! The embedded engine that is configured.

use serde::{Deserialize, Serialize};

use super::Config;
use crate::{
    domain::{EmbedderIdentity, IndexIdentity},
    store::edge::{Begun, Flush, Settings},
};

/// When writes are on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SyncWhen {
    /// Before they are acknowledged.
    Always,
    /// Within an interval after that.
    Interval,
}

impl Config {
    /// How the embedded engine is opened, for this index; with `former` also on data that is still
    /// in that one.
    #[must_use]
    pub fn edge_for(&self, index: IndexIdentity, former: Option<IndexIdentity>) -> Settings {
        Settings {
            index_paths: index.paths,
            former,
            ..self.edge(index.embedder)
        }
    }

    /// How the embedded engine is opened, for the vectors of this embedder.
    #[must_use]
    pub fn edge(&self, embedder: Option<EmbedderIdentity>) -> Settings {
        Settings {
            embedder,
            index_paths: None,
            former: None,
            flush: match self.sync {
                SyncWhen::Always => Flush::Always,
                SyncWhen::Interval => Flush::Every(self.sync_interval),
            },
            least_free: self.min_free_disk,
            begun: Begun::Abandon,
            optimise_from: self.optimise_from,
        }
    }
}
