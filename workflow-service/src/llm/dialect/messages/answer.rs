//! An answer as Messages writes it.

use std::collections::{BTreeMap, VecDeque};

use serde::Deserialize;
use serde_json::Value;

use super::{request::FORMAT, usage::WireUsage};
use crate::llm::{
    Piece,
    content::{Block, ToolCall},
    dialect::{Call, CallIds, Decoder, parse, written},
    error::Fault,
    message::{Message, StopReason},
    retry,
    sse::ServerSentEvent,
};

#[derive(Deserialize)]
struct Whole {
    content: Vec<Value>,
    stop_reason: Option<String>,
    #[serde(default)]
    usage: Option<WireUsage>,
}

/// Reads an answer that came in one piece.
pub(super) fn whole(body: &[u8]) -> Result<Message, Fault> {
    let whole: Whole = parse(body)?;
    let stop_reason = whole.stop_reason.ok_or(Fault::Truncated)?;
    let mut message = written(whole.content.into_iter().map(block).collect());
    message.stop_reason = Some(reason(&stop_reason));
    message.usage = whole.usage.map(WireUsage::read);
    Ok(message)
}

fn reason(text: &str) -> StopReason {
    match text {
        "tool_use" => StopReason::ToolCalls,
        "model_context_window_exceeded" => StopReason::ContextWindow,
        other => StopReason::from(other.to_owned()),
    }
}

/// A block as it came, complete.
fn block(value: Value) -> Block {
    let text = |key: &str| value.get(key)?.as_str().map(str::to_owned);
    let known = match value.get("type").and_then(Value::as_str) {
        Some("text") => text("text").map(|text| Block::Text { text }),
        Some("thinking") => text("thinking").map(|thinking| Block::Thinking {
            text: thinking,
            signature: text("signature").filter(|signature| !signature.is_empty()),
        }),
        Some("redacted_thinking") => text("data").map(|data| Block::RedactedThinking { data }),
        Some("tool_use") => text("id").zip(text("name")).map(|(id, name)| {
            Block::ToolCall(ToolCall {
                id,
                name,
                arguments: value.get("input").cloned().unwrap_or_default(),
                malformed_arguments: text(MALFORMED),
            })
        }),
        _ => None,
    };
    known.unwrap_or_else(|| Block::Provider {
        format: FORMAT.to_owned(),
        value,
    })
}

