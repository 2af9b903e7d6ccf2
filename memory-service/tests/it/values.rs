//! Items come back as they were put.

use std::time::Duration;

use prost_types::{ListValue, Struct, Value, value::Kind};
use tonic::Code;
use weft_proto::{
    common::v1::{Payload, payload::Form},
    memory::v1 as pb,
};

use crate::support::{
    Calls as _, Running, START, assert_status, delete, etag, exists, get, put, value,
};

#[tokio::test]
async fn values_come_back_exactly_as_they_were_put() {
    let mut running = Running::start().await;
    let deep = format!("{}1{}", r#"{"a":"#.repeat(64), "}".repeat(64));
    let values = [
        r#"{}"#,
        r#"{"z":1,"a":1.0,"m":1e0,"neg":-0.0}"#,
        r#"{"u64":18446744073709551615,"i64":-9223372036854775808,"more":123456789012345678901234567890}"#,
        r#"{"huge":1e400,"tiny":1e-400,"long":0.1000000000000000055511151231257827}"#,
        r#"{"s":"\u0000\u00e9\ud83d\ude00 \n","é":"語"}"#,
        r#"{ "spaced" : [ 1 ,	2 ] }"#,
        r#"{"a":1,"a":2}"#,
        r#"{"none":null,"empty":[],"":{"":""}}"#,
        deep.as_str(),
    ];
    for (index, text) in values.iter().enumerate() {
        running
            .client
            .put(put("exact", &index.to_string(), text))
            .await
            .unwrap();
    }
    let mut running = running.restart().await;
    for (index, text) in values.iter().enumerate() {
        let item = running
            .client
            .get(get("exact", &index.to_string()))
            .await
            .unwrap();
        assert_eq!(value(&item), *text);
    }
}

#[tokio::test]
async fn a_native_value_comes_back_native() {
    let mut running = Running::start().await;
    let client = &mut running.client;
    let kind = |kind| Value { kind: Some(kind) };
    let list = ListValue {
        values: vec![kind(Kind::NumberValue(0.5)), kind(Kind::NullValue(0))],
    };
    let document = Struct {
        fields: [
            ("n".to_owned(), kind(Kind::NumberValue(5.0))),
            ("b".to_owned(), kind(Kind::BoolValue(true))),
            ("l".to_owned(), kind(Kind::ListValue(list))),
        ]
        .into(),
    };
    let native = Payload {
        form: Some(Form::Json(kind(Kind::StructValue(document)))),
    };
    let request = pb::PutItemRequest {
        value: Some(native.clone()),
        ..put("n", "k", "{}")
    };
    client.put(request).await.unwrap();
    let item = client
        .get(pb::GetItemRequest {
            payload_form: 0,
            ..get("n", "k")
        })
        .await
        .unwrap();
    assert_eq!(item.value, Some(native));
    assert_eq!(
        value(&client.get(get("n", "k")).await.unwrap()),
        r#"{"b":true,"l":[0.5,null],"n":5}"#
    );
}

#[tokio::test]
async fn a_put_replaces_the_value_and_keeps_create_time() {
    let mut running = Running::start().await;
    let first = running
        .client
        .put(put("a.b", "k", r#"{"v":1}"#))
        .await
        .unwrap();
    assert_eq!(first.create_time, first.update_time);
    assert_eq!(first.create_time.unwrap().seconds, START / 1_000_000);
    assert_eq!((first.value, first.expire_time), (None, None));

    running.clock.advance(Duration::from_micros(7));
    let second = running
        .client
        .put(put("a.b", "k", r#"{"v":2}"#))
        .await
        .unwrap();
    assert_eq!(second.create_time, first.create_time);
    assert_eq!(second.update_time.unwrap().nanos, 7_000);
    assert_ne!(second.etag, first.etag);

    let item = running.client.get(get("a.b", "k")).await.unwrap();
    assert_eq!((value(&item), &item.etag), (r#"{"v":2}"#, &second.etag));
    assert_eq!(
        (item.namespace.join("."), item.key.as_str()),
        ("a.b".into(), "k")
    );
}

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

#[tokio::test]
async fn absent_items_are_not_found_and_can_be_deleted() {
    let mut running = Running::start().await;
    let client = &mut running.client;
    let error = client.get(get("a", "k")).await.unwrap_err();
    assert_status(&error, Code::NotFound, "ITEM_NOT_FOUND");
    client.delete_item(delete("a", "k")).await.unwrap();

    client.put(put("a", "k", "{}")).await.unwrap();
    client.delete_item(delete("a", "k")).await.unwrap();
    assert!(client.get(get("a", "k")).await.is_err());
    client.delete_item(delete("a", "k")).await.unwrap();
}

#[tokio::test]
async fn names_that_look_alike_are_different_items() {
    let mut running = Running::start().await;
    let client = &mut running.client;
    let names = [
        ("a.b", "c"),
        ("a", "b.c"),
        ("a", "c"),
        ("a.b.c", "c"),
        ("a", "c\0"),
        ("A", "c"),
        ("a", "é"),
        ("a", "e\u{301}"),
    ];
    for (namespace, key) in names {
        client
            .put(put(
                namespace,
                key,
                &format!(r#"{{"n":"{namespace}/{}"}}"#, key.len()),
            ))
            .await
            .unwrap();
    }
    for (namespace, key) in names {
        let item = client.get(get(namespace, key)).await.unwrap();
        assert_eq!(
            value(&item),
            format!(r#"{{"n":"{namespace}/{}"}}"#, key.len())
        );
    }
}

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
