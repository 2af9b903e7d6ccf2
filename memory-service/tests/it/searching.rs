//! Searches find exactly what matches, best first, page by page.

use std::time::Duration;

use weft_proto::memory::v1 as pb;

use crate::support::{Calls as _, Client, Running, delete, put, query, search, text};

fn filtered(prefix: &str, filter: &str) -> pb::SearchItemsRequest {
    pb::SearchItemsRequest {
        filter: Some(text(filter)),
        limit: 1000,
        ..search(prefix)
    }
}

#[tokio::test]
async fn without_a_query_the_last_updated_come_first() {
    let mut running = Running::start().await;
    for key in ["c", "a", "b"] {
        running.client.put(put("x", key, "{}")).await.unwrap();
        running.clock.advance(Duration::from_micros(1));
    }
    // Two that are equally old, one of them in an earlier namespace.
    running.client.put(put("x.y", "d", "{}")).await.unwrap();
    running.client.put(put("x", "e", "{}")).await.unwrap();
    assert_eq!(
        running.client.keys(search("x")).await,
        ["e", "d", "b", "a", "c"]
    );
    assert_eq!(running.client.keys(search("x.y")).await, ["d"]);
    running.clock.advance(Duration::from_micros(1));
    running.client.put(put("x", "c", "{}")).await.unwrap();
    let hits = running.client.hits(search("")).await.unwrap();
    assert_eq!(hits[0].item.as_ref().unwrap().key, "c");
    assert!(hits.iter().all(|hit| hit.score.is_none()));
}

