//! Search by meaning, and by both words and meaning.

use memory_service::{MemoryService, config::Config};
use service_runtime::Service as _;
use weft_proto::memory::v1::{self as pb, Ranking};

use crate::{
    embedder::Embedder,
    support::{Calls as _, Client, Running, delete, put, query, text},
};

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
async fn an_item_scores_as_its_best_text_and_a_new_put_leaves_no_old_one() {
    let embedder = Embedder::start().await;
    let mut running = running(&embedder).await;
    let put_with = |disabled, paths: &[&str]| pb::PutItemRequest {
        indexing: Some(pb::Indexing {
            disabled,
            paths: paths.iter().map(|path| (*path).to_owned()).collect(),
        }),
        ..put("a", "k", r#"{"one":"car","more":["cat","sun"]}"#)
    };
    let found = async |client: &mut Client| {
        let mut found = Vec::new();
        for word in ["automobile", "kitten", "sun"] {
            found.push(scores(client, ranked(Ranking::Semantic, "", word)).await);
        }
        found
            .concat()
            .into_iter()
            .map(|(_, score)| score)
            .collect::<Vec<_>>()
    };
    let client = &mut running.client;
    client
        .put(put_with(false, &["one", "more[*]"]))
        .await
        .unwrap();
    assert_eq!(found(client).await, [1000, 1000, 1000]);
    client.put(put_with(false, &["more[0]"])).await.unwrap();
    assert_eq!(found(client).await, [0, 1000, 0]);
    client.put(put_with(true, &[])).await.unwrap();
    assert!(found(client).await.is_empty());
    client.put(put_with(false, &["one"])).await.unwrap();
    let mut running = running.restart().await;
    assert_eq!(found(&mut running.client).await, [1000, 0, 0]);
    running.client.delete_item(delete("a", "k")).await.unwrap();
    assert!(found(&mut running.client).await.is_empty());
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

fn diverse(diversity: f64, request: pb::SearchItemsRequest) -> pb::SearchItemsRequest {
    pb::SearchItemsRequest {
        diversity,
        ..request
    }
}

#[tokio::test]
async fn near_duplicates_make_room_if_diversity_is_asked_for() {
    let embedder = Embedder::start().await;
    let mut running = running(&embedder).await;
    let client = &mut running.client;
    for (key, words) in [
        ("0", "deg0"),
        ("5", "deg5"),
        ("9", "deg9"),
        ("other", "deg320"),
    ] {
        remember(client, "a", key, words).await;
    }
    let semantic = || ranked(Ranking::Semantic, "", "deg0");
    assert_eq!(client.keys(semantic()).await, ["0", "5", "9", "other"]);
    assert_eq!(
        client.keys(diverse(0.6, semantic())).await,
        ["0", "other", "9", "5"]
    );
    // Scores stay what they are, and pages are parts of one list.
    let whole = client.hits(diverse(0.6, semantic())).await.unwrap();
    assert!((whole[1].score.unwrap() - 40_f64.to_radians().cos()).abs() < 1e-6);
    for offset in 0..4 {
        let page = pb::SearchItemsRequest {
            offset,
            limit: 1,
            ..diverse(0.6, semantic())
        };
        let index = usize::try_from(offset).unwrap();
        assert_eq!(client.hits(page).await.unwrap(), whole[index..=index]);
    }
}

#[tokio::test]
async fn words_alone_tell_near_duplicates_too() {
    let mut running = Running::start().await;
    let client = &mut running.client;
    for (key, words) in [
        ("1", "tea with milk"),
        ("2", "tea with milk"),
        ("3", "strong green tea leaves"),
    ] {
        remember(client, "a", key, words).await;
    }
    assert_eq!(client.keys(query("", "tea")).await, ["1", "2", "3"]);
    assert_eq!(
        client.keys(diverse(0.7, query("", "tea"))).await,
        ["1", "3", "2"]
    );
    // Without a query there is no relevance to weigh against.
    let unranked = client.keys(query("", "")).await;
    assert_eq!(client.keys(diverse(0.7, query("", ""))).await, unranked);
}

#[tokio::test]
async fn vectors_of_another_embedder_are_refused_by_both_names() {
    let embedder = Embedder::start().await;
    let folder = tempfile::tempdir().unwrap();
    let config = |change: &dyn Fn(&mut Config)| {
        let mut config = Config {
            listen: "127.0.0.1:0".parse().unwrap(),
            admin_listen: "127.0.0.1:0".parse().unwrap(),
            data_dir: folder.path().into(),
            ..Config::default()
        };
        embedder.configure(&mut config);
        change(&mut config);
        config
    };
    let service = MemoryService::bind(config(&|_| {})).await.unwrap();
    service.serve(std::future::ready(())).await.unwrap();
    for (other, name) in [
        (config(&|config| config.embedder = "none".into()), "`none`"),
        (
            config(&|config| config.embedding_model = "other".into()),
            "`http:other`",
        ),
        (
            config(&|config| config.embedding_template = "{key} {text}".into()),
            "`{key} {text}`",
        ),
    ] {
        let error = MemoryService::bind(other).await.err().unwrap().to_string();
        assert!(
            error.contains("`http:double`") && error.contains(name),
            "{error}"
        );
    }
    let service = MemoryService::bind(config(&|_| {})).await.unwrap();
    service.serve(std::future::ready(())).await.unwrap();
}
