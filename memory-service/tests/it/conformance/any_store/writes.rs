//! Tenants do not see each other, and writes of one item follow each other.

use memory_service::{
    domain::{Conflict, NamespacePrefix, Precondition, filter::terms},
    store::{Put, RankOrder, RankQuery, Store, WriteError, index::Index},
};

use super::{at, id, keys, namespaces, put, tenant};

pub(super) async fn tenants_see_only_their_own(store: &dyn Store) {
    let (one, other) = (tenant("iso-one"), tenant("iso-other"));
    store
        .put(&one, put("a", "k", r#"{"who":"one"}"#, 0))
        .await
        .unwrap();
    assert!(
        store
            .get(&other, &id("a", "k"), at(0))
            .await
            .unwrap()
            .is_none()
    );
    assert!(keys(store, &other, None, 0).await.is_empty());
    assert!(
        keys(store, &other, Some(r#"{"who":"one"}"#), 0)
            .await
            .is_empty()
    );
    assert!(namespaces(store, &other, 0).await.is_empty());
    let everything = NamespacePrefix::default();
    assert_eq!(store.count(&other, &everything, at(0)).await.unwrap(), 0);
    assert_eq!(
        store.delete_under(&other, everything, at(0)).await.unwrap(),
        0
    );
    store
        .delete(&other, id("a", "k"), Precondition::None, at(0))
        .await
        .unwrap();

    store
        .put(&other, put("a", "k", r#"{"who":"other"}"#, 0))
        .await
        .unwrap();
    for (tenant, who) in [(&one, r#"{"who":"one"}"#), (&other, r#"{"who":"other"}"#)] {
        let item = store
            .get(tenant, &id("a", "k"), at(0))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(item.value.text(), who);
        assert_eq!(keys(store, tenant, None, 0).await, ["a/k"]);
        assert_eq!(namespaces(store, tenant, 0).await, ["a=1"]);
    }
    let candidates = RankQuery {
        prefix: NamespacePrefix::default(),
        narrowing: terms::Narrowing::default(),
        among: None,
        order: RankOrder::Newest,
        index: Index::Present,
        limit: 10,
        load: 0,
        times: false,
        now: at(0),
    };
    let points: Vec<_> = store
        .rank(&one, candidates)
        .await
        .unwrap()
        .iter()
        .map(|ranked| ranked.point)
        .collect();
    assert_eq!(points.len(), 1);
    assert!(store.fetch(&other, points, at(0)).await.unwrap()[0].is_none());
}

pub(super) async fn writes_of_one_item_follow_each_other(store: &dyn Store) {
    let tenant = tenant("writes");
    let first = store
        .put(&tenant, put("a", "k", r#"{"n":1}"#, 5))
        .await
        .unwrap();
    let second = store
        .put(&tenant, put("a", "k", r#"{"n":2}"#, 3))
        .await
        .unwrap();
    assert_eq!((first.create_time, first.update_time), (at(5), at(5)));
    assert_eq!((second.create_time, second.update_time), (at(5), at(6)));

    let absent = Put {
        precondition: Precondition::Absent,
        ..put("a", "k", "{}", 9)
    };
    let refused = store.put(&tenant, absent).await;
    assert_eq!(refused, Err(WriteError::Conflict(Conflict::Exists)));
    let stale = Precondition::Etag(first.etag.to_string());
    let refused = store.delete(&tenant, id("a", "k"), stale, at(9)).await;
    assert_eq!(refused, Err(WriteError::Conflict(Conflict::EtagMismatch)));

    let item = store
        .get(&tenant, &id("a", "k"), at(9))
        .await
        .unwrap()
        .unwrap();
    assert_eq!((item.value.text(), &item.version), (r#"{"n":2}"#, &second));
    store
        .delete(&tenant, id("a", "k"), Precondition::Exists, at(9))
        .await
        .unwrap();
    let refused = store
        .delete(&tenant, id("a", "k"), Precondition::Exists, at(9))
        .await;
    assert_eq!(refused, Err(WriteError::Conflict(Conflict::Missing)));
    assert!(namespaces(store, &tenant, 9).await.is_empty());
}
