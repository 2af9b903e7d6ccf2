//! Whether a request says the same as one before it, however both are written.

use std::collections::HashMap;

use prost::Message as _;
use sha2::{Digest as _, Sha256};
use weft_proto::{
    common::v1::{Payload, payload::Form},
    workflow::v1 as pb,
};
use weft_worker::Json;

use crate::{domain::Timestamp, store::RequestKey};

/// The key of a request of which the store is to remember `start`, with what its input and config were
/// read as.
pub(super) fn key(
    start: &pb::StartRunRequest,
    input: &Json,
    config: &Json,
    expire_time: Timestamp,
) -> RequestKey {
    RequestKey {
        id: start.request_id.clone(),
        hash: hash(&as_meant(start.clone(), input, config)),
        former_hash: Some(hash(start)),
        expire_time,
    }
}

fn hash(start: &pb::StartRunRequest) -> [u8; 32] {
    // Maps have no order on the wire: the labels are hashed apart, sorted.
    let mut labels: Vec<_> = start.labels.iter().collect();
    labels.sort();
    let unlabelled = pb::StartRunRequest {
        labels: HashMap::new(),
        ..start.clone()
    };
    Sha256::new()
        .chain_update(unlabelled.encode_to_vec())
        .chain_update(format!("{labels:?}"))
        .finalize()
        .into()
}

/// The same request in the one way to write it: what it leaves to a default that the contract names is
/// said, values are text without what means nothing.
fn as_meant(mut start: pb::StartRunRequest, input: &Json, config: &Json) -> pb::StartRunRequest {
    let value = |json: &Json| {
        let text = plain(json.get());
        Some(Payload {
            form: Some(Form::JsonText(text)),
        })
    };
    start.input = value(input);
    start.config = value(config);
    if start.concurrency() == pb::Concurrency::Unspecified {
        start.set_concurrency(pb::Concurrency::Enqueue);
    }
    if start.durability() == pb::Durability::Unspecified {
        start.set_durability(pb::Durability::Sync);
    }
    start.checkpoint_id.make_ascii_lowercase();
    start
}

/// A JSON text without white space around its tokens, and with characters as they are where they were
/// escaped without need. Keys keep their order, and numbers their text.
fn plain(json: &str) -> String {
    let mut plain = String::with_capacity(json.len());
    let mut rest = json;
    while let Some(quote) = rest.find('"') {
        let (between, from_quote) = rest.split_at(quote);
        plain.extend(between.split_ascii_whitespace());
        let (string, after) = from_quote.split_at(string_length(from_quote));
        let unescaped = string.contains('\\').then(|| {
            serde_json::from_str::<String>(string).and_then(|text| serde_json::to_string(&text))
        });
        plain.push_str(match &unescaped {
            Some(Ok(needed)) => needed,
            Some(Err(_)) | None => string,
        });
        rest = after;
    }
    plain.extend(rest.split_ascii_whitespace());
    plain
}

/// Bytes of the JSON string that `text` begins with, its quotes included.
fn string_length(text: &str) -> usize {
    let mut is_escaped = false;
    let end = text.bytes().skip(1).position(|byte| {
        let ends = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        ends
    });
    end.map_or(text.len(), |end| end + 2)
}

#[cfg(test)]
mod tests {
    use service_runtime::payload;

    use super::*;
    use crate::grpc::request::{LIMITS, new_run};

    fn text(json: &str) -> Option<Payload> {
        let form = Some(Form::JsonText(json.to_owned()));
        Some(Payload { form })
    }

    fn key_of(start: pb::StartRunRequest) -> RequestKey {
        let start = pb::StartRunRequest {
            entrypoint: "e".into(),
            request_id: "r".into(),
            ..start
        };
        new_run(start, None).unwrap().run.request.unwrap()
    }

    fn with_input(input: Option<Payload>) -> RequestKey {
        key_of(pb::StartRunRequest {
            input,
            ..pb::StartRunRequest::default()
        })
    }

    #[test]
    fn a_request_is_the_same_however_it_is_written() {
        let bare = key_of(pb::StartRunRequest::default());
        let full = key_of(pb::StartRunRequest {
            input: text(" null"),
            config: text("{ }"),
            concurrency: pb::Concurrency::Enqueue.into(),
            durability: pb::Durability::Sync.into(),
            ..pb::StartRunRequest::default()
        });
        assert_eq!(bare.hash, full.hash);

        let json = r#"{"a":1,"b":["x \" y","é/\n"]}"#;
        let read: Json = payload::decode(&text(json).unwrap(), &LIMITS)
            .unwrap()
            .into();
        let native = payload::encode(&read, Default::default());
        assert!(matches!(native.form, Some(Form::Json(_))), "{native:?}");
        let written = with_input(text(json));
        for other in [
            Some(native),
            text("\n{ \"a\" : 1,\t\"b\": [ \"x \\\" y\", \"\\u00e9\\/\\u000a\" ] }\r\n"),
        ] {
            assert_eq!(with_input(other).hash, written.hash);
        }
    }

    #[test]
    fn a_request_that_says_something_else_is_another() {
        let texts = [
            r#"{"a":1}"#,
            r#"{"a":1.0}"#,
            r#"{"a":"1"}"#,
            r#"{"a": " 1"}"#,
            r#"{"a": "1 "}"#,
            r#"{"a":1,"b":2}"#,
            r#"{"b":2,"a":1}"#,
            r#""a""#,
            r#""\\u0061""#,
            "null",
            "[1,2]",
            "[12]",
        ];
        let mut hashes: Vec<_> = texts.map(|json| with_input(text(json)).hash).to_vec();
        let default = pb::StartRunRequest::default;
        hashes.extend(
            [
                pb::StartRunRequest {
                    concurrency: pb::Concurrency::Reject.into(),
                    ..default()
                },
                pb::StartRunRequest {
                    durability: pb::Durability::Async.into(),
                    ..default()
                },
                pb::StartRunRequest {
                    config: text(r#"{"a":1}"#),
                    ..default()
                },
                pb::StartRunRequest {
                    labels: HashMap::from([("a".into(), "b".into())]),
                    ..default()
                },
            ]
            .map(|start| key_of(start).hash),
        );
        let count = hashes.len();
        hashes.sort_unstable();
        hashes.dedup();
        assert_eq!(hashes.len(), count);
    }
}
