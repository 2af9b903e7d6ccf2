//! Row "precondition": a write happens if its condition holds, whoever else writes.

use tokio::task::JoinSet;
use tonic::Code;
use weft_proto::memory::v1::{self as pb, batch_operation::Operation};

use super::calls::batched;
use crate::support::{
    Calls as _, Running, assert_status, delete, etag, exists, get, put, value, violations,
};

#[tokio::test]
async fn preconditions_decide_whether_a_write_happens() {
    let mut running = Running::start().await;
    let client = &mut running.client;
    let put_if = |precondition| pb::PutItemRequest {
        precondition,
        ..put("a", "k", "{}")
    };
    let delete_if = |precondition| pb::DeleteItemRequest {
        precondition,
        ..delete("a", "k")
    };

    let error = client.put(put_if(exists(true))).await.unwrap_err();
    assert_status(&error, Code::NotFound, "ITEM_NOT_FOUND");
    let error = client.put(put_if(etag("x"))).await.unwrap_err();
    assert_status(&error, Code::Aborted, "ETAG_MISMATCH");
    let error = client
        .delete_item(delete_if(exists(true)))
        .await
        .unwrap_err();
    assert_status(&error, Code::NotFound, "ITEM_NOT_FOUND");
    client.delete_item(delete_if(exists(false))).await.unwrap();

    let first = client.put(put_if(exists(false))).await.unwrap();
    let error = client.put(put_if(exists(false))).await.unwrap_err();
    assert_status(&error, Code::AlreadyExists, "ITEM_EXISTS");
    let error = client
        .delete_item(delete_if(exists(false)))
        .await
        .unwrap_err();
    assert_status(&error, Code::AlreadyExists, "ITEM_EXISTS");

    let second = client.put(put_if(etag(&first.etag))).await.unwrap();
    let error = client.put(put_if(etag(&first.etag))).await.unwrap_err();
    assert_status(&error, Code::Aborted, "ETAG_MISMATCH");
    let error = client
        .delete_item(delete_if(etag(&first.etag)))
        .await
        .unwrap_err();
    assert_status(&error, Code::Aborted, "ETAG_MISMATCH");
    client
        .delete_item(delete_if(etag(&second.etag)))
        .await
        .unwrap();
}

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

#[tokio::test]
async fn a_precondition_must_say_something() {
    let mut running = Running::start().await;
    let client = &mut running.client;
    for (precondition, expected) in [
        (etag(""), "precondition.etag: must not be empty"),
        (
            Some(pb::Precondition { condition: None }),
            "precondition: must say `exists` or `etag`",
        ),
    ] {
        let put = pb::PutItemRequest {
            precondition: precondition.clone(),
            ..put("a", "k", "{}")
        };
        let delete = pb::DeleteItemRequest {
            precondition,
            ..delete("a", "k")
        };
        for error in [
            client.put(put).await.unwrap_err(),
            client.delete_item(delete).await.unwrap_err(),
        ] {
            let violations = violations(&error);
            assert!(
                violations.len() == 1 && violations[0].starts_with(expected),
                "{violations:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_batch_takes_none_and_names_whatever_else_is_wrong() {
    let mut running = Running::start().await;
    let client = &mut running.client;
    let put = pb::PutItemRequest {
        precondition: exists(false),
        ..put("a", "", "[]")
    };
    let delete = pb::DeleteItemRequest {
        precondition: etag("x"),
        ..delete("a..b", "k")
    };
    let cases = [
        (
            Operation::Put(put),
            ["put.precondition", "put.key", "put.value"].as_slice(),
        ),
        (
            Operation::Delete(delete),
            &["delete.precondition", "delete.namespace[1]"],
        ),
    ];
    for (operation, fields) in cases {
        let faults = violations(&batched(client, operation).await.unwrap_err());
        let expected = fields.iter().map(|field| format!("operations[0].{field}"));
        let found = faults.iter().map(|fault| fault.split(": ").next().unwrap());
        assert!(found.eq(expected), "{faults:?}");
    }
}
