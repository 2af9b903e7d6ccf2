//! What memory-service refuses of calls on one item, and how: code, reason, and each wrong field.

use anyhow::{Context as _, Result};
use e2e::{Cluster, Refusal, memories::Memories, payload, refusal::refused};
use prost_types::{Struct, value::Kind};
use serde_json::json;
use tonic::Code;
use weft_proto::{
    common::v1::Payload,
    memory::v1::{
        CountItemsRequest, DeleteItemRequest, GetItemRequest, Indexing, Precondition,
        PutItemRequest, precondition::Condition,
    },
};

pub(crate) async fn memory() -> Result<(Cluster, Memories)> {
    let mut cluster = Cluster::new()?;
    cluster.start_memory().await?;
    let client = cluster.memory_client()?;
    Ok((cluster, client))
}

pub(crate) fn labels(labels: &[&str]) -> Vec<String> {
    labels.iter().map(|&label| label.to_owned()).collect()
}

/// Namespaces that are none, and the fields of `namespace` that are wrong.
fn bad_namespaces() -> Vec<(Vec<String>, Vec<&'static str>)> {
    vec![
        (labels(&["langgraph"]), vec!["namespace[0]"]),
        (labels(&["a", ""]), vec!["namespace[1]"]),
        (
            labels(&["a", "b.c", "\0"]),
            vec!["namespace[1]", "namespace[2]"],
        ),
        (vec!["é".repeat(129)], vec!["namespace[0]"]),
        (vec!["a".to_owned(); 17], vec!["namespace"]),
        (vec![], vec!["namespace"]),
    ]
}

pub(crate) fn item(value: Payload) -> PutItemRequest {
    PutItemRequest {
        namespace: labels(&["a"]),
        key: "k".to_owned(),
        value: Some(value),
        ..PutItemRequest::default()
    }
}

/// `{"n": <number>}` in the form of people.
pub(crate) fn number(number: f64) -> Payload {
    let number = prost_types::Value {
        kind: Some(Kind::NumberValue(number)),
    };
    let fields = [("n".to_owned(), number)].into();
    payload::native(Kind::StructValue(Struct { fields }))
}

