//! Embedders: texts as vectors, near each other if their meanings are.
//!
//! # Layout
//! - [`http`]: embedders behind an OpenAI-compatible HTTP API
//! - `sharing`: calls that share a request
//! - `wire`: that API's requests and answers
//! - [`template`]: what exactly is embedded of an item

pub mod http;
mod sharing;
pub mod template;
mod wire;

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures::future::BoxFuture;

pub use self::{http::HttpEmbedder, template::Template};
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

    /// The vector of a query.
    ///
    /// # Errors
    /// [`EmbedError`] if it cannot be embedded.
    pub async fn query(&self, text: &str) -> Result<Vec<f32>, EmbedError> {
        let vectors = self.embedder.embed_queries(&[text.to_owned()]).await?;
        let vector = vectors.into_iter().next();
        vector.ok_or_else(|| EmbedError::Refused("it answers without a vector".to_owned()))
    }
}
