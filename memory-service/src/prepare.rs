//! Puts made ready to be written: documents taken apart, texts embedded, for each index that they
//! are to be in.

use std::{collections::BTreeSet, sync::Arc};

use crate::{
    domain::{
        Document, Etag, IndexIdentity, IndexPath, Indexing, ItemId, Time, filter::terms, json::Json,
    },
    embed::{Embedding, Template},
    failure::Failure,
    lexical::{Bm25, WordVector},
    request::{Defaults, Lifetime, PutRequest},
    store::{
        Put, StoreError, Vectors,
        index::{Each, Index, Stage},
    },
};

/// Documents longer than this together, in bytes, are taken apart on a thread that may block: it
/// takes about a millisecond for 16 KiB, which is as long as other calls should have to wait.
const LONG_DOCUMENTS: usize = 16 << 10;

/// Most texts that are embedded of one item: each is a vector of some kilobytes, which every search
/// in its namespace is compared with.
const MAX_TEXTS: usize = 1000;

/// Most numbers that the vectors of one item have together: Qdrant servers refuse 2^20 and more, and
/// with them everything that is written by the same call.
const MAX_NUMBERS: usize = (1 << 20) - 1;

/// What an index is made with.
#[derive(Clone)]
pub struct Indexer {
    /// Where documents have their texts, unless their puts say.
    pub paths: Vec<IndexPath>,
    /// What embeds them; `None` for nothing.
    pub embedding: Option<Embedding>,
}

impl Indexer {
    /// What stored words and vectors depend on.
    #[must_use]
    pub fn identity(&self) -> IndexIdentity {
        let embedder = self.embedding.as_ref().map(Embedding::identity);
        IndexIdentity::new(embedder, &self.paths)
    }
}

/// What is needed to make puts ready.
#[derive(Clone)]
pub(crate) struct Preparation {
    pub(crate) bm25: Arc<Bm25>,
    pub(crate) defaults: Arc<Defaults>,
    pub(crate) indexers: Arc<Each<Indexer>>,
}

/// What an index has of a document, its texts not embedded yet.
struct Part {
    words: Option<WordVector>,
    to_embed: Vec<String>,
}

/// An item that is to be indexed.
pub(crate) type Indexable = (ItemId, Document, Indexing);

impl Preparation {
    /// Makes puts ready, in their order, for a store at this stage; equal texts are embedded once.
    /// Nothing was written if it fails.
    pub(crate) async fn prepare(
        &self,
        requests: Vec<PutRequest>,
        now: Time,
        stage: Stage,
    ) -> Result<Vec<Put>, Failure> {
        let bytes = requests.iter().map(|request| request.value.text().len());
        let taken = self.off_thread(bytes.sum(), move |this| {
            let take_apart = |(index, request)| {
                let taken = this.take_apart(request, now, stage);
                taken.map_err(|failure| failure.among(|_| index))
            };
            requests.into_iter().enumerate().map(take_apart).collect()
        });
        let (mut puts, mut parts): (Vec<Put>, Vec<Each<Part>>) = taken.await?.into_iter().unzip();
        for index in Index::ALL {
            let parts = parts
                .iter_mut()
                .filter_map(|parts| parts.get_mut(index).take());
            let parts: Vec<_> = parts.collect();
            // All puts are for the same indexes.
            if parts.is_empty() {
                continue;
            }
            let vectors = self.embed(index, parts).await?;
            for (put, vectors) in puts.iter_mut().zip(vectors) {
                *put.vectors.get_mut(index) = Some(vectors);
            }
        }
        Ok(puts)
    }

    /// Gives a put what it lacks for a store at this stage.
    pub(crate) async fn complete(&self, put: &mut Put, stage: Stage) -> Result<(), Failure> {
        for index in Index::ALL {
            if stage.needs(index) && put.vectors.get(index).is_none() {
                let item = (put.id.clone(), put.value.clone(), put.indexing.clone());
                let vectors = self.vectors(index, vec![item]).await?;
                *put.vectors.get_mut(index) = vectors.into_iter().next();
            }
        }
        Ok(())
    }

