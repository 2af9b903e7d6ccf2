//! Scores that age.

use std::time::Duration;

use weft_proto::memory::v1 as pb;

use crate::support::{Calls as _, Client, Running, put, query, search};

fn aged(words: &str, half_life: i64) -> pb::SearchItemsRequest {
    let seconds = half_life;
    pb::SearchItemsRequest {
        recency_half_life: Some(prost_types::Duration { seconds, nanos: 0 }),
        ..query("", words)
    }
}

async fn scores(client: &mut Client, request: pb::SearchItemsRequest) -> Vec<(String, f64)> {
    let hits = client.hits(request).await.unwrap();
    let scored = |hit: pb::SearchHit| (hit.item.unwrap().key, hit.score.unwrap());
    hits.into_iter().map(scored).collect()
}

#[tokio::test]
async fn a_score_is_halved_for_every_half_life_since_the_last_update() {
    let mut running = Running::start().await;
    let client = &mut running.client;
    client
        .put(put("a", "best", r#"{"text":"tea, tea and tea"}"#))
        .await
        .unwrap();
    running.clock.advance(Duration::from_secs(200));
    client
        .put(put("a", "new", r#"{"text":"tea with much milk"}"#))
        .await
        .unwrap();
    running.clock.advance(Duration::from_secs(100));

    let plain = scores(client, query("", "tea")).await;
    let aged_scores = scores(client, aged("tea", 100)).await;
    assert_eq!([&plain[0].0, &plain[1].0], ["best", "new"]);
    let expected = [
        ("new".to_owned(), plain[1].1 / 2.0),
        ("best".to_owned(), plain[0].1 / 8.0),
    ];
    assert_eq!(aged_scores, expected);

    // A floor is one of aged scores, and an update makes an item new again.
    let floored = pb::SearchItemsRequest {
        min_score: Some(aged_scores[0].1),
        ..aged("tea", 100)
    };
    assert_eq!(client.keys(floored).await, ["new"]);
    client
        .put(put("a", "best", r#"{"text":"tea, tea and tea"}"#))
        .await
        .unwrap();
    assert_eq!(scores(client, aged("tea", 100)).await[0], plain[0]);
    // Without a query there is nothing to age.
    let unranked = pb::SearchItemsRequest {
        query: String::new(),
        ..aged("", 100)
    };
    assert_eq!(client.keys(unranked).await, client.keys(search("")).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_aged_scores_are_those_of_the_whole_list() {
    let mut running = Running::start().await;
    for index in 0..300 {
        // The older an item, the more often it has the word: ages turn the order around.
        let text = "tea ".repeat(1 + (300 - index) / 30) + "and milk";
        let value = format!(r#"{{"text":"{text}"}}"#);
        let request = put("a", &format!("{index:03}"), &value);
        running.client.put(request).await.unwrap();
        // Some are written at the same moment, so that there are ties.
        if index % 3 == 0 {
            running.clock.advance(Duration::from_secs(60));
        }
    }
    let client = &mut running.client;
    let all = pb::SearchItemsRequest {
        limit: 1000,
        ..query("", "tea")
    };
    let now = 100.0 * 60.0;
    let mut expected: Vec<_> = scores(client, all).await;
    for (key, score) in &mut expected {
        let index: u32 = key.parse().unwrap();
        let written = f64::from(index.div_ceil(3)) * 60.0;
        *score *= (-(now - written) / 600.0).exp2();
    }
    expected.sort_by(|(one, score), (other, more)| more.total_cmp(score).then(one.cmp(other)));
    let expected: Vec<_> = expected.into_iter().map(|(key, _)| key).collect();
    let mut found = Vec::new();
    for page in 0..43 {
        let request = pb::SearchItemsRequest {
            limit: 7,
            offset: page * 7,
            ..aged("tea", 600)
        };
        found.extend(client.keys(request).await);
    }
    assert_eq!(found, expected);
}
