//! The embedded engine that is configured.

use serde::{Deserialize, Serialize};

use super::Config;
use crate::{
    domain::EmbedderIdentity,
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
    /// How the embedded engine is opened, for the vectors of this embedder.
    #[must_use]
    pub fn edge(&self, embedder: Option<EmbedderIdentity>) -> Settings {
        Settings {
            embedder,
            flush: match self.sync {
                SyncWhen::Always => Flush::Always,
                SyncWhen::Interval => Flush::Every(self.sync_interval),
            },
            least_free: self.min_free_disk,
            begun: Begun::Abandon,
        }
    }
}
