//! Messages, as clients of any language write them by hand: `{"role":"user","content":"hello"}`.

use std::{borrow::Cow, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{self, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};

use super::{
    content::{Block, Content, ToolCall},
    usage::Usage,
};

/// Message is something said in a conversation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Written")]
pub struct Message {
    /// Unique in the conversation. A message with the id of an earlier one replaces it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Who says it.
    pub role: Role,
    /// What is said.
    pub content: Content,
    /// The call that this is the result of, if a tool says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_call_id: Option<String>,
    /// Whether the tool failed.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_error: bool,
    /// Model that wrote it, as `provider:model`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Why the model stopped writing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_reason: Option<StopReason>,
    /// What writing it took.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// What its reader should know about how it came about, e.g. that memory was away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notice: Option<String>,
}

/// Who says something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The person.
    User,
    /// The model.
    Assistant,
    /// Whoever set the conversation up.
    System,
    /// A tool that the model called.
    Tool,
}

/// Why a model stopped writing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(from = "String", into = "String")]
#[schemars(with = "String")]
pub enum StopReason {
    /// It was done.
    EndTurn,
    /// It wrote as much as it may.
    MaxTokens,
    /// It wrote one of the texts to stop at.
    StopSequence,
    /// It wants tools to be called.
    ToolCalls,
    /// It does not want to answer, or its provider does not let it.
    Refusal,
    /// It paused in the middle of a long turn; the same conversation lets it go on.
    PauseTurn,
    /// The conversation fills its context window.
    ContextWindow,
    /// What else a provider says, as it says it.
    Other(String),
}

/// The reasons that are known, with their texts.
const STOP_REASONS: [(StopReason, &str); 7] = [
    (StopReason::EndTurn, "end_turn"),
    (StopReason::MaxTokens, "max_tokens"),
    (StopReason::StopSequence, "stop_sequence"),
    (StopReason::ToolCalls, "tool_calls"),
    (StopReason::Refusal, "refusal"),
    (StopReason::PauseTurn, "pause_turn"),
    (StopReason::ContextWindow, "context_window"),
];

impl From<String> for StopReason {
    fn from(text: String) -> Self {
        let known = STOP_REASONS.iter().find(|(_, known)| *known == text);
        known.map_or_else(|| Self::Other(text), |(reason, _)| reason.clone())
    }
}

impl From<StopReason> for String {
    fn from(reason: StopReason) -> Self {
        let known = STOP_REASONS.iter().find(|(known, _)| *known == reason);
        match (known, reason) {
            (None, StopReason::Other(text)) => text,
            (known, _) => known.map_or_else(Self::new, |(_, text)| (*text).to_owned()),
        }
    }
}

impl Message {
    /// Something said by `role`.
    pub fn new(role: Role, content: impl Into<Content>) -> Self {
        Self {
            id: None,
            role,
            content: content.into(),
            tool_call_id: None,
            is_error: false,
            model: None,
            stop_reason: None,
            usage: None,
            notice: None,
        }
    }

    /// What a tool answers to a call.
    pub fn tool_result(call: &ToolCall, content: impl Into<Content>, is_error: bool) -> Self {
        Self {
            tool_call_id: Some(call.id.clone()),
            is_error,
            ..Self::new(Role::Tool, content)
        }
    }

    /// The same message with this id.
    #[must_use]
    pub fn with_id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }
}

/// Change is what a caller does to a conversation: says something, or takes something back.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Written")]
pub enum Change {
    /// Something is said.
    Say(Message),
    /// The message with this id is taken back.
    Remove(String),
    /// All messages before are taken back.
    RemoveAll,
}

/// The id that removes all messages: LangGraph's `REMOVE_ALL_MESSAGES`.
pub const REMOVE_ALL: &str = "__remove_all__";

