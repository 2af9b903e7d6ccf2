//! Puts made ready to be written: documents taken apart, texts embedded.

use std::collections::BTreeSet;

use crate::{
    domain::{Etag, Time, filter::terms},
    embed::Embedding,
    failure::Failure,
    lexical::Bm25,
    request::{Defaults, Lifetime, PutRequest},
    store::{Put, StoreError},
};

/// Documents longer than this together, in bytes, are taken apart on a thread that may block: it
/// takes about a millisecond for 16 KiB, which is as long as other calls should have to wait.
const LONG_DOCUMENTS: usize = 16 << 10;

/// Most texts that are embedded of one item: each is a vector of some kilobytes, which every search
/// in its namespace is compared with.
const MAX_TEXTS: usize = 1000;

/// What is needed to make puts ready.
#[derive(Clone)]
pub(crate) struct Preparation {
    pub(crate) bm25: std::sync::Arc<Bm25>,
    pub(crate) defaults: std::sync::Arc<Defaults>,
    pub(crate) embedding: Option<Embedding>,
}

impl Preparation {
    /// Makes puts ready, in their order; equal texts are embedded once. Nothing was written if it
    /// fails.
    pub(crate) async fn prepare(
        &self,
        requests: Vec<PutRequest>,
        now: Time,
    ) -> Result<Vec<Put>, Failure> {
        let bytes = requests.iter().map(|request| request.value.text().len());
        let prepared = if bytes.sum::<usize>() > LONG_DOCUMENTS {
            let this = self.clone();
            let taking_apart = move || this.take_apart(requests, now);
            let taken = tokio::task::spawn_blocking(taking_apart).await;
            taken.map_err(|error| StoreError::Internal(error.to_string()))?
        } else {
            self.take_apart(requests, now)
        }?;
        let (mut puts, texts): (Vec<_>, Vec<_>) = prepared.into_iter().unzip();
        if let Some(embedding) = &self.embedding {
            let meanings = embedding.documents(&texts).await?;
            for (put, meanings) in puts.iter_mut().zip(meanings) {
                put.meanings = meanings;
            }
        }
        Ok(puts)
    }

    fn take_apart(
        &self,
        requests: Vec<PutRequest>,
        now: Time,
    ) -> Result<Vec<(Put, Vec<String>)>, Failure> {
        let take_apart = |request| self.take_one_apart(request, now);
        requests.into_iter().map(take_apart).collect()
    }

    /// A put without vectors yet, and the texts to embed.
    fn take_one_apart(
        &self,
        request: PutRequest,
        now: Time,
    ) -> Result<(Put, Vec<String>), Failure> {
        let PutRequest {
            id,
            value,
            indexing,
            lifetime,
            precondition,
        } = request;
        let document = value
            .parse()
            .map_err(|error| StoreError::Internal(error.to_string()))?;
        let texts = indexing.texts(&self.defaults.index_paths, &document);
        let ttl = match lifetime {
            Lifetime::Configured => self.defaults.ttl,
            Lifetime::Unlimited => None,
            Lifetime::Limited(ttl) => Some(ttl),
        };
        let to_embed = match &self.embedding {
            None => Vec::new(),
            Some(embedding) => {
                // Providers refuse to embed nothing.
                let texts = texts.iter().filter(|text| !text.trim().is_empty());
                let filled = texts.map(|text| embedding.template.fill(&id, text));
                filled.collect::<BTreeSet<_>>().into_iter().collect()
            }
        };
        if to_embed.len() > MAX_TEXTS {
            return Err(Failure::TooManyTexts {
                found: to_embed.len(),
                max: MAX_TEXTS,
            });
        }
        let put = Put {
            id,
            terms: terms::of_document(&document),
            words: self.bm25.document(&texts),
            meanings: Vec::new(),
            value,
            indexing,
            ttl,
            precondition,
            etag: Etag::fresh(),
            now,
        };
        Ok((put, to_embed))
    }
}
