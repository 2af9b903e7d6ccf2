//! Payload between the wire and the engine.

use std::collections::HashMap;

use qdrant_client::qdrant::{
    Value as WireValue, WithPayloadSelector, with_payload_selector::SelectorOptions,
};
use qdrant_edge::{
    JsonPath, Payload, PayloadSelector, PayloadSelectorExclude, PayloadSelectorInclude,
    WithPayloadInterface,
};
use serde_json::Value;
use tonic::{Code, Status};

use crate::refusal::invalid;

/// Deepest nesting that servers store.
const MAX_DEPTH: usize = 32;

/// Reads a payload.
pub(crate) fn read(payload: HashMap<String, WireValue>) -> Result<Payload, Status> {
    let mut read = serde_json::Map::new();
    for (name, value) in payload {
        let value = value.into_json();
        if depth(&value) >= MAX_DEPTH {
            return Err(Status::new(Code::Internal, "recursion limit reached"));
        }
        read.insert(name, value);
    }
    Ok(Payload(read))
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(values) => 1 + values.iter().map(depth).max().unwrap_or(0),
        Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

/// Writes a payload.
pub(crate) fn write(payload: Option<Payload>) -> HashMap<String, WireValue> {
    let fields = payload.map(|payload| payload.0).unwrap_or_default();
    let fields = fields.into_iter();
    fields.map(|(name, value)| (name, value.into())).collect()
}

/// Reads which fields are wanted.
pub(crate) fn wanted(
    selector: Option<WithPayloadSelector>,
    default: bool,
) -> Result<WithPayloadInterface, Status> {
    let Some(options) = selector.and_then(|selector| selector.selector_options) else {
        return Ok(WithPayloadInterface::Bool(default));
    };
    Ok(match options {
        SelectorOptions::Enable(enable) => WithPayloadInterface::Bool(enable),
        SelectorOptions::Include(include) => {
            let include = paths(include.fields)?;
            let include = PayloadSelectorInclude { include };
            WithPayloadInterface::Selector(PayloadSelector::Include(include))
        }
        SelectorOptions::Exclude(exclude) => {
            let exclude = paths(exclude.fields)?;
            let exclude = PayloadSelectorExclude { exclude };
            WithPayloadInterface::Selector(PayloadSelector::Exclude(exclude))
        }
    })
}

fn paths(fields: Vec<String>) -> Result<Vec<JsonPath>, Status> {
    fields.iter().map(|field| path(field)).collect()
}

/// Reads the name of a field.
pub(crate) fn path(field: &str) -> Result<JsonPath, Status> {
    field
        .parse()
        .map_err(|()| invalid(format!("Bad request: cannot parse the key `{field}`")))
}
