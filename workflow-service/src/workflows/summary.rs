//! What becomes of conversations that are too long: the model is given the newest part, and of the
//! rest nothing or a summary.

use weft_worker::{Context, Failure};

use super::{
    Services,
    conversation::{HistorySettings, Settings},
    derived_id,
    model::Question,
};
use crate::llm::{
    history::{start_of_recent, system_head, trim},
    message::{Message, Role},
    options::Options,
};

/// How a summary begins, which also tells it from other messages of the system.
const BEGINNING: &str = "Summary of the conversation so far:";
const INSTRUCTIONS: &str = "You keep the minutes of a conversation. Write a summary of it that lets \
     somebody go on with it: who said what matters, what was decided, what is still open. Keep \
     names, numbers and wishes exact. Write the summary only.";

/// What the model is given of a conversation.
pub fn given(conversation: &[Message], history: HistorySettings) -> Vec<Message> {
    trim(conversation.to_vec(), history.budget())
}

/// Replaces the oldest part of a conversation that is too long by a summary, if settings want it.
///
/// # Errors
/// If the model fails.
pub async fn shortened(
    services: &Services,
    context: &Context,
    settings: &Settings,
    conversation: Vec<Message>,
) -> Result<Vec<Message>, Failure> {
    let history = settings.history;
    let start = start_of_recent(&conversation, history.budget());
    let head = system_head(&conversation);
    if !history.summarize || start <= head {
        return Ok(conversation);
    }
    let question = Question {
        model: settings.model.clone(),
        system: INSTRUCTIONS.to_owned(),
        messages: vec![Message::new(Role::User, transcript(&conversation[..start]))],
        tools: Vec::new(),
        options: Options {
            stream: Some(false),
            ..Options::default()
        },
    };
    let written = context
        .call(&services.asking("summarize"), question)
        .await?;
    let text = written.content.text();
    // Nothing is no summary: the conversation stays as it is.
    if text.trim().is_empty() {
        return Ok(conversation);
    }
    let summary = Message::new(Role::System, format!("{BEGINNING} {text}"));
    let summary = summary.with_id(derived_id(&format!("{}/summary", context.run_id())));
    let mut conversation = conversation;
    let recent = conversation.split_off(start);
    conversation.truncate(head);
    conversation.retain(|message| !is_summary(message));
    conversation.push(summary);
    conversation.extend(recent);
    Ok(conversation)
}

fn is_summary(message: &Message) -> bool {
    message.role == Role::System && message.content.text().starts_with(BEGINNING)
}

/// A conversation as text, with the summary of what came before; other messages of the system stay
/// and need no minutes.
fn transcript(conversation: &[Message]) -> String {
    let told = conversation
        .iter()
        .filter(|message| message.role != Role::System || is_summary(message));
    let lines = told.map(|message| {
        let text = message.content.text();
        let calls = message.content.tool_calls();
        let calls: Vec<_> = calls
            .map(|call| format!("[calls {} {}]", call.name, call.arguments_text()))
            .collect();
        let who = match message.role {
            Role::User => "user: ",
            Role::Assistant => "assistant: ",
            Role::Tool => "tool: ",
            Role::System => "",
        };
        format!("{who}{text}{}", calls.join(""))
    });
    lines.collect::<Vec<_>>().join("\n")
}
