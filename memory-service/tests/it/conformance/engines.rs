//! The suite of any store, run against each engine.

use memory_service::{
    domain::EmbedderIdentity,
    store::{
        Store, StoreError, WriteError,
        archive::Archive as _,
        edge::{EdgeStore, Settings},
        qdrant::{QdrantStore, ReadConsistency},
    },
};

use super::any_store::{at, conforms, id, keys, namespaces, put, tenant};
use crate::qdrant_server::QdrantServer;

#[tokio::test(flavor = "multi_thread")]
async fn the_embedded_engine_conforms() {
    let folder = tempfile::tempdir().unwrap();
    let store = EdgeStore::open(folder.path(), settings()).await.unwrap();
    conforms(&store).await;
    let secret = store.secret().to_vec();
    store.close().await.unwrap();
    a_closed_store_says_so(&store).await;
    drop(store);
    let reopened = EdgeStore::open(folder.path(), settings()).await.unwrap();
    assert_eq!(reopened.secret(), secret);
    keeps_what_it_was_given(&reopened).await;
    reopened.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_qdrant_server_conforms() {
    let server = QdrantServer::start();
    let open = async || {
        QdrantStore::open(&server.settings(), Some(&embedder()))
            .await
            .unwrap()
    };
    let store = open().await;
    conforms(&store).await;
    let secret = store.secret().to_vec();
    store.close().await.unwrap();
    a_closed_store_says_so(&store).await;
    drop(store);
    let reopened = open().await;
    assert_eq!(reopened.secret(), secret);
    keeps_what_it_was_given(&reopened).await;
    reopened.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_is_told_how_consistent_every_call_is_to_be() {
    let server = QdrantServer::double(|settings| settings.insist = true);
    let mut settings = server.settings();
    let refused = QdrantStore::open(&settings, Some(&embedder())).await;
    let refused = refused.err().unwrap().to_string();
    assert!(refused.contains("`read_consistency`"), "{refused}");
    settings.read_consistency = Some(ReadConsistency::Majority);
    let store = QdrantStore::open(&settings, Some(&embedder())).await;
    let store = store.unwrap();
    conforms(&store).await;
    let everything = store.records(None, 1000).await.unwrap().records;
    let everything: Result<Vec<_>, _> = everything.into_iter().collect();
    store.restore(everything.unwrap(), at(0)).await.unwrap();
    store.close().await.unwrap();
}

fn settings() -> Settings {
    Settings {
        embedder: Some(embedder()),
        ..Settings::default()
    }
}

/// The store under test is opened for vectors of two numbers.
pub(crate) fn embedder() -> EmbedderIdentity {
    EmbedderIdentity {
        name: "test".to_owned(),
        dims: 2,
        template: "{text}".to_owned(),
    }
}

async fn a_closed_store_says_so(store: &dyn Store) {
    let tenant = tenant("writes");
    let refused = store.put(&tenant, put("a", "k", "{}", 0)).await;
    assert!(
        matches!(refused, Err(WriteError::Store(StoreError::Unavailable(_)))),
        "{refused:?}"
    );
    let refused = store.get(&tenant, &id("a", "k"), at(0)).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))));
    store.close().await.unwrap();
}

async fn keeps_what_it_was_given(store: &dyn Store) {
    let one = tenant("iso-one");
    let item = store
        .get(&one, &id("a", "k"), at(0))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(item.value.text(), r#"{"who":"one"}"#);
    assert_eq!(namespaces(store, &one, 0).await, ["a=1"]);
    assert_eq!(namespaces(store, &tenant("sweep"), 0).await, ["a=2"]);
    assert_eq!(
        keys(store, &tenant("filters"), Some(r#"{"n":3}"#), 0).await,
        ["f/03"]
    );
}
