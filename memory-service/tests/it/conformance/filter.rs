//! Row "filter": documents are compared exactly, before ranking and paging.

use std::time::Duration;

use weft_proto::memory::v1 as pb;

use super::filtered;
use crate::support::{Calls as _, Running, put, search, text, violations};

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

#[tokio::test]
async fn filters_name_the_path_and_the_operator_at_fault() {
    let mut running = Running::start().await;
    let client = &mut running.client;
    for (filter, expected) in [
        ("[]", "filter: must be a JSON object"),
        ("{", "filter: must be one JSON value"),
        (
            r#"{"a":{"b":{"$near":1}}}"#,
            "filter: uses an unknown operator `$near` at `a.b`",
        ),
        (
            r#"{"a":{"$in":1}}"#,
            "filter: gives `$in` at `a` a wrong operand",
        ),
        (
            r#"{"a..b":1}"#,
            "filter: has a key `a..b` that is not a path: it has an empty segment",
        ),
        (r#"{"a[":1}"#, "filter: has a key `a[`"),
    ] {
        let searched = pb::SearchItemsRequest {
            filter: Some(text(filter)),
            ..search("")
        };
        let counted = pb::CountItemsRequest {
            filter: Some(text(filter)),
            ..Default::default()
        };
        for error in [
            client.search_items(searched).await.unwrap_err(),
            client.count_items(counted).await.unwrap_err(),
        ] {
            let violations = violations(&error);
            assert!(violations[0].starts_with(expected), "{violations:?}");
        }
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
