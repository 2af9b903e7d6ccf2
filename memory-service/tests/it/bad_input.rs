//! Bad requests are refused with everything that is wrong with them.

use prost_types::{Duration, ListValue, Struct, Value, value::Kind};
use weft_proto::{
    common::v1::{Payload, payload::Form},
    memory::v1 as pb,
};

use crate::support::{
    Calls as _, Client, Running, delete, etag, get, labels, put, search, text, violations,
};

fn bad_namespaces() -> Vec<(Vec<String>, &'static str)> {
    let with = |label: &str| vec!["ok".to_owned(), label.to_owned()];
    vec![
        (with("a.b"), "namespace[1]: must not contain `.`"),
        (with(""), "namespace[1]: must not be empty"),
        (with("\0"), "namespace[1]: must not contain NUL"),
        (
            with(&"x".repeat(257)),
            "namespace[1]: must be at most 256 bytes long, not 257",
        ),
        (
            vec!["x".into(); 17],
            "namespace: must have at most 16 labels, not 17",
        ),
        (
            labels("langgraph.x"),
            "namespace[0]: must not be `langgraph`",
        ),
    ]
}

#[tokio::test]
async fn namespaces_are_checked_on_every_path() {
    let mut running = Running::start().await;
    let client = &mut running.client;
    let item_only = [(vec![], "namespace: must have at least one label")];
    for (namespace, expected) in bad_namespaces().into_iter().chain(item_only) {
        let ns = || namespace.clone();
        let errors = [
            client
                .put(pb::PutItemRequest {
                    namespace: ns(),
                    ..put("a", "k", "{}")
                })
                .await
                .unwrap_err(),
            client
                .get(pb::GetItemRequest {
                    namespace: ns(),
                    ..get("a", "k")
                })
                .await
                .unwrap_err(),
            client
                .delete_item(pb::DeleteItemRequest {
                    namespace: ns(),
                    ..delete("a", "k")
                })
                .await
                .unwrap_err(),
        ];
        for error in errors {
            let violations = violations(&error);
            assert!(violations[0].starts_with(expected), "{violations:?}");
        }
    }
    for (prefix, expected) in bad_namespaces() {
        let namespace_prefix = || prefix.clone();
        let search = pb::SearchItemsRequest {
            namespace_prefix: namespace_prefix(),
            ..search("")
        };
        let list = pb::ListNamespacesRequest {
            prefix: prefix.clone(),
            ..Default::default()
        };
        let count = pb::CountItemsRequest {
            namespace_prefix: namespace_prefix(),
            filter: None,
        };
        let deletion = pb::DeleteNamespaceRequest {
            namespace_prefix: namespace_prefix(),
        };
        for (error, field) in [
            (
                client.search_items(search).await.unwrap_err(),
                "namespace_prefix",
            ),
            (client.list_namespaces(list).await.unwrap_err(), "prefix"),
            (
                client.count_items(count).await.unwrap_err(),
                "namespace_prefix",
            ),
            (
                client.delete_namespace(deletion).await.unwrap_err(),
                "namespace_prefix",
            ),
        ] {
            let violations = violations(&error);
            let expected = expected.replacen("namespace", field, 1);
            assert!(violations[0].starts_with(&expected), "{violations:?}");
        }
    }
    let nothing = pb::DeleteNamespaceRequest {
        namespace_prefix: vec![],
    };
    let error = client.delete_namespace(nothing).await.unwrap_err();
    assert_eq!(
        violations(&error),
        ["namespace_prefix: must have at least one label"]
    );
}

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

async fn refused_value(client: &mut Client, value: Option<Payload>) -> String {
    let request = pb::PutItemRequest {
        value,
        ..put("a", "k", "{}")
    };
    violations(&client.put(request).await.unwrap_err()).join("; ")
}

#[tokio::test]
async fn values_must_be_json_objects_within_limits() {
    let mut running = Running::start().await;
    let client = &mut running.client;
    let deep = format!("{}1{}", r#"{"a":"#.repeat(65), "}".repeat(65));
    let large = format!(r#"{{"a":"{}"}}"#, "x".repeat(1_153_434));
    for (json, expected) in [
        ("[1]", "must be a JSON object"),
        ("1", "must be a JSON object"),
        ("null", "must be a JSON object"),
        ("\"{}\"", "must be a JSON object"),
        ("", "must be one JSON value"),
        ("{", "must be one JSON value"),
        ("{} {}", "must be one JSON value"),
        (r#"{"a":NaN}"#, "must be one JSON value"),
        (r#"{"a":"\ud800"}"#, "surrogate"),
        (&deep, "64 levels"),
        (&large, "must be at most 1048576 bytes of JSON, not 1153442"),
    ] {
        let refusal = refused_value(client, Some(text(json))).await;
        assert!(
            refusal.starts_with("value: ") && refusal.contains(expected),
            "{refusal}"
        );
    }
    let native = |number| {
        let list = ListValue {
            values: vec![Value {
                kind: Some(Kind::NumberValue(number)),
            }],
        };
        let fields = [(
            "a".to_owned(),
            Value {
                kind: Some(Kind::ListValue(list)),
            },
        )]
        .into();
        let document = Value {
            kind: Some(Kind::StructValue(Struct { fields })),
        };
        Some(Payload {
            form: Some(Form::Json(document)),
        })
    };
    for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let refusal = refused_value(client, native(number)).await;
        assert!(refusal.contains("NaN"), "{refusal}");
    }
    assert!(
        refused_value(client, None)
            .await
            .contains("must be set to a JSON object")
    );
    assert!(
        refused_value(client, Some(Payload { form: None }))
            .await
            .contains("json_text")
    );
    let largest = format!(r#"{{"a":"{}"}}"#, "x".repeat((1 << 20) - 8));
    client.put(put("a", "k", &largest)).await.unwrap();
}

#[tokio::test]
async fn keys_have_1_to_1024_bytes() {
    let mut running = Running::start().await;
    let client = &mut running.client;
    for key in ["", &"x".repeat(1025)] {
        for error in [
            client.put(put("a", key, "{}")).await.unwrap_err(),
            client.get(get("a", key)).await.unwrap_err(),
            client.delete_item(delete("a", key)).await.unwrap_err(),
        ] {
            assert!(violations(&error)[0].starts_with("key: must"));
        }
    }
    client.put(put("a", &"x".repeat(1024), "{}")).await.unwrap();
}

#[tokio::test]
async fn lifetimes_and_etags_must_make_sense() {
    let mut running = Running::start().await;
    let client = &mut running.client;
    for (seconds, nanos) in [
        (-1, 0),
        (0, -1),
        (1, 1_000_000_000),
        (i64::MAX, 0),
        (3_155_760_001, 0),
    ] {
        let ttl = Some(Duration { seconds, nanos });
        let error = client
            .put(pb::PutItemRequest {
                ttl,
                ..put("a", "k", "{}")
            })
            .await
            .unwrap_err();
        assert!(violations(&error)[0].starts_with("ttl: must"), "{seconds}");
    }
    let request = pb::PutItemRequest {
        precondition: etag(""),
        ..put("a", "k", "{}")
    };
    let error = client.put(request).await.unwrap_err();
    assert!(violations(&error)[0].starts_with("precondition.etag: must not be empty"));
}
