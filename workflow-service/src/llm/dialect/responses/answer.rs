//! An answer as Responses writes it.

use std::collections::{BTreeMap, VecDeque};

use serde::Deserialize;
use serde_json::Value;

use super::request::FORMAT;
use crate::llm::{
    Piece,
    content::{Block, ToolCall},
    dialect::{Call, CallIds, Decoder, parse, written},
    error::Fault,
    message::{Message, StopReason},
    retry,
    sse::ServerSentEvent,
    usage::Usage,
};

#[derive(Deserialize)]
struct Response {
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    output: Vec<Value>,
    #[serde(default)]
    error: Option<Value>,
    #[serde(default)]
    incomplete_details: Option<IncompleteDetails>,
    #[serde(default)]
    usage: Option<WireUsage>,
}

#[derive(Deserialize)]
struct IncompleteDetails {
    #[serde(default)]
    reason: Option<String>,
}

#[derive(Clone, Copy, Deserialize)]
struct WireUsage {
    #[serde(default)]
    input_tokens: Option<u64>,
    #[serde(default)]
    output_tokens: Option<u64>,
    #[serde(default)]
    input_tokens_details: Option<InputDetails>,
    #[serde(default)]
    output_tokens_details: Option<OutputDetails>,
}

#[derive(Clone, Copy, Default, Deserialize)]
struct InputDetails {
    #[serde(default)]
    cached_tokens: Option<u64>,
}

#[derive(Clone, Copy, Default, Deserialize)]
struct OutputDetails {
    #[serde(default)]
    reasoning_tokens: Option<u64>,
}

impl WireUsage {
    fn read(self) -> Usage {
        let (input, output) = (
            self.input_tokens_details.unwrap_or_default(),
            self.output_tokens_details.unwrap_or_default(),
        );
        Usage {
            input_tokens: self.input_tokens.unwrap_or(0),
            output_tokens: self.output_tokens.unwrap_or(0),
            cache_read_tokens: input.cached_tokens.unwrap_or(0),
            cache_write_tokens: 0,
            reasoning_tokens: output.reasoning_tokens.unwrap_or(0),
        }
    }
}

/// Reads an answer that came in one piece.
pub(super) fn whole(body: &[u8]) -> Result<Message, Fault> {
    read(parse(body)?, BTreeMap::new())
}

/// Reads a response; `items` are those that came before it, in case it does not hold them.
fn read(response: Response, items: BTreeMap<u64, Value>) -> Result<Message, Fault> {
    if let Some(error) = response.error.filter(|error| !error.is_null()) {
        return Err(retry::fault_in_stream(&error));
    }
    let output = match response.output.is_empty() {
        true => items.into_values().collect(),
        false => response.output,
    };
    let blocks: Vec<_> = output.into_iter().flat_map(blocks).collect();
    let has_calls = blocks
        .iter()
        .any(|block| matches!(block, Block::ToolCall(_)));
    let is_refused = blocks
        .iter()
        .any(|block| matches!(block, Block::Refusal { .. }));
    let incomplete = response
        .incomplete_details
        .and_then(|details| details.reason);
    let stop_reason = match (response.status.as_deref(), incomplete.as_deref()) {
        (Some("completed"), _) if is_refused => StopReason::Refusal,
        (Some("completed"), _) if has_calls => StopReason::ToolCalls,
        (Some("completed"), _) => StopReason::EndTurn,
        (Some("incomplete"), Some("max_output_tokens")) => StopReason::MaxTokens,
        (Some("incomplete"), Some("content_filter")) => StopReason::Refusal,
        (Some("incomplete"), other) => StopReason::from(other.unwrap_or("incomplete").to_owned()),
        (Some("failed" | "cancelled"), _) => {
            return Err(Fault::Trouble {
                status: 200,
                message: "the response failed without a reason".to_owned(),
            });
        }
        (Some(_) | None, _) => return Err(Fault::Truncated),
    };
    let mut message = written(blocks);
    message.stop_reason = Some(stop_reason);
    message.usage = response.usage.map(WireUsage::read);
    Ok(message)
}

