//! Configuration: flags, the keys of the file and the environment, and their defaults.
//!
//! # Layout
//! - `args`: flags
//! - `edge`: the embedded engine that is configured
//! - `embedding`: the embedder that is configured
//! - `former`: the one before it
//! - `qdrant`: the Qdrant server that is configured

mod args;
mod edge;
mod embedding;
mod former;
mod qdrant;

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{
    Deserialize, Serialize,
    de::{IntoDeserializer as _, value::Error as ValueError},
};
use service_runtime::{
    Secret, ServerSettings,
    config::{BadUrl, human},
    split_list,
};

pub use self::{args::Args, qdrant::UnusableQdrant};
use crate::{
    domain::{IndexPath, Ttl, time::MAX_TTL},
    embed::{SourceError, template::TemplateError},
    fusion::{self, Fusion, FusionError},
    request::Defaults,
    store::edge::{SYNC_INTERVAL, Settings},
};

pub use self::edge::SyncWhen;

/// The embedder that there is without one: search by words only.
const NO_EMBEDDER: &str = "none";

/// What is worth a line by default. Within its `common` module the engine warns at every start of
/// what only its own server sets.
const LOG: &str = "info,qdrant_edge=warn,qdrant_edge::common=error";

/// The configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where to serve gRPC.
    pub listen: SocketAddr,
    /// Where to serve admin HTTP.
    pub admin_listen: SocketAddr,
    /// Folder of the embedded engine's data, in a folder `memory` of its own.
    pub data_dir: PathBuf,
    /// Filter of logs.
    pub log: String,
    /// URL of a Qdrant server; empty for the embedded engine.
    pub qdrant_url: String,
    /// Its API key.
    pub qdrant_api_key: Option<Secret>,
    /// File that holds it; empty for none.
    pub qdrant_api_key_file: PathBuf,
    /// File of roots that its certificate is checked against; empty for those of the system.
    pub qdrant_ca_file: PathBuf,
    /// The collection.
    pub qdrant_collection: String,
    /// How long one call to it may take.
    #[serde(with = "human::duration")]
    pub qdrant_timeout: Duration,
    /// Shards of a collection that is made; 0 for what the server does by itself, which is one for
    /// each node. Each counts by itself how rare words are.
    pub qdrant_shards: u32,
    /// Copies of each; 0 for what the server does by itself.
    pub qdrant_replication_factor: u32,
    /// Copies that a write must have reached; 0 for what the server does by itself.
    pub qdrant_write_consistency_factor: u32,
    /// Copies that a read asks: `all`, `majority`, `quorum` or a number; empty for one.
    pub qdrant_read_consistency: String,
    /// What embeds texts: `none` for nothing, `static:` or `bert:` and a folder, or `http:` and a
    /// URL.
    pub embedder: String,
    /// Model of an `http:` embedder.
    pub embedding_model: String,
    /// Length that vectors must have; 0 for what the model makes.
    pub embedding_dims: usize,
    /// What is embedded of an item.
    pub embedding_template: String,
    /// How long embedding may take, all tries together.
    #[serde(with = "human::duration")]
    pub embedding_timeout: Duration,
    /// File that holds the embedder's API key; empty for none.
    pub embedding_api_key_file: PathBuf,
    /// The embedder's API key.
    pub embedding_api_key: Option<Secret>,
    /// The embedder before this one, which the data may still belong to; empty for none.
    pub former_embedder: String,
    /// Model of a former `http:` embedder.
    pub former_embedding_model: String,
    /// Length that its vectors had to have; 0 for what the model makes.
    pub former_embedding_dims: usize,
    /// What it embedded of an item.
    pub former_embedding_template: String,
    /// File that holds its API key; empty for none.
    pub former_embedding_api_key_file: PathBuf,
    /// Its API key.
    pub former_embedding_api_key: Option<Secret>,
    /// Where the texts of documents were.
    pub former_index_paths: Vec<String>,
    /// How hybrid search makes one score of two.
    pub hybrid_fusion: fusion::Method,
    /// How much meaning counts, from 0 to 1.
    pub hybrid_semantic_weight: f64,
    /// The BM25 score that counts half in a weighted sum.
    pub hybrid_saturation: f64,
    /// The constant of `rrf`.
    pub hybrid_rrf_k: f64,
    /// When writes are on the disk.
    pub sync: SyncWhen,
    /// How soon after they were acknowledged, if it is not before that.
    #[serde(with = "human::duration")]
    pub sync_interval: Duration,
    /// Bytes of the disk that puts leave free.
    pub min_free_disk: u64,
    /// Items, removed ones included, from which on removed ones give their room back; 0 for never.
    pub optimise_from: u64,
    /// Where the texts of documents are. An element may be several paths with commas between.
    pub index_paths: Vec<String>,
    /// How long items live whose put does not say; zero for ever.
    #[serde(with = "human::duration")]
    pub default_ttl: Duration,
    /// Whether reads that do not say restart lifetimes.
    pub refresh_ttl_on_read: bool,
    /// Limits and times of the server.
    pub server: ServerSettings,
}

