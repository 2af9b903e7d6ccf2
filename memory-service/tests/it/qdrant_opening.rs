//! Which Qdrant servers and collections are used, and which are refused.

use std::{num::NonZeroU32, path::Path, sync::Arc};

use memory_service::{
    config::Config,
    domain::{EmbedderIdentity, IndexIdentity},
    store::{
        Store as _, StoreError,
        qdrant::{OpenError, QdrantStore},
    },
};
use qdrant_client::qdrant::{CreateCollection, SparseVectorConfig};
use tokio::task::JoinSet;
use tonic::Code;

use crate::{
    conformance::engines::embedder,
    qdrant_server::{QdrantServer, secret},
};

fn other_embedder() -> EmbedderIdentity {
    EmbedderIdentity {
        name: "other".to_owned(),
        ..embedder()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_that_start_at_once_share_one_collection() {
    let server = Arc::new(QdrantServer::start());
    let mut replicas = JoinSet::new();
    for _ in 0..8 {
        let server = server.clone();
        replicas.spawn(async move {
            let opened = QdrantStore::open(&server.settings(), Some(&embedder())).await;
            opened.unwrap().secret().to_vec()
        });
    }
    let secrets = replicas.join_all().await;
    assert!(
        secrets
            .iter()
            .all(|secret| *secret == secrets[0] && secret.len() == 32)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn of_replicas_with_different_embedders_one_kind_is_refused() {
    let server = Arc::new(QdrantServer::start());
    let mut replicas = JoinSet::new();
    for replica in 0..8 {
        let server = server.clone();
        replicas.spawn(async move {
            let embedder = if replica % 2 == 0 {
                embedder()
            } else {
                other_embedder()
            };
            let opened = QdrantStore::open(&server.settings(), Some(&embedder)).await;
            opened
                .map(|_| embedder.name)
                .map_err(|error| error.to_string())
        });
    }
    let outcomes = replicas.join_all().await;
    let (opened, refused): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
    assert_eq!((opened.len(), refused.len()), (4, 4));
    assert!(opened.iter().all(|name| *name == opened[0]), "{opened:?}");
    for error in refused.into_iter().filter_map(Result::err) {
        assert!(error.contains("`test` with 2 dimensions"), "{error}");
        assert!(error.contains("`other` with 2 dimensions"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collection_takes_vectors_of_the_embedder_it_was_made_for_only() {
    let server = QdrantServer::start();
    let open = async |embedder: Option<&EmbedderIdentity>| {
        let opened = QdrantStore::open(&server.settings(), embedder).await;
        opened.map(drop).map_err(|error| error.to_string())
    };
    open(Some(&embedder())).await.unwrap();
    open(Some(&embedder())).await.unwrap();
    let wider = EmbedderIdentity {
        dims: 3,
        ..embedder()
    };
    for (other, shown) in [
        (None, "`none`"),
        (Some(&other_embedder()), "`other` with 2 dimensions"),
        (Some(&wider), "`test` with 3 dimensions"),
    ] {
        let error = open(other).await.unwrap_err();
        assert!(error.contains("`test` with 2 dimensions"), "{error}");
        assert!(error.contains(shown), "{error}");
        assert!(error.contains(&server.collection), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_server_is_refused_by_its_version() {
    for version in ["1.18.9", "1.9.0-dev", "0.99.0", "unknown"] {
        let server = QdrantServer::double(|settings| settings.version = version.into());
        let error = QdrantStore::open(&server.settings(), None)
            .await
            .err()
            .unwrap();
        assert!(matches!(error, OpenError::Version { .. }));
        let error = error.to_string();
        assert!(error.contains(&format!("version {version}")), "{error}");
        assert!(error.contains("1.19 or newer"), "{error}");
        assert!(error.contains(&server.url), "{error}");
    }
    for version in ["1.20.0-dev", "v1.19.0", "2.0.0-rc.1+build"] {
        let server = QdrantServer::double(|settings| settings.version = version.into());
        let opened = QdrantStore::open(&server.settings(), None).await;
        opened.map(drop).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_told_the_key_that_it_asks_for() {
    let server = QdrantServer::double(|settings| settings.api_key = Some("s3cret".into()));
    let mut settings = server.settings();
    for wrong in [None, Some(secret("wr0ng"))] {
        settings.api_key = wrong;
        let error = QdrantStore::open(&settings, None)
            .await
            .err()
            .unwrap()
            .to_string();
        assert!(error.contains("API key"), "{error}");
        assert!(!error.contains("wr0ng"), "{error}");
    }
    settings.api_key = Some(secret("s3cret"));
    QdrantStore::open(&settings, None).await.map(drop).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_tls_is_trusted_by_the_roots_that_are_given() {
    let file = |name: &str| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/qdrant-double/tls");
        folder.join(name)
    };
    let server = QdrantServer::double(|settings| {
        settings.tls_certificate = Some(file("server.pem"));
        settings.tls_key = Some(file("server.key"));
    });
    let mut settings = server.settings();
    assert!(settings.url.starts_with("https:"));
    let error = QdrantStore::open(&settings, None).await.err().unwrap();
    assert!(
        matches!(error, OpenError::Store(StoreError::Unavailable(_))),
        "{error}"
    );
    settings.roots = Some(std::fs::read(file("ca.pem")).unwrap());
    QdrantStore::open(&settings, None).await.map(drop).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collection_is_made_with_the_shards_and_copies_that_are_asked_for() {
    let server = QdrantServer::double(|_| {});
    let mut settings = server.settings();
    settings.shards = NonZeroU32::new(3);
    settings.replication_factor = NonZeroU32::new(2);
    settings.write_consistency_factor = NonZeroU32::new(2);
    QdrantStore::open(&settings, None).await.map(drop).unwrap();
    let params = server.config().await.params.unwrap();
    assert_eq!(params.shard_number, 3);
    assert_eq!(params.replication_factor, Some(2));
    assert_eq!(params.write_consistency_factor, Some(2));
    // Servers make a shard for each of their nodes if they are not told, and count by shard how
    // rare words are.
    let config = Config {
        qdrant_url: server.url.clone(),
        ..Config::default()
    };
    let shards = config.qdrant().unwrap().unwrap().shards;
    assert_eq!(shards, NonZeroU32::new(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collection_is_made_without_graphs_that_no_search_would_use() {
    let server = QdrantServer::start();
    let opened = QdrantStore::open(&server.settings(), Some(&embedder())).await;
    opened.map(drop).unwrap();
    let graphs = server.config().await.hnsw_config.unwrap();
    assert_eq!(graphs.m, Some(0));
    assert_eq!(graphs.payload_m.unwrap_or(0), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn vectors_that_a_server_has_not_made_yet_are_not_relied_on() {
    let server = QdrantServer::double(|settings| settings.slow_vectors = true);
    let opened = QdrantStore::open(&server.settings(), Some(&embedder())).await;
    opened.map(drop).unwrap();
    let index = |embedder| IndexIdentity {
        embedder: Some(embedder),
        paths: None,
    };
    let (present, former) = (index(other_embedder()), index(embedder()));
    let open = async || {
        let settings = server.settings();
        QdrantStore::open_for(&settings, present.clone(), Some(former.clone())).await
    };
    // Those of words, then those of meanings.
    for _ in 0..2 {
        let error = open().await.err().unwrap().to_string();
        assert!(error.contains("WaitTimeout"), "{error}");
    }
    open().await.map(drop).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collection_whose_copies_do_not_answer_yet_is_waited_for() {
    let server = QdrantServer::double(|settings| settings.slow_copies = true);
    let settings = server.settings();
    QdrantStore::open(&settings, Some(&embedder()))
        .await
        .map(drop)
        .unwrap();
    // Also by those who only want to know what it is searched by.
    let server = QdrantServer::double(|settings| settings.slow_copies = true);
    let made = CreateCollection {
        collection_name: server.collection.clone(),
        ..CreateCollection::default()
    };
    let refused = server.collections().create(made.clone()).await;
    assert_eq!(refused.unwrap_err().code(), Code::Internal);
    server.collections().create(made).await.unwrap();
    let index = QdrantStore::indexed_with(&server.settings()).await.unwrap();
    assert_eq!(index, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collection_of_another_program_is_left_alone() {
    let server = QdrantServer::start();
    let request = CreateCollection {
        collection_name: server.collection.clone(),
        sparse_vectors_config: Some(SparseVectorConfig::default()),
        ..CreateCollection::default()
    };
    server.collections().create(request).await.unwrap();
    let error = QdrantStore::open(&server.settings(), None)
        .await
        .err()
        .unwrap();
    assert!(matches!(error, OpenError::Foreign(_)), "{error}");
    assert!(error.to_string().contains(&server.collection), "{error}");
}
