//! A request as Chat Completions writes it.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::{Value, json};

use super::{
    super::{image_url, prompt_cache_key, tool_text},
    Chat,
};
use crate::llm::{
    ChatRequest,
    content::{Block, Content},
    message::{Message, Role},
    options::{ToolChoice, ToolSpec},
    settings::MaxTokensField,
};

#[derive(Serialize)]
pub(super) struct Body<'a> {
    model: &'a str,
    messages: Vec<WireMessage<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_completion_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    stop: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_effort: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_format: Option<Value>,
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
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_options: Option<Value>,
}

#[derive(Serialize)]
#[serde(tag = "role", rename_all = "lowercase")]
enum WireMessage<'a> {
    System {
        content: Cow<'a, str>,
    },
    User {
        content: WireContent<'a>,
    },
    Assistant {
        content: Option<Cow<'a, str>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        refusal: Option<&'a str>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        tool_calls: Vec<WireCall<'a>>,
    },
    Tool {
        tool_call_id: &'a str,
        content: String,
    },
}

#[derive(Serialize)]
#[serde(untagged)]
enum WireContent<'a> {
    Text(&'a str),
    Parts(Vec<Part<'a>>),
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Part<'a> {
    Text { text: &'a str },
    ImageUrl { image_url: ImageUrl },
}

#[derive(Serialize)]
struct ImageUrl {
    url: String,
}

#[derive(Serialize)]
struct WireCall<'a> {
    id: &'a str,
    r#type: &'static str,
    function: Function<'a>,
}

#[derive(Serialize)]
struct Function<'a> {
    name: &'a str,
    arguments: Cow<'a, str>,
}

#[derive(Serialize)]
struct Tool<'a> {
    r#type: &'static str,
    function: ToolFunction<'a>,
}

#[derive(Serialize)]
struct ToolFunction<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    description: &'a str,
    parameters: &'a Value,
}

impl<'a> From<&'a ToolSpec> for Tool<'a> {
    fn from(tool: &'a ToolSpec) -> Self {
        Self {
            r#type: "function",
            function: ToolFunction {
                name: &tool.name,
                description: &tool.description,
                parameters: &tool.input_schema,
            },
        }
    }
}

impl<'a> Body<'a> {
    pub(super) fn of(request: &'a ChatRequest, chat: &Chat) -> Self {
        let options = &request.options;
        let stream = options.stream.unwrap_or(true);
        let system = Some(request.system.as_str()).filter(|text| !text.is_empty());
        let system = system.map(|text| WireMessage::System {
            content: text.into(),
        });
        let max_tokens = options.max_tokens.or(chat.max_tokens);
        let in_new_field = chat.max_tokens_field == MaxTokensField::MaxCompletionTokens;
        Self {
            model: &request.model,
            messages: system
                .into_iter()
                .chain(request.messages.iter().map(message))
                .collect(),
            max_completion_tokens: max_tokens.filter(|_| in_new_field),
            max_tokens: max_tokens.filter(|_| !in_new_field),
            temperature: options.temperature,
            top_p: options.top_p,
            stop: &options.stop,
            reasoning_effort: options.effort.as_deref(),
            response_format: options.output.as_ref().map(|output| {
                let schema =
                    json!({ "name": output.name, "schema": output.schema, "strict": true });
                json!({ "type": "json_schema", "json_schema": schema })
            }),
            tools: request.tools.iter().map(Tool::from).collect(),
            tool_choice: tool_choice(request),
            parallel_tool_calls: options
                .parallel_tool_calls
                .filter(|_| !request.tools.is_empty()),
            prompt_cache_key: prompt_cache_key(request).filter(|_| chat.is_openai),
            stream,
            stream_options: stream.then(|| json!({ "include_usage": true })),
        }
    }
}

fn tool_choice(request: &ChatRequest) -> Option<Value> {
    if request.tools.is_empty() {
        return None;
    }
    request
        .options
        .tool_choice
        .as_ref()
        .map(|choice| match choice {
            ToolChoice::Auto => json!("auto"),
            ToolChoice::Any => json!("required"),
            ToolChoice::None => json!("none"),
            ToolChoice::Tool(name) => json!({ "type": "function", "function": { "name": name } }),
        })
}

fn message(message: &Message) -> WireMessage<'_> {
    match message.role {
        Role::System => WireMessage::System {
            content: message.content.text(),
        },
        Role::User => WireMessage::User {
            content: content(&message.content),
        },
        Role::Tool => WireMessage::Tool {
            tool_call_id: message.tool_call_id.as_deref().unwrap_or_default(),
            content: tool_text(message),
        },
        Role::Assistant => assistant(&message.content),
    }
}

fn content(content: &Content) -> WireContent<'_> {
    let blocks = match content {
        Content::Text(text) => return WireContent::Text(text),
        Content::Blocks(blocks) => blocks,
    };
    let parts = blocks.iter().filter_map(|block| match block {
        Block::Text { text } => Some(Part::Text { text }),
        Block::Image {
            url,
            media_type,
            data,
        } => Some(Part::ImageUrl {
            image_url: ImageUrl {
                url: image_url(url.as_deref(), media_type.as_deref(), data.as_deref()),
            },
        }),
        _ => None,
    });
    WireContent::Parts(parts.collect())
}

fn assistant(content: &Content) -> WireMessage<'_> {
    let (mut texts, mut refusal) = (Vec::new(), None);
    match content {
        Content::Text(text) => texts.push(text.as_str()),
        Content::Blocks(blocks) => {
            for block in blocks {
                match block {
                    Block::Text { text } => texts.push(text),
                    Block::Refusal { text } => refusal = Some(text.as_str()),
                    _ => {}
                }
            }
        }
    }
    let tool_calls: Vec<_> = content
        .tool_calls()
        .map(|call| WireCall {
            id: &call.id,
            r#type: "function",
            function: Function {
                name: &call.name,
                arguments: call.arguments_text(),
            },
        })
        .collect();
    let content = match texts.as_slice() {
        // Calls need no text; anything else must say something.
        [] if tool_calls.is_empty() && refusal.is_none() => Some("".into()),
        [] => None,
        [one] => Some((*one).into()),
        several => Some(several.join("\n").into()),
    };
    WireMessage::Assistant {
        content,
        refusal,
        tool_calls,
    }
}
