//! Row "namespace": what names may be is checked on every path, and all that may be is ordinary.

use tonic::Status;
use weft_proto::memory::v1 as pb;

use super::{
    calls::{By, Calls as _},
    list_items::{list, walk},
};
use crate::support::{
    Client, Running, delete, get, labels, put, query, search, text, value, violations,
};

/// Namespaces that no request may have, and what is said of them.
fn bad_namespaces() -> Vec<(Vec<String>, &'static str)> {
    let with = |label: &str| vec!["ok".to_owned(), label.to_owned()];
    vec![
        (with("a.b"), "[1]: must not contain `.`"),
        (with(""), "[1]: must not be empty"),
        (with("\0"), "[1]: must not contain NUL"),
        (
            with(&"x".repeat(257)),
            "[1]: must be at most 256 bytes long, not 257",
        ),
        (
            with(&"é".repeat(129)),
            "[1]: must be at most 256 bytes long, not 258",
        ),
        (
            vec!["x".into(); 17],
            ": must have at most 16 labels, not 17",
        ),
        (labels("langgraph.x"), "[0]: must not be `langgraph`"),
    ]
}

/// What every call that takes a namespace or a prefix says of this one: the field, and the error.
async fn refusals(client: &mut Client, labels: &[String]) -> Vec<(&'static str, Status)> {
    let labels = || labels.to_vec();
    let put = pb::PutItemRequest {
        namespace: labels(),
        ..put("", "k", "{}")
    };
    let get = pb::GetItemRequest {
        namespace: labels(),
        ..get("", "k")
    };
    let delete = pb::DeleteItemRequest {
        namespace: labels(),
        ..delete("", "k")
    };
    let mut refusals = vec![
        ("namespace", client.put(put).await.unwrap_err()),
        ("namespace", client.get(get).await.unwrap_err()),
        ("namespace", client.delete(delete).await.unwrap_err()),
    ];
    let deletion = pb::DeleteNamespaceRequest {
        namespace_prefix: labels(),
    };
    let deletion = client.delete_namespace(deletion).await.unwrap_err();
    refusals.push(("namespace_prefix", deletion));
    if labels().is_empty() {
        return refusals;
    }
    let search = pb::SearchItemsRequest {
        namespace_prefix: labels(),
        ..search("")
    };
    let list = pb::ListItemsRequest {
        namespace_prefix: labels(),
        ..list("", 1)
    };
    let count = pb::CountItemsRequest {
        namespace_prefix: labels(),
        filter: None,
    };
    refusals.extend([
        ("namespace_prefix", client.hits(search).await.unwrap_err()),
        (
            "namespace_prefix",
            client.list_items(list).await.unwrap_err(),
        ),
        ("namespace_prefix", client.count(count).await.unwrap_err()),
    ]);
    let prefix = pb::ListNamespacesRequest {
        prefix: labels(),
        ..Default::default()
    };
    refusals.push(("prefix", client.namespaces(prefix).await.unwrap_err()));
    refusals
}

#[tokio::test]
async fn namespaces_are_checked_on_every_path() {
    let mut running = Running::start().await;
    let client = &mut running.client;
    let none = [(vec![], ": must have at least one label")];
    for (namespace, expected) in bad_namespaces().into_iter().chain(none) {
        for (field, error) in refusals(client, &namespace).await {
            let violations = violations(&error);
            let expected = format!("{field}{expected}");
            assert!(violations[0].starts_with(&expected), "{violations:?}");
        }
        // Inside of a namespace, the reserved label is an ordinary one.
        if namespace.len() > 1 && namespace[0] != "langgraph" {
            let suffix = pb::ListNamespacesRequest {
                suffix: namespace,
                ..Default::default()
            };
            let violations = violations(&client.namespaces(suffix).await.unwrap_err());
            assert!(violations[0].starts_with(&format!("suffix{expected}")));
        }
    }
}

#[tokio::test]
async fn all_faults_of_a_name_are_told_at_once_also_by_reads() {
    let mut running = Running::start().await;
    let client = &mut running.client;
    let namespace = || vec!["langgraph".to_owned(), "a.b".into(), String::new()];
    let put = pb::PutItemRequest {
        namespace: namespace(),
        ..put("", "", "{}")
    };
    let get = pb::GetItemRequest {
        namespace: namespace(),
        ..get("", "")
    };
    let delete = pb::DeleteItemRequest {
        namespace: namespace(),
        ..delete("", "")
    };
    for error in [
        client.put(put).await.unwrap_err(),
        client.get(get).await.unwrap_err(),
        client.delete(delete).await.unwrap_err(),
    ] {
        let violations = violations(&error);
        let fields = violations
            .iter()
            .map(|line| line.split(": ").next().unwrap());
        let expected = ["namespace[1]", "namespace[2]", "namespace[0]", "key"];
        assert_eq!(fields.collect::<Vec<_>>(), expected);
    }
}

