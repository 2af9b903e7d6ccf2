//! How much of what is known is found: on a corpus with known answers, by each ranking.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io::{self, Write as _},
    path::Path,
};

use anyhow::{Context as _, Result, ensure};
use e2e::{
    Cluster,
    cluster::MEMORY,
    corpus::{self, Line},
    memories::Memories,
    partner::partner,
    payload,
};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::json;
use weft_proto::memory::v1::{
    BatchOperation, BatchRequest, PutItemRequest, Ranking, SearchItemsRequest,
    batch_operation::Operation,
};

const COMMITTED: &str = include_str!("../corpus/retrieval.jsonl");

/// How many finds count.
const DEPTH: i32 = 10;

/// What hybrid search may stay behind the better one of its sides.
const TOLERANCE: f64 = 0.01;

#[test]
fn the_retrieval_corpus_is_what_its_program_makes() -> Result<()> {
    let committed: Result<Vec<Line>, _> = COMMITTED.lines().map(serde_json::from_str).collect();
    ensure!(
        committed? == corpus::lines(),
        "`cargo run --bin corpus >tests/corpus/retrieval.jsonl` makes it anew"
    );
    Ok(())
}

/// Recall of a ranking: by kind of question, and of all of them under `all`.
type Recall = BTreeMap<String, f64>;

async fn remember(client: &mut Memories) -> Result<()> {
    let mut operations = Vec::new();
    for line in corpus::lines() {
        if let Line::Document { key, text } = line {
            let put = PutItemRequest {
                namespace: vec!["corpus".to_owned()],
                key,
                value: Some(payload::json(&json!({ "text": text }))),
                ..PutItemRequest::default()
            };
            let operation = Some(Operation::Put(put));
            operations.push(BatchOperation { operation });
        }
    }
    // Few enough that each batch is embedded in time on a busy machine.
    for operations in operations.chunks(50) {
        let operations = operations.to_vec();
        client.batch(BatchRequest { operations }).await?;
    }
    Ok(())
}

async fn recall(client: &Memories, ranking: Ranking) -> Result<Recall> {
    let ask = |line: Line| async move {
        let Line::Question {
            kind,
            text,
            answers,
        } = line
        else {
            return Ok(None);
        };
        let request = SearchItemsRequest {
            namespace_prefix: vec!["corpus".to_owned()],
            query: text,
            ranking: ranking.into(),
            limit: DEPTH,
            ..SearchItemsRequest::default()
        };
        let hits = client
            .clone()
            .search_items(request)
            .await?
            .into_inner()
            .hits;
        let keys = hits.into_iter().filter_map(|hit| Some(hit.item?.key));
        let found = keys.filter(|key| answers.contains(key)).count();
        anyhow::Ok(Some((kind, found as f64 / answers.len() as f64)))
    };
    let answered = stream::iter(corpus::lines()).map(ask).buffered(8);
    let answered: Vec<_> = answered.try_collect().await?;
    let mut shares: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for (kind, share) in answered.into_iter().flatten() {
        shares.entry(kind).or_default().push(share);
        shares.entry("all".to_owned()).or_default().push(share);
    }
    let mean = |shares: Vec<f64>| shares.iter().sum::<f64>() / shares.len() as f64;
    Ok(shares
        .into_iter()
        .map(|(kind, shares)| (kind, mean(shares)))
        .collect())
}

/// Measures every ranking, each fusion of hybrid search included, prints them, and compares the
/// hybrid search of the defaults with its sides.
async fn compare(embedder: &str) -> Result<()> {
    let mut cluster = Cluster::new()?;
    cluster.set(MEMORY, "WEFT_EMBEDDER", embedder);
    cluster.set(MEMORY, "WEFT_INDEX_PATHS", "text");
    cluster.set(MEMORY, "WEFT_EMBEDDING_TIMEOUT", "2m");
    cluster.set(MEMORY, "WEFT_SERVER__DEFAULT_DEADLINE", "2m");
    cluster.start_memory().await?;
    let mut client = cluster.memory_client()?;
    remember(&mut client).await?;
    let mut rows = vec![
        ("lexical", recall(&client, Ranking::Lexical).await?),
        ("semantic", recall(&client, Ranking::Semantic).await?),
        ("hybrid, weighted", recall(&client, Ranking::Hybrid).await?),
    ];
    for (name, fusion) in [("hybrid, rrf", "rrf"), ("hybrid, dbsf", "dbsf")] {
        cluster.take_memory()?.terminate().await?;
        cluster.set(MEMORY, "WEFT_HYBRID_FUSION", fusion);
        cluster.start_memory().await?;
        let client = cluster.memory_client()?;
        rows.push((name, recall(&client, Ranking::Hybrid).await?));
    }
    print(embedder, &rows)?;
    let all = |name: &str| {
        let row = rows.iter().find(|(row, _)| *row == name);
        row.and_then(|(_, recall)| recall.get("all").copied())
            .context("no such row")
    };
    let best = all("lexical")?.max(all("semantic")?);
    let hybrid = all("hybrid, weighted")?;
    ensure!(
        hybrid >= best - TOLERANCE,
        "hybrid {hybrid} stays behind {best}"
    );
    cluster.finish().await
}

/// A table, past what the harness keeps from the eye.
fn print(embedder: &str, rows: &[(&str, Recall)]) -> Result<()> {
    let kind = embedder.split(':').next().unwrap_or_default();
    let mut table = format!("\nrecall@{DEPTH} with `{kind}`");
    if let Some((_, recall)) = rows.first() {
        for kind in recall.keys() {
            write!(table, "{kind:>8}")?;
        }
    }
    for (name, recall) in rows {
        write!(table, "\n{name:<24}")?;
        for share in recall.values() {
            write!(table, "{share:>8.3}")?;
        }
    }
    writeln!(io::stderr(), "{table}\n")?;
    Ok(())
}

fn at(kind: &str, folder: &Path) -> String {
    format!("{kind}:{}", folder.display())
}

#[tokio::test]
async fn hybrid_search_finds_what_either_side_finds_with_wordllama() -> Result<()> {
    match partner("WEFT_TEST_WORDLLAMA")? {
        Some(folder) => compare(&at("static", &folder)).await,
        None => Ok(()),
    }
}

#[tokio::test]
async fn hybrid_search_finds_what_either_side_finds_with_minilm() -> Result<()> {
    match partner("WEFT_TEST_MINILM")? {
        Some(folder) => compare(&at("bert", &folder)).await,
        None => Ok(()),
    }
}
