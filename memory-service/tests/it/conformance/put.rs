//! Row "put": a put replaces all of an item but the time it was created at.

use std::time::Duration;

use crate::support::{Calls as _, Running, START, get, put, value};

#[tokio::test]
async fn a_put_replaces_the_value_and_keeps_create_time() {
    let mut running = Running::start().await;
    let first = running
        .client
        .put(put("a.b", "k", r#"{"v":1}"#))
        .await
        .unwrap();
    assert_eq!(first.create_time, first.update_time);
    assert_eq!(first.create_time.unwrap().seconds, START / 1_000_000);
    assert_eq!((first.value, first.expire_time), (None, None));

    running.clock.advance(Duration::from_micros(7));
    let second = running
        .client
        .put(put("a.b", "k", r#"{"v":2}"#))
        .await
        .unwrap();
    assert_eq!(second.create_time, first.create_time);
    assert_eq!(second.update_time.unwrap().nanos, 7_000);
    assert_ne!(second.etag, first.etag);

    let item = running.client.get(get("a.b", "k")).await.unwrap();
    assert_eq!((value(&item), &item.etag), (r#"{"v":2}"#, &second.etag));
    assert_eq!(
        (item.namespace.join("."), item.key.as_str()),
        ("a.b".into(), "k")
    );
}
