//! JSON in and out of the API.

use anyhow::{Context as _, Result};
use prost_types::value::Kind;
use serde_json::Value;
use weft_proto::common::v1::{Payload, payload::Form};

/// A payload of this JSON text, which need not be valid.
#[must_use]
pub fn text(json: impl Into<String>) -> Payload {
    Payload {
        form: Some(Form::JsonText(json.into())),
    }
}

/// A payload of this value, as programs send it: as text.
#[must_use]
pub fn json(value: &Value) -> Payload {
    text(value.to_string())
}

/// A payload in the form of people, a `google.protobuf.Value` of this kind.
#[must_use]
pub fn native(kind: Kind) -> Payload {
    Payload {
        form: Some(Form::Json(prost_types::Value { kind: Some(kind) })),
    }
}

/// The value of a payload in either form.
///
/// # Errors
/// If there is none, or it is no JSON.
pub fn read(payload: Option<&Payload>) -> Result<Value> {
    let form = payload.and_then(|payload| payload.form.as_ref());
    match form.context("there is no payload")? {
        Form::JsonText(text) => {
            serde_json::from_str(text).with_context(|| format!("no JSON: {text}"))
        }
        Form::Json(value) => read_native(value),
    }
}

fn read_native(value: &prost_types::Value) -> Result<Value> {
    Ok(
        match value.kind.as_ref().context("a value without a kind")? {
            Kind::NullValue(_) => Value::Null,
            Kind::BoolValue(truth) => Value::from(*truth),
            Kind::NumberValue(number) => Value::from(*number),
            Kind::StringValue(string) => Value::from(string.as_str()),
            Kind::ListValue(list) => list.values.iter().map(read_native).collect::<Result<_>>()?,
            Kind::StructValue(object) => {
                let field = |(name, value): (&String, _)| Ok((name.clone(), read_native(value)?));
                Value::Object(object.fields.iter().map(field).collect::<Result<_>>()?)
            }
        },
    )
}