/// The blocks that an item of the output is.
fn blocks(item: Value) -> Vec<Block> {
    let text = |value: &Value, key: &str| {
        let text = value.get(key).and_then(Value::as_str);
        text.unwrap_or_default().to_owned()
    };
    match item.get("type").and_then(Value::as_str) {
        Some("message") => {
            let parts = item.get("content").and_then(Value::as_array);
            let parts = parts.map(Vec::as_slice).unwrap_or_default().iter();
            parts
                .filter_map(|part| match part.get("type").and_then(Value::as_str) {
                    Some("output_text") => Some(Block::Text {
                        text: text(part, "text"),
                    }),
                    Some("refusal") => Some(Block::Refusal {
                        text: text(part, "refusal"),
                    }),
                    _ => None,
                })
                .collect()
        }
        Some("function_call") => {
            let call = ToolCall::written(
                text(&item, "call_id"),
                text(&item, "name"),
                &text(&item, "arguments"),
            );
            vec![Block::ToolCall(call)]
        }
        _ => vec![Block::Provider {
            format: FORMAT.to_owned(),
            value: item,
        }],
    }
}

#[derive(Deserialize)]
#[serde(tag = "type")]
enum Event {
    #[serde(rename = "response.output_text.delta")]
    Text { delta: String },
    #[serde(rename = "response.refusal.delta")]
    Refusal { delta: String },
    #[serde(
        rename = "response.reasoning_summary_text.delta",
        alias = "response.reasoning_text.delta"
    )]
    Thoughts { delta: String },
    #[serde(rename = "response.output_item.added")]
    Begun {
        #[serde(default)]
        output_index: u64,
        item: Value,
    },
    #[serde(rename = "response.function_call_arguments.delta")]
    Arguments {
        #[serde(default)]
        output_index: u64,
        delta: String,
    },
    #[serde(rename = "response.output_item.done")]
    Item {
        #[serde(default)]
        output_index: u64,
        item: Value,
    },
    #[serde(
        rename = "response.completed",
        alias = "response.incomplete",
        alias = "response.failed"
    )]
    Ended { response: Response },
    #[serde(rename = "error")]
    Error(Value),
    #[serde(other)]
    Other,
}

/// Events reads an answer that comes in events.
#[derive(Default)]
pub(super) struct Events {
    items: BTreeMap<u64, Value>,
    /// Calls of tools, by the items that they are.
    calls: BTreeMap<u64, Call>,
    ids: CallIds,
    ended: Option<Response>,
}

impl Decoder for Events {
    fn event(
        &mut self,
        event: ServerSentEvent,
        pieces: &mut VecDeque<Piece>,
    ) -> Result<bool, Fault> {
        // What compatible servers have from another format.
        if event.data == "[DONE]" {
            return Ok(self.ended.is_some());
        }
        match parse(event.data.as_bytes())? {
            Event::Text { delta } | Event::Refusal { delta } => {
                pieces.push_back(Piece::Text(delta));
            }
            Event::Thoughts { delta } => pieces.push_back(Piece::Thinking(delta)),
            Event::Begun { output_index, item } => {
                let text = |key: &str| item.get(key).and_then(Value::as_str);
                if text("type") == Some("function_call") {
                    let call = Call {
                        index: u32::try_from(self.calls.len()).unwrap_or(u32::MAX),
                        id: self.ids.unique(text("call_id").unwrap_or_default()).into(),
                        name: text("name").unwrap_or_default().into(),
                    };
                    let arguments = text("arguments").unwrap_or_default();
                    pieces.push_back(call.piece(arguments.to_owned()));
                    self.calls.insert(output_index, call);
                }
            }
            Event::Arguments {
                output_index,
                delta,
            } => {
                let call = self.calls.get(&output_index);
                pieces.extend(call.map(|call| call.piece(delta)));
            }
            Event::Item { output_index, item } => {
                self.items.insert(output_index, item);
            }
            Event::Ended { response } => {
                self.ended = Some(response);
                return Ok(true);
            }
            Event::Error(error) => return Err(retry::fault_in_stream(&error)),
            Event::Other => {}
        }
        Ok(false)
    }

    fn end(&mut self) -> Result<Message, Fault> {
        let response = self.ended.take().ok_or(Fault::Truncated)?;
        read(response, std::mem::take(&mut self.items))
    }
}
