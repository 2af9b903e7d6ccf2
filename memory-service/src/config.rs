//! Configuration: flags, the keys of the file and the environment, and their defaults.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use clap::Parser;
use serde::{
    Deserialize, Serialize,
    de::{IntoDeserializer as _, value::Error as ValueError},
};
use service_runtime::{CommonArgs, Secret, ServerSettings, config::human};

use crate::{
    domain::{IndexPath, Ttl, time::MAX_TTL},
    embed::{
        EmbedError, Embedding, HttpEmbedder, Template, http::HttpSettings, template::TemplateError,
    },
    request::Defaults,
};

/// The embedder that there is without one: search by words only.
const NO_EMBEDDER: &str = "none";

/// What is worth a line by default. Within its `common` module the engine warns at every start of
/// what only its own server sets.
const LOG: &str = "info,qdrant_edge=warn,qdrant_edge::common=error";

/// Namespaced, searchable memory for agents, over gRPC.
#[derive(Clone, Debug, Parser, Serialize)]
#[command(name = "memory-service", version)]
pub struct Args {
    /// Flags of every service.
    #[command(flatten)]
    #[serde(flatten)]
    pub common: CommonArgs,

    /// Keep items in the Qdrant server at this URL instead of the embedded engine
    #[arg(long, value_name = "URL")]
    pub qdrant_url: Option<String>,

    /// Embed texts for search by meaning: `none` for search by words only, or `http:BASE_URL` for
    /// an OpenAI-compatible server, e.g. `http:http://localhost:11434`. Its key is read from
    /// `WEFT_EMBEDDING_API_KEY` or `--embedding-api-key-file`
    #[arg(long, value_name = "EMBEDDER")]
    pub embedder: Option<String>,

    /// Model of the embedder
    #[arg(long, value_name = "NAME")]
    pub embedding_model: Option<String>,

    /// Ask the embedder for vectors of this length; 0 is for what the model makes
    #[arg(long, value_name = "N")]
    pub embedding_dims: Option<usize>,

    /// What is embedded of an item, e.g. `{namespace} {key} {text}`
    #[arg(long, value_name = "TEMPLATE")]
    pub embedding_template: Option<String>,

    /// How long embedding may take, all tries together
    #[arg(long, value_name = "DURATION")]
    pub embedding_timeout: Option<String>,

    /// File that holds the embedder's API key
    #[arg(long, value_name = "FILE")]
    pub embedding_api_key_file: Option<PathBuf>,

    /// Index the texts at these paths, e.g. `text,notes[*].body`; `$` is the whole document
    #[arg(long, value_name = "PATHS")]
    pub index_paths: Vec<String>,

    /// Let items expire after this, e.g. `30days`, unless their put says otherwise; `0s` is never
    #[arg(long, value_name = "DURATION")]
    pub default_ttl: Option<String>,

    /// Restart the lifetimes of items whenever they are read, unless the read says otherwise
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub refresh_ttl_on_read: Option<bool>,
}

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
    /// What embeds texts: `none` for nothing, or `http:` and a URL.
    pub embedder: String,
    /// Model of the embedder.
    pub embedding_model: String,
    /// Length of its vectors; 0 for what the model makes.
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
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 50051)),
            admin_listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 9091)),
            data_dir: "./data".into(),
            log: LOG.into(),
            qdrant_url: String::new(),
            embedder: NO_EMBEDDER.into(),
            embedding_model: String::new(),
            embedding_dims: 0,
            embedding_template: "{text}".into(),
            embedding_timeout: Duration::from_secs(30),
            embedding_api_key_file: PathBuf::new(),
            embedding_api_key: None,
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
    /// There is no engine for it.
    #[error(
        "`--qdrant-url` is not supported in this version; leave it out to use the embedded engine"
    )]
    QdrantUrl,
    /// There is no such embedder.
    #[error(
        "`--embedder {0}` is not supported in this version; use `none`, which searches by words, or `http:BASE_URL`"
    )]
    Embedder(String),
    /// The embedder has many models.
    #[error("`--embedding-model` must name a model of `--embedder {0}`")]
    EmbeddingModel(String),
    /// The template makes no sense.
    #[error("`--embedding-template` {0}")]
    EmbeddingTemplate(#[from] TemplateError),
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
        cause: EmbedError,
    },
    /// An index path is malformed.
    #[error("`--index-paths`: `{path}` {fault}")]
    IndexPath {
        /// The path.
        path: String,
        /// What is wrong with it.
        fault: String,
    },
    /// The default lifetime is too long.
    #[error("`--default-ttl` must be at most {} seconds (100 years); `0s` is for ever", MAX_TTL.as_secs())]
    DefaultTtl,
}

