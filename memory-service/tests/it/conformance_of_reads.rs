//! What any store must do when it is read in order, or by meaning: a part of its suite.

use memory_service::{
    domain::{Filter, ItemId, Json, NamespacePrefix, filter::terms},
    store::{
        Put, RankOrder, Store, Vectors, WalkQuery,
        index::{Each, Index},
    },
};

use crate::conformance::{at, found, id, mortal, put, tenant};

pub(crate) async fn walks_go_in_order_and_on_from_anywhere(store: &dyn Store) {
    let tenant = tenant("walks");
    for (namespace, key) in [
        ("b", "1"),
        ("a.b", "1"),
        ("a", "2"),
        ("a", "10"),
        ("ab", "1"),
    ] {
        let document = format!(r#"{{"in":"{namespace}"}}"#);
        let item = put(namespace, key, &document, 0);
        store.put(&tenant, item).await.unwrap();
    }
    store.put(&tenant, mortal("15", 0, 1_000)).await.unwrap();
    let walk = async |prefix: &str, filter: Option<&str>, after: Option<ItemId>, limit, now| {
        let filter = filter.map(|filter| Filter::parse(&Json::parse(filter).unwrap()).unwrap());
        let labels = prefix.split_terminator('.').map(str::to_owned).collect();
        let query = WalkQuery {
            prefix: NamespacePrefix::try_new("prefix", labels).unwrap(),
            narrowing: filter
                .as_ref()
                .map(terms::Narrowing::of)
                .unwrap_or_default(),
            after,
            limit,
            now: at(now),
        };
        let items = store.walk(&tenant, query).await.unwrap();
        let names = items.iter().map(|item| item.id.to_string());
        names.collect::<Vec<_>>()
    };
    let all = ["a/10", "a/15", "a/2", "a.b/1", "ab/1", "b/1"];
    assert_eq!(walk("", None, None, 9, 0).await, all);
    assert_eq!(walk("", None, None, 2, 0).await, all[..2]);
    assert_eq!(
        walk("a", None, None, 9, 1_000).await,
        ["a/10", "a/2", "a.b/1"]
    );
    assert_eq!(walk("", None, None, 2, 1_000).await, ["a/10", "a/2"]);
    assert_eq!(
        walk("a", None, Some(id("a", "11")), 9, 1_000).await,
        ["a/2", "a.b/1"]
    );
    assert_eq!(walk("", Some(r#"{"in":"b"}"#), None, 9, 0).await, ["b/1"]);
    assert_eq!(
        walk("", Some(r#"{"in":"a"}"#), Some(id("a", "10")), 9, 0).await,
        ["a/2"]
    );
}

pub(crate) async fn meanings_rank_by_the_nearest_one(store: &dyn Store) {
    let (one, other) = (tenant("meanings-one"), tenant("meanings-other"));
    let with = |key: &str, meanings: &[[f32; 2]]| Put {
        vectors: Each::present(Vectors {
            words: None,
            meanings: meanings.iter().map(|meaning| meaning.to_vec()).collect(),
        }),
        ..put("a", key, "{}", 0)
    };
    let east = || RankOrder::Meaning(vec![3.0, 0.0]);
    store
        .put(&other, with("foreign", &[[1.0, 0.0]]))
        .await
        .unwrap();
    store
        .put(&one, with("both", &[[0.0, 1.0], [0.6, 0.8]]))
        .await
        .unwrap();
    store.put(&one, with("west", &[[-2.0, 0.0]])).await.unwrap();
    store.put(&one, with("none", &[])).await.unwrap();
    store
        .put(&one, with("replaced", &[[1.0, 0.0]]))
        .await
        .unwrap();
    store
        .put(&one, with("replaced", &[[0.0, 5.0]]))
        .await
        .unwrap();
    let found = found(store, &one, east(), None, 0).await;
    let scores: Vec<_> = found
        .iter()
        .map(|(id, rank)| (id.as_str(), (rank * 1e4).round() / 1e4))
        .collect();
    assert_eq!(
        scores,
        [("a/both", 0.6), ("a/replaced", 0.0), ("a/west", -1.0)]
    );
    let ids = ["both", "none", "gone"].map(|key| id("a", key)).to_vec();
    let vectors = store.vectors(&one, ids, Index::Present).await.unwrap();
    let lengths: Vec<_> = vectors
        .iter()
        .map(|vectors| vectors.meanings.len())
        .collect();
    assert_eq!(lengths, [2, 0, 0]);
    assert!(vectors[2].words.is_none());
}