fn nested(depth: usize) -> String {
    format!("{}{}", r#"{"a":"#.repeat(depth - 1), "{}") + &"}".repeat(depth - 1)
}

#[tokio::test]
async fn put_item_names_everything_that_is_wrong_and_stores_nothing() -> Result<()> {
    let (cluster, mut client) = memory().await?;
    let nothing = PutItemRequest::default();
    refused(
        "nothing",
        client.put_item(nothing).await,
        &["namespace", "key", "value"],
    )?;
    for (namespace, fields) in bad_namespaces() {
        let put = PutItemRequest {
            namespace,
            ..item(payload::text("{}"))
        };
        refused("namespace", client.put_item(put).await, &fields)?;
    }
    let long = PutItemRequest {
        key: "k".repeat(1025),
        ..item(payload::text("{}"))
    };
    refused("long key", client.put_item(long).await, &["key"])?;

    let mebibyte = format!(r#"{{"text":"{}"}}"#, "x".repeat((1 << 20) + (100 << 10)));
    for (case, value) in [
        ("no form", Payload::default()),
        ("no JSON", payload::text("{")),
        ("empty", payload::text("")),
        ("an array", payload::text("[]")),
        ("a number", payload::text("1")),
        ("null", payload::native(Kind::NullValue(0))),
        ("1.1 MiB", payload::text(mebibyte)),
        ("too deep", payload::text(nested(65))),
        ("a lone surrogate", payload::text(r#"{"a":"\ud800"}"#)),
        ("NaN", number(f64::NAN)),
        ("infinity", number(f64::INFINITY)),
        ("NaN as text", payload::text(r#"{"a":NaN}"#)),
    ] {
        refused(case, client.put_item(item(value)).await, &["value"])?;
    }

    let object = || payload::text("{}");
    let duration = |seconds| prost_types::Duration { seconds, nanos: 0 };
    let paths = |paths: &[&str]| {
        Some(Indexing {
            disabled: false,
            paths: labels(paths),
        })
    };
    let condition = |condition| Some(Precondition { condition });
    for (field, put) in [
        (
            "ttl",
            PutItemRequest {
                ttl: Some(duration(-1)),
                ..item(object())
            },
        ),
        (
            "ttl",
            PutItemRequest {
                ttl: Some(duration(i64::MAX)),
                ..item(object())
            },
        ),
        (
            "indexing.paths[1]",
            PutItemRequest {
                indexing: paths(&["a", "a..b"]),
                ..item(object())
            },
        ),
        (
            "precondition",
            PutItemRequest {
                precondition: condition(None),
                ..item(object())
            },
        ),
        (
            "precondition.etag",
            PutItemRequest {
                precondition: condition(Some(Condition::Etag(String::new()))),
                ..item(object())
            },
        ),
    ] {
        refused(field, client.put_item(put).await, &[field])?;
    }

    let count = client
        .count_items(CountItemsRequest::default())
        .await?
        .into_inner()
        .count;
    assert_eq!(count, 0, "nothing of this is stored");
    cluster.finish().await
}

#[tokio::test]
async fn what_is_just_within_the_limits_is_stored_as_it_was_put() -> Result<()> {
    let (cluster, mut client) = memory().await?;
    let full = format!(
        r#"{{"text":"{}"}}"#,
        "x".repeat((1 << 20) - r#"{"text":""}"#.len())
    );
    for (key, text) in [
        ("a mebibyte", full),
        ("deep", nested(64)),
        (
            "exact",
            r#"{"b":1.0,"a":1e400,"c":12345678901234567890123,"d":"\u0000","b2":-0.0}"#.into(),
        ),
    ] {
        let put = PutItemRequest {
            key: key.to_owned(),
            ..item(payload::text(text.clone()))
        };
        client.put_item(put).await.with_context(|| key)?;
        let get = GetItemRequest {
            namespace: labels(&["a"]),
            key: key.to_owned(),
            payload_form: weft_proto::common::v1::PayloadForm::Text.into(),
            ..GetItemRequest::default()
        };
        let stored = client
            .get_item(get)
            .await?
            .into_inner()
            .item
            .context("no item")?;
        assert!(
            stored.value == Some(payload::text(text)),
            "{key} came back different"
        );
    }
    cluster.finish().await
}

#[tokio::test]
async fn get_item_and_delete_item_name_everything_that_is_wrong() -> Result<()> {
    let (cluster, mut client) = memory().await?;
    let get = GetItemRequest {
        payload_form: 9,
        ..GetItemRequest::default()
    };
    refused(
        "get",
        client.get_item(get).await,
        &["namespace", "key", "payload_form"],
    )?;
    let precondition = Some(Precondition { condition: None });
    let delete = DeleteItemRequest {
        precondition,
        ..DeleteItemRequest::default()
    };
    refused(
        "delete",
        client.delete_item(delete).await,
        &["namespace", "key", "precondition"],
    )?;
    for (namespace, fields) in bad_namespaces() {
        let get = GetItemRequest {
            namespace: namespace.clone(),
            key: "k".into(),
            ..Default::default()
        };
        refused("get", client.get_item(get).await, &fields)?;
        let delete = DeleteItemRequest {
            namespace,
            key: "k".into(),
            ..Default::default()
        };
        refused("delete", client.delete_item(delete).await, &fields)?;
    }
    cluster.finish().await
}

#[tokio::test]
async fn what_is_not_there_or_is_not_as_expected_has_a_code_of_its_own() -> Result<()> {
    let (cluster, mut client) = memory().await?;
    let namespace = labels(&["a"]);
    let get = GetItemRequest {
        namespace: namespace.clone(),
        key: "k".into(),
        ..Default::default()
    };
    Refusal::of(client.get_item(get).await)?.is(Code::NotFound, "ITEM_NOT_FOUND")?;

    let put = |condition| PutItemRequest {
        precondition: Some(Precondition {
            condition: Some(condition),
        }),
        ..item(payload::text("{}"))
    };
    let refusal = Refusal::of(client.put_item(put(Condition::Exists(true))).await)?;
    refusal.is(Code::NotFound, "ITEM_NOT_FOUND")?;
    client.put_item(put(Condition::Exists(false))).await?;
    let refusal = Refusal::of(client.put_item(put(Condition::Exists(false))).await)?;
    refusal.is(Code::AlreadyExists, "ITEM_EXISTS")?;
    let refusal = Refusal::of(client.put_item(put(Condition::Etag("other".into()))).await)?;
    refusal.is(Code::Aborted, "ETAG_MISMATCH")?;

    let delete = DeleteItemRequest {
        namespace,
        key: "k".into(),
        precondition: Some(Precondition {
            condition: Some(Condition::Etag("other".into())),
        }),
    };
    let refusal = Refusal::of(client.delete_item(delete.clone()).await)?;
    refusal.is(Code::Aborted, "ETAG_MISMATCH")?;
    client
        .delete_item(DeleteItemRequest {
            precondition: None,
            ..delete.clone()
        })
        .await?;
    client
        .delete_item(DeleteItemRequest {
            precondition: None,
            ..delete
        })
        .await?;
    cluster.finish().await
}

#[tokio::test]
async fn a_message_over_the_limit_is_refused_as_such() -> Result<()> {
    let (cluster, mut client) = memory().await?;
    let huge = payload::json(&json!({ "text": "x".repeat(17 << 20) }));
    let refusal = Refusal::of(client.put_item(item(huge)).await)?;
    refusal.is(Code::ResourceExhausted, "MESSAGE_TOO_LARGE")?;
    cluster.finish().await
}
