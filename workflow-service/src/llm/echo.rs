//! The offline model: no network, no key, and always the same answer to the same question.
//!
//! It knows what the user said and what the system prompt says about the user, understands names,
//! repeats everything else, calls a tool `remember` if it has one and is asked to, and says that it
//! is not a real model.

use futures::{StreamExt as _, stream, stream::BoxStream};
use serde_json::json;

use super::{
    ChatModel, ChatRequest, Piece,
    content::{Block, Content, ToolCall},
    error::ModelError,
    message::{Message, Role, StopReason},
    options::{BadOption, Options},
};

/// Provider name.
pub const PROVIDER: &str = "echo";
/// The only model.
pub const MODEL: &str = "offline";
/// What separates the instructions from what is known of the user in a system prompt.
pub const USER_INFO: &str = "User info:";
/// The tool that it can call.
const REMEMBER: &str = "remember";

const SIGNATURE: &str = "(echo, the offline model)";

/// Echo is the offline model.
#[derive(Clone, Copy, Debug)]
pub struct Echo;

impl ChatModel for Echo {
    fn check(&self, options: &Options) -> Vec<BadOption> {
        let no_json = "is not taken by the offline model, which writes no JSON";
        let output = options.output.as_ref();
        output
            .map(|_| BadOption::new("output", no_json))
            .into_iter()
            .collect()
    }

    fn stream(&self, request: ChatRequest) -> BoxStream<'static, Result<Piece, ModelError>> {
        let mut message = match call(&request) {
            Some(call) => Message {
                stop_reason: Some(StopReason::ToolCalls),
                ..Message::new(
                    Role::Assistant,
                    Content::Blocks(vec![Block::ToolCall(call)]),
                )
            },
            None => Message {
                stop_reason: Some(StopReason::EndTurn),
                ..Message::new(Role::Assistant, format!("{} {SIGNATURE}", answer(&request)))
            },
        };
        message.model = Some(format!("{PROVIDER}:{MODEL}"));
        let text = message.content.text().into_owned();
        let words: Vec<_> = text
            .split_inclusive(' ')
            .map(|word| Piece::Text(word.to_owned()))
            .collect();
        let done = Piece::Done(Box::new(message));
        stream::iter(words.into_iter().chain([done]).map(Ok)).boxed()
    }
}

/// The call of the tool that it knows, if it is to be made.
fn call(request: &ChatRequest) -> Option<ToolCall> {
    let last = request.messages.last()?;
    let text = last.content.text();
    let has_tool = request.tools.iter().any(|tool| tool.name == REMEMBER);
    let is_asked = last.role == Role::User && asks_to_remember(&text);
    (has_tool && is_asked).then(|| ToolCall {
        id: format!("call_{}", request.messages.len()),
        name: REMEMBER.to_owned(),
        arguments: json!({ "data": text }),
        malformed_arguments: None,
    })
}

fn answer(request: &ChatRequest) -> String {
    let info = request
        .system
        .split_once(USER_INFO)
        .map_or("", |(_, info)| info.trim());
    let said: Vec<_> = request
        .messages
        .iter()
        .rev()
        .filter(|message| message.role == Role::User)
        .map(|message| message.content.text())
        .collect();
    let said: Vec<&str> = said.iter().map(AsRef::as_ref).collect();
    let Some(last) = said.first() else {
        return "Nobody has said anything yet.".to_owned();
    };
    if let Some(name) = name_given_in(last) {
        let promise = if asks_to_remember(last) {
            " I will remember that."
        } else {
            ""
        };
        return format!("Hi {name}! Nice to meet you.{promise}");
    }
    let known_name = said
        .iter()
        .copied()
        .chain(info.lines())
        .find_map(name_given_in);
    if asks_for_name(last) {
        return match known_name {
            Some(name) => format!("Your name is {name}."),
            None => "I do not know your name yet.".to_owned(),
        };
    }
    let known = match info {
        "" => String::new(),
        info => format!(
            " I remember: {}.",
            info.lines().collect::<Vec<_>>().join("; ")
        ),
    };
    let promise = if asks_to_remember(last) {
        " I will remember that."
    } else {
        ""
    };
    format!("You said: \"{last}\".{promise}{known}")
}

/// Whether a message asks for something to be remembered: the reference program's rule.
pub fn asks_to_remember(text: &str) -> bool {
    text.to_lowercase().contains("remember")
}

fn asks_for_name(text: &str) -> bool {
    let text = text.to_lowercase();
    text.contains("my name") || text.contains("who am i")
}

/// The name in "my name is Bob", "User name is Bob".
fn name_given_in(text: &str) -> Option<&str> {
    // Lower-casing other than ASCII can move positions.
    let lower = text.to_ascii_lowercase();
    let after = lower.find("name is ")? + "name is ".len();
    let name = text[after..]
        .split(|c: char| !c.is_alphanumeric() && c != '-')
        .next()?;
    (!name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llm::options::{Options, ToolSpec};

    fn request(system: &str, said: &[&str]) -> ChatRequest {
        let messages = said.iter().map(|text| Message::new(Role::User, *text));
        ChatRequest {
            model: MODEL.into(),
            system: system.into(),
            messages: messages.collect(),
            tools: Vec::new(),
            options: Options::default(),
            thread: "t".into(),
        }
    }

    fn ask(system: &str, said: &[&str]) -> String {
        answer(&request(system, said))
    }

    #[test]
    fn it_greets_whoever_tells_a_name() {
        let answer = ask("User info: ", &["Hi! Remember: my name is Bob"]);
        assert_eq!(answer, "Hi Bob! Nice to meet you. I will remember that.");
    }

    #[test]
    fn it_knows_a_name_from_the_system_prompt_or_the_conversation() {
        let question = "what is my name?";
        let info = "User info: Hi! Remember: my name is Bob";
        assert_eq!(ask(info, &[question]), "Your name is Bob.");
        assert_eq!(ask("", &["my name is Zoë", question]), "Your name is Zoë.");
        assert_eq!(
            ask("User info: ", &[question]),
            "I do not know your name yet."
        );
    }

    #[test]
    fn it_repeats_all_else_with_what_it_knows() {
        assert_eq!(
            ask("User info: likes tea", &["hello"]),
            "You said: \"hello\". I remember: likes tea."
        );
    }

    #[test]
    fn it_calls_the_tool_that_remembers_once_it_is_asked_to() {
        let mut request = request("", &["Remember: I like tea"]);
        assert_eq!(call(&request), None);
        request.tools.push(ToolSpec {
            name: REMEMBER.into(),
            description: String::new(),
            input_schema: json!({}),
        });
        let made = call(&request).unwrap();
        assert_eq!(made.arguments, json!({ "data": "Remember: I like tea" }));
        request
            .messages
            .push(Message::tool_result(&made, "stored", false));
        assert_eq!(call(&request), None);
    }
}
