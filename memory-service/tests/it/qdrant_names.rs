//! The names of items and namespaces on a Qdrant server: in order, and gone in the end.

use std::time::Duration;

use memory_service::{
    domain::{NamespacePrefix, filter::terms::Narrowing},
    store::{Store as _, WalkQuery, qdrant::QdrantStore},
};
use qdrant_client::qdrant::CountPoints;
use service_runtime::Tenant;

use crate::{
    conformance::{
        any_store::{at, id, put},
        engines::embedder,
    },
    qdrant_server::QdrantServer,
};

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_begin_alike_are_walked_in_order() {
    let server = QdrantServer::start();
    let store = QdrantStore::open(&server.settings(), Some(&embedder()))
        .await
        .unwrap();
    let tenant = Tenant::default();
    let long = "a-prefix-of-more-than-sixteen-bytes";
    let mut keys: Vec<String> = (0..150).map(|number| format!("{long}/{number}")).collect();
    keys.extend((0..150).map(|number| format!("memory-{number}")));
    keys.extend((0..20).map(|number| number.to_string()));
    let puts = keys.iter().map(|key| {
        let put = put("n", key, "{}", 0);
        store.put(&tenant, put)
    });
    for put in futures::future::join_all(puts).await {
        put.unwrap();
    }
    keys.sort_unstable();
    for page in [7, 140, 1000] {
        let (mut walked, mut after) = (Vec::new(), None);
        loop {
            let query = WalkQuery {
                prefix: NamespacePrefix::default(),
                narrowing: Narrowing::default(),
                after: after.take(),
                limit: page,
                now: at(0),
            };
            let items = store.walk(&tenant, query).await.unwrap();
            let more = items.len() == page;
            walked.extend(items.into_iter().map(|item| item.id.key.into_string()));
            if !more {
                break;
            }
            after = walked.last().map(|key| id("n", key));
        }
        assert_eq!(walked, keys, "in pages of {page}");
    }
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_of_removed_items_and_empty_namespaces_goes_in_the_end() {
    let server = QdrantServer::start();
    let settings = server.settings();
    let store = QdrantStore::open(&settings, Some(&embedder()))
        .await
        .unwrap();
    let (tenant, everything) = (Tenant::default(), NamespacePrefix::default());
    let points = async || {
        let request = CountPoints {
            collection_name: settings.collection.clone(),
            exact: Some(true),
            ..CountPoints::default()
        };
        let count = server
            .points()
            .count(request)
            .await
            .unwrap()
            .into_inner()
            .result;
        count.unwrap().count
    };
    let alone = points().await;
    for key in ["1", "2", "3"] {
        let put = put("n", key, "{}", 0);
        store.put(&tenant, put).await.unwrap();
    }
    store.put(&tenant, put("kept", "k", "{}", 0)).await.unwrap();
    assert_eq!(points().await, alone + 4 + 2);
    let n = NamespacePrefix::try_new("prefix", vec!["n".into()]).unwrap();
    assert_eq!(store.delete_under(&tenant, n, at(0)).await.unwrap(), 3);
    let after = |duration: Duration| at(i64::try_from(duration.as_micros()).unwrap());
    assert_eq!(store.sweep(at(1)).await.unwrap(), 0);
    assert_eq!(
        points().await,
        alone + 4 + 2,
        "others may still look for their writes"
    );
    let later = after(Duration::from_secs(7200));
    assert_eq!(store.sweep(later).await.unwrap(), 0);
    assert_eq!(points().await, alone + 1 + 1);
    // A namespace that comes back is announced again.
    let mut put = put("n", "4", "{}", 0);
    put.now = later;
    store.put(&tenant, put).await.unwrap();
    assert_eq!(store.count(&tenant, &everything, later).await.unwrap(), 2);
    assert_eq!(points().await, alone + 2 + 2);
    store.close().await.unwrap();
}