impl Config {
    /// The embedder, called once to learn what it makes; `None` for none.
    ///
    /// # Errors
    /// [`Unusable`] names the flag and what to do.
    pub async fn embedding(&self) -> Result<Option<Embedding>, Unusable> {
        let Some((settings, template)) = self.embedding_settings()? else {
            return Ok(None);
        };
        let connected = HttpEmbedder::connect(settings).await;
        let embedder = connected.map_err(|cause| Unusable::Embedding {
            embedder: self.embedder.clone(),
            cause,
        })?;
        Ok(Some(Embedding {
            embedder: Arc::new(embedder),
            template,
        }))
    }

    /// How to reach the embedder and what it is given; `None` for none.
    ///
    /// # Errors
    /// [`Unusable`] names the flag and what to do.
    pub fn embedding_settings(&self) -> Result<Option<(HttpSettings, Template)>, Unusable> {
        let template = Template::parse(&self.embedding_template)?;
        if self.embedder == NO_EMBEDDER {
            return Ok(None);
        }
        let unknown = || Unusable::Embedder(self.embedder.clone());
        let base_url = self.embedder.strip_prefix("http:").ok_or_else(unknown)?;
        if self.embedding_model.is_empty() {
            return Err(Unusable::EmbeddingModel(self.embedder.clone()));
        }
        let settings = HttpSettings {
            base_url: base_url.to_owned(),
            model: self.embedding_model.clone(),
            dims: Some(self.embedding_dims).filter(|dims| *dims > 0),
            api_key: self.embedding_api_key()?,
            timeout: self.embedding_timeout,
        };
        Ok(Some((settings, template)))
    }

    fn embedding_api_key(&self) -> Result<Option<Secret>, Unusable> {
        let file = &self.embedding_api_key_file;
        if self.embedding_api_key.is_some() || file.as_os_str().is_empty() {
            return Ok(self.embedding_api_key.clone());
        }
        let unreadable = |cause: String| Unusable::EmbeddingApiKey {
            file: file.display().to_string(),
            cause,
        };
        let text = std::fs::read_to_string(file).map_err(|error| unreadable(error.to_string()))?;
        let key = Secret::deserialize(text.trim().into_deserializer());
        let key = key.map_err(|error: ValueError| unreadable(error.to_string()))?;
        Ok(Some(key))
    }

    /// What calls that do not say get.
    ///
    /// # Errors
    /// [`Unusable`] names the flag and what to do.
    pub fn defaults(&self) -> Result<Defaults, Unusable> {
        if !self.qdrant_url.is_empty() {
            return Err(Unusable::QdrantUrl);
        }
        let mut index_paths = Vec::new();
        for text in self.index_paths.iter().flat_map(|texts| split(texts)) {
            let path = IndexPath::parse(text).map_err(|error| Unusable::IndexPath {
                path: text.to_owned(),
                fault: error.to_string(),
            })?;
            index_paths.push(path);
        }
        let ttl = Ttl::try_new(self.default_ttl);
        if ttl.is_none() && !self.default_ttl.is_zero() {
            return Err(Unusable::DefaultTtl);
        }
        Ok(Defaults {
            index_paths,
            ttl,
            refresh_ttl_on_read: self.refresh_ttl_on_read,
        })
    }
}

/// Splits at commas that are not within braces, such as those of `{a,b}`.
fn split(texts: &str) -> Vec<&str> {
    let mut depth = 0_i32;
    let outside = |character| {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        character == ',' && depth == 0
    };
    texts.split(outside).map(str::trim).collect()
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
        let with_url = Config {
            qdrant_url: "http://localhost:6334".into(),
            ..default()
        };
        assert!(refusal(with_url).contains("--qdrant-url"));
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
    }

    #[tokio::test]
    async fn embedders_that_cannot_be_used_are_refused_by_their_flag() {
        let default = || Config {
            embedder: "http:http://127.0.0.1:1".into(),
            embedding_model: "m".into(),
            ..Config::default()
        };
        for (config, expected) in [
            (
                Config {
                    embedder: "static:x".into(),
                    ..default()
                },
                "`--embedder static:x` is not supported",
            ),
            (
                Config {
                    embedding_model: String::new(),
                    ..default()
                },
                "`--embedding-model` must name a model",
            ),
            (
                Config {
                    embedding_template: "{key}".into(),
                    ..default()
                },
                "`--embedding-template` must have `{text}`",
            ),
            (
                Config {
                    embedding_api_key_file: "does-not-exist".into(),
                    ..default()
                },
                "`--embedding-api-key-file does-not-exist` cannot be read",
            ),
            (
                default(),
                "`--embedder http:http://127.0.0.1:1` cannot be used: the embedder is unavailable",
            ),
        ] {
            let error = config
                .embedding()
                .await
                .err()
                .map(|error| error.to_string());
            let error = error.unwrap_or_default();
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
