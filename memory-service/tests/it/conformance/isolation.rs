//! Row "isolation": nothing shows of other scopes.

use weft_proto::memory::v1 as pb;

use super::{
    calls::{By, Calls as _},
    list_items::{list, walk},
};
use crate::support::{Running, labels, put, query, search};

#[tokio::test]
async fn scores_know_only_the_words_of_the_searched_scope() {
    let mut running = Running::start().await;
    let client = &mut running.client;
    client
        .put(put("mine", "1", r#"{"text":"apple cake"}"#))
        .await
        .unwrap();
    client
        .put(put("mine", "2", r#"{"text":"pear cake"}"#))
        .await
        .unwrap();
    let score = |hits: Vec<pb::SearchHit>| hits[0].score.unwrap();
    let before = score(client.hits(query("mine", "apple")).await.unwrap());
    for key in 0..50 {
        client
            .put(put("theirs", &key.to_string(), r#"{"text":"apple tree"}"#))
            .await
            .unwrap();
    }
    let after = score(client.hits(query("mine", "apple")).await.unwrap());
    assert_eq!(before.to_bits(), after.to_bits());
}

#[tokio::test]
async fn a_prefix_is_of_whole_labels_for_every_call() {
    for by in By::ALL {
        let mut running = Running::start().await;
        let client = &mut running.client;
        for namespace in [
            "user",
            "user.bob",
            "users",
            "users.bob",
            "user-x",
            "bob.user",
        ] {
            let document = format!(r#"{{"text":"word","in":"{namespace}"}}"#);
            by.put(client, put(namespace, "k", &document)).await;
        }
        for (prefix, expected) in [
            ("user", ["user", "user.bob"].as_slice()),
            ("user.bob", &["user.bob"]),
            ("user.b", &[]),
            ("us", &[]),
            ("users", &["users", "users.bob"]),
            ("user.bob.x", &[]),
            ("bob", &["bob.user"]),
        ] {
            let names: Vec<_> = expected.iter().map(|name| format!("{name}/k")).collect();
            for request in [search(prefix), query(prefix, "words")] {
                let hits = client.hits(request).await.unwrap();
                let items = hits.into_iter().map(|hit| hit.item.unwrap());
                let found = items.map(|item| item.namespace.join("."));
                assert_eq!(found.collect::<Vec<_>>(), expected);
            }
            assert_eq!(walk(client, &list(prefix, 9)).await.concat(), names);
            let counting = pb::CountItemsRequest {
                namespace_prefix: labels(prefix),
                filter: None,
            };
            assert_eq!(client.count(counting).await.unwrap(), expected.len() as i64);
            let listing = pb::ListNamespacesRequest {
                prefix: labels(prefix),
                ..Default::default()
            };
            let counted: Vec<_> = expected.iter().map(|name| format!("{name}=1")).collect();
            assert_eq!(client.listed(listing).await, counted);
        }
        let deletion = pb::DeleteNamespaceRequest {
            namespace_prefix: labels("user"),
        };
        let deleted = client.delete_namespace(deletion).await.unwrap();
        assert_eq!(deleted.into_inner().deleted_count, 2);
        let left = ["bob.user/k", "user-x/k", "users/k", "users.bob/k"];
        assert_eq!(walk(client, &list("", 9)).await.concat(), left);
    }
}
