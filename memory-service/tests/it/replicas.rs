//! Several services on one Qdrant collection are as correct as one: nothing but the collection
//! connects them.

use std::sync::Arc;

use tokio::task::JoinSet;
use tonic::Code;
use weft_proto::memory::v1 as pb;

use crate::{
    qdrant_server::QdrantServer,
    support::{Calls as _, Running, delete, etag, exists, get, put, search, value},
};

async fn two() -> (Arc<QdrantServer>, [Running; 2]) {
    let server = Arc::new(QdrantServer::start());
    let replicas = [
        Running::replica(&server).await,
        Running::replica(&server).await,
    ];
    (server, replicas)
}

#[tokio::test(flavor = "multi_thread")]
async fn of_100_creators_that_race_through_two_replicas_exactly_one_wins() {
    let (_server, mut replicas) = two().await;
    let mut racers = JoinSet::new();
    for racer in 0..100 {
        let mut client = replicas[racer % 2].client.clone();
        racers.spawn(async move {
            let value = format!(r#"{{"racer":{racer}}}"#);
            let request = pb::PutItemRequest {
                precondition: exists(false),
                ..put("a", "k", &value)
            };
            let item = client.put(request).await;
            item.map(|item| (value, item.etag))
                .map_err(|error| error.code())
        });
    }
    let (winners, losers): (Vec<_>, Vec<_>) =
        racers.join_all().await.into_iter().partition(Result::is_ok);
    assert_eq!(winners.len(), 1);
    assert!(
        losers
            .iter()
            .all(|loser| *loser == Err(Code::AlreadyExists))
    );
    for replica in &mut replicas {
        let item = replica.client.get(get("a", "k")).await.unwrap();
        assert_eq!(winners[0], Ok((value(&item).to_owned(), item.etag.clone())));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn increments_that_race_through_two_replicas_lose_nothing() {
    const RACERS: usize = 16;
    const INCREMENTS: usize = 4;
    let (_server, mut replicas) = two().await;
    let counter = put("a", "counter", r#"{"n":0}"#);
    let created = replicas[0].client.put(counter).await.unwrap();
    let mut racers = JoinSet::new();
    for racer in 0..RACERS {
        let mut client = replicas[racer % 2].client.clone();
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
                    Err(error) => assert_eq!(error.code(), Code::Aborted, "{error:?}"),
                }
            }
        });
    }
    racers.join_all().await;
    let item = replicas[1].client.get(get("a", "counter")).await.unwrap();
    assert_eq!(value(&item), format!(r#"{{"n":{}}}"#, RACERS * INCREMENTS));
    assert_eq!(item.create_time, created.create_time);
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_without_conditions_that_race_all_happen_one_after_the_other() {
    let (_server, mut replicas) = two().await;
    let mut racers = JoinSet::new();
    for racer in 0..64 {
        let mut client = replicas[racer % 2].client.clone();
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
    let listed = replicas[0]
        .client
        .listed(pb::ListNamespacesRequest::default());
    assert_eq!(listed.await, ["a=1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_deletes_that_race_with_one_etag_exactly_one_happens() {
    let (_server, mut replicas) = two().await;
    for round in 0..5 {
        let created = replicas[round % 2]
            .client
            .put(put("a", "k", "{}"))
            .await
            .unwrap();
        let mut racers = JoinSet::new();
        for racer in 0..16 {
            let mut client = replicas[racer % 2].client.clone();
            let request = pb::DeleteItemRequest {
                precondition: etag(&created.etag),
                ..delete("a", "k")
            };
            racers.spawn(async move { client.delete_item(request).await.map_err(|e| e.code()) });
        }
        let outcomes = racers.join_all().await;
        let happened = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
        assert_eq!(happened, 1, "{outcomes:?}");
        let found = replicas[0].client.get(get("a", "k")).await.unwrap_err();
        assert_eq!(found.code(), Code::NotFound);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_item_is_counted_by_one_of_those_who_remove_its_namespace() {
    let (_server, replicas) = two().await;
    let mut client = replicas[0].client.clone();
    for key in 0..40 {
        client
            .put(put("a.b", &key.to_string(), "{}"))
            .await
            .unwrap();
    }
    let mut removers = JoinSet::new();
    for remover in 0..4 {
        let mut client = replicas[remover % 2].client.clone();
        removers.spawn(async move {
            let request = pb::DeleteNamespaceRequest {
                namespace_prefix: vec!["a".into()],
            };
            let removed = client.delete_namespace(request).await.unwrap();
            removed.into_inner().deleted_count
        });
    }
    assert_eq!(removers.join_all().await.iter().sum::<i64>(), 40);
    assert!(client.keys(search("")).await.is_empty());
    assert!(
        client
            .listed(pb::ListNamespacesRequest::default())
            .await
            .is_empty()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_replica_acknowledged_the_other_sees_at_once() {
    let (_server, [mut one, mut other]) = two().await;
    for round in 0..10 {
        let key = round.to_string();
        let item = one
            .client
            .put(put(&format!("n.{round}"), &key, "{}"))
            .await
            .unwrap();
        let seen = other
            .client
            .get(get(&format!("n.{round}"), &key))
            .await
            .unwrap();
        assert_eq!(seen.etag, item.etag);
        assert_eq!(other.client.keys(search("n")).await.len(), round + 1);
        let listed = other
            .client
            .listed(pb::ListNamespacesRequest::default())
            .await;
        assert_eq!(listed.len(), round + 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_namespaces_are_counted_as_exactly_as_few() {
    let (_server, [mut one, mut other]) = two().await;
    let mut expected = Vec::new();
    for namespace in 100..200 {
        let items = 1 + namespace % 3;
        for key in 0..items {
            let put = put(&format!("n.{namespace}"), &key.to_string(), "{}");
            one.client.put(put).await.unwrap();
        }
        expected.push(format!("n.{namespace}={items}"));
    }
    one.client.delete_item(delete("n.102", "0")).await.unwrap();
    expected.remove(2);
    let all = pb::ListNamespacesRequest {
        limit: 1000,
        ..Default::default()
    };
    assert_eq!(other.client.listed(all).await, expected);
}
