//! A request as Responses writes it.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::{Value, json};

use super::super::{image_url, prompt_cache_key, tool_text};
use crate::llm::{
    ChatRequest,
    content::{Block, Content},
    message::{Message, Role},
    options::ToolChoice,
};

/// Items of other formats are left out; this one's come back unchanged.
pub(super) const FORMAT: &str = "responses";

#[derive(Serialize)]
pub(super) struct Body<'a> {
    model: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    instructions: &'a str,
    input: Vec<Item<'a>>,
    /// What is kept is kept here.
    store: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_output_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning: Option<Value>,
    #[serde(skip_serializing_if = "<[&str]>::is_empty")]
    include: &'static [&'static str],
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Tool<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parallel_tool_calls: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_cache_key: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stream: bool,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Item<'a> {
    Message {
        role: &'static str,
        content: Vec<Part<'a>>,
    },
    FunctionCall {
        call_id: &'a str,
        name: &'a str,
        arguments: Cow<'a, str>,
    },
    FunctionCallOutput {
        call_id: &'a str,
        output: String,
    },
    #[serde(untagged)]
    Own(&'a Value),
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Part<'a> {
    InputText { text: &'a str },
    InputImage { image_url: String },
    OutputText { text: &'a str },
    Refusal { refusal: &'a str },
}

#[derive(Serialize)]
struct Tool<'a> {
    r#type: &'static str,
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    description: &'a str,
    parameters: &'a Value,
    /// The provider's default would refuse schemas with optional properties.
    strict: bool,
}

impl<'a> Body<'a> {
    pub(super) fn of(request: &'a ChatRequest, max_tokens: Option<u32>) -> Self {
        let options = &request.options;
        let tools = request.tools.iter().map(|tool| Tool {
            r#type: "function",
            name: &tool.name,
            description: &tool.description,
            parameters: &tool.input_schema,
            strict: false,
        });
        let has_tools = !request.tools.is_empty();
        let effort = options.effort.as_deref();
        Self {
            model: &request.model,
            instructions: &request.system,
            input: request.messages.iter().flat_map(items).collect(),
            store: false,
            max_output_tokens: options.max_tokens.or(max_tokens),
            temperature: options.temperature,
            top_p: options.top_p,
            reasoning: effort.map(|effort| json!({ "effort": effort })),
            // Models that do not think refuse to be asked for it.
            include: match effort {
                Some(_) => &["reasoning.encrypted_content"],
                None => &[],
            },
            text: options.output.as_ref().map(|output| {
                json!({ "format": { "type": "json_schema", "name": output.name,
                    "schema": output.schema, "strict": true } })
            }),
            tools: tools.collect(),
            tool_choice: options
                .tool_choice
                .as_ref()
                .filter(|_| has_tools)
                .map(|choice| match choice {
                    ToolChoice::Auto => json!("auto"),
                    ToolChoice::Any => json!("required"),
                    ToolChoice::None => json!("none"),
                    ToolChoice::Tool(name) => json!({ "type": "function", "name": name }),
                }),
            parallel_tool_calls: options.parallel_tool_calls.filter(|_| has_tools),
            prompt_cache_key: prompt_cache_key(request),
            stream: options.stream.unwrap_or(true),
        }
    }
}

/// The items that a message is.
fn items(message: &Message) -> Vec<Item<'_>> {
    let role = match message.role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::Tool => {
            return vec![Item::FunctionCallOutput {
                call_id: message.tool_call_id.as_deref().unwrap_or_default(),
                output: tool_text(message),
            }];
        }
    };
    let is_written = message.role == Role::Assistant;
    let text = |text| match is_written {
        true => Part::OutputText { text },
        false => Part::InputText { text },
    };
    let blocks = match &message.content {
        Content::Text(content) => {
            return vec![Item::Message {
                role,
                content: vec![text(content)],
            }];
        }
        Content::Blocks(blocks) => blocks,
    };
    let mut items: Vec<Item<'_>> = Vec::new();
    for block in blocks {
        let part = match block {
            Block::Text { text: content } => text(content),
            Block::Refusal { text } => Part::Refusal { refusal: text },
            Block::Image {
                url,
                media_type,
                data,
            } => Part::InputImage {
                image_url: image_url(url.as_deref(), media_type.as_deref(), data.as_deref()),
            },
            Block::ToolCall(call) => {
                items.push(Item::FunctionCall {
                    call_id: &call.id,
                    name: &call.name,
                    arguments: call.arguments_text(),
                });
                continue;
            }
            Block::Provider { format, value } => {
                if format == FORMAT && !is_kept_elsewhere(value) {
                    items.push(Item::Own(value));
                }
                continue;
            }
            // Thoughts of others mean nothing here; its own come as items.
            Block::Thinking { .. } | Block::RedactedThinking { .. } => continue,
        };
        match items.last_mut() {
            Some(Item::Message { content, .. }) => content.push(part),
            _ => items.push(Item::Message {
                role,
                content: vec![part],
            }),
        }
    }
    items
}

/// Whether an item is thoughts by their id alone. The provider would look for them where it keeps
/// things, and nothing is kept there.
fn is_kept_elsewhere(item: &Value) -> bool {
    let encrypted = item.get("encrypted_content").and_then(Value::as_str);
    item.get("type").and_then(Value::as_str) == Some("reasoning") && encrypted.is_none()
}