    /// What an index has of items, in their order; equal texts are embedded once.
    pub(crate) async fn vectors(
        &self,
        index: Index,
        items: Vec<Indexable>,
    ) -> Result<Vec<Vectors>, Failure> {
        let bytes = items.iter().map(|(_, value, _)| value.text().len());
        let parts = self.off_thread(bytes.sum(), move |this| {
            let part = |(id, value, indexing): Indexable| {
                let document = parse(&value)?;
                this.part(this.indexer(index)?, &id, &document, &indexing)
            };
            items.into_iter().map(part).collect()
        });
        self.embed(index, parts.await?).await
    }

    pub(crate) fn indexer(&self, index: Index) -> Result<&Indexer, StoreError> {
        let indexer = self.indexers.get(index);
        indexer.ok_or_else(|| StoreError::Internal("an index that nothing makes".into()))
    }

    async fn off_thread<T: Send + 'static>(
        &self,
        bytes: usize,
        work: impl FnOnce(&Self) -> Result<Vec<T>, Failure> + Send + 'static,
    ) -> Result<Vec<T>, Failure> {
        if bytes <= LONG_DOCUMENTS {
            return work(self);
        }
        let this = self.clone();
        let done = tokio::task::spawn_blocking(move || work(&this)).await;
        done.map_err(|error| StoreError::Internal(error.to_string()))?
    }

    async fn embed(&self, index: Index, parts: Vec<Part>) -> Result<Vec<Vectors>, Failure> {
        let (words, texts): (Vec<_>, Vec<_>) = parts
            .into_iter()
            .map(|part| (part.words, part.to_embed))
            .unzip();
        let meanings = match &self.indexer(index)?.embedding {
            Some(embedding) => embedding.documents(&texts).await?,
            None => vec![Vec::new(); texts.len()],
        };
        let vectors = words.into_iter().zip(meanings);
        Ok(vectors
            .map(|(words, meanings)| Vectors { words, meanings })
            .collect())
    }

    /// A put without vectors yet, and what each index has of it.
    fn take_apart(
        &self,
        request: PutRequest,
        now: Time,
        stage: Stage,
    ) -> Result<(Put, Each<Part>), Failure> {
        let PutRequest {
            id,
            value,
            indexing,
            lifetime,
            precondition,
        } = request;
        let document = parse(&value)?;
        let ttl = match lifetime {
            Lifetime::Configured => self.defaults.ttl,
            Lifetime::Unlimited => None,
            Lifetime::Limited(ttl) => Some(ttl),
        };
        let mut parts = Each {
            present: None,
            former: None,
        };
        for index in Index::ALL {
            if stage.needs(index) {
                let indexer = self.indexer(index)?;
                *parts.get_mut(index) = Some(self.part(indexer, &id, &document, &indexing)?);
            }
        }
        let put = Put {
            id,
            terms: terms::of_document(&document),
            vectors: Each::default(),
            value,
            indexing,
            ttl,
            precondition,
            etag: Etag::fresh(),
            now,
        };
        Ok((put, parts))
    }

    fn part(
        &self,
        indexer: &Indexer,
        id: &ItemId,
        document: &Json,
        indexing: &Indexing,
    ) -> Result<Part, Failure> {
        let texts = indexing.texts(&indexer.paths, document);
        let to_embed: Vec<_> = match &indexer.embedding {
            None => Vec::new(),
            Some(embedding) => to_embed(&embedding.template, id, &texts),
        };
        let dims = indexer
            .embedding
            .as_ref()
            .map_or(1, |made| made.embedder.dims());
        let max = MAX_TEXTS.min(MAX_NUMBERS / dims.max(1));
        let found = to_embed.len();
        if found > max {
            return Err(Failure::TooManyTexts { found, max, of: 0 });
        }
        Ok(Part {
            words: self.bm25.document(&texts),
            to_embed,
        })
    }
}

/// What is embedded of an item with these texts, a vector for each.
pub(crate) fn to_embed(template: &Template, id: &ItemId, texts: &[String]) -> Vec<String> {
    // Providers refuse to embed nothing.
    let texts = texts.iter().filter(|text| !text.trim().is_empty());
    let filled = texts.map(|text| template.fill(id, text));
    filled.collect::<BTreeSet<_>>().into_iter().collect()
}

fn parse(value: &Document) -> Result<Json, StoreError> {
    value
        .parse()
        .map_err(|error| StoreError::Internal(error.to_string()))
}
