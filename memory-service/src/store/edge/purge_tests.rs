//! What goes on while many items are removed.

use futures::{future::join, poll};
use service_runtime::Tenant;
use tokio::pin;

use super::*;
use crate::{
    domain::Ttl,
    store::{
        Put, Store as _,
        edge::{Settings, tests::put_in},
    },
};

const NOW: Time = Time::from_micros(1_000_000);
const LATER: Time = Time::from_micros(2_000_000);

fn put(namespace: &str, key: &str) -> Put {
    Put {
        now: NOW,
        ..put_in(namespace, key)
    }
}

async fn filled(folder: &std::path::Path, items: usize) -> EdgeStore {
    let store = EdgeStore::open(folder, Settings::default()).await.unwrap();
    let tenant = Tenant::default();
    let puts = (0..items).map(|item| store.put(&tenant, put("gone", &item.to_string())));
    futures::future::try_join_all(puts).await.unwrap();
    store
}

fn prefix(namespace: &str) -> NamespacePrefix {
    NamespacePrefix::try_new("prefix", vec![namespace.to_owned()]).unwrap()
}

async fn count(store: &EdgeStore, namespace: &str) -> u64 {
    let tenant = Tenant::default();
    let counted = store.count(&tenant, &prefix(namespace), NOW).await;
    counted.unwrap()
}

#[tokio::test]
async fn writes_come_in_between_while_many_items_are_removed() {
    const CHUNKS: usize = 12;
    let folder = tempfile::tempdir().unwrap();
    let store = filled(folder.path(), CHUNKS * CHUNK).await;
    let tenant = Tenant::default();
    let purge = store.delete_under(&tenant, prefix("gone"), NOW);
    let purged = std::cell::Cell::new(false);
    let purge = async {
        let removed = purge.await.unwrap();
        purged.set(true);
        removed
    };
    let puts = async {
        let (mut done, mut beside) = (0, 0);
        while !purged.get() {
            let some_are_left = count(&store, "gone").await < (CHUNKS * CHUNK) as u64;
            let key = done.to_string();
            store.put(&tenant, put("kept", &key)).await.unwrap();
            done += 1;
            beside += usize::from(some_are_left && !purged.get());
        }
        (done, beside)
    };
    let (removed, (done, beside)) = join(purge, puts).await;
    assert_eq!(removed, (CHUNKS * CHUNK) as u64);
    // One after each chunk but the last, if none is late.
    assert!(beside >= CHUNKS / 2, "{beside}");
    assert_eq!(count(&store, "kept").await, done as u64);
    assert_eq!(count(&store, "gone").await, 0);
    store.close().await.unwrap();
}

#[tokio::test]
async fn of_many_items_nothing_is_removed_while_data_is_written_anew() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(folder.path(), CHUNK).await;
    let tenant = Tenant::default();
    store.put(&tenant, put("few", "1")).await.unwrap();
    let anew = store.shared.litter.gate.write().await;
    let purge = store.delete_under(&tenant, prefix("gone"), NOW);
    pin!(purge);
    assert!(poll!(&mut purge).is_pending());
    // It would have been sent before this.
    store.put(&tenant, put("kept", "1")).await.unwrap();
    assert!(poll!(&mut purge).is_pending());
    assert_eq!(count(&store, "gone").await, CHUNK as u64);
    // A few make no difference.
    let few = store.delete_under(&tenant, prefix("few"), NOW).await;
    assert_eq!(few, Ok(1));
    drop(anew);
    assert_eq!(purge.await.unwrap(), CHUNK as u64);
    store.close().await.unwrap();
}

#[tokio::test]
async fn an_item_that_was_put_anew_is_not_removed_for_having_expired() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(folder.path(), 0).await;
    let tenant = Tenant::default();
    for key in ["expired", "renewed"] {
        let ttl = Some(Ttl::from_micros(10));
        let put = Put {
            ttl,
            ..put("gone", key)
        };
        store.put(&tenant, put).await.unwrap();
    }
    let found = store.shared.registry().expired(LATER, None, CHUNK);
    let found: Vec<_> = found.into_iter().map(|(_, point)| point).collect();
    assert_eq!(found.len(), 2);
    store.put(&tenant, put("gone", "renewed")).await.unwrap();
    let removed = remove(&store.shared, &found, Gone::ExpiredBy(LATER), LATER).unwrap();
    assert_eq!((removed.live, removed.expired), (0, 1));
    let left = store.get(&tenant, &put("gone", "renewed").id, LATER).await;
    assert!(left.unwrap().is_some());
    assert_eq!(store.sweep(LATER).await, Ok(0));
    store.close().await.unwrap();
}

#[tokio::test]
async fn all_that_has_expired_is_swept_of_each_tenant_and_after_a_restart() {
    const MORTAL: usize = 2 * CHUNK + 1;
    let folder = tempfile::tempdir().unwrap();
    let store = filled(folder.path(), 1).await;
    let tenants = [Tenant::default(), Tenant::try_new("other").unwrap()];
    for tenant in &tenants {
        let mortal = |key: usize| Put {
            // Some at once, and some one after the other.
            ttl: Some(Ttl::from_micros(1 + i64::try_from(key % 5).unwrap())),
            ..put("gone", &format!("mortal {key}"))
        };
        let puts = (0..MORTAL).map(|key| store.put(tenant, mortal(key)));
        futures::future::try_join_all(puts).await.unwrap();
    }
    store.close().await.unwrap();
    drop(store);
    let store = EdgeStore::open(folder.path(), Settings::default()).await;
    let store = store.unwrap();
    assert_eq!(store.sweep(NOW).await, Ok(0));
    assert_eq!(store.sweep(LATER).await, Ok(2 * MORTAL as u64));
    assert_eq!(store.sweep(LATER).await, Ok(0));
    assert_eq!(store.shared.registry().stored_in_all(), 1);
    store.close().await.unwrap();
}
