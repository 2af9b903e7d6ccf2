//! Calls of tools that come in pieces, from servers that number them badly.
//!
//! A piece has an index, an id, a name and some text of the arguments, each of which some server
//! leaves out or repeats: indexes are missing or always 0, ids come late, or with every piece.

use serde::Deserialize;
use uuid::Uuid;

use crate::llm::content::ToolCall;

/// A piece of a call, or a whole one.
#[derive(Deserialize)]
pub(super) struct WireCall {
    #[serde(default)]
    index: Option<u64>,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    function: Option<WireFunction>,
}

#[derive(Default, Deserialize)]
struct WireFunction {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    arguments: Option<Arguments>,
}

/// Text of JSON; some servers send the JSON itself.
#[derive(Deserialize)]
#[serde(untagged)]
enum Arguments {
    Text(String),
    Json(serde_json::Value),
}

/// Calls puts the pieces together.
#[derive(Default)]
pub(super) struct Calls(Vec<Partial>);

#[derive(Default)]
struct Partial {
    index: Option<u64>,
    id: String,
    name: String,
    arguments: String,
}

impl Calls {
    pub(super) fn add(&mut self, piece: WireCall) {
        let id = piece.id.unwrap_or_default();
        let function = piece.function.unwrap_or_default();
        let name = function.name.unwrap_or_default();
        let place = self.place(piece.index, &id, &name);
        let partial = match place.and_then(|place| self.0.get_mut(place)) {
            Some(partial) => partial,
            None => self.0.push_mut(Partial::default()),
        };
        partial.index = partial.index.or(piece.index);
        if partial.id.is_empty() {
            partial.id = id;
        }
        if partial.name.is_empty() {
            partial.name = name;
        }
        match function.arguments {
            Some(Arguments::Text(text)) => partial.arguments.push_str(&text),
            Some(Arguments::Json(json)) if !json.is_null() => {
                partial.arguments = json.to_string();
            }
            Some(Arguments::Json(_)) | None => {}
        }
    }

    /// The call that a piece goes on with; `None` for a new one.
    fn place(&self, index: Option<u64>, id: &str, name: &str) -> Option<usize> {
        if !id.is_empty()
            && let Some(known) = self.0.iter().rposition(|call| call.id == id)
        {
            return Some(known);
        }
        let same = match index {
            Some(_) => self.0.iter().rposition(|call| call.index == index)?,
            None => self.0.len().checked_sub(1)?,
        };
        let call = self.0.get(same)?;
        // Another id under the same number is another call, and so is a name after a call that is
        // complete.
        let is_other = !id.is_empty() && !call.id.is_empty();
        let begins = !name.is_empty() && !call.name.is_empty() && call.is_complete();
        (!is_other && !begins).then_some(same)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The calls, in the order in which they began.
    pub(super) fn take(&mut self) -> Vec<ToolCall> {
        let calls = std::mem::take(&mut self.0).into_iter();
        calls
            .map(|call| {
                let id = match call.id.is_empty() {
                    // Results must name their call, and this server does not.
                    true => format!("call_{}", Uuid::now_v7().simple()),
                    false => call.id,
                };
                ToolCall::written(id, call.name, &call.arguments)
            })
            .collect()
    }
}

impl Partial {
    fn is_complete(&self) -> bool {
        serde_json::from_str::<serde::de::IgnoredAny>(&self.arguments).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// The calls that these pieces make, as (id, name, arguments).
    fn calls(pieces: Value) -> Vec<(String, String, Value)> {
        let mut calls = Calls::default();
        for piece in pieces.as_array().unwrap() {
            calls.add(serde_json::from_value(piece.clone()).unwrap());
        }
        let taken = calls.take().into_iter();
        taken
            .map(|call| (call.id, call.name, call.arguments))
            .collect()
    }

    fn piece(index: Value, id: Value, name: Value, arguments: &str) -> Value {
        json!({ "index": index, "id": id, "type": "function",
            "function": { "name": name, "arguments": arguments } })
    }

    fn two() -> Vec<(String, String, Value)> {
        vec![
            ("a".into(), "f".into(), json!({ "x": 1 })),
            ("b".into(), "g".into(), json!({ "y": 2 })),
        ]
    }

    const NO: Value = Value::Null;

    #[test]
    fn well_numbered_pieces_may_be_interleaved() {
        let pieces = json!([
            piece(json!(0), json!("a"), json!("f"), ""),
            piece(json!(1), json!("b"), json!("g"), ""),
            piece(json!(0), NO, NO, "{\"x\""),
            piece(json!(1), NO, NO, "{\"y\":2}"),
            piece(json!(0), NO, NO, ":1}"),
        ]);
        assert_eq!(calls(pieces), two());
    }

    #[test]
    fn a_missing_index_and_one_that_is_always_zero_are_understood() {
        for index in [NO, json!(0)] {
            let pieces = json!([
                piece(index.clone(), json!("a"), json!("f"), "{\"x\""),
                piece(index.clone(), NO, NO, ":1}"),
                piece(index.clone(), json!("b"), json!("g"), "{\"y\""),
                piece(index.clone(), NO, NO, ":2}"),
            ]);
            assert_eq!(calls(pieces), two(), "{index}");
        }
    }

    #[test]
    fn an_id_may_come_late_or_with_every_piece() {
        let late = json!([
            piece(json!(0), NO, json!("f"), ""),
            piece(json!(0), json!("a"), NO, "{\"x\":1}"),
        ]);
        assert_eq!(calls(late), two()[..1]);
        let always = json!([
            piece(json!(0), json!("a"), json!("f"), "{\"x\""),
            piece(json!(0), json!("a"), json!("f"), ":1}"),
            piece(json!(0), json!("b"), json!("g"), "{\"y\""),
            piece(json!(0), json!("b"), json!("g"), ":2}"),
        ]);
        assert_eq!(calls(always), two());
    }

    #[test]
    fn whole_calls_without_ids_are_given_some() {
        let pieces = json!([
            piece(json!(0), NO, json!("f"), "{\"x\":1}"),
            piece(json!(0), json!(""), json!("g"), "{\"y\":2}"),
            { "function": { "name": "h", "arguments": { "z": 3 } } },
        ]);
        let made = calls(pieces);
        let named: Vec<_> = made.iter().map(|(_, name, _)| name.as_str()).collect();
        assert_eq!(named, ["f", "g", "h"]);
        assert_eq!(made[2].2, json!({ "z": 3 }));
        assert!(made[0].0.starts_with("call_") && made[0].0 != made[1].0);
    }
}
