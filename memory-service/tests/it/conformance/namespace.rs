//! Row "namespace": what names may be is checked on every path.

use weft_proto::memory::v1 as pb;

use crate::support::{Calls as _, Running, delete, get, labels, put, search, value, violations};

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
async fn names_that_look_alike_are_different_items() {
    let mut running = Running::start().await;
    let client = &mut running.client;
    let names = [
        ("a.b", "c"),
        ("a", "b.c"),
        ("a", "c"),
        ("a.b.c", "c"),
        ("a", "c\0"),
        ("A", "c"),
        ("a", "é"),
        ("a", "e\u{301}"),
    ];
    for (namespace, key) in names {
        client
            .put(put(
                namespace,
                key,
                &format!(r#"{{"n":"{namespace}/{}"}}"#, key.len()),
            ))
            .await
            .unwrap();
    }
    for (namespace, key) in names {
        let item = client.get(get(namespace, key)).await.unwrap();
        assert_eq!(
            value(&item),
            format!(r#"{{"n":"{namespace}/{}"}}"#, key.len())
        );
    }
}