/// A message as it is written: `{"role":"user","content":"hello"}`, or
/// `{"role":"remove","id":"…"}` to take one back.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Message", inline)]
struct Written {
    /// Unique in the conversation; given by the service if the sender gives none. A message with
    /// the id of an earlier one replaces it.
    #[serde(default)]
    id: Option<String>,
    /// Who says it; `remove` takes the message `id` back, or all of them with the id
    /// `__remove_all__`.
    role: WrittenRole,
    /// What is said.
    #[serde(default)]
    content: Option<Content>,
    /// The call that this is the result of; required of a tool.
    #[serde(default)]
    tool_call_id: Option<String>,
    /// Whether the tool failed.
    #[serde(default)]
    is_error: bool,
    /// Model that wrote it.
    #[serde(default)]
    model: Option<String>,
    /// Why the model stopped writing.
    #[serde(default)]
    stop_reason: Option<StopReason>,
    /// What writing it took.
    #[serde(default)]
    usage: Option<Usage>,
    /// What its reader should know about how it came about.
    #[serde(default)]
    notice: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum WrittenRole {
    User,
    Assistant,
    System,
    Tool,
    Remove,
}

/// What is wrong with a message as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadMessage {
    /// Nothing is said.
    #[error("`content` is required")]
    NoContent,
    /// A result of nothing.
    #[error("`tool_call_id` is required of a message with the role `tool`, and of no other")]
    ToolCallId,
    /// It does not say what to take back.
    #[error("`id` must name the message to remove, or be `{REMOVE_ALL}`")]
    NoId,
    /// It takes back and says something.
    #[error("a message with the role `remove` must have nothing but an `id`")]
    RemoveSays,
    /// What is kept cannot be a removal.
    #[error("`remove` is no role of a message that is kept")]
    Removal,
    /// Only models call tools.
    #[error("only a message with the role `assistant` can hold calls of tools and thoughts")]
    NotAssistant,
}

impl TryFrom<Written> for Change {
    type Error = BadMessage;

    fn try_from(written: Written) -> Result<Self, BadMessage> {
        let role = match written.role {
            WrittenRole::User => Role::User,
            WrittenRole::Assistant => Role::Assistant,
            WrittenRole::System => Role::System,
            WrittenRole::Tool => Role::Tool,
            WrittenRole::Remove => {
                if written.content.is_some() || written.tool_call_id.is_some() {
                    return Err(BadMessage::RemoveSays);
                }
                return match written.id {
                    None => Err(BadMessage::NoId),
                    Some(id) if id == REMOVE_ALL => Ok(Self::RemoveAll),
                    Some(id) => Ok(Self::Remove(id)),
                };
            }
        };
        if (role == Role::Tool) != written.tool_call_id.is_some() {
            return Err(BadMessage::ToolCallId);
        }
        let content = written.content.ok_or(BadMessage::NoContent)?;
        if let Content::Blocks(blocks) = &content
            && role != Role::Assistant
            && !blocks
                .iter()
                .all(|block| matches!(block, Block::Text { .. } | Block::Image { .. }))
        {
            return Err(BadMessage::NotAssistant);
        }
        Ok(Self::Say(Message {
            id: written.id,
            role,
            content,
            tool_call_id: written.tool_call_id,
            is_error: written.is_error,
            model: written.model,
            stop_reason: written.stop_reason,
            usage: written.usage,
            notice: written.notice,
        }))
    }
}

impl TryFrom<Written> for Message {
    type Error = BadMessage;

    fn try_from(written: Written) -> Result<Self, BadMessage> {
        match Change::try_from(written)? {
            Change::Say(message) => Ok(message),
            Change::Remove(_) | Change::RemoveAll => Err(BadMessage::Removal),
        }
    }
}

impl JsonSchema for Change {
    fn schema_name() -> Cow<'static, str> {
        "Message".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Written::json_schema(generator)
    }
}

/// NewMessages is what a caller says: one or more messages. Read from a list of messages, one
/// message, or a string, which is said by the user.
#[derive(Clone, Debug, PartialEq)]
pub struct NewMessages(pub Vec<Change>);

impl JsonSchema for NewMessages {
    fn schema_name() -> Cow<'static, str> {
        "NewMessages".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let message = generator.subschema_for::<Change>();
        json_schema!({
            "anyOf": [
                { "type": "array", "items": message, "minItems": 1 },
                message,
                { "type": "string" },
            ]
        })
    }
}

impl<'de> Deserialize<'de> for NewMessages {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NewMessagesVisitor)
    }
}

struct NewMessagesVisitor;

impl<'de> Visitor<'de> for NewMessagesVisitor {
    type Value = NewMessages;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of messages, one message, or a string")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<NewMessages, E> {
        let message = Message::new(Role::User, text);
        Ok(NewMessages(vec![Change::Say(message)]))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<NewMessages, A::Error> {
        Change::deserialize(MapAccessDeserializer::new(map)).map(|one| NewMessages(vec![one]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<NewMessages, A::Error> {
        let mut messages = Vec::new();
        while let Some(message) = list.next_element()? {
            messages.push(message);
        }
        if messages.is_empty() {
            return Err(de::Error::custom("must have at least one message"));
        }
        Ok(NewMessages(messages))
    }
}

#[cfg(test)]
mod tests;
