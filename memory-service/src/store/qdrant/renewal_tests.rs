use std::time::Duration;

use qdrant_double::{Running, Settings};

use super::*;
use crate::{
    domain::{EmbedderIdentity, IndexIdentity},
    store::{Store as _, qdrant::QdrantSettings},
};

fn index(name: &str) -> IndexIdentity {
    IndexIdentity {
        embedder: Some(EmbedderIdentity {
            name: name.to_owned(),
            dims: 2,
            template: "{text}".to_owned(),
        }),
        paths: None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_counted_without_the_last_writes_does_not_get_searches_to_move_on() {
    let folder = tempfile::tempdir().unwrap();
    let server = Running::start(Settings::over(folder.path())).unwrap();
    let settings = QdrantSettings {
        url: server.url(),
        api_key: None,
        roots: None,
        collection: "c".to_owned(),
        timeout: Duration::from_secs(10),
        shards: None,
        replication_factor: None,
        write_consistency_factor: None,
        read_consistency: None,
    };
    let open = async |present, former| {
        let opened = QdrantStore::open_for(&settings, present, former).await;
        opened.unwrap()
    };
    open(index("former"), None).await.close().await.unwrap();
    let replica = open(index("present"), Some(index("former"))).await;
    assert_eq!(replica.advance().await, Ok(Stage::Closing));

    let other = open(index("present"), Some(index("former"))).await;
    let counted = description::look(&other.connection).await.unwrap();
    assert_eq!(replica.catches_up().await, Ok(true));
    let next = counted.indexes.next();
    let changed = description::change(&other.connection, &counted, next).await;
    changed.unwrap();
    assert_eq!(other.look().await, Ok(Stage::Closing));

    // With a count of its own it does.
    assert_eq!(other.advance().await, Ok(Stage::Switched));
    assert_eq!(replica.catches_up().await, Ok(false));
    for store in [replica, other] {
        store.close().await.unwrap();
    }
    server.stop().await;
}
