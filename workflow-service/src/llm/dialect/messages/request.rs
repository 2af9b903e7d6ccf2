//! A request as Messages writes it.

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::llm::{
    ChatRequest,
    content::{Block, Content},
    message::{Message, Role},
    options::{CacheTime, ToolChoice},
};

/// Blocks of other formats are left out; this one's come back unchanged.
pub(super) const FORMAT: &str = "messages";

#[derive(Serialize)]
pub(super) struct Body<'a> {
    model: &'a str,
    max_tokens: u32,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    system: Vec<WireBlock<'a>>,
    messages: Vec<WireMessage<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Tool<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    stop_sequences: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_config: Option<Value>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stream: bool,
}

#[derive(Serialize)]
struct WireMessage<'a> {
    role: &'static str,
    content: Vec<WireBlock<'a>>,
}

#[derive(Serialize)]
struct WireBlock<'a> {
    #[serde(flatten)]
    kind: Kind<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_control: Option<CacheControl>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Kind<'a> {
    Text {
        text: &'a str,
    },
    Image {
        source: Source<'a>,
    },
    ToolUse {
        id: &'a str,
        name: &'a str,
        input: Value,
    },
    ToolResult {
        tool_use_id: &'a str,
        content: Vec<WireBlock<'a>>,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        is_error: bool,
    },
    Thinking {
        thinking: &'a str,
        signature: &'a str,
    },
    RedactedThinking {
        data: &'a str,
    },
    #[serde(untagged)]
    Own(&'a Value),
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Source<'a> {
    Url { url: &'a str },
    Base64 { media_type: &'a str, data: &'a str },
}

#[derive(Serialize)]
struct Tool<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    description: &'a str,
    input_schema: &'a Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_control: Option<CacheControl>,
}

#[derive(Clone, Copy, Serialize)]
struct CacheControl {
    r#type: &'static str,
    ttl: CacheTime,
}

impl<'a> Body<'a> {
    pub(super) fn of(request: &'a ChatRequest, max_tokens: u32) -> Self {
        let options = &request.options;
        let cache = options.cache.map(|ttl| CacheControl {
            r#type: "ephemeral",
            ttl,
        });
        // The format has no messages of the system: they join the instructions.
        let mut system: Vec<_> = std::iter::once(request.system.as_str())
            .filter(|text| !text.is_empty())
            .map(|text| Kind::Text { text })
            .map(WireBlock::from)
            .collect();
        let of_system = request.messages.iter();
        for message in of_system.filter(|message| message.role == Role::System) {
            system.extend(blocks(message));
        }
        let mut messages = messages(&request.messages);
        let mut tools: Vec<_> = request
            .tools
            .iter()
            .map(|tool| Tool {
                name: &tool.name,
                description: &tool.description,
                input_schema: &tool.input_schema,
                cache_control: None,
            })
            .collect();
        // What comes first changes least: tools, then the system, then the conversation so far.
        if let Some(tool) = tools.last_mut() {
            tool.cache_control = cache;
        }
        if let Some(block) = system.last_mut() {
            block.cache_control = cache;
        }
        let last = messages.last_mut().map(|message| &mut message.content);
        if let Some(block) = last.and_then(|content| content.last_mut())
            && !matches!(
                block.kind,
                Kind::Thinking { .. } | Kind::RedactedThinking { .. } | Kind::Own(_)
            )
        {
            block.cache_control = cache;
        }
        let mut output_config = Map::new();
        if let Some(output) = &options.output {
            let format = json!({ "type": "json_schema", "schema": output.schema });
            output_config.insert("format".to_owned(), format);
        }
        if let Some(effort) = &options.effort {
            output_config.insert("effort".to_owned(), json!(effort));
        }
        Self {
            model: &request.model,
            max_tokens: options.max_tokens.unwrap_or(max_tokens),
            system,
            messages,
            tools,
            tool_choice: tool_choice(request),
            temperature: options.temperature,
            top_p: options.top_p,
            stop_sequences: &options.stop,
            thinking: options
                .thinking_tokens
                .map(|tokens| json!({ "type": "enabled", "budget_tokens": tokens })),
            output_config: (!output_config.is_empty()).then_some(Value::Object(output_config)),
            stream: options.stream.unwrap_or(true),
        }
    }
}

