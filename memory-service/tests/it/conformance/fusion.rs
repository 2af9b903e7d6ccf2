//! Hybrid search in each of its ways: scores are what the lists of both sides add up to, and pages
//! are parts of one list.

use std::collections::HashMap;

use memory_service::{config::Config, fusion::Method};
use prost_types::Duration as Span;
use weft_proto::memory::v1::{self as pb, Ranking};

use crate::{
    embedder::Embedder,
    support::{Calls as _, Client, Running, put, query, text},
};

const QUERY: &str = "tea deg90";

/// Names of items with their scores, best first.
type List = Vec<(String, f64)>;

fn ranked(ranking: Ranking, filter: Option<&str>) -> pb::SearchItemsRequest {
    pb::SearchItemsRequest {
        ranking: ranking.into(),
        filter: filter.map(text),
        limit: 1000,
        ..query("", QUERY)
    }
}

async fn list(client: &mut Client, request: pb::SearchItemsRequest) -> List {
    let hits = client.hits(request).await.unwrap();
    let entry = |hit: pb::SearchHit| {
        let item = hit.item.unwrap();
        (
            format!("{}/{}", item.namespace[0], item.key),
            hit.score.unwrap(),
        )
    };
    hits.into_iter().map(entry).collect()
}

/// A service with 400 items in two namespaces, many of them alike. The sides disagree: those that
/// have the word most are not those that are nearest, and most do not have the word.
async fn filled(configure: impl FnOnce(&mut Config)) -> (Embedder, Running) {
    let embedder = Embedder::start().await;
    let mut running = Running::start_with(|config| {
        embedder.configure(config);
        configure(config);
    })
    .await;
    let mut operations = Vec::new();
    for index in 0..400_usize {
        let words =
            "tea ".repeat((index * 7 % 11).saturating_sub(7)) + &format!("deg{}", index % 90 * 2);
        let value = format!(r#"{{"text":"{words}","number":{index}}}"#);
        let namespace = if index % 3 == 0 { "a" } else { "b" };
        let put = put(namespace, &format!("{index:03}"), &value);
        operations.push(pb::BatchOperation {
            operation: Some(pb::batch_operation::Operation::Put(put)),
        });
    }
    let batch = pb::BatchRequest { operations };
    running.client.batch(batch).await.unwrap();
    (embedder, running)
}

/// Both sides of a search, as lists of their own.
async fn sides(client: &mut Client, filter: Option<&str>) -> (List, List) {
    let meaning = list(client, ranked(Ranking::Semantic, filter)).await;
    let words = list(client, ranked(Ranking::Lexical, filter)).await;
    assert!(meaning.len() > words.len() && !words.is_empty());
    (meaning, words)
}

#[track_caller]
fn assert_scores(found: &List, expected: &HashMap<String, f64>) {
    assert_eq!(found.len(), expected.len());
    for (name, score) in found {
        assert!((score - expected[name]).abs() < 1e-6, "{name} {score}");
    }
    let in_order = found.is_sorted_by(|(name, score), (next, next_score)| {
        score > next_score || (score == next_score && name < next)
    });
    assert!(in_order, "{found:?}");
}

/// Scores of the items of both lists, added up.
fn sums(meaning: List, words: List) -> HashMap<String, f64> {
    let mut sums = HashMap::new();
    for (name, score) in meaning.into_iter().chain(words) {
        *sums.entry(name).or_default() += score;
    }
    sums
}

#[tokio::test]
async fn weights_and_saturation_are_those_that_are_configured() {
    let (_embedder, mut running) = filled(|config| {
        config.hybrid_semantic_weight = 0.8;
        config.hybrid_saturation = 2.0;
    })
    .await;
    let client = &mut running.client;
    let (mut meaning, mut words) = sides(client, None).await;
    meaning.iter_mut().for_each(|(_, score)| *score *= 0.8);
    words
        .iter_mut()
        .for_each(|(_, score)| *score = 0.2 * *score / (*score + 2.0));
    let found = list(client, ranked(Ranking::Hybrid, None)).await;
    assert_scores(&found, &sums(meaning, words));
}

/// Scores by place: 1 for the first, then less; items that score alike share a place.
fn by_place(list: List, k: f64) -> List {
    let mut shared = (0.0, f64::NAN);
    let mut scores = Vec::new();
    for (index, (name, score)) in list.into_iter().enumerate() {
        if score != shared.1 {
            shared = (index as f64 + 1.0, score);
        }
        scores.push((name, 0.5 * (k + 1.0) / (k + shared.0)));
    }
    scores
}

/// What only the service can check, document by document: it leaves 60 items.
const FILTER: &str = r#"{"number":{"$gte":240,"$lt":300}}"#;

#[tokio::test]
async fn reciprocal_ranks_are_of_places_among_what_matches() {
    let (_embedder, mut running) = filled(|config| {
        config.hybrid_fusion = Method::Rrf;
        config.hybrid_rrf_k = 5.0;
    })
    .await;
    let client = &mut running.client;
    for filter in [None, Some(FILTER)] {
        let (meaning, words) = sides(client, filter).await;
        let expected = sums(by_place(meaning, 5.0), by_place(words, 5.0));
        let found = list(client, ranked(Ranking::Hybrid, filter)).await;
        assert_scores(&found, &expected);
        assert!(found[0].1 <= 1.0);
    }
}

/// Scores by where they lie among the best hundred: three standard deviations below their mean is 0,
/// three above it is 1.
fn by_distribution(list: List) -> List {
    let best: Vec<_> = list.iter().take(100).map(|(_, score)| score).collect();
    let count = best.len() as f64;
    let mean = best.iter().copied().sum::<f64>() / count;
    let variance = best
        .iter()
        .map(|score| (*score - mean).powi(2))
        .sum::<f64>()
        / count;
    let low = mean - 3.0 * variance.sqrt();
    let place = |score: f64| 0.5 * (score - low) / (6.0 * variance.sqrt());
    list.into_iter()
        .map(|(name, score)| (name, place(score)))
        .collect()
}

#[tokio::test]
async fn distributions_are_those_of_the_best_of_what_matches() {
    let (_embedder, mut running) = filled(|config| config.hybrid_fusion = Method::Dbsf).await;
    let client = &mut running.client;
    for filter in [None, Some(FILTER)] {
        let (meaning, words) = sides(client, filter).await;
        let expected = sums(by_distribution(meaning), by_distribution(words));
        let found = list(client, ranked(Ranking::Hybrid, filter)).await;
        assert_scores(&found, &expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_parts_of_one_list_whichever_way_scores_become_one() {
    for method in [Method::Weighted, Method::Rrf, Method::Dbsf] {
        let (_embedder, mut running) = filled(|config| config.hybrid_fusion = method).await;
        let client = &mut running.client;
        let all = list(client, ranked(Ranking::Hybrid, None)).await;
        for (filter, half_life, min_score) in [
            (None, None, None),
            (Some(FILTER), None, None),
            (None, Some(3600), None),
            (None, None, Some(all[50].1)),
        ] {
            let request = pb::SearchItemsRequest {
                recency_half_life: half_life.map(|seconds| Span { seconds, nanos: 0 }),
                min_score,
                ..ranked(Ranking::Hybrid, filter)
            };
            let whole = list(client, request.clone()).await;
            assert!(whole.len() > 20, "{method:?} {filter:?} {min_score:?}");
            let mut paged = Vec::new();
            for page in 0..=whole.len() / 23 {
                let page = pb::SearchItemsRequest {
                    limit: 23,
                    offset: i32::try_from(page * 23).unwrap(),
                    ..request.clone()
                };
                paged.extend(list(client, page).await);
            }
            assert_eq!(paged, whole, "{method:?} {filter:?}");
        }
    }
}

#[tokio::test]
async fn no_score_knows_of_items_outside_of_the_searched_scope() {
    for method in [Method::Weighted, Method::Rrf, Method::Dbsf] {
        let (_embedder, mut running) = filled(|config| config.hybrid_fusion = method).await;
        let client = &mut running.client;
        let within = pb::SearchItemsRequest {
            namespace_prefix: vec!["a".to_owned()],
            ..ranked(Ranking::Hybrid, None)
        };
        let before = list(client, within.clone()).await;
        for index in 0..20 {
            let request = put("c", &index.to_string(), r#"{"text":"tea deg90"}"#);
            client.put(request).await.unwrap();
        }
        assert_eq!(list(client, within).await, before, "{method:?}");
    }
}
