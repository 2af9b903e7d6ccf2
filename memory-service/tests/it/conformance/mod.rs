//! The conformance suite: every row of the table of what MemoryService promises, through its
//! RPCs, Batch included, on whichever engine is under test (`WEFT_TEST_ENGINE=qdrant` for a Qdrant
//! server, the embedded one otherwise), and what any [`Store`](memory_service::store::Store) must do
//! for it.
//!
//! # Layout
//! `calls` makes each read by its own RPC and in a batch. One row a file, in the order of the table:
//! - `namespace`, `value`, `times`, `put`, `precondition`, `get`, `ttl`, `filter`
//! - `search_without_query`, `search_with_query`; `score`, with `fusion`, `recency` and `diversity`
//! - `isolation`, `index_paths`, `batch`, `list_namespaces`, `limits`
//!
//! Beyond the rows:
//! - `large_answers`: what does not fit into one
//! - `all_faults`: everything that is wrong with a request, in one answer
//! - `list_items`: walks and their page tokens
//! - `concurrent_writers`: writers of every kind at the same items
//! - `any_store`: the suite of any store; `engines` runs it against each engine

mod all_faults;
pub(crate) mod any_store;
mod batch;
mod calls;
mod concurrent_writers;
mod diversity;
pub(crate) mod engines;
mod filter;
mod fusion;
mod get;
mod index_paths;
mod isolation;
mod large_answers;
mod limits;
mod list_items;
mod list_namespaces;
mod namespace;
mod precondition;
mod put;
mod recency;
mod score;
mod search_with_query;
mod search_without_query;
mod times;
mod ttl;
mod value;

use weft_proto::memory::v1::{self as pb, Ranking};

use self::calls::Calls as _;
use crate::{
    embedder::Embedder,
    support::{Client, Running, put, query, search, text},
};

fn filtered(prefix: &str, filter: &str) -> pb::SearchItemsRequest {
    pb::SearchItemsRequest {
        filter: Some(text(filter)),
        limit: 1000,
        ..search(prefix)
    }
}

async fn running(embedder: &Embedder) -> Running {
    Running::start_with(|config| embedder.configure(config)).await
}

fn ranked(ranking: Ranking, prefix: &str, words: &str) -> pb::SearchItemsRequest {
    pb::SearchItemsRequest {
        ranking: ranking.into(),
        ..query(prefix, words)
    }
}

async fn remember(client: &mut Client, namespace: &str, key: &str, words: &str) {
    let request = put(namespace, key, &format!(r#"{{"text":"{words}"}}"#));
    client.put(request).await.unwrap();
}

/// Keys and scores, the latter in thousandths.
async fn scores(client: &mut Client, request: pb::SearchItemsRequest) -> Vec<(String, i32)> {
    let hits = client.hits(request).await.unwrap();
    let scored = |hit: pb::SearchHit| {
        let thousandths = (hit.score.unwrap() * 1000.0).round();
        (hit.item.unwrap().key, thousandths as i32)
    };
    hits.into_iter().map(scored).collect()
}
