//! Whatever is wrong with a request is told in one answer.

use prost_types::Duration;
use weft_proto::memory::v1 as pb;

use super::calls::Calls as _;
use crate::support::{Running, labels, text, violations};

#[tokio::test]
async fn all_faults_of_a_request_are_named_at_once() {
    let mut running = Running::start().await;
    let client = &mut running.client;
    let request = pb::PutItemRequest {
        namespace: vec!["a.b".into(), String::new()],
        key: String::new(),
        value: Some(text("[1]")),
        indexing: Some(pb::Indexing {
            disabled: false,
            paths: vec!["ok".into(), "a..b".into()],
        }),
        ttl: Some(Duration {
            seconds: -1,
            nanos: 0,
        }),
        precondition: Some(pb::Precondition { condition: None }),
    };
    let violations = violations(&client.put(request).await.unwrap_err());
    let fields: Vec<_> = violations
        .iter()
        .map(|line| line.split(": ").next().unwrap())
        .collect();
    assert_eq!(
        fields,
        [
            "namespace[0]",
            "namespace[1]",
            "key",
            "value",
            "indexing.paths[1]",
            "ttl",
            "precondition"
        ],
    );
}

#[tokio::test]
async fn all_faults_of_a_read_are_named_at_once() {
    let mut running = Running::start().await;
    let client = &mut running.client;
    let fields = |error: &tonic::Status| -> Vec<String> {
        let faults = violations(error).into_iter();
        let field = |fault: String| fault.split(": ").next().unwrap().to_owned();
        faults.map(field).collect()
    };
    let searching = pb::SearchItemsRequest {
        namespace_prefix: labels("a.."),
        query: "x".repeat(32_769),
        filter: Some(text(r#"{"a":{"$near":1}}"#)),
        limit: -1,
        offset: -1,
        ranking: 99,
        min_score: Some(f64::NAN),
        recency_half_life: Some(Duration::default()),
        diversity: -0.1,
        payload_form: 99,
        refresh_ttl: None,
    };
    let expected = [
        "namespace_prefix[1]",
        "namespace_prefix[2]",
        "filter",
        "limit",
        "offset",
        "payload_form",
        "ranking",
        "query",
        "min_score",
        "recency_half_life",
        "diversity",
    ];
    let error = client.hits(searching).await.unwrap_err();
    assert_eq!(fields(&error), expected);
    let listing = pb::ListNamespacesRequest {
        prefix: labels("langgraph"),
        suffix: labels("a."),
        max_depth: Some(-1),
        limit: -1,
        offset: -1,
    };
    let expected = ["prefix[0]", "suffix[1]", "max_depth", "limit", "offset"];
    let error = client.namespaces(listing).await.unwrap_err();
    assert_eq!(fields(&error), expected);
    let listing = pb::ListItemsRequest {
        namespace_prefix: labels("a."),
        filter: Some(text("[]")),
        page_size: -1,
        page_token: "x".into(),
        payload_form: 9,
    };
    let expected = ["namespace_prefix[1]", "filter", "page_size", "payload_form"];
    let error = client.list_items(listing).await.unwrap_err();
    assert_eq!(fields(&error), expected);
    let counting = pb::CountItemsRequest {
        namespace_prefix: labels("a."),
        filter: Some(text("[]")),
    };
    let error = client.count(counting).await.unwrap_err();
    assert_eq!(fields(&error), ["namespace_prefix[1]", "filter"]);
}
