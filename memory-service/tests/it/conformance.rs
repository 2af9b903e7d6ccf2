//! What any store must do: one suite, run against each of them.

use memory_service::{
    domain::{
        Conflict, Document, EmbedderIdentity, Etag, Filter, Indexing, ItemId, Json, Key, Namespace,
        NamespacePrefix, NamespaceQuery, Precondition, Time, Ttl, filter::terms,
    },
    lexical::Bm25,
    rank::Order,
    search::{Search, search},
    store::{
        Put, RankOrder, Store, StoreError, Vectors, WriteError,
        archive::Archive as _,
        edge::{EdgeStore, Settings},
        index::{Each, Index},
        qdrant::{QdrantStore, ReadConsistency},
    },
};
use service_runtime::Tenant;

use crate::{
    conformance_of_reads::{
        meanings_rank_by_the_nearest_one, walks_go_in_order_and_on_from_anywhere,
    },
    qdrant_server::QdrantServer,
    support::START,
};

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

async fn conforms(store: &dyn Store) {
    tenants_see_only_their_own(store).await;
    writes_of_one_item_follow_each_other(store).await;
    expired_items_are_not_there(store).await;
    sweeping_removes_only_what_has_expired(store).await;
    words_of_other_tenants_do_not_show_in_scores(store).await;
    filters_agree_with_the_domain(store).await;
    walks_go_in_order_and_on_from_anywhere(store).await;
    meanings_rank_by_the_nearest_one(store).await;
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

pub(crate) fn tenant(name: &str) -> Tenant {
    Tenant::try_new(name).unwrap()
}

pub(crate) fn at(micros: i64) -> Time {
    Time::from_micros(START + micros)
}

pub(crate) fn id(namespace: &str, key: &str) -> ItemId {
    let labels = namespace.split('.').map(str::to_owned).collect();
    ItemId {
        namespace: Namespace::try_new("namespace", labels).unwrap(),
        key: Key::try_new("key", key.to_owned()).unwrap(),
    }
}

pub(crate) fn put(namespace: &str, key: &str, value: &str, now: i64) -> Put {
    let value = Document::stored(value.to_owned()).unwrap();
    let document = value.parse().unwrap();
    let texts = Indexing::Configured.texts(
        &["$"].map(|path| memory_service::domain::IndexPath::parse(path).unwrap()),
        &document,
    );
    Put {
        id: id(namespace, key),
        terms: terms::of_document(&document),
        vectors: Each::present(Vectors {
            words: Bm25::new().unwrap().document(&texts),
            meanings: Vec::new(),
        }),
        value,
        indexing: Indexing::Configured,
        ttl: None,
        precondition: Precondition::None,
        etag: Etag::fresh(),
        now: at(now),
    }
}

pub(crate) async fn found(
    store: &dyn Store,
    tenant: &Tenant,
    order: RankOrder,
    filter: Option<&str>,
    now: i64,
) -> Vec<(String, f64)> {
    let filter = filter.map(|filter| Filter::parse(&Json::parse(filter).unwrap()).unwrap());
    let query = Search {
        prefix: NamespacePrefix::default(),
        filter,
        order: Order::By(order),
        index: Index::Present,
        half_life: None,
        min_score: None,
        offset: 0,
        limit: 1000,
        now: at(now),
    };
    let hits = search(store, tenant, &query).await.unwrap();
    hits.into_iter()
        .map(|hit| (hit.item.id.to_string(), hit.rank))
        .collect()
}

async fn keys(store: &dyn Store, tenant: &Tenant, filter: Option<&str>, now: i64) -> Vec<String> {
    let found = found(store, tenant, RankOrder::Newest, filter, now).await;
    found.into_iter().map(|(id, _)| id).collect()
}

async fn namespaces(store: &dyn Store, tenant: &Tenant, now: i64) -> Vec<String> {
    let query = NamespaceQuery {
        limit: 100,
        ..NamespaceQuery::default()
    };
    let counts = store.namespaces(tenant, query, at(now)).await.unwrap();
    counts
        .into_iter()
        .map(|count| format!("{}={}", count.labels.join("."), count.items))
        .collect()
}

async fn tenants_see_only_their_own(store: &dyn Store) {
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
    let candidates = memory_service::store::RankQuery {
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

async fn writes_of_one_item_follow_each_other(store: &dyn Store) {
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

pub(crate) fn mortal(key: &str, now: i64, micros: i64) -> Put {
    Put {
        ttl: Some(Ttl::from_micros(micros)),
        ..put("a", key, r#"{"text":"mortal"}"#, now)
    }
}

async fn expired_items_are_not_there(store: &dyn Store) {
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

async fn sweeping_removes_only_what_has_expired(store: &dyn Store) {
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

async fn words_of_other_tenants_do_not_show_in_scores(store: &dyn Store) {
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

async fn filters_agree_with_the_domain(store: &dyn Store) {
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
