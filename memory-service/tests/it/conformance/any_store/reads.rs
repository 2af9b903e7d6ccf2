//! What is found by filters, words and meanings, and in which order.

use memory_service::{
    domain::{Filter, ItemId, Json, NamespacePrefix, Ttl, filter::terms},
    lexical::Bm25,
    store::{
        Put, RankOrder, Store, Vectors, WalkQuery,
        index::{Each, Index},
    },
};

use super::{at, found, id, keys, mortal, put, tenant};

pub(super) async fn filters_agree_with_the_domain(store: &dyn Store) {
    let tenant = tenant("filters");
    let scalars = [
        "1",
        "1.0",
        "-0.0",
        "0",
        "true",
        "null",
        "\"1\"",
        "\"x\"",
        "9007199254740993",
        "1e400",
        "[1]",
        "[\"x\",null]",
        "{}",
        "{\"b\":1}",
        "{\"b\":[1]}",
    ];
    let mut documents = vec![("none".to_owned(), "{}".to_owned())];
    for (index, scalar) in scalars.iter().enumerate() {
        documents.push((
            format!("{index:02}"),
            format!(r#"{{"a":{scalar},"n":{index}}}"#),
        ));
    }
    for (key, document) in &documents {
        store
            .put(&tenant, put("f", key, document, 0))
            .await
            .unwrap();
    }
    let mut filters = Vec::new();
    for scalar in scalars {
        for operator in ["$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$contains"] {
            filters.push(format!(r#"{{"a":{{"{operator}":{scalar}}}}}"#));
        }
        filters.push(format!(r#"{{"a":{scalar}}}"#));
        filters.push(format!(r#"{{"a":{{"$in":[{scalar},"x"]}}}}"#));
        filters.push(format!(r#"{{"a":{{"$nin":[{scalar}]}}}}"#));
        filters.push(format!(r#"{{"a.b":{scalar}}}"#));
        filters.push(format!(r#"{{"a[0]":{scalar}}}"#));
        filters.push(format!(
            r#"{{"$or":[{{"a":{scalar}}},{{"n":{{"$gt":12}}}}]}}"#
        ));
        filters.push(format!(r#"{{"a":{scalar},"n":{{"$lt":8}}}}"#));
    }
    for text in filters {
        let filter = Filter::parse(&Json::parse(&text).unwrap()).unwrap();
        let matching = documents
            .iter()
            .filter(|(_, document)| filter.matches(&Json::parse(document).unwrap()));
        let mut expected: Vec<_> = matching.map(|(key, _)| format!("f/{key}")).collect();
        expected.sort();
        assert_eq!(
            keys(store, &tenant, Some(&text), 0).await,
            expected,
            "{text}"
        );
    }
}

pub(super) async fn words_of_other_tenants_do_not_show_in_scores(store: &dyn Store) {
    let (one, other) = (tenant("words-one"), tenant("words-other"));
    let words = || RankOrder::Words(Bm25::new().unwrap().query("secret plan").unwrap());
    store
        .put(&one, put("a", "1", r#"{"text":"a secret"}"#, 0))
        .await
        .unwrap();
    store
        .put(&one, put("a", "2", r#"{"text":"a plan, no more"}"#, 0))
        .await
        .unwrap();
    let before = found(store, &one, words(), None, 0).await;
    assert_eq!(before.len(), 2);
    for key in 0..20 {
        store
            .put(
                &other,
                put("a", &key.to_string(), r#"{"text":"secret"}"#, 0),
            )
            .await
            .unwrap();
    }
    assert_eq!(found(store, &one, words(), None, 0).await, before);
    // Nor do those of its own items that have expired.
    store
        .put(
            &one,
            Put {
                ttl: Some(Ttl::from_micros(1)),
                ..put("a", "3", r#"{"text":"secret"}"#, 0)
            },
        )
        .await
        .unwrap();
    assert_eq!(found(store, &one, words(), None, 1).await, before);
}

pub(super) async fn walks_go_in_order_and_on_from_anywhere(store: &dyn Store) {
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

pub(super) async fn meanings_rank_by_the_nearest_one(store: &dyn Store) {
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
