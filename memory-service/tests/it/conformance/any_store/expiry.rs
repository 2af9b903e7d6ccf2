//! What has expired is not there, and is removed by a sweep and nothing else.

use memory_service::{
    lexical::Bm25,
    store::{RankOrder, Store},
};

use super::{at, found, id, keys, mortal, namespaces, put, tenant};

pub(super) async fn expired_items_are_not_there(store: &dyn Store) {
    let tenant = tenant("expiry");
    store.put(&tenant, mortal("k", 0, 1_000)).await.unwrap();
    let words = || RankOrder::Words(Bm25::new().unwrap().query("mortal").unwrap());
    for (now, expected) in [(999, 1), (1_000, 0)] {
        let there = store.get(&tenant, &id("a", "k"), at(now)).await.unwrap();
        assert_eq!(usize::from(there.is_some()), expected);
        assert_eq!(
            found(store, &tenant, RankOrder::Newest, None, now)
                .await
                .len(),
            expected
        );
        assert_eq!(
            found(store, &tenant, words(), None, now).await.len(),
            expected
        );
        assert_eq!(namespaces(store, &tenant, now).await.len(), expected);
        let refreshed = store
            .refresh(&tenant, vec![id("a", "k"), id("a", "no")], at(now))
            .await
            .unwrap();
        assert_eq!(refreshed.iter().flatten().count(), expected);
        // The refresh moved the expiry; the next round must not see it moved.
        if expected == 1 {
            store.put(&tenant, mortal("k", 0, 1_000)).await.unwrap();
        }
    }
}

pub(super) async fn sweeping_removes_only_what_has_expired(store: &dyn Store) {
    let tenant = tenant("sweep");
    store.put(&tenant, mortal("soon", 0, 1_000)).await.unwrap();
    store.put(&tenant, mortal("later", 0, 2_000)).await.unwrap();
    store
        .put(&tenant, put("a", "never", "{}", 0))
        .await
        .unwrap();
    assert!(store.sweep(at(1_500)).await.unwrap() >= 1);
    assert_eq!(store.sweep(at(1_500)).await.unwrap(), 0);
    // Time that steps back does not bring back what was swept.
    assert_eq!(keys(store, &tenant, None, 0).await, ["a/later", "a/never"]);
    assert_eq!(namespaces(store, &tenant, 0).await, ["a=2"]);
}
