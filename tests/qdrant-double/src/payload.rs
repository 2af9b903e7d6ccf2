//! Payload between the wire and the engine.

use std::collections::HashMap;

use qdrant_client::qdrant::{
    Value as WireValue, WithPayloadSelector, with_payload_selector::SelectorOptions,
};
use qdrant_edge::{
    JsonPath, Payload, PayloadSelector, PayloadSelectorExclude, PayloadSelectorInclude,
    WithPayloadInterface,
};
use tonic::Status;

use crate::refusal::invalid;

/// Reads a payload. Like a server, the double is stopped by what nests too deeply before it gets here:
/// the wire format has a limit.
pub(crate) fn read(payload: HashMap<String, WireValue>) -> Payload {
    let fields = payload.into_iter();
    Payload(
        fields
            .map(|(name, value)| (name, value.into_json()))
            .collect(),
    )
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