#[tokio::test]
async fn pages_of_equal_ranks_neither_repeat_nor_miss() {
    let mut running = Running::start().await;
    let client = &mut running.client;
    let mut expected = Vec::new();
    for key in 0..70 {
        let key = format!("{key:03}");
        client
            .put(put("x", &key, r#"{"text":"same words"}"#))
            .await
            .unwrap();
        expected.push(key);
    }
    for request in [search("x"), query("x", "words")] {
        let mut seen = Vec::new();
        for offset in (0..80).step_by(7) {
            let page = pb::SearchItemsRequest {
                offset,
                limit: 7,
                ..request.clone()
            };
            seen.extend(client.keys(page).await);
        }
        assert_eq!(seen, expected);
    }
}

#[tokio::test]
async fn a_page_is_full_if_enough_items_match() {
    let mut running = Running::start().await;
    for key in 0..600 {
        // Ranges cannot be narrowed down by the engine; the matches are the oldest.
        let value = format!(r#"{{"n":{key},"text":"word"}}"#);
        running
            .client
            .put(put("x", &format!("{key:03}"), &value))
            .await
            .unwrap();
        running.clock.advance(Duration::from_micros(1));
    }
    let filter = r#"{"n":{"$lt":10}}"#;
    let newest = pb::SearchItemsRequest {
        limit: 4,
        ..filtered("x", filter)
    };
    assert_eq!(
        running.client.keys(newest.clone()).await,
        ["009", "008", "007", "006"]
    );
    let second = pb::SearchItemsRequest {
        offset: 8,
        ..newest
    };
    assert_eq!(running.client.keys(second).await, ["001", "000"]);
    let ranked = pb::SearchItemsRequest {
        query: "word".into(),
        offset: 2,
        limit: 5,
        ..filtered("x", filter)
    };
    assert_eq!(
        running.client.keys(ranked).await,
        ["002", "003", "004", "005", "006"]
    );
    let count = pb::CountItemsRequest {
        namespace_prefix: vec![],
        filter: Some(text(filter)),
    };
    assert_eq!(
        running
            .client
            .count_items(count)
            .await
            .unwrap()
            .into_inner()
            .count,
        10
    );
}

#[tokio::test]
async fn filters_answer_exactly() {
    let mut running = Running::start().await;
    let client = &mut running.client;
    for (key, value) in [
        ("int", r#"{"v":1}"#),
        ("float", r#"{"v":1.0}"#),
        ("true", r#"{"v":true}"#),
        ("string", r#"{"v":"1"}"#),
        ("null", r#"{"v":null}"#),
        ("none", "{}"),
        ("array", r#"{"v":[1,"x"]}"#),
        ("object", r#"{"v":{"w":1,"u":[2]}}"#),
        ("big", r#"{"v":9007199254740993}"#),
        ("huge", r#"{"v":1e400}"#),
        ("dotted", r#"{"v.w":1,"access-level":"high"}"#),
    ] {
        client.put(put("x", key, value)).await.unwrap();
    }
    for (filter, expected) in [
        (r#"{"v":1}"#, ["float", "int"].as_slice()),
        (r#"{"v":{"$in":["1",true]}}"#, &["string", "true"]),
        (r#"{"v":null}"#, &["dotted", "none", "null"]),
        (
            r#"{"v":{"$ne":1}}"#,
            &[
                "array", "big", "dotted", "huge", "none", "null", "object", "string", "true",
            ],
        ),
        (
            r#"{"v":{"$nin":[1,null]}}"#,
            &["array", "big", "huge", "object", "string", "true"],
        ),
        (r#"{"v":[1.0,"x"]}"#, &["array"]),
        (r#"{"v":{"$contains":1}}"#, &["array"]),
        (r#"{"v[1]":"x"}"#, &["array"]),
        (r#"{"v":{"w":1}}"#, &["object"]),
        (r#"{"v":{"$eq":{"w":1}}}"#, &[]),
        (r#"{"v.u":{"$contains":2}}"#, &["object"]),
        (r#"{"\"v.w\"":1}"#, &["dotted"]),
        (r#"{"access-level":"high"}"#, &["dotted"]),
        (r#"{"v":9007199254740992}"#, &[]),
        (r#"{"v":{"$gt":9007199254740992}}"#, &["big", "huge"]),
        (r#"{"v":{"$gte":"1"}}"#, &["string"]),
        (
            r#"{"v":{"$exists":true,"$not":{"$lt":2}}}"#,
            &["array", "big", "huge", "null", "object", "string", "true"],
        ),
        (
            r#"{"$or":[{"v":true},{"v":"1"},{"access-level":"high"}]}"#,
            &["dotted", "string", "true"],
        ),
        (r#"{"$not":{"v":{"$exists":true}}}"#, &["dotted", "none"]),
    ] {
        assert_eq!(
            client.keys(filtered("", filter)).await,
            expected,
            "{filter}"
        );
    }
}

async fn remember(client: &mut Client, key: &str, value: &str) {
    client.put(put("x", key, value)).await.unwrap();
}

#[tokio::test]
async fn words_rank_by_how_rare_and_frequent_they_are() {
    let mut running = Running::start().await;
    let client = &mut running.client;
    remember(client, "once", r#"{"text":"the user likes pizza"}"#).await;
    remember(client, "twice", r#"{"text":"pizza, pizza for the user"}"#).await;
    remember(client, "rare", r#"{"text":"the user likes anchovies"}"#).await;
    remember(client, "other", r#"{"text":"the user walks the dog"}"#).await;
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
async fn items_without_an_index_are_never_found_by_words() {
    let mut running = Running::start().await;
    let client = &mut running.client;
    let put_with = |key: &str, disabled, paths: &[&str]| pb::PutItemRequest {
        indexing: Some(pb::Indexing {
            disabled,
            paths: paths.iter().map(|path| (*path).to_owned()).collect(),
        }),
        ..put(
            "x",
            key,
            r#"{"a":"pear","notes":[{"b":"plum"},{"b":"fig"}],"n":null}"#,
        )
    };
    client.put(put_with("none", true, &[])).await.unwrap();
    client.put(put_with("a", false, &["a"])).await.unwrap();
    client
        .put(put_with("notes", false, &["notes[*].b"]))
        .await
        .unwrap();
    client
        .put(put_with("empty", false, &["n", "missing"]))
        .await
        .unwrap();
    client.put(put_with("all", false, &[])).await.unwrap();
    assert_eq!(client.keys(query("", "pear")).await, ["a", "all"]);
    assert_eq!(client.keys(query("", "figs")).await, ["notes", "all"]);
    assert_eq!(client.keys(search("")).await.len(), 5);

    // A new put leaves nothing of the old index behind.
    client.put(put_with("a", true, &[])).await.unwrap();
    client
        .put(put_with("all", false, &["notes[0]"]))
        .await
        .unwrap();
    assert!(client.keys(query("", "pear")).await.is_empty());
    assert_eq!(client.keys(query("", "plum")).await.len(), 2);
    client.delete_item(delete("x", "all")).await.unwrap();
    assert_eq!(client.keys(query("", "plum")).await, ["notes"]);
}

#[tokio::test]
async fn configured_paths_index_what_puts_do_not_say() {
    let mut running =
        Running::start_with(|config| config.index_paths = vec!["{title,name},tags[*]".into()])
            .await;
    let value = r#"{"title":"fig","tags":["pear"],"body":"plum"}"#;
    running.client.put(put("x", "k", value)).await.unwrap();
    assert_eq!(running.client.keys(query("", "figs")).await, ["k"]);
    assert_eq!(running.client.keys(query("", "pear")).await, ["k"]);
    assert!(running.client.keys(query("", "plum")).await.is_empty());
}

#[tokio::test]
async fn scores_know_only_the_words_of_the_searched_scope() {
    let mut running = Running::start().await;
    let client = &mut running.client;
    client
        .put(put("mine", "1", r#"{"text":"apple cake"}"#))
        .await
        .unwrap();
    client
        .put(put("mine", "2", r#"{"text":"pear cake"}"#))
        .await
        .unwrap();
    let score = |hits: Vec<pb::SearchHit>| hits[0].score.unwrap();
    let before = score(client.hits(query("mine", "apple")).await.unwrap());
    for key in 0..50 {
        client
            .put(put("theirs", &key.to_string(), r#"{"text":"apple tree"}"#))
            .await
            .unwrap();
    }
    let after = score(client.hits(query("mine", "apple")).await.unwrap());
    assert_eq!(before.to_bits(), after.to_bits());
}

#[tokio::test(flavor = "multi_thread")]
async fn deep_pages_of_many_items_are_right() {
    // More than the engine searches without its inverted index.
    const ITEMS: usize = 6000;
    let mut running = Running::start().await;
    let client = &mut running.client;
    let mut expected: Vec<(usize, String)> = Vec::new();
    let mut operations = Vec::new();
    for item in 0..ITEMS {
        let repeats = 1 + item % 3;
        let key = format!("{item:05}");
        let value = format!(r#"{{"n":{item},"text":"{}"}}"#, "word ".repeat(repeats));
        let mut request = put("x", &key, &value);
        request.indexing = Some(pb::Indexing {
            disabled: false,
            paths: vec!["text".into()],
        });
        let operation = pb::batch_operation::Operation::Put(request);
        operations.push(pb::BatchOperation {
            operation: Some(operation),
        });
        expected.push((3 - repeats, key));
    }
    for chunk in operations.chunks(1000) {
        client
            .batch(pb::BatchRequest {
                operations: chunk.to_vec(),
            })
            .await
            .unwrap();
    }
    expected.sort();
    for offset in [0, 1_995, 3_999, 5_990] {
        let page = pb::SearchItemsRequest {
            offset: i32::try_from(offset).unwrap(),
            limit: 20,
            ..query("", "words")
        };
        let keys = expected
            .iter()
            .skip(offset)
            .take(20)
            .map(|(_, key)| key.clone());
        assert_eq!(
            client.keys(page).await,
            keys.collect::<Vec<_>>(),
            "{offset}"
        );
    }
    let few = pb::SearchItemsRequest {
        query: "word".into(),
        ..filtered("", r#"{"n":{"$gte":5995}}"#)
    };
    assert_eq!(
        client.keys(few).await,
        ["05996", "05999", "05995", "05998", "05997"]
    );
}
