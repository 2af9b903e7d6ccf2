//! Each item that is asked for comes to whoever asked, whatever becomes of the others.

use futures::future::join_all;
use qdrant_edge::{Payload, PayloadOps, SetPayloadOp, UpdateOperation};
use serde_json::Map;

use super::*;
use crate::{
    domain::Ttl,
    store::{
        Put, Store as _,
        edge::{EdgeStore, Settings, filter::engine_ids, tests::put},
        point::{VALUE, point_id},
    },
};

async fn store(folder: &std::path::Path) -> EdgeStore {
    let store = EdgeStore::open(folder, Settings::default()).await;
    store.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn items_asked_for_at_once_come_to_whom_they_belong() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path()).await;
    let (tenant, other) = (Tenant::default(), Tenant::try_new("other").unwrap());
    let keys: Vec<_> = (0..100).map(|key| key.to_string()).collect();
    for key in &keys {
        let mortal = Put {
            ttl: (key.len() == 1).then(|| Ttl::from_micros(10)),
            ..put(key)
        };
        store.put(&tenant, mortal).await.unwrap();
    }
    let ids: Vec<_> = keys.iter().map(|key| put(key).id).collect();
    let asked = |tenant, now| {
        let (store, now) = (&store, Time::from_micros(now));
        join_all(ids.iter().map(move |id| store.get(tenant, id, now)))
    };
    let seen = |items: Vec<Result<Option<Item>, StoreError>>| {
        let items = items.into_iter().flat_map(Result::unwrap);
        items.map(|item| item.id).collect::<Vec<_>>()
    };
    let (early, late, others) =
        tokio::join!(asked(&tenant, 10), asked(&tenant, 11), asked(&other, 10));
    assert_eq!(seen(early), ids);
    assert_eq!(seen(late), ids[10..]);
    assert!(seen(others).is_empty());
    store.close().await.unwrap();
    let refused = asked(&tenant, 10).await;
    let closed = |item: &Result<_, _>| matches!(item, Err(StoreError::Unavailable(_)));
    assert!(refused.iter().all(closed));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_item_that_cannot_be_read_keeps_no_other_from_being_read() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path()).await;
    let tenant = Tenant::default();
    let ids = ["broken", "whole"].map(|key| put(key).id);
    for key in ["broken", "whole"] {
        store.put(&tenant, put(key)).await.unwrap();
    }
    let broken = point_id(&tenant, &ids[0]);
    let value = Map::from_iter([(VALUE.to_owned(), 1.into())]);
    let breaks = PayloadOps::SetPayload(SetPayloadOp {
        payload: Payload(value),
        points: Some(engine_ids(&[broken]).collect()),
        filter: None,
        key: None,
    });
    let breaks = UpdateOperation::PayloadOperation(breaks);
    store.shared.update(breaks).unwrap();
    let points = ids.clone().map(|id| point_id(&tenant, &id));
    let (replies, answers): (Vec<_>, Vec<_>) =
        points.map(|_| oneshot::channel()).into_iter().unzip();
    let wanted = points
        .into_iter()
        .zip(replies)
        .map(|(point, reply)| Wanted {
            tenant: tenant.clone(),
            point,
            now: Time::from_micros(1),
            reply,
        });
    read(&store.shared, wanted.collect());
    let answers = join_all(answers).await;
    assert!(matches!(answers[0], Ok(Err(StoreError::Corrupt(_)))));
    assert!(matches!(&answers[1], Ok(Ok(Some(whole))) if whole.id == ids[1]));
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_waits_for_a_reader_that_has_just_ended() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path()).await;
    let tenant = Tenant::default();
    let id = put("k").id;
    store.put(&tenant, put("k")).await.unwrap();
    let callers = (0..8).map(async |_| {
        for _ in 0..500 {
            let item = store.get(&tenant, &id, Time::from_micros(1)).await;
            assert!(item.unwrap().is_some());
        }
    });
    join_all(callers).await;
    store.close().await.unwrap();
}
