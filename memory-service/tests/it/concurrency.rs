//! Writers that race each other lose nothing.

use tokio::task::JoinSet;
use tonic::Code;
use weft_proto::memory::v1 as pb;

use crate::support::{Calls as _, Running, etag, exists, get, put, value};

#[tokio::test(flavor = "multi_thread")]
async fn of_100_racing_creators_exactly_one_wins() {
    let mut running = Running::start().await;
    let mut racers = JoinSet::new();
    for racer in 0..100 {
        let mut client = running.client.clone();
        racers.spawn(async move {
            let value = format!(r#"{{"racer":{racer}}}"#);
            let request = pb::PutItemRequest {
                precondition: exists(false),
                ..put("a", "k", &value)
            };
            client
                .put(request)
                .await
                .map(|item| (value, item.etag))
                .map_err(|error| error.code())
        });
    }
    let outcomes = racers.join_all().await;
    let winners: Vec<_> = outcomes
        .iter()
        .filter_map(|outcome| outcome.as_ref().ok())
        .collect();
    assert_eq!(winners.len(), 1);
    assert!(
        outcomes
            .iter()
            .all(|outcome| !matches!(outcome, Err(code) if *code != Code::AlreadyExists))
    );
    let item = running.client.get(get("a", "k")).await.unwrap();
    assert_eq!(
        (value(&item), &item.etag),
        (winners[0].0.as_str(), &winners[0].1)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn racing_increments_with_etags_lose_nothing() {
    const RACERS: usize = 32;
    const INCREMENTS: usize = 5;
    let mut running = Running::start().await;
    let created = running
        .client
        .put(put("a", "counter", r#"{"n":0}"#))
        .await
        .unwrap();
    let mut racers = JoinSet::new();
    for _ in 0..RACERS {
        let mut client = running.client.clone();
        racers.spawn(async move {
            let mut done = 0;
            while done < INCREMENTS {
                let item = client.get(get("a", "counter")).await.unwrap();
                let count: usize = value(&item)[5..value(&item).len() - 1].parse().unwrap();
                let next = put("a", "counter", &format!(r#"{{"n":{}}}"#, count + 1));
                let request = pb::PutItemRequest {
                    precondition: etag(&item.etag),
                    ..next
                };
                match client.put(request).await {
                    Ok(_) => done += 1,
                    Err(error) => assert_eq!(error.code(), Code::Aborted),
                }
            }
        });
    }
    racers.join_all().await;
    let item = running.client.get(get("a", "counter")).await.unwrap();
    assert_eq!(value(&item), format!(r#"{{"n":{}}}"#, RACERS * INCREMENTS));
    assert_eq!(item.create_time, created.create_time);
}

#[tokio::test(flavor = "multi_thread")]
async fn update_times_of_racing_writes_all_differ() {
    let mut running = Running::start().await;
    let mut racers = JoinSet::new();
    for _ in 0..64 {
        let mut client = running.client.clone();
        racers.spawn(async move {
            let item = client.put(put("a", "k", "{}")).await.unwrap();
            let time = item.update_time.unwrap();
            (time.seconds, time.nanos)
        });
    }
    let mut times = racers.join_all().await;
    times.sort_unstable();
    times.dedup();
    assert_eq!(times.len(), 64);
    let listed = running
        .client
        .listed(pb::ListNamespacesRequest::default())
        .await;
    assert_eq!(listed, ["a=1"]);
}
