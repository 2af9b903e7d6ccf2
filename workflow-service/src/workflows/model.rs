//! The task that asks a model.

use std::sync::Arc;

use futures::StreamExt as _;
use serde::{Deserialize, Serialize};
use weft_worker::{
    Failure, Task, TaskContext, Usage,
    protocol::{MessagePart, MessagePiece, Warning},
};

use super::{Services, derived_id};
use crate::llm::{
    ChatModel, ChatRequest, ModelName, Piece,
    message::Message,
    options::{Options, ToolSpec},
    retry,
};

/// Question is what a model is asked.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// Model, as `provider:model`; the service's own if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// What the model is told about its role.
    #[serde(default)]
    pub system: String,
    /// The conversation.
    pub messages: Vec<Message>,
    /// Tools that it may call.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<ToolSpec>,
    /// What else is asked for.
    #[serde(default)]
    pub options: Options,
}

/// Asker is the call that asks a model.
pub struct Asker<'a> {
    /// Key of the call: the message's id derives from it.
    pub key: String,
    /// Thread that asks.
    pub thread: Arc<str>,
    /// Takes what an answer took.
    pub meter: &'a (dyn Fn(Usage) + Send + Sync),
    /// Takes what the model writes, piece by piece.
    pub write: &'a (dyn Fn(MessagePiece) + Send + Sync),
    /// Takes a reason and a sentence about how it gets on.
    pub warn: &'a (dyn Fn(&str, String) + Send + Sync),
}

impl Services {
    /// Asks the model, and streams what it writes. A try that fails in the middle takes back what it
    /// streamed, and the next one begins anew.
    pub fn call_model(&self) -> Task<Question, Message> {
        self.asking("call_model")
    }

    /// A task of this name that asks a model.
    pub fn asking(&self, name: &str) -> Task<Question, Message> {
        let services = self.clone();
        Task::new(name, move |task, question| {
            let services = services.clone();
            async move { services.ask_within(&task, question).await }
        })
        .retry(retry::ATTEMPTS)
    }

    /// Asks a model within a task.
    pub(super) async fn ask_within(
        &self,
        task: &TaskContext,
        question: Question,
    ) -> Result<Message, Failure> {
        let asker = Asker {
            key: task.idempotency_key(),
            thread: task.thread_id().into(),
            meter: &|usage| task.add_usage(usage),
            write: &|piece| task.write_message_piece(piece),
            warn: &|reason, message| task.warn(reason, message),
        };
        self.ask(asker, question).await
    }

    /// Asks a model. What it writes is streamed, unless it is not to come in pieces.
    ///
    /// # Errors
    /// `UNKNOWN_MODEL`; the reasons of [`Fault`](crate::llm::error::Fault).
    pub async fn ask(&self, asker: Asker<'_>, question: Question) -> Result<Message, Failure> {
        let unknown = |why: String| Failure::new("UNKNOWN_MODEL", format!("the model {why}"));
        let (name, model) = self.model(question.model.as_deref()).map_err(unknown)?;
        let id: Arc<str> = derived_id(&asker.key).into();
        let writer: Arc<str> = name.to_string().into();
        let streams = question.options.stream.unwrap_or(true);
        let mut pieces = model.stream(ChatRequest {
            model: name.model,
            system: question.system,
            messages: question.messages,
            tools: question.tools,
            options: question.options,
            thread: asker.thread,
        });
        let write = |part, text| {
            if streams {
                (asker.write)(MessagePiece {
                    message_id: Arc::clone(&id),
                    part,
                    text,
                    model: Arc::clone(&writer),
                });
            }
        };
        loop {
            match pieces.next().await.transpose()? {
                Some(Piece::Text(text)) => write(MessagePart::Text, text),
                Some(Piece::Thinking(text)) => write(MessagePart::Thinking, text),
                Some(Piece::ToolCall {
                    index,
                    id,
                    name,
                    arguments,
                }) => write(MessagePart::ToolCall { index, id, name }, arguments),
                Some(Piece::Waits(what)) => (asker.warn)(Warning::WAITS, what),
                Some(Piece::GoesOn) => {
                    (asker.warn)(Warning::GOES_ON, "asks the model now".to_owned());
                }
                Some(Piece::Done(message)) => {
                    (asker.meter)(message.usage.unwrap_or_default().into());
                    return Ok(message.with_id(&*id));
                }
                None => {
                    let what = "the model ended without a message";
                    return Err(Failure::transient("MODEL_STREAM_TRUNCATED", what));
                }
            }
        }
    }

    /// The model that a run names, or the service's own.
    ///
    /// # Errors
    /// A sentence that says what to do.
    pub fn model(&self, name: Option<&str>) -> Result<(ModelName, Arc<dyn ChatModel>), String> {
        let name = match name {
            Some(name) => name.parse().map_err(str::to_owned)?,
            None => self.default_model.clone(),
        };
        let model = self.models.find(&name)?;
        Ok((name, model))
    }

    /// What is wrong with a question, as far as can be told without asking it: fields and why.
    pub fn check_question(&self, name: Option<&str>, options: &Options) -> Vec<(String, String)> {
        let (_, model) = match self.model(name) {
            Ok(found) => found,
            Err(why) => return vec![("model".to_owned(), why)],
        };
        let bad = model.check(options).into_iter();
        bad.map(|bad| (format!("options.{}", bad.option), bad.fault))
            .collect()
    }
}
