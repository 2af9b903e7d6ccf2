//! Row "ttl": items are gone everywhere from the very moment on at which they expire.

use std::time::Duration;

use tonic::Code;
use weft_proto::memory::v1 as pb;

use crate::support::{
    Calls as _, Running, assert_status, etag, exists, get, labels, put, query, search, violations,
};

fn mortal(key: &str, seconds: i64, nanos: i32) -> pb::PutItemRequest {
    let ttl = Some(prost_types::Duration { seconds, nanos });
    pb::PutItemRequest {
        ttl,
        ..put("a.b", key, r#"{"text":"hello","n":1}"#)
    }
}

/// Every way of seeing an item: whether each sees it.
async fn seen(running: &mut Running, key: &str) -> Vec<bool> {
    let client = &mut running.client;
    let filter = Some(crate::support::text(r#"{"n":1}"#));
    let count = pb::CountItemsRequest {
        namespace_prefix: labels("a"),
        filter: None,
    };
    let filtered = pb::CountItemsRequest {
        filter: filter.clone(),
        ..count.clone()
    };
    vec![
        client.get(get("a.b", key)).await.is_ok(),
        !client.keys(search("a")).await.is_empty(),
        !client
            .keys(pb::SearchItemsRequest {
                filter,
                ..search("")
            })
            .await
            .is_empty(),
        !client.keys(query("a.b", "hello")).await.is_empty(),
        !client
            .listed(pb::ListNamespacesRequest::default())
            .await
            .is_empty(),
        client.count_items(count).await.unwrap().into_inner().count > 0,
        client
            .count_items(filtered)
            .await
            .unwrap()
            .into_inner()
            .count
            > 0,
    ]
}

#[tokio::test]
async fn an_item_expires_to_the_millisecond_everywhere_at_once() {
    let mut running = Running::start().await;
    let item = running
        .client
        .put(mortal("k", 1, 500_000_000))
        .await
        .unwrap();
    let expiry = item.expire_time.unwrap();
    let update = item.update_time.unwrap();
    assert_eq!(
        (expiry.seconds, expiry.nanos),
        (update.seconds + 1, 500_000_000)
    );

    running.clock.advance(Duration::from_millis(1_499));
    assert_eq!(seen(&mut running, "k").await, [true; 7]);
    running.clock.advance(Duration::from_millis(1));
    assert_eq!(seen(&mut running, "k").await, [false; 7]);

    let mut running = running.restart().await;
    assert_eq!(seen(&mut running, "k").await, [false; 7]);
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
    let searching = pb::SearchItemsRequest {
        refresh_ttl: Some(true),
        ..search("a")
    };
    let hits = running.client.hits(searching).await.unwrap();
    let expiry = hits[0].item.as_ref().unwrap().expire_time.unwrap();
    assert_eq!(expiry.seconds, item.expire_time.unwrap().seconds + 18);

    let mut running = running.restart().await;
    running.clock.advance(Duration::from_secs(9));
    assert_eq!(seen(&mut running, "k").await, [true; 7]);
    running.clock.advance(Duration::from_secs(1));
    assert_eq!(seen(&mut running, "k").await, [false; 7]);
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
    assert_eq!(seen(&mut running, "k").await, [false; 7]);
}

#[tokio::test]
async fn configured_lifetimes_hold_where_calls_do_not_say() {
    let mut running = Running::start_with(|config| {
        config.default_ttl = Duration::from_secs(10);
        config.refresh_ttl_on_read = true;
    })
    .await;
    let seconds = |item: &pb::Item| item.expire_time.map(|time| time.seconds);
    let by_default = running
        .client
        .put(put("a.b", "default", "{}"))
        .await
        .unwrap();
    assert_eq!(
        seconds(&by_default),
        Some(by_default.update_time.unwrap().seconds + 10)
    );
    let own = running.client.put(mortal("own", 20, 0)).await.unwrap();
    assert_eq!(seconds(&own), Some(own.update_time.unwrap().seconds + 20));
    let forever = running.client.put(mortal("forever", 0, 0)).await.unwrap();
    assert_eq!(seconds(&forever), None);

    running.clock.advance(Duration::from_secs(5));
    let refreshed = running.client.get(get("a.b", "default")).await.unwrap();
    assert_eq!(
        seconds(&refreshed),
        seconds(&by_default).map(|seconds| seconds + 5)
    );
    let left_alone = pb::GetItemRequest {
        refresh_ttl: Some(false),
        ..get("a.b", "own")
    };
    assert_eq!(
        seconds(&running.client.get(left_alone).await.unwrap()),
        seconds(&own)
    );
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
        let ttl = Some(prost_types::Duration { seconds, nanos });
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

#[tokio::test]
async fn a_put_without_a_lifetime_ends_the_old_one() {
    let mut running = Running::start().await;
    running.client.put(mortal("k", 10, 0)).await.unwrap();
    running
        .client
        .put(put("a.b", "k", r#"{"text":"hello","n":1}"#))
        .await
        .unwrap();
    running.clock.advance(Duration::from_secs(3600));
    assert_eq!(seen(&mut running, "k").await, [true; 7]);
}
