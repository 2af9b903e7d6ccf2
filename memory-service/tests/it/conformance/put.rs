//! Row "put": a put replaces all of an item but the time it was created at.

use std::time::Duration;

use prost_types::Duration as Span;
use weft_proto::memory::v1 as pb;

use super::calls::{By, Calls as _};
use crate::support::{Running, START, get, put, query, value};

#[tokio::test]
async fn a_put_replaces_everything_and_keeps_create_time() {
    for by in By::ALL {
        let mut running = Running::start().await;
        let full = pb::PutItemRequest {
            ttl: Some(Span {
                seconds: 10,
                nanos: 0,
            }),
            indexing: Some(pb::Indexing {
                disabled: false,
                paths: vec!["old".into()],
            }),
            ..put("a.b", "k", r#"{"old":"pear","new":"plum"}"#)
        };
        let first = by.put(&mut running.client, full).await;
        assert_eq!(first.create_time, first.update_time);
        assert_eq!(first.create_time.unwrap().seconds, START / 1_000_000);
        let expire = first.expire_time.unwrap();
        assert_eq!(
            (first.value, expire.seconds),
            (None, START / 1_000_000 + 10)
        );

        running.clock.advance(Duration::from_micros(7));
        let plain = put("a.b", "k", r#"{"new":"plum"}"#);
        let second = by.put(&mut running.client, plain).await;
        assert_eq!(second.create_time, first.create_time);
        assert_eq!(second.update_time.unwrap().nanos, 7_000);
        assert_ne!(second.etag, first.etag);
        assert_eq!((&second.value, second.expire_time), (&None, None));

        // Also of its words, and beyond its old end.
        running.clock.advance(Duration::from_secs(3600));
        let client = &mut running.client;
        let item = client.get(get("a.b", "k")).await.unwrap();
        assert_eq!(value(&item), r#"{"new":"plum"}"#);
        let said = pb::Item {
            value: item.value.clone(),
            ..second
        };
        assert_eq!(item, said);
        assert!(client.keys(query("", "pear")).await.is_empty());
        assert_eq!(client.keys(query("", "plum")).await, ["k"]);
    }
}
