//! Row "times": microseconds, and the update time of an item grows with every write.

use std::time::Duration;

use tokio::task::JoinSet;
use weft_proto::memory::v1 as pb;

use super::calls::{By, Calls as _};
use crate::support::{Running, START, get, put};

/// Seconds and nanoseconds of the last update since the clock started.
fn updated(item: &pb::Item) -> (i64, i32) {
    let time = item.update_time.unwrap();
    (time.seconds - START / 1_000_000, time.nanos)
}

#[tokio::test]
async fn update_time_grows_when_the_clock_steps_back() {
    for by in By::ALL {
        let mut running = Running::start().await;
        let mut times = Vec::new();
        times.push(updated(
            &by.put(&mut running.client, put("a", "k", "{}")).await,
        ));
        running.clock.step_back(Duration::from_secs(3600));
        let mut running = running.restart().await;
        for _ in 0..2 {
            let item = by.put(&mut running.client, put("a", "k", "{}")).await;
            times.push(updated(&item));
        }
        running.clock.advance(Duration::from_secs(3601));
        let item = by.put(&mut running.client, put("a", "k", "{}")).await;
        times.push(updated(&item));
        assert_eq!(times, [(0, 0), (0, 1_000), (0, 2_000), (1, 0)], "{by:?}");
        let read = running.client.get(get("a", "k")).await.unwrap();
        assert_eq!(
            (updated(&read), read.create_time),
            ((1, 0), item.create_time)
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn update_times_of_racing_writes_all_differ() {
    let mut running = Running::start().await;
    let mut racers = JoinSet::new();
    for racer in 0..64 {
        let mut client = running.client.clone();
        let by = By::ALL[racer % 2];
        racers.spawn(async move { updated(&by.put(&mut client, put("a", "k", "{}")).await) });
    }
    let mut times = racers.join_all().await;
    times.sort_unstable();
    times.dedup();
    assert_eq!(times.len(), 64);
    let client = &mut running.client;
    let listed = client.listed(pb::ListNamespacesRequest::default()).await;
    assert_eq!(listed, ["a=1"]);
}
