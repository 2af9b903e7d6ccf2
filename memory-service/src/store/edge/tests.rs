//! What only the inside of the engine shows.

use std::time::Duration;

use service_runtime::Tenant;

use super::{EdgeStore, Flush, Settings};
use crate::{
    domain::{Document, Etag, Indexing, ItemId, Key, Namespace, Precondition, Time, filter::terms},
    store::{Put, Store as _, StoreError, Vectors, WriteError, index::Each},
};

fn put(key: &str) -> Put {
    let value = Document::stored(r#"{"n":1}"#.to_owned()).unwrap();
    Put {
        id: ItemId {
            namespace: Namespace::from_dotted("a"),
            key: Key::stored(key.to_owned()),
        },
        terms: terms::of_document(&value.parse().unwrap()),
        value,
        indexing: Indexing::Configured,
        vectors: Each::present(Vectors::default()),
        ttl: None,
        precondition: Precondition::None,
        etag: Etag::fresh(),
        now: Time::from_micros(1),
    }
}

#[tokio::test]
async fn what_is_acknowledged_is_on_the_disk_if_that_is_asked_for() {
    let rarely = Flush::Every(Duration::from_secs(3600));
    for (flush, on_disk) in [(Flush::Always, true), (rarely, false)] {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings {
            flush,
            ..Settings::default()
        };
        let store = EdgeStore::open(folder.path(), settings).await.unwrap();
        store.shared.flush().unwrap();
        store.put(&Tenant::default(), put("k")).await.unwrap();
        assert_eq!(store.shared.is_dirty(), !on_disk);
        let prefix = "a".to_owned();
        let prefix = crate::domain::NamespacePrefix::try_new("prefix", vec![prefix]).unwrap();
        let now = Time::from_micros(1);
        store.shared.flush().unwrap();
        let deleted = store.delete_under(&Tenant::default(), prefix, now).await;
        assert_eq!(deleted, Ok(1));
        assert_eq!(store.shared.is_dirty(), !on_disk);
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_full_disk_refuses_puts_and_then_everything_that_needs_space() {
    let folder = tempfile::tempdir().unwrap();
    let open = async |least_free| {
        let settings = Settings {
            least_free,
            ..Settings::default()
        };
        EdgeStore::open(folder.path(), settings).await.unwrap()
    };
    let (tenant, now) = (Tenant::default(), Time::from_micros(2));
    let store = open(0).await;
    store.put(&tenant, put("one")).await.unwrap();
    store.put(&tenant, put("other")).await.unwrap();
    store.close().await.unwrap();
    drop(store);

    let free = fs4::available_space(folder.path()).unwrap();
    let store = open(free / 2 * 3).await;
    let refused = store.put(&tenant, put("third")).await.unwrap_err();
    assert!(matches!(
        refused,
        WriteError::Store(StoreError::Full { .. })
    ));
    let item = store.get(&tenant, &put("one").id, now).await.unwrap();
    assert_eq!(item.unwrap().value.text(), r#"{"n":1}"#);
    let unconditional = Precondition::None;
    let deleted = store.delete(&tenant, put("one").id, unconditional, now);
    deleted.await.unwrap();
    store.close().await.unwrap();
    drop(store);

    let store = open(u64::MAX).await;
    let deleted = store.delete(&tenant, put("other").id, Precondition::None, now);
    let refused = deleted.await.unwrap_err();
    assert!(matches!(
        refused,
        WriteError::Store(StoreError::Full { .. })
    ));
    assert!(
        store
            .get(&tenant, &put("other").id, now)
            .await
            .unwrap()
            .is_some()
    );
    store.close().await.unwrap();
}
