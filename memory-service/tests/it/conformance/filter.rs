//! Row "filter": documents are compared exactly, before ranking and paging.

use std::time::Duration;

use prost_types::{Struct, Value, value::Kind};
use weft_proto::{
    common::v1::{Payload, payload::Form},
    memory::v1 as pb,
};

use super::{
    calls::Calls as _,
    filtered,
    list_items::{list, walk},
};
use crate::support::{Client, Running, put, search, text, violations};

/// The keys of what fulfils a filter, as every call that takes one says.
async fn matching(client: &mut Client, filter: &str) -> Vec<String> {
    let mut keys = client.keys(filtered("", filter)).await;
    keys.sort();
    let counting = pb::CountItemsRequest {
        namespace_prefix: vec![],
        filter: Some(text(filter)),
    };
    assert_eq!(client.count(counting).await.unwrap(), keys.len() as i64);
    let listing = pb::ListItemsRequest {
        filter: Some(text(filter)),
        ..list("", 3)
    };
    let listed = walk(client, &listing).await.concat();
    let expected: Vec<_> = keys.iter().map(|key| format!("x/{key}")).collect();
    assert_eq!(listed, expected, "{filter}");
    keys
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
        ("time", r#"{"at":"2026-11-02T10:00:00.5Z"}"#),
        ("later", r#"{"at":"2026-11-02T10:00:01Z","nul":"\u0000"}"#),
    ] {
        client.put(put("x", key, value)).await.unwrap();
    }
    for (filter, expected) in [
        (r#"{"v":1}"#, ["float", "int"].as_slice()),
        (r#"{"v":{"$in":["1",true]}}"#, &["string", "true"]),
        (r#"{"v":{"$in":[]}}"#, &[]),
        (
            r#"{"v":null}"#,
            &["dotted", "later", "none", "null", "time"],
        ),
        (
            r#"{"v":{"$ne":1}}"#,
            &[
                "array", "big", "dotted", "huge", "later", "none", "null", "object", "string",
                "time", "true",
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
        (
            r#"{"$not":{"v":{"$exists":true}}}"#,
            &["dotted", "later", "none", "time"],
        ),
        (r#"{"v":{"$gt":1e399}}"#, &["huge"]),
        (r#"{"v":10e399}"#, &["huge"]),
        (r#"{"v":{"$lte":9007199254740993.0,"$gt":1}}"#, &["big"]),
        (r#"{"v":{"$gt":[]}}"#, &[]),
        (r#"{"v":{"$gte":true}}"#, &[]),
        (r#"{"v":{"$lte":null}}"#, &[]),
        (r#"{"at":{"$gte":"2026-11-02T10:00:00Z"}}"#, &["later"]),
        (
            r#"{"at":{"$gt":"2026-11-02T10:00:00","$lt":"2026-11-02T10:00:01Z"}}"#,
            &["time"],
        ),
        (r#"{"nul":"\u0000"}"#, &["later"]),
        (r#"{"$and":[{"v":1},{"v":{"$lt":2}}]}"#, &["float", "int"]),
        (r#"{"v[0]":{"$lt":2},"v[1]":{"$gt":"w"}}"#, &["array"]),
        (r#"{"v":{"u":{"$contains":2}}}"#, &["object"]),
        (
            "{}",
            &[
                "array", "big", "dotted", "float", "huge", "int", "later", "none", "null",
                "object", "string", "time", "true",
            ],
        ),
    ] {
        assert_eq!(matching(client, filter).await, expected, "{filter}");
    }
}

#[tokio::test]
async fn a_native_filter_is_a_filter() {
    let mut running = Running::start().await;
    let client = &mut running.client;
    for (key, value) in [("1", r#"{"n":1.0}"#), ("2", r#"{"n":2}"#)] {
        client.put(put("x", key, value)).await.unwrap();
    }
    let kind = |kind| Value { kind: Some(kind) };
    let object = |key: &str, value| {
        let fields = [(key.to_owned(), value)].into();
        kind(Kind::StructValue(Struct { fields }))
    };
    for (number, expected) in [(1.0, ["2"].as_slice()), (0.5, &["1", "2"]), (2.0, &[])] {
        let test = object("n", object("$gt", kind(Kind::NumberValue(number))));
        let request = pb::SearchItemsRequest {
            filter: Some(Payload {
                form: Some(Form::Json(test)),
            }),
            ..search("")
        };
        assert_eq!(client.keys(request).await, expected, "{number}");
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
        (r#"{"":1}"#, "filter: has a key `` that is not a path"),
        (r#"{"a":{"b.":1}}"#, "filter: has a key `b.`"),
        (r#"{"$nor":[]}"#, "filter: uses an unknown operator `$nor`"),
        (
            r#"{"a":{"$exists":1}}"#,
            "filter: gives `$exists` at `a` a wrong operand",
        ),
        (r#"{"a":{"$gt":1,"b":2}}"#, "filter: mixes operators"),
    ] {
        let searched = pb::SearchItemsRequest {
            filter: Some(text(filter)),
            ..search("")
        };
        let counted = pb::CountItemsRequest {
            filter: Some(text(filter)),
            ..Default::default()
        };
        let listed = pb::ListItemsRequest {
            filter: Some(text(filter)),
            ..list("", 1)
        };
        for error in [
            client.hits(searched).await.unwrap_err(),
            client.count(counted).await.unwrap_err(),
            client.list_items(listed).await.unwrap_err(),
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
    assert_eq!(running.client.count(count).await.unwrap(), 10);
}
