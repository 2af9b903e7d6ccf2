//! What the service's core is asked for, after everything about it was checked.

use std::time::Duration;

use crate::{
    domain::{Document, Filter, IndexPath, Indexing, ItemId, NamespacePrefix, Precondition, Ttl},
    fusion::Fusion,
};

/// How long an item is to live.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lifetime {
    /// As the service is configured.
    #[default]
    Configured,
    /// For ever.
    Unlimited,
    /// Until it has been left alone for this long.
    Limited(Ttl),
}

/// What the service is configured with.
#[derive(Clone, Debug, Default)]
pub struct Defaults {
    /// Where the texts of documents are.
    pub index_paths: Vec<IndexPath>,
    /// How long items live; `None` for ever.
    pub ttl: Option<Ttl>,
    /// Whether reads restart lifetimes.
    pub refresh_ttl_on_read: bool,
    /// How hybrid searches make one score of two.
    pub fusion: Fusion,
}

/// A put as it was asked for.
#[derive(Clone, Debug)]
pub struct PutRequest {
    /// Which item.
    pub id: ItemId,
    /// Its document.
    pub value: Document,
    /// How to index it.
    pub indexing: Indexing,
    /// How long it lives.
    pub lifetime: Lifetime,
    /// What must hold.
    pub precondition: Precondition,
}

/// How a query ranks items.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ranking {
    /// By both if there is an embedder, else by words.
    #[default]
    Best,
    /// By words.
    Lexical,
    /// By meaning.
    Semantic,
    /// By both.
    Hybrid,
}

/// A search as it was asked for.
#[derive(Clone, Debug)]
pub struct SearchRequest {
    /// Where.
    pub prefix: NamespacePrefix,
    /// Text to rank by; `None` for the last updated first.
    pub words: Option<String>,
    /// How it ranks.
    pub ranking: Ranking,
    /// What documents must fulfil.
    pub filter: Option<Filter>,
    /// Halve scores for every such span since the last update.
    pub half_life: Option<Duration>,
    /// From 0 for relevance alone up to 1 to avoid near duplicates.
    pub diversity: f64,
    /// Leave out what scores less.
    pub min_score: Option<f64>,
    /// Skip this many of the best.
    pub offset: usize,
    /// Return at most this many.
    pub limit: usize,
    /// Whether to restart the lifetimes of what is found; `None` as configured.
    pub refresh_ttl: Option<bool>,
}

/// A page of items as it was asked for.
#[derive(Clone, Debug)]
pub struct ListRequest {
    /// Where.
    pub prefix: NamespacePrefix,
    /// What documents must fulfil.
    pub filter: Option<Filter>,
    /// The last item of the page before.
    pub after: Option<ItemId>,
    /// At most this many.
    pub limit: usize,
}
