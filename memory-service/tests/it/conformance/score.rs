//! Row "score": by words, by meaning, and by both.

use tonic::Code;
use weft_proto::memory::v1::{self as pb, Ranking};

use super::{calls::Calls as _, ranked, remember, running, scores};
use crate::{
    embedder::Embedder,
    support::{Running, assert_status, put, query, search, text},
};

fn expected<const N: usize>(scores: [(&str, i32); N]) -> Vec<(String, i32)> {
    scores.map(|(key, score)| (key.to_owned(), score)).into()
}

#[tokio::test]
async fn meanings_rank_by_cosine_and_negative_scores_are_scores() {
    let embedder = Embedder::start().await;
    let mut running = running(&embedder).await;
    let client = &mut running.client;
    remember(client, "b", "same", "automobile").await;
    remember(client, "a", "same", "car car").await;
    remember(client, "a", "between", "car cat").await;
    remember(client, "a", "other", "cat").await;
    remember(client, "a", "opposite", "anticar").await;
    let all = expected([
        ("same", 1000),
        ("same", 1000),
        ("between", 707),
        ("other", 0),
        ("opposite", -1000),
    ]);
    assert_eq!(
        scores(client, ranked(Ranking::Semantic, "", "car")).await,
        all
    );
    let hits = client
        .hits(ranked(Ranking::Semantic, "", "car"))
        .await
        .unwrap();
    assert_eq!(hits[0].item.as_ref().unwrap().namespace, ["a"]);
    assert_eq!(
        scores(client, ranked(Ranking::Semantic, "b", "car")).await,
        all[1..2]
    );
    let floored = pb::SearchItemsRequest {
        min_score: Some(-0.5),
        offset: 2,
        ..ranked(Ranking::Semantic, "", "car")
    };
    assert_eq!(scores(client, floored).await, all[2..4]);
    let blank = ranked(Ranking::Semantic, "", "  ");
    assert!(client.hits(blank).await.unwrap().is_empty());
}

