//! Bad requests are refused with everything that is wrong with them.

use prost_types::{Duration, ListValue, Struct, Value, value::Kind};
use tonic::Code;
use weft_proto::{
    common::v1::{Payload, payload::Form},
    memory::v1 as pb,
};

use crate::support::{
    Calls as _, Client, Running, assert_status, delete, etag, get, labels, put, query, search,
    text, violations,
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

#[tokio::test]
async fn numbers_and_choices_of_a_search_must_be_in_range() {
    let mut running = Running::start().await;
    let client = &mut running.client;
    let half = |seconds| Some(Duration { seconds, nanos: 0 });
    for (request, expected) in [
        (
            pb::SearchItemsRequest {
                limit: -1,
                ..search("")
            },
            "limit: must not be negative",
        ),
        (
            pb::SearchItemsRequest {
                limit: 1001,
                ..search("")
            },
            "limit: must be at most 1000, not 1001",
        ),
        (
            pb::SearchItemsRequest {
                offset: -1,
                ..search("")
            },
            "offset: must not be negative",
        ),
        (
            pb::SearchItemsRequest {
                offset: 9_991,
                ..query("", "x")
            },
            "offset: and `limit` must be at most 10000",
        ),
        (
            pb::SearchItemsRequest {
                ranking: 99,
                ..search("")
            },
            "ranking: must be a known `Ranking`, not 99",
        ),
        (
            pb::SearchItemsRequest {
                payload_form: 7,
                ..search("")
            },
            "payload_form: must be a known `PayloadForm`, not 7",
        ),
        (
            pb::SearchItemsRequest {
                min_score: Some(f64::NAN),
                ..search("")
            },
            "min_score: must be a number",
        ),
        (
            pb::SearchItemsRequest {
                diversity: 1.5,
                ..search("")
            },
            "diversity: must be between 0 and 1",
        ),
        (
            pb::SearchItemsRequest {
                diversity: f64::NAN,
                ..search("")
            },
            "diversity: must be between",
        ),
        (
            pb::SearchItemsRequest {
                recency_half_life: half(0),
                ..search("")
            },
            "recency_half_life: must be more than zero",
        ),
        (
            pb::SearchItemsRequest {
                recency_half_life: half(-5),
                ..search("")
            },
            "recency_half_life: must be",
        ),
        (
            query("", &"x".repeat(32_769)),
            "query: must be at most 32768 bytes long, not 32769",
        ),
    ] {
        let violations = violations(&client.search_items(request).await.unwrap_err());
        assert!(
            violations.len() == 1 && violations[0].starts_with(expected),
            "{violations:?}"
        );
    }
    let form = pb::GetItemRequest {
        payload_form: 2,
        ..get("a", "k")
    };
    let error = client.get(form).await.unwrap_err();
    assert!(violations(&error)[0].starts_with("payload_form: must be a known"));
    // Without a query, pages may be as deep as there are items.
    let deep = pb::SearchItemsRequest {
        offset: i32::MAX,
        limit: 1000,
        ..search("")
    };
    assert!(client.hits(deep).await.unwrap().is_empty());
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
async fn listings_refuse_negative_numbers_and_no_depth() {
    let mut running = Running::start().await;
    let client = &mut running.client;
    let list = pb::ListNamespacesRequest::default;
    for (request, expected) in [
        (
            pb::ListNamespacesRequest {
                limit: -1,
                ..list()
            },
            "limit: must not be negative",
        ),
        (
            pb::ListNamespacesRequest {
                limit: 10_001,
                ..list()
            },
            "limit: must be at most 10000",
        ),
        (
            pb::ListNamespacesRequest {
                offset: -1,
                ..list()
            },
            "offset: must not be negative",
        ),
        (
            pb::ListNamespacesRequest {
                max_depth: Some(0),
                ..list()
            },
            "max_depth: must be at least 1",
        ),
        (
            pb::ListNamespacesRequest {
                max_depth: Some(-3),
                ..list()
            },
            "max_depth: must be at least 1",
        ),
        (
            pb::ListNamespacesRequest {
                suffix: labels("a.."),
                ..list()
            },
            "suffix[1]: must not be empty",
        ),
    ] {
        let violations = violations(&client.list_namespaces(request).await.unwrap_err());
        assert!(violations[0].starts_with(expected), "{violations:?}");
    }
}

#[tokio::test]
async fn rankings_by_meaning_need_an_embedder() {
    let mut running = Running::start().await;
    let client = &mut running.client;
    for ranking in [pb::Ranking::Semantic, pb::Ranking::Hybrid] {
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
