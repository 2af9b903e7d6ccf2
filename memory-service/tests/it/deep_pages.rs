//! Few matches among very many items: every page is full, and the last one says that it is.

use futures::{StreamExt as _, TryStreamExt as _, stream};
use memory_service::{
    domain::{
        Document, Etag, Filter, Indexing, Json, NamespacePrefix, Precondition, filter::terms,
    },
    lexical::Bm25,
    list::{ListQuery, list},
    rank::Order,
    room::Room,
    search::{Search, count, search},
    store::{
        Put, RankOrder, Store, Vectors,
        edge::{EdgeStore, Settings},
        index::{Each, Index},
    },
};
use service_runtime::Tenant;

use crate::conformance::any_store::{at, id, tenant};

const ITEMS: usize = 100_000;
const MATCHES: usize = 10;
/// As deep as a page of a query can be, nearly.
const DEEP: usize = 9_000;
/// Puts that wait for the store at once: more than it writes at once.
const AT_ONCE: usize = 512;

/// Every ten-thousandth item is rare. All have the same words, so that all score alike.
fn item(number: usize, bm25: &Bm25) -> Put {
    let rare = number % (ITEMS / MATCHES) == 77;
    let value = Document::stored(format!(r#"{{"n":{number},"rare":{rare}}}"#)).unwrap();
    let document = value.parse().unwrap();
    Put {
        id: id("deep.pages", &format!("{number:06}")),
        terms: terms::of_document(&document),
        vectors: Each::present(Vectors {
            words: bm25.document(&["a common note".to_owned()]),
            meanings: Vec::new(),
        }),
        value,
        indexing: Indexing::Configured,
        ttl: None,
        precondition: Precondition::None,
        etag: Etag::fresh(),
        now: at(number as i64),
    }
}

fn filter(json: &str) -> Filter {
    Filter::parse(&Json::parse(json).unwrap()).unwrap()
}

/// The keys of all pages of three, one after the other.
async fn searched(
    store: &dyn Store,
    tenant: &Tenant,
    order: &RankOrder,
    json: &str,
) -> Vec<String> {
    let mut keys = Vec::new();
    loop {
        let query = Search {
            prefix: NamespacePrefix::default(),
            filter: Some(filter(json)),
            order: Order::By(order.clone()),
            index: Index::Present,
            half_life: None,
            min_score: None,
            offset: keys.len(),
            limit: 3,
            room: Room::default(),
            now: at(0),
        };
        let page = search(store, tenant, &query).await.unwrap();
        keys.extend(page.iter().map(|hit| hit.item.id.key.to_string()));
        if page.len() < 3 {
            return keys;
        }
    }
}

/// The keys of a page of three, deep among items that all score alike.
async fn deep(store: &dyn Store, tenant: &Tenant, order: &RankOrder, json: &str) -> Vec<String> {
    let query = Search {
        prefix: NamespacePrefix::default(),
        filter: Some(filter(json)),
        order: Order::By(order.clone()),
        index: Index::Present,
        half_life: None,
        min_score: None,
        offset: DEEP,
        limit: 3,
        room: Room::default(),
        now: at(0),
    };
    let page = search(store, tenant, &query).await.unwrap();
    let keys = page.iter().map(|hit| hit.item.id.key.to_string());
    keys.collect()
}

async fn listed(store: &dyn Store, tenant: &Tenant, json: &str) -> Vec<String> {
    let (mut keys, mut after) = (Vec::new(), None);
    loop {
        let query = ListQuery {
            prefix: NamespacePrefix::default(),
            filter: Some(filter(json)),
            after,
            limit: 3,
            now: at(0),
        };
        let page = list(store, tenant, query).await.unwrap();
        keys.extend(page.items.iter().map(|item| item.id.key.to_string()));
        if !page.more {
            return keys;
        }
        assert_eq!(page.items.len(), 3);
        after = page.items.last().map(|item| item.id.clone());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn deep_pages_are_right_where_ten_of_a_hundred_thousand_items_match() {
    let folder = tempfile::tempdir().unwrap();
    let store = EdgeStore::open(folder.path(), Settings::default())
        .await
        .unwrap();
    let (tenant, bm25) = (tenant("deep"), Bm25::new().unwrap());
    stream::iter(0..ITEMS)
        .map(|number| store.put(&tenant, item(number, &bm25)))
        .buffer_unordered(AT_ONCE)
        .try_for_each(|_| async { Ok(()) })
        .await
        .unwrap();

    let rare: Vec<_> = (0..MATCHES)
        .map(|match_| format!("{:06}", match_ * (ITEMS / MATCHES) + 77))
        .collect();
    let newest: Vec<_> = rare.iter().rev().cloned().collect();
    let words = RankOrder::Words(bm25.query("notes").unwrap());
    let by_index = r#"{"rare":true}"#;
    let found = searched(&store, &tenant, &RankOrder::Newest, by_index).await;
    assert_eq!(found, newest);
    assert_eq!(searched(&store, &tenant, &words, by_index).await, rare);
    assert_eq!(listed(&store, &tenant, by_index).await, rare);
    assert_eq!(
        deep(&store, &tenant, &words, r#"{"rare":false}"#).await,
        ["009001", "009002", "009003"]
    );
    assert_eq!(
        deep(&store, &tenant, &words, r#"{"$not":{"n":{"$lt":7}}}"#).await,
        ["009007", "009008", "009009"]
    );
    // Only the documents themselves tell what fulfils this one.
    let by_documents = filter(r#"{"$not":{"rare":false}}"#);
    let prefix = NamespacePrefix::default();
    let counted = count(&store, &tenant, &prefix, &by_documents, at(0)).await;
    assert_eq!(counted.unwrap(), MATCHES as u64);
    store.close().await.unwrap();
}
