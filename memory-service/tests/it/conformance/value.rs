//! Row "value": documents come back as they were put, and are JSON objects within limits.

use prost_types::{ListValue, Struct, Value, value::Kind};
use weft_proto::{
    common::v1::{Payload, PayloadForm, payload::Form},
    memory::v1 as pb,
};

use super::{
    calls::{By, Calls as _},
    list_items::list,
};
use crate::support::{Client, Running, get, put, search, text, value, violations};

/// Documents whose texts say more than most parsers keep.
fn exact() -> Vec<String> {
    let deep_objects = format!("{}1{}", r#"{"a":"#.repeat(64), "}".repeat(64));
    let deep_arrays = format!(r#"{{"a":{}{}}}"#, "[".repeat(63), "]".repeat(63));
    let mut documents = [
        r#"{}"#,
        r#"{"z":1,"a":1.0,"m":1e0,"neg":-0.0}"#,
        r#"{"u64":18446744073709551615,"i64":-9223372036854775808,"more":123456789012345678901234567890}"#,
        r#"{"huge":1e400,"tiny":1e-400,"long":0.1000000000000000055511151231257827}"#,
        r#"{"s":"\u0000\u00e9\ud83d\ude00 \n","é":"語","\u0000":"\u0000"}"#,
        r#"{ "spaced" : [ 1 ,	2 ] }"#,
        r#"{"a":1,"a":2}"#,
        r#"{"none":null,"empty":[],"":{"":""}}"#,
    ]
    .map(str::to_owned)
    .to_vec();
    documents.extend([deep_objects, deep_arrays]);
    documents
}

#[tokio::test]
async fn values_come_back_exactly_as_they_were_put() {
    for by in By::ALL {
        let mut running = Running::start().await;
        for (index, document) in exact().iter().enumerate() {
            let request = put("exact", &index.to_string(), document);
            by.put(&mut running.client, request).await;
        }
        let mut running = running.restart().await;
        let client = &mut running.client;
        let mut expected = exact();
        for (index, document) in expected.iter().enumerate() {
            let item = client.get(get("exact", &index.to_string())).await.unwrap();
            assert_eq!(value(&item), *document);
        }
        expected.sort();
        let searching = pb::SearchItemsRequest {
            limit: 100,
            payload_form: PayloadForm::Text.into(),
            ..search("exact")
        };
        let hits = client.hits(searching).await.unwrap();
        let listed = client.list_items(list("exact", 100)).await.unwrap();
        let found = hits.into_iter().map(|hit| hit.item.unwrap());
        for items in [found.collect(), listed.into_inner().items] {
            let mut values: Vec<_> = items.iter().map(value).collect();
            values.sort();
            assert_eq!(values, expected);
        }
    }
}

#[tokio::test]
async fn what_a_native_value_cannot_say_comes_as_text() {
    let mut running = Running::start().await;
    let client = &mut running.client;
    // Numbers that are no doubles, a key that repeats, and more levels than clients decode.
    for index in [2, 3, 6, 8, 9] {
        let document = &exact()[index];
        client.put(put("exact", "k", document)).await.unwrap();
        let native = pb::GetItemRequest {
            payload_form: PayloadForm::Unspecified.into(),
            ..get("exact", "k")
        };
        let item = client.get(native).await.unwrap();
        assert_eq!(value(&item), document);
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

async fn refused_value(client: &mut Client, value: Option<Payload>) -> String {
    let request = pb::PutItemRequest {
        value,
        ..put("a", "k", "{}")
    };
    violations(&client.put(request).await.unwrap_err()).join("; ")
}

#[tokio::test]
async fn values_must_be_json_objects_within_limits() {
    let mut running = Running::start().await;
    let client = &mut running.client;
    let deep = format!("{}1{}", r#"{"a":"#.repeat(65), "}".repeat(65));
    let deep_in_array = format!(r#"{{"a":{}{}}}"#, "[".repeat(64), "]".repeat(64));
    let with_bytes = |bytes: usize| format!(r#"{{"a":"{}"}}"#, "x".repeat(bytes - 8));
    for (json, expected) in [
        ("[1]", "must be a JSON object"),
        ("1", "must be a JSON object"),
        ("null", "must be a JSON object"),
        ("\"{}\"", "must be a JSON object"),
        ("", "must be one JSON value"),
        ("{", "must be one JSON value"),
        ("{} {}", "must be one JSON value"),
        (r#"{"a":NaN}"#, "must be one JSON value"),
        (r#"{"a":"\ud800"}"#, "surrogate"),
        (&deep, "64 levels"),
        (&deep_in_array, "64 levels"),
        (
            &with_bytes((1 << 20) + 1),
            "must be at most 1048576 bytes of JSON, not 1048577",
        ),
    ] {
        let refusal = refused_value(client, Some(text(json))).await;
        assert!(
            refusal.starts_with("value: ") && refusal.contains(expected),
            "{refusal}"
        );
    }
    let native = |number| {
        let list = ListValue {
            values: vec![Value {
                kind: Some(Kind::NumberValue(number)),
            }],
        };
        let fields = [(
            "a".to_owned(),
            Value {
                kind: Some(Kind::ListValue(list)),
            },
        )]
        .into();
        let document = Value {
            kind: Some(Kind::StructValue(Struct { fields })),
        };
        Some(Payload {
            form: Some(Form::Json(document)),
        })
    };
    for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let refusal = refused_value(client, native(number)).await;
        assert!(refusal.contains("NaN"), "{refusal}");
    }
    assert!(
        refused_value(client, None)
            .await
            .contains("must be set to a JSON object")
    );
    assert!(
        refused_value(client, Some(Payload { form: None }))
            .await
            .contains("json_text")
    );
    let largest = with_bytes(1 << 20);
    for by in By::ALL {
        by.put(client, put("a", "k", &largest)).await;
        let item = client.get(get("a", "k")).await.unwrap();
        assert!(value(&item) == largest);
    }
}
