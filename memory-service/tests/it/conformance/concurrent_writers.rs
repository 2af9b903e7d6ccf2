//! Writers of every kind that race each other lose nothing.

use tokio::task::JoinSet;
use tonic::Code;
use weft_proto::memory::v1::{self as pb, batch_operation::Operation};

use crate::support::{Calls as _, Client, Running, delete, etag, get, labels, put, value};

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
                let next = put("a", "counter", &format!(r#"{{"n":{}}}"#, number(&item) + 1));
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
async fn writers_of_every_kind_race_and_no_acknowledged_write_is_lost() {
    const WRITERS: usize = 32;
    const ROUNDS: usize = 12;
    const KEYS: usize = 4;
    let mut running = Running::start().await;
    for key in 0..KEYS {
        let created = put("race.shared", &key.to_string(), r#"{"n":0}"#);
        running.client.put(created).await.unwrap();
    }
    let first = running.client.get(get("race.shared", "0")).await.unwrap();
    let mut racers = JoinSet::new();
    for writer in 0..WRITERS {
        racers.spawn(race(running.client.clone(), writer, ROUNDS, KEYS));
    }
    let increments: usize = racers.join_all().await.into_iter().sum();

    let mut total = 0;
    for key in 0..KEYS {
        let item = running
            .client
            .get(get("race.shared", &key.to_string()))
            .await
            .unwrap();
        total += number(&item);
        if key == 0 {
            assert_eq!(item.create_time, first.create_time);
        }
    }
    // Every increment that was acknowledged counts, and none counts twice.
    assert_eq!(total, increments);
    for writer in 0..WRITERS {
        let item = running
            .client
            .get(get(&format!("race.own.{writer}"), "k"))
            .await
            .unwrap();
        assert_eq!(number(&item), ROUNDS - 1);
    }
    let listed = running.client.listed(pb::ListNamespacesRequest {
        prefix: labels("race"),
        max_depth: Some(2),
        ..Default::default()
    });
    let expected = [format!("race.own={WRITERS}"), format!("race.shared={KEYS}")];
    assert_eq!(listed.await, expected);
}

/// Writes by all RPCs that write, other writers being at the same items; how many increments of
/// the shared ones were acknowledged.
async fn race(mut client: Client, writer: usize, rounds: usize, keys: usize) -> usize {
    let own = format!("race.own.{writer}");
    let mut increments = 0;
    for round in 0..rounds {
        let key = ((writer + round) % keys).to_string();
        increments += usize::from(increment(&mut client, &key).await);
        let mortal = pb::PutItemRequest {
            ttl: Some(prost_types::Duration {
                seconds: 60,
                nanos: 0,
            }),
            ..put(&own, "mortal", "{}")
        };
        let batch = [
            Operation::Put(put(&own, "k", &format!(r#"{{"n":{round}}}"#))),
            Operation::Put(put(&format!("{own}.deep"), "x", "{}")),
            Operation::Put(mortal),
        ];
        let operations = batch.map(|operation| pb::BatchOperation {
            operation: Some(operation),
        });
        let operations = operations.into();
        client.batch(pb::BatchRequest { operations }).await.unwrap();
        let refreshing = pb::GetItemRequest {
            refresh_ttl: Some(true),
            ..get(&own, "mortal")
        };
        client.get(refreshing).await.unwrap();
        client.delete_item(delete(&own, "mortal")).await.unwrap();
        let deep = pb::DeleteNamespaceRequest {
            namespace_prefix: labels(&format!("{own}.deep")),
        };
        let deleted = client.delete_namespace(deep).await.unwrap().into_inner();
        assert_eq!(deleted.deleted_count, 1);
    }
    increments
}

/// Adds one to a shared item, if nobody else wrote it meanwhile.
async fn increment(client: &mut Client, key: &str) -> bool {
    let item = client.get(get("race.shared", key)).await.unwrap();
    let next = format!(r#"{{"n":{}}}"#, number(&item) + 1);
    let request = pb::PutItemRequest {
        precondition: etag(&item.etag),
        ..put("race.shared", key, &next)
    };
    match client.put(request).await {
        Ok(_) => true,
        Err(status) => {
            assert_eq!(status.code(), Code::Aborted);
            false
        }
    }
}

fn number(item: &pb::Item) -> usize {
    let text = value(item);
    text[5..text.len() - 1].parse().unwrap()
}
