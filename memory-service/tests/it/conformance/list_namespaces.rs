//! Row "list_namespaces": namespaces are listed exactly, with exact counts.

use weft_proto::memory::v1 as pb;

use super::calls::{By, Calls as _};
use crate::support::{Running, delete, labels, put};

fn list() -> pb::ListNamespacesRequest {
    pb::ListNamespacesRequest::default()
}

async fn filled() -> Running {
    let mut running = Running::start().await;
    for (namespace, keys) in [
        ("users.bob", 2),
        ("users.bob.notes", 3),
        ("users.alice.notes", 1),
        ("shared.notes", 1),
        ("usersx", 1),
        ("*.notes", 1),
    ] {
        for key in 0..keys {
            running
                .client
                .put(put(namespace, &key.to_string(), "{}"))
                .await
                .unwrap();
        }
    }
    running
}

#[tokio::test]
async fn namespaces_come_in_label_order_with_counts() {
    let mut running = filled().await;
    let all = [
        "*.notes=1",
        "shared.notes=1",
        "users.alice.notes=1",
        "users.bob=2",
        "users.bob.notes=3",
        "usersx=1",
    ];
    assert_eq!(running.client.listed(list()).await, all);
    let page = pb::ListNamespacesRequest {
        offset: 2,
        limit: 2,
        ..list()
    };
    assert_eq!(running.client.listed(page).await, all[2..4]);
    let beyond = pb::ListNamespacesRequest {
        offset: 6,
        ..list()
    };
    assert!(running.client.listed(beyond).await.is_empty());

    let mut running = running.restart().await;
    assert_eq!(running.client.listed(list()).await, all);
}

#[tokio::test]
async fn prefixes_suffixes_and_wildcards_select() {
    let mut running = filled().await;
    let client = &mut running.client;
    for (prefix, suffix, expected) in [
        (
            "users",
            "",
            ["users.alice.notes=1", "users.bob=2", "users.bob.notes=3"].as_slice(),
        ),
        (
            "",
            "notes",
            &[
                "*.notes=1",
                "shared.notes=1",
                "users.alice.notes=1",
                "users.bob.notes=3",
            ],
        ),
        (
            "users.*",
            "notes",
            &["users.alice.notes=1", "users.bob.notes=3"],
        ),
        ("users.bob", "bob.notes", &["users.bob.notes=3"]),
        ("*.notes", "", &["*.notes=1", "shared.notes=1"]),
        ("user", "", &[]),
        ("", "*.*.*.*", &[]),
    ] {
        let request = pb::ListNamespacesRequest {
            prefix: labels(prefix),
            suffix: labels(suffix),
            ..list()
        };
        assert_eq!(client.listed(request).await, expected, "{prefix} {suffix}");
    }
}

#[tokio::test]
async fn cut_namespaces_are_folded_before_paging() {
    let mut running = filled().await;
    let client = &mut running.client;
    let cut = |max_depth| pb::ListNamespacesRequest {
        max_depth: Some(max_depth),
        ..list()
    };
    assert_eq!(
        client.listed(cut(1)).await,
        ["*=1", "shared=1", "users=6", "usersx=1"]
    );
    let page = pb::ListNamespacesRequest {
        prefix: labels("users"),
        offset: 1,
        limit: 1,
        ..cut(2)
    };
    assert_eq!(client.listed(page).await, ["users.bob=5"]);
    assert_eq!(client.listed(cut(16)).await.len(), 6);
}

#[tokio::test]
async fn a_namespace_is_gone_with_its_last_item() {
    let mut running = filled().await;
    let client = &mut running.client;
    client
        .put(put("users.bob", "0", r#"{"again":true}"#))
        .await
        .unwrap();
    client.delete_item(delete("users.bob", "1")).await.unwrap();
    client
        .delete_item(delete("users.bob", "absent"))
        .await
        .unwrap();
    client.delete_item(delete("usersx", "0")).await.unwrap();
    assert_eq!(
        client.listed(list()).await,
        [
            "*.notes=1",
            "shared.notes=1",
            "users.alice.notes=1",
            "users.bob=1",
            "users.bob.notes=3"
        ],
    );
}

#[tokio::test]
async fn a_namespace_is_deleted_with_everything_below_it() {
    let mut running = filled().await;
    for key in 0..1100 {
        running
            .client
            .put(put("users.many", &key.to_string(), "{}"))
            .await
            .unwrap();
    }
    let under = |prefix| pb::DeleteNamespaceRequest {
        namespace_prefix: labels(prefix),
    };
    let count = |prefix| pb::CountItemsRequest {
        namespace_prefix: labels(prefix),
        filter: None,
    };
    let counted = running
        .client
        .count_items(count("users"))
        .await
        .unwrap()
        .into_inner()
        .count;
    assert_eq!(counted, 1106);
    let deleted = running
        .client
        .delete_namespace(under("users"))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(deleted.deleted_count, 1106);
    let deleted = running
        .client
        .delete_namespace(under("users"))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(deleted.deleted_count, 0);
    let left = ["*.notes=1", "shared.notes=1", "usersx=1"];
    assert_eq!(running.client.listed(list()).await, left);
    let mut running = running.restart().await;
    assert_eq!(running.client.listed(list()).await, left);
}

#[tokio::test]
async fn every_option_counts_and_in_this_order() {
    for by in By::ALL {
        let mut running = Running::start().await;
        let client = &mut running.client;
        for (namespace, keys) in [
            ("t.a.x.end", 1),
            ("t.a.y.end", 2),
            ("t.b.x.end", 3),
            ("t.b.x", 4),
            ("t.c.end", 5),
            ("u.a.x.end", 6),
        ] {
            for key in 0..keys {
                by.put(client, put(namespace, &key.to_string(), "{}")).await;
            }
        }
        let request = |max_depth, offset, limit| pb::ListNamespacesRequest {
            prefix: labels("t.*"),
            suffix: labels("end"),
            max_depth,
            offset,
            limit,
        };
        // The suffix is of whole namespaces; what is cut is folded, and then paged.
        let whole = ["t.a.x.end=1", "t.a.y.end=2", "t.b.x.end=3", "t.c.end=5"];
        assert_eq!(client.listed(request(None, 0, 0)).await, whole);
        assert_eq!(client.listed(request(Some(4), 1, 2)).await, whole[1..3]);
        let cut = ["t.a=3", "t.b=3", "t.c=5"];
        assert_eq!(client.listed(request(Some(2), 0, 0)).await, cut);
        assert_eq!(client.listed(request(Some(2), 1, 1)).await, cut[1..2]);
        assert_eq!(client.listed(request(Some(2), 3, 1)).await, [""; 0]);
        assert_eq!(client.listed(request(Some(1), 0, 1)).await, ["t=11"]);
        // Gone with their last items.
        by.delete(client, delete("t.a.x.end", "0")).await;
        by.delete(client, delete("t.b.x", "0")).await;
        let cut = ["t.a=2", "t.b=3", "t.c=5"];
        assert_eq!(client.listed(request(Some(2), 0, 0)).await, cut);
        assert_eq!(client.listed(request(None, 0, 1)).await, ["t.a.y.end=2"]);
    }
}