#[tokio::test]
async fn by_default_both_sides_count_and_each_scores_the_finds_of_the_other() {
    let embedder = Embedder::start().await;
    let mut running = running(&embedder).await;
    let client = &mut running.client;
    remember(client, "a", "words", "anticar manual").await;
    remember(client, "a", "meaning", "automobile").await;
    remember(client, "a", "both", "car manual").await;
    remember(client, "a", "neither", "sun").await;
    let none = pb::PutItemRequest {
        indexing: Some(pb::Indexing {
            disabled: true,
            paths: vec![],
        }),
        ..put("a", "none", r#"{"text":"car manual"}"#)
    };
    client.put(none).await.unwrap();
    let by_words = client
        .hits(ranked(Ranking::Lexical, "", "car manual"))
        .await
        .unwrap();
    let by_meaning = client
        .hits(ranked(Ranking::Semantic, "", "car manual"))
        .await
        .unwrap();
    let score = |hits: &[pb::SearchHit], key: &str| {
        let hit = hits
            .iter()
            .find(|hit| hit.item.as_ref().unwrap().key == key);
        hit.map_or(0.0, |hit| hit.score.unwrap())
    };
    let hits = client.hits(query("", "car manual")).await.unwrap();
    let keys: Vec<_> = hits
        .iter()
        .map(|hit| hit.item.as_ref().unwrap().key.as_str())
        .collect();
    assert_eq!(keys, ["both", "meaning", "neither", "words"]);
    for key in keys {
        let words = score(&by_words, key);
        let expected = 0.5 * score(&by_meaning, key) + 0.5 * words / (words + 10.0);
        assert!((score(&hits, key) - expected).abs() < 1e-6, "{key}");
    }
    assert_eq!(
        client
            .hits(ranked(Ranking::Hybrid, "", "car manual"))
            .await
            .unwrap(),
        hits
    );
    // A query without words of its own still has a meaning.
    let wordless = client.keys(query("", "the")).await;
    assert_eq!((wordless.len(), wordless[0].as_str()), (4, "both"));
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_both_are_those_of_the_whole_list() {
    let embedder = Embedder::start().await;
    let mut running = running(&embedder).await;
    let mut operations = Vec::new();
    for index in 0..300_usize {
        // The sides disagree: those that have the word most are not those that are nearest.
        let words = "tea ".repeat(index * 7 % 5) + &format!("deg{}", index * 37 % 180);
        let value = format!(r#"{{"text":"{words}","even":{}}}"#, index % 2 == 0);
        let operation =
            pb::batch_operation::Operation::Put(put("a", &format!("{index:03}"), &value));
        operations.push(pb::BatchOperation {
            operation: Some(operation),
        });
    }
    running
        .client
        .batch(pb::BatchRequest { operations })
        .await
        .unwrap();
    for (filter, half_life, min_score) in [
        (None, None, None),
        (Some(text(r#"{"even":true}"#)), None, None),
        (None, Some(60), None),
        (None, None, Some(0.2)),
    ] {
        let request = pb::SearchItemsRequest {
            filter,
            recency_half_life: half_life.map(|seconds| prost_types::Duration { seconds, nanos: 0 }),
            min_score,
            limit: 1000,
            ..query("", "tea deg90")
        };
        let whole = scores(&mut running.client, request.clone()).await;
        assert!(whole.is_sorted_by_key(|(_, score)| -score));
        assert!(!whole.is_empty());
        let mut paged = Vec::new();
        for page in 0..=whole.len() / 9 {
            let request = pb::SearchItemsRequest {
                limit: 9,
                offset: i32::try_from(page * 9).unwrap(),
                ..request.clone()
            };
            paged.extend(scores(&mut running.client, request).await);
        }
        assert_eq!(paged, whole);
    }
}

#[tokio::test]
async fn words_rank_by_how_rare_and_frequent_they_are() {
    let mut running = Running::start().await;
    let client = &mut running.client;
    remember(client, "x", "once", "the user likes pizza").await;
    remember(client, "x", "twice", "pizza, pizza for the user").await;
    remember(client, "x", "rare", "the user likes anchovies").await;
    remember(client, "x", "other", "the user walks the dog").await;
    assert_eq!(client.keys(query("", "pizza")).await, ["twice", "once"]);
    assert_eq!(
        client.keys(query("", "Likes ANCHOVIES!")).await,
        ["rare", "once"]
    );
    assert!(client.keys(query("", "submarine")).await.is_empty());
    assert!(client.keys(query("", "the")).await.is_empty());

    let hits = client.hits(query("", "pizza")).await.unwrap();
    let scores: Vec<f64> = hits.iter().map(|hit| hit.score.unwrap()).collect();
    assert!(scores[0] > scores[1] && scores[1] > 0.0, "{scores:?}");
    let floored = pb::SearchItemsRequest {
        min_score: Some(scores[0]),
        ..query("", "pizza")
    };
    assert_eq!(client.keys(floored).await, ["twice"]);
}

#[tokio::test]
async fn rankings_by_meaning_need_an_embedder() {
    let mut running = Running::start().await;
    let client = &mut running.client;
    for ranking in [Ranking::Semantic, Ranking::Hybrid] {
        let request = pb::SearchItemsRequest {
            ranking: ranking.into(),
            ..query("", "x")
        };
        let error = client.search_items(request).await.unwrap_err();
        assert_status(&error, Code::FailedPrecondition, "EMBEDDER_MISSING");
        assert!(
            error.message().contains("--embedder"),
            "{}",
            error.message()
        );
        // Nothing is ranked without a query.
        let request = pb::SearchItemsRequest {
            ranking: ranking.into(),
            ..search("")
        };
        assert!(client.hits(request).await.unwrap().is_empty());
    }
}