/// Where an input is kept that turned out to be no JSON, until its block is read.
const MALFORMED: &str = "weft_malformed_input";

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Event {
    MessageStart {
        message: Start,
    },
    ContentBlockStart {
        index: u64,
        content_block: Value,
    },
    ContentBlockDelta {
        index: u64,
        delta: Delta,
    },
    MessageDelta {
        delta: End,
        #[serde(default)]
        usage: Option<WireUsage>,
    },
    MessageStop,
    Error {
        error: Value,
    },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Start {
    #[serde(default)]
    usage: Option<WireUsage>,
}

#[derive(Deserialize)]
struct End {
    #[serde(default)]
    stop_reason: Option<String>,
}

#[derive(Deserialize)]
#[serde(tag = "type")]
enum Delta {
    #[serde(rename = "text_delta")]
    Text { text: String },
    #[serde(rename = "input_json_delta")]
    Input { partial_json: String },
    #[serde(rename = "thinking_delta")]
    Thinking { thinking: String },
    #[serde(rename = "signature_delta")]
    Signature { signature: String },
    #[serde(other)]
    Other,
}

/// Events reads an answer that comes in events.
#[derive(Default)]
pub(super) struct Events {
    blocks: BTreeMap<u64, Partial>,
    calls: u32,
    ids: CallIds,
    usage: Option<WireUsage>,
    stop_reason: Option<String>,
    stopped: bool,
}

/// A block that is still written.
struct Partial {
    value: Value,
    input: String,
    /// The call of a tool that it is.
    call: Option<Call>,
}

impl Partial {
    fn append(&mut self, key: &str, more: &str) {
        if let Some(Value::String(text)) = self.value.get_mut(key) {
            text.push_str(more);
        } else if let Some(fields) = self.value.as_object_mut() {
            fields.insert(key.to_owned(), more.into());
        }
    }

    fn complete(mut self) -> Block {
        if let (false, Some(fields)) = (self.input.is_empty(), self.value.as_object_mut()) {
            let (key, value) = match serde_json::from_str(&self.input) {
                Ok(input) => ("input", input),
                Err(_) => {
                    fields.insert("input".to_owned(), Value::Null);
                    (MALFORMED, Value::String(self.input))
                }
            };
            fields.insert(key.to_owned(), value);
        }
        block(self.value)
    }
}

impl Decoder for Events {
    fn event(
        &mut self,
        event: ServerSentEvent,
        pieces: &mut VecDeque<Piece>,
    ) -> Result<bool, Fault> {
        // What compatible servers have from another format.
        if event.data == "[DONE]" {
            return Ok(false);
        }
        match parse(event.data.as_bytes())? {
            Event::MessageStart { message } => self.update(message.usage),
            Event::ContentBlockStart {
                index,
                content_block,
            } => {
                // Some servers begin with text.
                if let Some(text) = content_block.get("text").and_then(Value::as_str)
                    && !text.is_empty()
                {
                    pieces.push_back(Piece::Text(text.to_owned()));
                }
                let partial = self.begun(content_block);
                if let Some(call) = &partial.call {
                    pieces.push_back(call.piece(String::new()));
                }
                self.blocks.insert(index, partial);
            }
            Event::ContentBlockDelta { index, delta } => {
                let Some(block) = self.blocks.get_mut(&index) else {
                    let what = format!("it goes on with block {index}, which it did not begin");
                    return Err(Fault::Unreadable(what));
                };
                match delta {
                    Delta::Text { text } => {
                        block.append("text", &text);
                        pieces.push_back(Piece::Text(text));
                    }
                    Delta::Thinking { thinking } => {
                        block.append("thinking", &thinking);
                        pieces.push_back(Piece::Thinking(thinking));
                    }
                    Delta::Signature { signature } => block.append("signature", &signature),
                    Delta::Input { partial_json } => {
                        block.input.push_str(&partial_json);
                        if let Some(call) = &block.call
                            && !partial_json.is_empty()
                        {
                            pieces.push_back(call.piece(partial_json));
                        }
                    }
                    Delta::Other => {}
                }
            }
            Event::MessageDelta { delta, usage } => {
                self.stop_reason = delta.stop_reason.or(self.stop_reason.take());
                self.update(usage);
            }
            Event::MessageStop => {
                self.stopped = true;
                return Ok(true);
            }
            Event::Error { error } => return Err(retry::fault_in_stream(&error)),
            Event::Other => {}
        }
        Ok(false)
    }

    fn end(&mut self) -> Result<Message, Fault> {
        if !self.stopped {
            return Err(Fault::Truncated);
        }
        let blocks = std::mem::take(&mut self.blocks).into_values();
        let mut message = written(blocks.map(Partial::complete).collect());
        message.stop_reason = self.stop_reason.as_deref().map(reason);
        message.usage = self.usage.map(WireUsage::read);
        Ok(message)
    }
}

impl Events {
    fn begun(&mut self, mut value: Value) -> Partial {
        let text = |key: &str| value.get(key).and_then(Value::as_str);
        let is_call = text("type") == Some("tool_use");
        let call = text("id").zip(text("name")).filter(|_| is_call);
        let call = call.map(|(id, name)| {
            let index = self.calls;
            self.calls += 1;
            let (id, name) = (self.ids.unique(id).into(), name.into());
            Call { index, id, name }
        });
        if let Some(call) = &call {
            value["id"] = (*call.id).into();
        }
        Partial {
            value,
            input: String::new(),
            call,
        }
    }

    fn update(&mut self, newer: Option<WireUsage>) {
        if let Some(newer) = newer {
            self.usage.get_or_insert_default().update(newer);
        }
    }
}