impl Default for Config {
    fn default() -> Self {
        let fusion = Fusion::default();
        let edge = Settings::default();
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 50051)),
            admin_listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 9091)),
            data_dir: "./data".into(),
            log: LOG.into(),
            qdrant_url: String::new(),
            qdrant_api_key: None,
            qdrant_api_key_file: PathBuf::new(),
            qdrant_ca_file: PathBuf::new(),
            qdrant_collection: "weft-memory".into(),
            qdrant_timeout: Duration::from_secs(5),
            qdrant_shards: 1,
            qdrant_replication_factor: 0,
            qdrant_write_consistency_factor: 0,
            qdrant_read_consistency: String::new(),
            embedder: NO_EMBEDDER.into(),
            embedding_model: String::new(),
            embedding_dims: 0,
            embedding_template: "{text}".into(),
            embedding_timeout: Duration::from_secs(30),
            embedding_api_key_file: PathBuf::new(),
            embedding_api_key: None,
            former_embedder: String::new(),
            former_embedding_model: String::new(),
            former_embedding_dims: 0,
            former_embedding_template: "{text}".into(),
            former_embedding_api_key_file: PathBuf::new(),
            former_embedding_api_key: None,
            former_index_paths: vec!["$".into()],
            hybrid_fusion: fusion.method,
            hybrid_semantic_weight: fusion.semantic_weight,
            hybrid_saturation: fusion.saturation,
            hybrid_rrf_k: fusion.rrf_k,
            sync: SyncWhen::Interval,
            sync_interval: SYNC_INTERVAL,
            min_free_disk: edge.least_free,
            optimise_from: edge.optimise_from,
            index_paths: vec!["$".into()],
            default_ttl: Duration::ZERO,
            refresh_ttl_on_read: false,
            server: ServerSettings::default(),
        }
    }
}

/// A configuration that this version cannot serve.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// The Qdrant server cannot be used like this.
    #[error(transparent)]
    Qdrant(#[from] UnusableQdrant),
    /// There is no such embedder.
    #[error(
        "`--embedder {0}` must be `none`, which searches by words, `static:DIR`, `bert:DIR` or `http:BASE_URL`"
    )]
    Embedder(String),
    /// What was configured before makes no sense.
    #[error("of the former embedder: {0}")]
    Former(Box<Unusable>),
    /// The embedder's URL is none, or may hold a secret.
    #[error("the URL of `--embedder http:` {0}")]
    EmbedderUrl(BadUrl),
    /// The embedder has many models.
    #[error("`--embedding-model` must name a model of `--embedder {0}`")]
    EmbeddingModel(String),
    /// The template makes no sense.
    #[error("`--embedding-template` {0}")]
    EmbeddingTemplate(TemplateError),
    /// The key cannot be read.
    #[error("`--embedding-api-key-file {file}` cannot be read: {cause}")]
    EmbeddingApiKey {
        /// The file.
        file: String,
        /// Why.
        cause: String,
    },
    /// The embedder cannot be used.
    #[error("`--embedder {embedder}` cannot be used: {cause}")]
    Embedding {
        /// The embedder.
        embedder: String,
        /// Why.
        cause: SourceError,
    },
    /// Hybrid search makes no sense.
    #[error(transparent)]
    Fusion(#[from] FusionError),
    /// An index path is malformed.
    #[error("`--index-paths`: `{path}` {fault}")]
    IndexPath {
        /// The path.
        path: String,
        /// What is wrong with it.
        fault: String,
    },
    /// Flushing all the time is not what an interval is for.
    #[error("`--sync-interval` must be more than zero; `--sync always` waits for the disk")]
    SyncInterval,
    /// The default lifetime is too long.
    #[error("`--default-ttl` must be at most {} seconds (100 years); `0s` is for ever", MAX_TTL.as_secs())]
    DefaultTtl,
}

