//! The offline model: no network, no key, and always the same answer to the same question.
//!
//! It knows what the user said and what the system prompt says about the user, understands names,
//! repeats everything else, and says that it is not a real model.

use futures::{StreamExt as _, stream, stream::BoxStream};
use weft_worker::Failure;

use super::{ChatModel, ChatRequest, message::Role};

/// Provider name.
pub const PROVIDER: &str = "echo";
/// The only model.
pub const MODEL: &str = "offline";
/// What separates the instructions from what is known of the user in a system prompt.
pub const USER_INFO: &str = "User info:";

const SIGNATURE: &str = "(echo, the offline model)";

/// Echo is the offline model.
#[derive(Clone, Copy, Debug)]
pub struct Echo;

impl ChatModel for Echo {
    fn stream(&self, request: ChatRequest) -> BoxStream<'static, Result<String, Failure>> {
        let answer = format!("{} {SIGNATURE}", answer(&request));
        let words: Vec<String> = answer.split_inclusive(' ').map(str::to_owned).collect();
        stream::iter(words).map(Ok).boxed()
    }
}

fn answer(request: &ChatRequest) -> String {
    let info = request
        .system
        .split_once(USER_INFO)
        .map_or("", |(_, info)| info.trim());
    let said: Vec<&str> = request
        .messages
        .iter()
        .rev()
        .filter(|message| message.role == Role::User)
        .map(|message| message.content.as_str())
        .collect();
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
    use crate::llm::message::Message;

    fn ask(system: &str, said: &[&str]) -> String {
        let messages = said
            .iter()
            .map(|text| Message {
                id: None,
                role: Role::User,
                content: (*text).into(),
            })
            .collect();
        answer(&ChatRequest {
            model: MODEL.into(),
            system: system.into(),
            messages,
        })
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
}
