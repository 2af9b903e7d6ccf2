//! Row "search, query": the best come first, page by page.

use weft_proto::memory::v1 as pb;

use super::{calls::Calls as _, filtered};
use crate::support::{Running, put, query, search, violations};

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

#[tokio::test]
async fn a_query_is_paged_up_to_10_000_items_deep() {
    let mut running = Running::start().await;
    let client = &mut running.client;
    client
        .put(put("x", "k", r#"{"text":"word"}"#))
        .await
        .unwrap();
    let page = |offset, limit, words: &str| pb::SearchItemsRequest {
        offset,
        limit,
        ..query("", words)
    };
    for (offset, limit) in [(9_000, 1_000), (9_990, 0), (9_999, 1)] {
        let deepest = page(offset, limit, "words");
        assert!(client.keys(deepest).await.is_empty());
    }
    for (offset, limit) in [(9_001, 1_000), (9_991, 0), (10_000, 1), (i32::MAX, 1)] {
        let error = client.hits(page(offset, limit, "words")).await.unwrap_err();
        let expected = "offset: and `limit` must be at most 10000 together with a query";
        assert_eq!(violations(&error), [expected]);
        // Without one, pages may be as deep as there are items.
        assert!(client.keys(page(offset, limit, "")).await.is_empty());
    }
}
