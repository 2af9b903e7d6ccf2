//! Row "search, no query": the last updated come first, in stable pages.

use std::time::Duration;

use weft_proto::memory::v1 as pb;

use super::calls::{By, Calls as _};
use crate::support::{Running, put, query, search};

#[tokio::test]
async fn the_last_updated_come_first() {
    for by in By::ALL {
        let mut running = Running::start().await;
        for key in ["c", "a", "b"] {
            by.put(&mut running.client, put("x", key, "{}")).await;
            running.clock.advance(Duration::from_micros(1));
        }
        // Two that are equally old, one of them in an earlier namespace.
        by.put(&mut running.client, put("x.y", "d", "{}")).await;
        let client = &mut running.client;
        by.put(client, put("x", "e", "{}")).await;
        assert_eq!(client.keys(search("x")).await, ["e", "d", "b", "a", "c"]);
        assert_eq!(client.keys(search("x.y")).await, ["d"]);
        // Nothing is ranked, whatever is said of scores.
        let scoreless = pb::SearchItemsRequest {
            min_score: Some(9.0),
            diversity: 0.5,
            ..query("x", "")
        };
        assert_eq!(client.keys(scoreless).await, ["e", "d", "b", "a", "c"]);
        running.clock.advance(Duration::from_micros(1));
        by.put(&mut running.client, put("x", "c", "{}")).await;
        let hits = running.client.hits(search("")).await.unwrap();
        assert_eq!(hits[0].item.as_ref().unwrap().key, "c");
        assert!(hits.iter().all(|hit| hit.score.is_none()));
    }
}

#[tokio::test]
async fn pages_are_those_of_the_whole_list() {
    let mut running = Running::start().await;
    let mut expected = Vec::new();
    for index in 0..40 {
        let key = format!("{index:02}");
        running.client.put(put("x", &key, "{}")).await.unwrap();
        // Some at the same moment, so that there are ties.
        if index % 3 == 0 {
            running.clock.advance(Duration::from_micros(1));
        }
        expected.push((-((index + 2) / 3), key));
    }
    expected.sort();
    let expected: Vec<_> = expected.into_iter().map(|(_, key)| key).collect();
    let mut found = Vec::new();
    for offset in (0..49).step_by(7) {
        let page = pb::SearchItemsRequest {
            offset,
            limit: 7,
            ..search("")
        };
        found.extend(running.client.keys(page).await);
    }
    assert_eq!(found, expected);
}
