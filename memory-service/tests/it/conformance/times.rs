//! Row "times": the update time of an item grows with every write.

use std::time::Duration;

use tokio::task::JoinSet;
use weft_proto::memory::v1 as pb;

use crate::support::{Calls as _, Running, START, put};

#[tokio::test]
async fn update_time_grows_when_the_clock_steps_back() {
    let mut running = Running::start().await;
    let first = running.client.put(put("a", "k", "{}")).await.unwrap();
    running.clock.step_back(Duration::from_secs(3600));
    let mut running = running.restart().await;
    let second = running.client.put(put("a", "k", "{}")).await.unwrap();
    let third = running.client.put(put("a", "k", "{}")).await.unwrap();
    let nanos = |item: &pb::Item| {
        let time = item.update_time.unwrap();
        (time.seconds - START / 1_000_000, time.nanos)
    };
    assert_eq!(
        [nanos(&first), nanos(&second), nanos(&third)],
        [(0, 0), (0, 1_000), (0, 2_000)]
    );
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
