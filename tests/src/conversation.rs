//! What is said to `chat`, and the conversation that the project began with.

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use weft_proto::workflow::v1::{Run, StartRunRequest, run::State};

use crate::payload;

/// One line of a conversation.
#[derive(Clone, Copy, Debug)]
pub struct Line {
    /// Thread it is said on.
    pub thread: &'static str,
    /// User who says it.
    pub user: &'static str,
    /// What is said.
    pub text: &'static str,
}

/// Somebody asks for something to be remembered.
pub const INTRODUCTION: Line = Line {
    thread: "1",
    user: "1",
    text: "Hi! Remember: my name is Bob",
};
/// The same user asks on another thread.
pub const QUESTION: Line = Line {
    thread: "2",
    user: "1",
    text: "what is my name?",
};
/// Another user asks the same.
pub const STRANGER: Line = Line {
    thread: "3",
    user: "2",
    text: "what is my name?",
};

impl Line {
    /// The run that says it.
    #[must_use]
    pub fn to_run(self) -> StartRunRequest {
        chat(self.thread, self.user, self.text)
    }
}

/// A run of `chat` in which `user` says `text` on `thread`.
#[must_use]
pub fn chat(thread: &str, user: &str, text: &str) -> StartRunRequest {
    StartRunRequest {
        entrypoint: "chat".to_owned(),
        thread_id: thread.to_owned(),
        input: Some(payload::json(&json!([{ "role": "user", "content": text }]))),
        config: Some(payload::json(&json!({ "user_id": user }))),
        ..StartRunRequest::default()
    }
}

/// The namespace that holds what `user` asked to be remembered.
#[must_use]
pub fn memories_of(user: &str) -> Vec<String> {
    vec!["memories".to_owned(), user.to_owned()]
}

/// What the assistant answered in a run.
///
/// # Errors
/// If the run did not succeed, or its output is no message of an assistant.
pub fn answer(run: Option<&Run>) -> Result<String> {
    let run = run.context("the response holds no run")?;
    ensure!(
        run.state() == State::Succeeded,
        "the run did not succeed: {run:?}"
    );
    let output = payload::read(run.output.as_ref())?;
    ensure!(
        output["role"] == "assistant",
        "not said by the assistant: {output}"
    );
    let content = output["content"].as_str();
    Ok(content
        .with_context(|| format!("no content: {output}"))?
        .to_owned())
}