impl Config {
    /// The paths of texts that puts do not choose themselves.
    ///
    /// # Errors
    /// [`Unusable`] names the path and what is wrong with it.
    pub fn index_paths(&self) -> Result<Vec<IndexPath>, Unusable> {
        let texts = self.index_paths.iter().flat_map(|texts| split_list(texts));
        let path = |text: &str| {
            IndexPath::parse(text).map_err(|error| Unusable::IndexPath {
                path: text.to_owned(),
                fault: error.to_string(),
            })
        };
        texts.map(path).collect()
    }

    /// What calls that do not say get.
    ///
    /// # Errors
    /// [`Unusable`] names the flag and what to do.
    pub fn defaults(&self) -> Result<Defaults, Unusable> {
        let index_paths = self.index_paths()?;
        if self.sync_interval.is_zero() {
            return Err(Unusable::SyncInterval);
        }
        let ttl = Ttl::try_new(self.default_ttl);
        if ttl.is_none() && !self.default_ttl.is_zero() {
            return Err(Unusable::DefaultTtl);
        }
        let fusion = Fusion {
            method: self.hybrid_fusion,
            semantic_weight: self.hybrid_semantic_weight,
            saturation: self.hybrid_saturation,
            rrf_k: self.hybrid_rrf_k,
        };
        Ok(Defaults {
            index_paths,
            ttl,
            refresh_ttl_on_read: self.refresh_ttl_on_read,
            fusion: fusion.check()?,
        })
    }
}

/// The secret in a file; `None` if no file is named.
fn secret_in(file: &Path) -> Result<Option<Secret>, String> {
    if file.as_os_str().is_empty() {
        return Ok(None);
    }
    let text = std::fs::read_to_string(file).map_err(|error| error.to_string())?;
    let secret = Secret::deserialize(text.trim().into_deserializer());
    secret
        .map(Some)
        .map_err(|error: ValueError| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_need_nothing() {
        let defaults = Config::default().defaults().unwrap();
        assert_eq!(defaults.index_paths, [IndexPath::parse("$").unwrap()]);
        assert_eq!((defaults.ttl, defaults.refresh_ttl_on_read), (None, false));
    }

    #[test]
    fn paths_may_share_an_element() {
        let config = Config {
            index_paths: vec!["text, {a,b.c}.d".into(), "notes[*].body".into()],
            ..Config::default()
        };
        let paths: Vec<_> = config
            .defaults()
            .unwrap()
            .index_paths
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(paths, ["text", "{a,b.c}.d", "notes[*].body"]);
    }

    #[test]
    fn what_cannot_be_served_is_refused_by_its_flag() {
        let refusal = |config: Config| config.defaults().unwrap_err().to_string();
        let default = Config::default;
        let with_paths = Config {
            index_paths: vec!["a..b".into()],
            ..default()
        };
        assert!(refusal(with_paths).contains("`a..b` has an empty segment"));
        let with_ttl = Config {
            default_ttl: MAX_TTL * 2,
            ..default()
        };
        assert!(refusal(with_ttl).contains("--default-ttl"));
        let with_weight = Config {
            hybrid_semantic_weight: 2.0,
            ..default()
        };
        assert!(refusal(with_weight).contains("--hybrid-semantic-weight"));
    }
}
