//! Embedders: texts as vectors, near each other if their meanings are.
//!
//! # Layout
//! - [`http`]: embedders behind an OpenAI-compatible HTTP API
//! - `wire`: that API's requests and answers
//! - [`local`]: embedders whose models run in this process
//! - [`model`]: the folders of models
//! - `model2vec`: static models
//! - `bert`: BERT encoders, and `pooling`: what becomes of their states
//! - `sharing`: calls that share a request
//! - [`template`]: what exactly is embedded of an item

mod bert;
pub mod http;
pub mod local;
pub mod model;
mod model2vec;
mod pooling;
mod sharing;
pub mod template;
mod wire;

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures::future::BoxFuture;

pub use self::{http::HttpEmbedder, local::LocalEmbedder, template::Template};
use self::{http::HttpSettings, local::LocalSettings, model::ModelError};
use crate::domain::EmbedderIdentity;

/// Vectors, one for each text, in the order of the texts.
pub type Embedded<'a> = BoxFuture<'a, Result<Vec<Vec<f32>>, EmbedError>>;

/// Makes vectors of texts, all of one length, whose cosines say how near the meanings are.
pub trait Embedder: Send + Sync + 'static {
    /// What makes the vectors. Vectors of different names have nothing in common.
    fn id(&self) -> &str;

    /// The length of the vectors; at least 1.
    fn dims(&self) -> usize;

    /// Embeds texts that are to be found.
    fn embed_documents<'a>(&'a self, texts: &'a [String]) -> Embedded<'a>;

    /// Embeds texts to find others by.
    fn embed_queries<'a>(&'a self, texts: &'a [String]) -> Embedded<'a>;
}

/// Why there are no vectors.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EmbedError {
    /// The embedder is away, overloaded, or answers what is no answer. A later call may succeed.
    #[error("the embedder is unavailable: {cause}")]
    Unavailable {
        /// What happened.
        cause: String,
        /// When to try again.
        retry_after: Duration,
    },
    /// The embedder does not accept the call, and will not accept it later on.
    #[error("the embedder refuses: {0}")]
    Refused(String),
}

/// Where an embedder is.
#[derive(Clone, Debug)]
pub enum Source {
    /// Behind an HTTP API.
    Http(HttpSettings),
    /// In a folder on the disk.
    Local(LocalSettings),
}

/// Why there is no embedder.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// It does not answer as it should.
    #[error(transparent)]
    Embed(#[from] EmbedError),
    /// Its folder does not hold what it should.
    #[error(transparent)]
    Model(#[from] ModelError),
}

impl Source {
    /// Makes the embedder ready and has it embed a text, to learn how long its vectors are.
    ///
    /// # Errors
    /// [`SourceError`] if it cannot be used.
    pub async fn open(self) -> Result<Arc<dyn Embedder>, SourceError> {
        Ok(match self {
            Self::Http(settings) => Arc::new(HttpEmbedder::connect(settings).await?),
            Self::Local(settings) => Arc::new(LocalEmbedder::load(settings).await?),
        })
    }
}

/// An embedder, and what it is to embed of an item.
#[derive(Clone)]
pub struct Embedding {
    /// The embedder.
    pub embedder: Arc<dyn Embedder>,
    /// What is embedded of an item.
    pub template: Template,
}

impl Embedding {
    /// What stored vectors depend on.
    #[must_use]
    pub fn identity(&self) -> EmbedderIdentity {
        EmbedderIdentity {
            name: self.embedder.id().to_owned(),
            dims: self.embedder.dims(),
            template: self.template.to_string(),
        }
    }

    /// The vectors of the texts of several items, each distinct text embedded once.
    ///
    /// # Errors
    /// [`EmbedError`] if any of them cannot be embedded.
    pub async fn documents(&self, items: &[Vec<String>]) -> Result<Vec<Vec<Vec<f32>>>, EmbedError> {
        let mut distinct: Vec<String> = items.concat();
        distinct.sort_unstable();
        distinct.dedup();
        if distinct.is_empty() {
            return Ok(vec![Vec::new(); items.len()]);
        }
        let vectors = self.embedder.embed_documents(&distinct).await?;
        let vectors: HashMap<_, _> = distinct.iter().zip(vectors).collect();
        let of_item = |texts: &Vec<String>| {
            let found = texts.iter().filter_map(|text| vectors.get(text).cloned());
            found.collect()
        };
        Ok(items.iter().map(of_item).collect())
    }

    /// The vectors of queries, by their texts, each distinct text embedded once.
    ///
    /// # Errors
    /// [`EmbedError`] if any of them cannot be embedded.
    pub async fn queries(
        &self,
        mut texts: Vec<String>,
    ) -> Result<HashMap<String, Vec<f32>>, EmbedError> {
        texts.sort_unstable();
        texts.dedup();
        if texts.is_empty() {
            return Ok(HashMap::new());
        }
        let vectors = self.embedder.embed_queries(&texts).await?;
        Ok(texts.into_iter().zip(vectors).collect())
    }
}
