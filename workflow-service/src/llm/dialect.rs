//! Wire formats of providers: how a request is written and an answer is read.
//!
//! # Layout
//! - [`messages`]: Anthropic's Messages
//! - [`chat`]: OpenAI's Chat Completions, as many others speak it too
//! - [`responses`]: OpenAI's Responses

pub mod chat;
pub mod messages;
pub mod responses;

use std::collections::VecDeque;

use reqwest::header::HeaderMap;
use serde::de::DeserializeOwned;

use super::{
    ChatRequest, Piece,
    content::Block,
    error::Fault,
    message::{Message, Role},
    sse::ServerSentEvent,
};

/// Dialect is a wire format.
pub trait Dialect: Send + Sync {
    /// Path of the call under the base URL.
    fn path(&self) -> &'static str;

    /// Headers that every request has.
    fn headers(&self) -> HeaderMap;

    /// The body of a request.
    ///
    /// # Errors
    /// A sentence, if the request makes no sense for this provider.
    fn body(&self, request: &ChatRequest) -> Result<Vec<u8>, String>;

    /// Reads an answer that came in one piece.
    ///
    /// # Errors
    /// [`Fault`] if it is none.
    fn message(&self, body: &[u8]) -> Result<Message, Fault>;

    /// Something that reads an answer that comes in events.
    fn decoder(&self) -> Box<dyn Decoder>;
}

/// Decoder reads one answer that comes in events.
pub trait Decoder: Send {
    /// Takes the next event, and adds the pieces that it brings; whether it is the last one.
    ///
    /// # Errors
    /// [`Fault`] if the event is one, or cannot be read.
    fn event(
        &mut self,
        event: ServerSentEvent,
        pieces: &mut VecDeque<Piece>,
    ) -> Result<bool, Fault>;

    /// Ends the answer: the whole message.
    ///
    /// # Errors
    /// [`Fault::Truncated`] if something is missing.
    fn end(&mut self) -> Result<Message, Fault>;
}

/// Reads JSON of an answer.
fn parse<T: DeserializeOwned>(text: &[u8]) -> Result<T, Fault> {
    serde_json::from_slice(text).map_err(|error| Fault::Unreadable(error.to_string()))
}

/// The message that a model wrote.
fn written(blocks: Vec<Block>) -> Message {
    Message::new(Role::Assistant, super::content::Content::of(blocks))
}

/// What a tool answered, as text for formats without a mark for failures.
fn tool_text(message: &Message) -> String {
    let text = message.content.text();
    match message.is_error {
        true => format!("error: {text}"),
        false => text.into_owned(),
    }
}

/// An image as a URL: itself, or its data in one.
fn image_url(url: Option<&str>, media_type: Option<&str>, data: Option<&str>) -> String {
    match url {
        Some(url) => url.to_owned(),
        None => format!(
            "data:{};base64,{}",
            media_type.unwrap_or_default(),
            data.unwrap_or_default()
        ),
    }
}
