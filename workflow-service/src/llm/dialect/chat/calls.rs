//! Calls of tools that come in pieces, from servers that number them badly.
//!
//! A piece has an index, an id, a name and some text of the arguments, each of which some server
//! leaves out or repeats: indexes are missing or always 0, ids come late, or with every piece.

use std::sync::Arc;

use serde::Deserialize;

use crate::llm::{Piece, content::ToolCall, dialect::CallIds};

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
pub(super) struct Calls {
    calls: Vec<Partial>,
    ids: CallIds,
}

#[derive(Default)]
struct Partial {
    index: Option<u64>,
    id: String,
    /// The id as it is told: one of its own.
    told_id: Arc<str>,
    name: Arc<str>,
    arguments: String,
}

impl Calls {
    /// Takes a piece: what there is to tell of it.
    pub(super) fn add(&mut self, piece: WireCall) -> Piece {
        let id = piece.id.unwrap_or_default();
        let function = piece.function.unwrap_or_default();
        let name = function.name.unwrap_or_default();
        let next = self.calls.len();
        let place = self.place(piece.index, &id, &name).unwrap_or(next);
        let arguments = match function.arguments {
            Some(Arguments::Text(text)) => text,
            Some(Arguments::Json(json)) if !json.is_null() => json.to_string(),
            Some(Arguments::Json(_)) | None => String::new(),
        };
        let partial = match self.calls.get_mut(place) {
            Some(partial) => partial,
            None => self.calls.push_mut(Partial::default()),
        };
        partial.index = partial.index.or(piece.index);
        if partial.id.is_empty() && !id.is_empty() {
            partial.told_id = self.ids.unique(&id).into();
            partial.id = id;
        }
        if partial.name.is_empty() {
            partial.name = name.into();
        }
        partial.arguments.push_str(&arguments);
        Piece::ToolCall {
            index: u32::try_from(place).unwrap_or(u32::MAX),
            id: Arc::clone(&partial.told_id),
            name: Arc::clone(&partial.name),
            arguments,
        }
    }

    /// The call that a piece goes on with; `None` for a new one.
    fn place(&self, index: Option<u64>, id: &str, name: &str) -> Option<usize> {
        let last = |is_it: &dyn Fn(&Partial) -> bool| self.calls.iter().rposition(is_it);
        let same_id = |call: &Partial| !id.is_empty() && call.id == id;
        let same = match index {
            // Servers that number calls always as 0 tell them apart by their ids.
            Some(_) => last(&|call| call.index == index && same_id(call))
                .or_else(|| last(&|call| call.index == index))
                .or_else(|| last(&|call| call.index.is_none() && same_id(call)))?,
            None => last(&same_id).or(self.calls.len().checked_sub(1))?,
        };
        let call = self.calls.get(same)?;
        // Another id under the same number is another call, and so is a name after a call that is
        // complete.
        let is_other = !id.is_empty() && !call.id.is_empty() && call.id != id;
        let begins = !name.is_empty() && !call.name.is_empty() && call.is_complete();
        (!is_other && !begins).then_some(same)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// The calls, in the order in which they began.
    pub(super) fn take(&mut self) -> Vec<ToolCall> {
        let calls = std::mem::take(&mut self.calls).into_iter();
        calls
            .map(|call| {
                let (id, name) = (call.told_id.to_string(), call.name.to_string());
                ToolCall::written(id, name, &call.arguments)
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
    fn calls_that_share_an_id_are_two() {
        let whole = |index: Value, x: u8| {
            let arguments = format!("{{\"x\":{x}}}");
            piece(index, json!("a"), json!("f"), &arguments)
        };
        for indexes in [[json!(0), json!(1)], [json!(0), json!(0)], [NO, NO]] {
            let [first, second] = indexes.clone();
            let made = calls(json!([whole(first, 1), whole(second, 2)]));
            let arguments: Vec<_> = made.iter().map(|call| call.2.clone()).collect();
            assert_eq!(
                arguments,
                [json!({ "x": 1 }), json!({ "x": 2 })],
                "{indexes:?}"
            );
        }
    }

    #[test]
    fn whole_calls_need_no_ids() {
        let pieces = json!([
            piece(json!(0), NO, json!("f"), "{\"x\":1}"),
            piece(json!(0), json!(""), json!("g"), "{\"y\":2}"),
            { "function": { "name": "h", "arguments": { "z": 3 } } },
        ]);
        let made = calls(pieces);
        let named: Vec<_> = made.iter().map(|(_, name, _)| name.as_str()).collect();
        assert_eq!(named, ["f", "g", "h"]);
        assert_eq!(made[2].2, json!({ "z": 3 }));
    }
}
