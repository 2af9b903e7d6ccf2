//! What any store must do, whichever service is built on it: `conforms` takes any [`Store`].
//!
//! # Layout
//! - `writes`: tenants, and writes that follow each other
//! - `expiry`: what has expired, and what is swept
//! - `reads`: filters, words, meanings, and walks in order of names

mod expiry;
mod reads;
mod writes;

use memory_service::{
    domain::{
        Document, Etag, Filter, Indexing, ItemId, Json, Key, Namespace, NamespacePrefix,
        NamespaceQuery, Precondition, Time, Ttl, filter::terms,
    },
    lexical::Bm25,
    rank::Order,
    room::Room,
    search::{Search, search},
    store::{
        Put, RankOrder, Store, Vectors,
        index::{Each, Index},
    },
};
use service_runtime::Tenant;

use crate::support::START;

/// Whether a store that was opened for vectors of two numbers does what any store must do.
pub(super) async fn conforms(store: &dyn Store) {
    writes::tenants_see_only_their_own(store).await;
    writes::writes_of_one_item_follow_each_other(store).await;
    expiry::expired_items_are_not_there(store).await;
    expiry::sweeping_removes_only_what_has_expired(store).await;
    reads::words_of_other_tenants_do_not_show_in_scores(store).await;
    reads::filters_agree_with_the_domain(store).await;
    reads::walks_go_in_order_and_on_from_anywhere(store).await;
    reads::meanings_rank_by_the_nearest_one(store).await;
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

pub(crate) fn mortal(key: &str, now: i64, micros: i64) -> Put {
    Put {
        ttl: Some(Ttl::from_micros(micros)),
        ..put("a", key, r#"{"text":"mortal"}"#, now)
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
        room: Room::default(),
        now: at(now),
    };
    let hits = search(store, tenant, &query).await.unwrap();
    hits.into_iter()
        .map(|hit| (hit.item.id.to_string(), hit.rank))
        .collect()
}

pub(crate) async fn keys(
    store: &dyn Store,
    tenant: &Tenant,
    filter: Option<&str>,
    now: i64,
) -> Vec<String> {
    let found = found(store, tenant, RankOrder::Newest, filter, now).await;
    found.into_iter().map(|(id, _)| id).collect()
}

pub(crate) async fn namespaces(store: &dyn Store, tenant: &Tenant, now: i64) -> Vec<String> {
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
