//! Row "search, no query": the last updated come first.

use std::time::Duration;

use crate::support::{Calls as _, Running, put, search};

#[tokio::test]
async fn without_a_query_the_last_updated_come_first() {
    let mut running = Running::start().await;
    for key in ["c", "a", "b"] {
        running.client.put(put("x", key, "{}")).await.unwrap();
        running.clock.advance(Duration::from_micros(1));
    }
    // Two that are equally old, one of them in an earlier namespace.
    running.client.put(put("x.y", "d", "{}")).await.unwrap();
    running.client.put(put("x", "e", "{}")).await.unwrap();
    assert_eq!(
        running.client.keys(search("x")).await,
        ["e", "d", "b", "a", "c"]
    );
    assert_eq!(running.client.keys(search("x.y")).await, ["d"]);
    running.clock.advance(Duration::from_micros(1));
    running.client.put(put("x", "c", "{}")).await.unwrap();
    let hits = running.client.hits(search("")).await.unwrap();
    assert_eq!(hits[0].item.as_ref().unwrap().key, "c");
    assert!(hits.iter().all(|hit| hit.score.is_none()));
}