fn tool_choice(request: &ChatRequest) -> Option<Value> {
    let options = &request.options;
    if request.tools.is_empty() {
        return None;
    }
    let one_at_a_time = options.parallel_tool_calls == Some(false);
    let mut choice = match (&options.tool_choice, one_at_a_time) {
        (None, false) => return None,
        (None | Some(ToolChoice::Auto), _) => json!({ "type": "auto" }),
        (Some(ToolChoice::Any), _) => json!({ "type": "any" }),
        (Some(ToolChoice::None), _) => return Some(json!({ "type": "none" })),
        (Some(ToolChoice::Tool(name)), _) => json!({ "type": "tool", "name": name }),
    };
    if one_at_a_time {
        choice["disable_parallel_tool_use"] = json!(true);
    }
    Some(choice)
}

/// The conversation. Messages of one side that follow one another become one: results of parallel
/// calls must be together, and come before what else the user says.
fn messages(conversation: &[Message]) -> Vec<WireMessage<'_>> {
    let mut messages: Vec<WireMessage<'_>> = Vec::new();
    for message in conversation {
        let (role, content) = match message.role {
            Role::System => continue,
            Role::User => ("user", blocks(message)),
            Role::Assistant => ("assistant", blocks(message)),
            Role::Tool => ("user", vec![result(message)]),
        };
        match messages.last_mut() {
            // Nothing empty is taken.
            _ if content.is_empty() => {}
            Some(last) if last.role == role => last.content.extend(content),
            _ => messages.push(WireMessage { role, content }),
        }
    }
    messages
}

fn result(message: &Message) -> WireBlock<'_> {
    Kind::ToolResult {
        tool_use_id: message.tool_call_id.as_deref().unwrap_or_default(),
        content: blocks(message),
        is_error: message.is_error,
    }
    .into()
}

fn blocks(message: &Message) -> Vec<WireBlock<'_>> {
    let text = |text: &'_ str| !text.trim().is_empty();
    let blocks = match &message.content {
        Content::Text(content) => {
            let kept = text(content).then_some(Kind::Text { text: content });
            return kept.map(WireBlock::from).into_iter().collect();
        }
        Content::Blocks(blocks) => blocks,
    };
    let kinds = blocks.iter().filter_map(|block| match block {
        Block::Text { text: content } | Block::Refusal { text: content } => {
            text(content).then_some(Kind::Text { text: content })
        }
        Block::Image { url: Some(url), .. } => Some(Kind::Image {
            source: Source::Url { url },
        }),
        Block::Image {
            media_type, data, ..
        } => Some(Kind::Image {
            source: Source::Base64 {
                media_type: media_type.as_deref()?,
                data: data.as_deref()?,
            },
        }),
        Block::ToolCall(call) => Some(Kind::ToolUse {
            id: &call.id,
            name: &call.name,
            input: match &call.arguments {
                // Only an object is taken.
                Value::Object(_) => call.arguments.clone(),
                _ => json!({}),
            },
        }),
        // Thoughts of others have no signature that counts here.
        Block::Thinking { text, signature } => signature.as_ref().map(|signature| Kind::Thinking {
            thinking: text,
            signature,
        }),
        Block::RedactedThinking { data } => Some(Kind::RedactedThinking { data }),
        Block::Provider { format, value } => (format == FORMAT).then_some(Kind::Own(value)),
    });
    kinds.map(WireBlock::from).collect()
}

impl<'a> From<Kind<'a>> for WireBlock<'a> {
    fn from(kind: Kind<'a>) -> Self {
        Self {
            kind,
            cache_control: None,
        }
    }
}
