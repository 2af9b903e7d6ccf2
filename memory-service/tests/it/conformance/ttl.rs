//! Row "ttl": items are gone everywhere from the very moment on at which they expire.

use std::time::Duration;

use prost_types::Duration as Span;
use tonic::Code;
use weft_proto::memory::v1 as pb;

use super::{
    calls::{By, Calls as _},
    list_items::{list, walk},
};
use crate::support::{
    Running, assert_status, etag, exists, get, labels, put, query, search, text, violations,
};

fn mortal(key: &str, seconds: i64, nanos: i32) -> pb::PutItemRequest {
    pb::PutItemRequest {
        ttl: Some(Span { seconds, nanos }),
        ..put("a.b", key, r#"{"text":"hello","n":1}"#)
    }
}

/// Every way of seeing an item: whether each sees it.
async fn seen(running: &mut Running, key: &str) -> Vec<bool> {
    let client = &mut running.client;
    let filter = Some(text(r#"{"n":1}"#));
    let filtered_search = pb::SearchItemsRequest {
        filter: filter.clone(),
        ..search("")
    };
    let filtered_list = pb::ListItemsRequest {
        filter: filter.clone(),
        ..list("a", 1)
    };
    let count = pb::CountItemsRequest {
        namespace_prefix: labels("a"),
        filter: None,
    };
    let filtered_count = pb::CountItemsRequest {
        filter,
        ..count.clone()
    };
    let namespaces = pb::ListNamespacesRequest::default();
    vec![
        client.get(get("a.b", key)).await.is_ok(),
        !client.keys(search("a")).await.is_empty(),
        !client.keys(filtered_search).await.is_empty(),
        !client.keys(query("a.b", "hello")).await.is_empty(),
        !walk(client, &list("a", 1)).await.concat().is_empty(),
        !walk(client, &filtered_list).await.concat().is_empty(),
        !client.listed(namespaces).await.is_empty(),
        client.count(count).await.unwrap() > 0,
        client.count(filtered_count).await.unwrap() > 0,
    ]
}

const SEEN: [bool; 9] = [true; 9];
const UNSEEN: [bool; 9] = [false; 9];

#[tokio::test]
async fn an_item_expires_to_the_millisecond_everywhere_at_once() {
    for by in By::ALL {
        let mut running = Running::start().await;
        let item = by.put(&mut running.client, mortal("k", 1, 500_000_000));
        let item = item.await;
        let expiry = item.expire_time.unwrap();
        let update = item.update_time.unwrap();
        assert_eq!(
            (expiry.seconds, expiry.nanos),
            (update.seconds + 1, 500_000_000)
        );

        running.clock.advance(Duration::from_millis(1_499));
        assert_eq!(seen(&mut running, "k").await, SEEN);
        running.clock.advance(Duration::from_millis(1));
        assert_eq!(seen(&mut running, "k").await, UNSEEN);

        let mut running = running.restart().await;
        assert_eq!(seen(&mut running, "k").await, UNSEEN);
        let deletion = pb::DeleteNamespaceRequest {
            namespace_prefix: labels("a"),
        };
        let deleted = running.client.delete_namespace(deletion).await.unwrap();
        assert_eq!(deleted.into_inner().deleted_count, 0);
    }
}

#[tokio::test]
async fn for_writes_an_expired_item_does_not_exist() {
    let mut running = Running::start().await;
    let old = running.client.put(mortal("k", 1, 0)).await.unwrap();
    running.clock.advance(Duration::from_secs(1));
    let put_if = |precondition| pb::PutItemRequest {
        precondition,
        ..put("a.b", "k", "{}")
    };
    let error = running.client.put(put_if(exists(true))).await.unwrap_err();
    assert_status(&error, Code::NotFound, "ITEM_NOT_FOUND");
    let error = running
        .client
        .put(put_if(etag(&old.etag)))
        .await
        .unwrap_err();
    assert_status(&error, Code::Aborted, "ETAG_MISMATCH");
    let new = running.client.put(put_if(exists(false))).await.unwrap();
    assert_eq!(new.create_time, new.update_time);
    assert_ne!(new.create_time, old.create_time);
    assert_eq!(new.expire_time, None);
}

#[tokio::test]
async fn a_read_restarts_the_lifetime_if_it_is_asked_to() {
    let mut running = Running::start().await;
    let item = running.client.put(mortal("k", 10, 0)).await.unwrap();
    let refreshing = |refresh_ttl| pb::GetItemRequest {
        refresh_ttl,
        ..get("a.b", "k")
    };

    running.clock.advance(Duration::from_secs(9));
    let read = running.client.get(refreshing(None)).await.unwrap();
    assert_eq!(read.expire_time, item.expire_time);
    let read = running.client.get(refreshing(Some(true))).await.unwrap();
    assert_eq!(
        read.expire_time.unwrap().seconds,
        item.expire_time.unwrap().seconds + 9
    );
    assert_eq!((read.etag, read.update_time), (item.etag, item.update_time));

    running.clock.advance(Duration::from_secs(9));
    let searching = |refresh_ttl| pb::SearchItemsRequest {
        refresh_ttl,
        ..search("a")
    };
    for (refresh_ttl, later) in [(None, 9), (Some(false), 9), (Some(true), 18), (None, 18)] {
        let hits = running.client.hits(searching(refresh_ttl)).await.unwrap();
        let expiry = hits[0].item.as_ref().unwrap().expire_time.unwrap();
        assert_eq!(expiry.seconds, item.expire_time.unwrap().seconds + later);
    }

    let mut running = running.restart().await;
    running.clock.advance(Duration::from_secs(9));
    assert_eq!(seen(&mut running, "k").await, SEEN);
    running.clock.advance(Duration::from_secs(1));
    assert_eq!(seen(&mut running, "k").await, UNSEEN);
}

#[tokio::test]
async fn a_refresh_does_not_raise_the_dead() {
    let mut running = Running::start().await;
    running.client.put(mortal("k", 10, 0)).await.unwrap();
    running.clock.advance(Duration::from_secs(10));
    let refreshing = pb::GetItemRequest {
        refresh_ttl: Some(true),
        ..get("a.b", "k")
    };
    assert!(running.client.get(refreshing).await.is_err());
    assert_eq!(seen(&mut running, "k").await, UNSEEN);
}

#[tokio::test]
async fn a_search_restarts_the_lifetimes_of_what_it_returns_only() {
    let mut running = Running::start().await;
    for key in ["1", "2", "3"] {
        let put = mortal(key, 10, 0);
        running.client.put(put).await.unwrap();
    }
    running.clock.advance(Duration::from_secs(9));
    let second = pb::SearchItemsRequest {
        refresh_ttl: Some(true),
        offset: 1,
        limit: 1,
        ..query("a", "hello")
    };
    assert_eq!(running.client.keys(second).await, ["2"]);
    running.clock.advance(Duration::from_secs(1));
    assert_eq!(running.client.keys(search("a")).await, ["2"]);
}

#[tokio::test]
async fn configured_lifetimes_hold_where_calls_do_not_say() {
    for by in By::ALL {
        let mut running = Running::start_with(|config| {
            config.default_ttl = Duration::from_secs(10);
            config.refresh_ttl_on_read = true;
        })
        .await;
        let client = &mut running.client;
        let left = |item: &pb::Item| {
            let update = item.update_time.unwrap().seconds;
            item.expire_time.map(|time| time.seconds - update)
        };
        let by_default = by.put(client, put("a.b", "default", "{}")).await;
        assert_eq!(left(&by_default), Some(10));
        assert_eq!(left(&by.put(client, mortal("own", 20, 0)).await), Some(20));
        assert_eq!(left(&by.put(client, mortal("ever", 0, 0)).await), None);

        running.clock.advance(Duration::from_secs(5));
        let client = &mut running.client;
        let alone = pb::GetItemRequest {
            refresh_ttl: Some(false),
            ..get("a.b", "default")
        };
        assert_eq!(left(&client.get(alone).await.unwrap()), Some(10));
        // Neither does a listing restart anything.
        walk(client, &list("a", 1)).await;
        let refreshed = client.get(get("a.b", "default")).await.unwrap();
        assert_eq!(left(&refreshed), Some(15));
        let own = |hits: Vec<pb::SearchHit>| {
            let items = hits.into_iter().map(|hit| hit.item.unwrap());
            let mut own = items.filter(|item| item.key == "own");
            left(&own.next().unwrap())
        };
        let alone = pb::SearchItemsRequest {
            refresh_ttl: Some(false),
            ..search("a")
        };
        assert_eq!(own(client.hits(alone).await.unwrap()), Some(20));
        assert_eq!(own(client.hits(search("a")).await.unwrap()), Some(25));
        let ever = client.get(get("a.b", "ever")).await.unwrap();
        assert_eq!(ever.expire_time, None);
    }
}

#[tokio::test]
async fn lifetimes_are_at_least_zero_and_at_most_100_years() {
    let mut running = Running::start().await;
    let client = &mut running.client;
    for (seconds, nanos) in [
        (-1, 0),
        (0, -1),
        (1, 1_000_000_000),
        (i64::MAX, 0),
        (3_155_760_001, 0),
    ] {
        let ttl = Some(Span { seconds, nanos });
        let error = client
            .put(pb::PutItemRequest {
                ttl,
                ..put("a", "k", "{}")
            })
            .await
            .unwrap_err();
        assert!(violations(&error)[0].starts_with("ttl: must"), "{seconds}");
    }
}