#[tokio::test]
async fn keys_have_1_to_1024_bytes() {
    let mut running = Running::start().await;
    let client = &mut running.client;
    for key in ["", &"x".repeat(1025), &"é".repeat(513)] {
        for error in [
            client.put(put("a", key, "{}")).await.unwrap_err(),
            client.get(get("a", key)).await.unwrap_err(),
            client.delete(delete("a", key)).await.unwrap_err(),
        ] {
            assert!(violations(&error)[0].starts_with("key: must"));
        }
    }
    client.put(put("a", &"x".repeat(1024), "{}")).await.unwrap();
}

#[tokio::test]
async fn names_that_look_alike_are_different_items() {
    let names = [
        ("a.b", "c"),
        ("a", "b.c"),
        ("a", "b/c"),
        ("a/b", "c"),
        ("a", "c"),
        ("a.b.c", "c"),
        ("a", "c\0"),
        ("A", "c"),
        ("a", "é"),
        ("a", "e\u{301}"),
        ("*", "c"),
        ("%", "_"),
        ("a.langgraph", "c"),
        (" ", "\n"),
        ("\n", " "),
    ];
    for by in By::ALL {
        let mut running = Running::start().await;
        let client = &mut running.client;
        let document = |index: usize| format!(r#"{{"n":{index}}}"#);
        for (index, (namespace, key)) in names.into_iter().enumerate() {
            by.put(client, put(namespace, key, &document(index))).await;
        }
        for (index, (namespace, key)) in names.into_iter().enumerate() {
            let item = client.get(get(namespace, key)).await.unwrap();
            assert_eq!(value(&item), document(index), "{namespace:?} {key:?}");
        }
        // To delete one is to delete no other.
        by.delete(client, delete("a", "c")).await;
        let count = client.count(pb::CountItemsRequest::default()).await;
        assert_eq!(count.unwrap(), names.len() as i64 - 1);
    }
}

#[tokio::test]
async fn the_longest_names_are_good_for_every_call() {
    for by in By::ALL {
        let mut running = Running::start().await;
        let client = &mut running.client;
        let label = |index: usize| format!("{index:02}{}", "語".repeat(84)) + "ab";
        let namespace: Vec<_> = (0..16).map(label).collect();
        assert!(namespace.iter().all(|label| label.len() == 256));
        let dotted = namespace.join(".");
        let keys = ["1", "2"].map(|end| "k".repeat(1023) + end);
        for key in &keys {
            by.put(client, put(&dotted, key, r#"{"text":"far away"}"#))
                .await;
        }
        for key in &keys {
            assert_eq!(client.get(get(&dotted, key)).await.unwrap().key, *key);
        }
        let filtered = pb::SearchItemsRequest {
            filter: Some(text(r#"{"text":"far away"}"#)),
            ..search(&dotted)
        };
        let words = query(&dotted, "away");
        for request in [search(&dotted), filtered, words] {
            assert_eq!(client.keys(request).await, keys);
        }
        let pages = walk(client, &list(&dotted, 1)).await;
        assert_eq!(pages.concat().len(), 2);
        let listing = pb::ListNamespacesRequest {
            prefix: namespace.clone(),
            suffix: namespace.clone(),
            ..Default::default()
        };
        assert_eq!(client.listed(listing).await, [format!("{dotted}=2")]);
        by.delete(client, delete(&dotted, &keys[0])).await;
        let deletion = pb::DeleteNamespaceRequest {
            namespace_prefix: namespace.clone(),
        };
        let deleted = client.delete_namespace(deletion).await.unwrap();
        assert_eq!(deleted.into_inner().deleted_count, 1);
    }
}

/// Labels that come before and after the `.` that could stand between them.
const IN_ORDER: [&str; 6] = ["a", "a.b", "a.b.c", "a!", "a-x.b", "ab"];

#[tokio::test]
async fn namespaces_are_in_order_of_their_labels_everywhere() {
    let mut running = Running::start().await;
    let client = &mut running.client;
    for namespace in IN_ORDER.iter().rev() {
        let request = put(namespace, "k", r#"{"text":"note"}"#);
        client.put(request).await.unwrap();
    }
    let listed = client.listed(pb::ListNamespacesRequest::default()).await;
    assert_eq!(listed, IN_ORDER.map(|namespace| format!("{namespace}=1")));
    let folded = pb::ListNamespacesRequest {
        max_depth: Some(1),
        ..Default::default()
    };
    assert_eq!(
        client.listed(folded).await,
        ["a=3", "a!=1", "a-x=1", "ab=1"]
    );
    let names = IN_ORDER.map(|namespace| format!("{namespace}/k"));
    assert_eq!(walk(client, &list("", 4)).await.concat(), names);
    // What was updated at the same moment, or scores the same.
    for request in [search(""), query("", "notes")] {
        let hits = client.hits(request).await.unwrap();
        let found = hits
            .into_iter()
            .map(|hit| hit.item.unwrap().namespace.join("."));
        assert_eq!(found.collect::<Vec<_>>(), IN_ORDER);
    }
}
