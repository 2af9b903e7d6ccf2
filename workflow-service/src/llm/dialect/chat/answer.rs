//! An answer as Chat Completions writes it.

use std::collections::VecDeque;

use serde::Deserialize;
use serde_json::Value;

use super::calls::{Calls, WireCall};
use crate::llm::{
    Piece,
    content::Block,
    dialect::{Decoder, parse, written},
    error::Fault,
    message::{Message, StopReason},
    retry,
    sse::ServerSentEvent,
    usage::Usage,
};

/// A whole answer, or a chunk of one: they differ in where a choice has its text.
#[derive(Deserialize)]
struct Chunk {
    #[serde(default)]
    choices: Vec<Choice>,
    #[serde(default)]
    usage: Option<WireUsage>,
    #[serde(default)]
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default, alias = "message")]
    delta: Option<Delta>,
    #[serde(default)]
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Delta {
    #[serde(default)]
    content: Option<String>,
    #[serde(default)]
    refusal: Option<String>,
    /// Thoughts, under the name that this server has for them.
    #[serde(default, alias = "reasoning")]
    reasoning_content: Option<String>,
    #[serde(default)]
    tool_calls: Option<Vec<WireCall>>,
}

#[derive(Clone, Copy, Deserialize)]
struct WireUsage {
    #[serde(default)]
    prompt_tokens: Option<u64>,
    #[serde(default)]
    completion_tokens: Option<u64>,
    #[serde(default)]
    prompt_tokens_details: Option<PromptDetails>,
    #[serde(default)]
    completion_tokens_details: Option<CompletionDetails>,
}

#[derive(Clone, Copy, Default, Deserialize)]
struct PromptDetails {
    #[serde(default)]
    cached_tokens: Option<u64>,
}

#[derive(Clone, Copy, Default, Deserialize)]
struct CompletionDetails {
    #[serde(default)]
    reasoning_tokens: Option<u64>,
}

impl WireUsage {
    fn read(self) -> Usage {
        let (prompt, completion) = (
            self.prompt_tokens_details.unwrap_or_default(),
            self.completion_tokens_details.unwrap_or_default(),
        );
        Usage {
            input_tokens: self.prompt_tokens.unwrap_or(0),
            output_tokens: self.completion_tokens.unwrap_or(0),
            cache_read_tokens: prompt.cached_tokens.unwrap_or(0),
            cache_write_tokens: 0,
            reasoning_tokens: completion.reasoning_tokens.unwrap_or(0),
        }
    }
}

/// Reads an answer that came in one piece.
pub(super) fn whole(body: &[u8]) -> Result<Message, Fault> {
    let mut chunks = Chunks::default();
    chunks.take(parse(body)?, &mut VecDeque::new())?;
    chunks.end()
}

/// Chunks reads an answer that comes in chunks.
#[derive(Default)]
pub(super) struct Chunks {
    thoughts: String,
    text: String,
    refusal: String,
    calls: Calls,
    finish_reason: Option<String>,
    usage: Option<WireUsage>,
}

impl Chunks {
    fn take(&mut self, chunk: Chunk, pieces: &mut VecDeque<Piece>) -> Result<(), Fault> {
        if let Some(error) = chunk.error.filter(|error| !error.is_null()) {
            return Err(retry::fault_in_stream(&error));
        }
        self.usage = chunk.usage.or(self.usage);
        // Only one answer is asked for.
        let Some(choice) = chunk.choices.into_iter().next() else {
            return Ok(());
        };
        let finish_reason = choice.finish_reason.filter(|reason| !reason.is_empty());
        self.finish_reason = finish_reason.or(self.finish_reason.take());
        let Some(delta) = choice.delta else {
            return Ok(());
        };
        if let Some(thoughts) = delta.reasoning_content.filter(|text| !text.is_empty()) {
            self.thoughts.push_str(&thoughts);
            pieces.push_back(Piece::Thinking(thoughts));
        }
        if let Some(text) = delta.content.filter(|text| !text.is_empty()) {
            self.text.push_str(&text);
            pieces.push_back(Piece::Text(text));
        }
        if let Some(refusal) = delta.refusal.filter(|text| !text.is_empty()) {
            self.refusal.push_str(&refusal);
            pieces.push_back(Piece::Text(refusal));
        }
        for call in delta.tool_calls.unwrap_or_default() {
            pieces.push_back(self.calls.add(call));
        }
        Ok(())
    }
}

impl Decoder for Chunks {
    fn event(
        &mut self,
        event: ServerSentEvent,
        pieces: &mut VecDeque<Piece>,
    ) -> Result<bool, Fault> {
        if event.data == "[DONE]" {
            return Ok(true);
        }
        self.take(parse(event.data.as_bytes())?, pieces)?;
        Ok(false)
    }

    fn end(&mut self) -> Result<Message, Fault> {
        // Servers differ in how they end a stream; a reason to stop all of them give.
        let finish_reason = self.finish_reason.take().ok_or(Fault::Truncated)?;
        let take = std::mem::take::<String>;
        let is_refused = !self.refusal.is_empty();
        let has_calls = !self.calls.is_empty();
        let texts = [
            (take(&mut self.thoughts), thinking as fn(String) -> Block),
            (take(&mut self.text), |text| Block::Text { text }),
            (take(&mut self.refusal), |text| Block::Refusal { text }),
        ];
        let blocks = texts
            .into_iter()
            .filter(|(text, _)| !text.is_empty())
            .map(|(text, block)| block(text))
            .chain(self.calls.take().into_iter().map(Block::ToolCall));
        let mut message = written(blocks.collect());
        message.stop_reason = Some(match finish_reason.as_str() {
            _ if is_refused => StopReason::Refusal,
            // Some servers say `stop` with calls.
            "stop" | "tool_calls" | "function_call" if has_calls => StopReason::ToolCalls,
            "stop" => StopReason::EndTurn,
            "length" => StopReason::MaxTokens,
            "content_filter" => StopReason::Refusal,
            other => StopReason::from(other.to_owned()),
        });
        message.usage = self.usage.map(WireUsage::read);
        Ok(message)
    }
}

fn thinking(text: String) -> Block {
    Block::Thinking {
        text,
        signature: None,
    }
}
