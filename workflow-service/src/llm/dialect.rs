//! Wire formats of providers: how a request is written and an answer is read.
//!
//! # Layout
//! - [`messages`]: Anthropic's Messages
//! - [`chat`]: OpenAI's Chat Completions, as many others speak it too
//! - [`responses`]: OpenAI's Responses

pub mod chat;
pub mod messages;
pub mod responses;

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
};

use reqwest::header::HeaderMap;
use serde::de::DeserializeOwned;
use serde_json::Value;
use uuid::Uuid;

use super::{
    ChatRequest, Piece,
    content::{Block, Content},
    error::Fault,
    message::{Message, Role},
    options::{BadOption, Options},
    sse::ServerSentEvent,
};

/// Dialect is a wire format.
pub trait Dialect: Send + Sync {
    /// Path of the call under the base URL.
    fn path(&self) -> &'static str;

    /// Headers that every request has.
    fn headers(&self) -> HeaderMap;

    /// Options that this format, or this version of it, does not take.
    fn check(&self, options: &Options) -> Vec<BadOption>;

    /// The body of a request, a JSON object, without its `extra` fields.
    ///
    /// # Errors
    /// If it cannot be said in JSON.
    fn body(&self, request: &ChatRequest) -> serde_json::Result<Value>;

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

/// What a request is sent as.
///
/// # Errors
/// A sentence, if the request makes no sense for this provider.
pub fn encode(dialect: &dyn Dialect, request: &ChatRequest) -> Result<Vec<u8>, String> {
    let bad = check(dialect, &request.options);
    if !bad.is_empty() {
        let sentences: Vec<_> = bad.iter().map(ToString::to_string).collect();
        return Err(sentences.join("; "));
    }
    let mut body = dialect.body(request).map_err(|error| error.to_string())?;
    if let Some(fields) = body.as_object_mut() {
        fields.extend(request.options.extra.clone());
    }
    serde_json::to_vec(&body).map_err(|error| error.to_string())
}

/// All that is wrong with options.
pub fn check(dialect: &dyn Dialect, options: &Options) -> Vec<BadOption> {
    let mut bad = dialect.check(options);
    let taken = RESERVED
        .iter()
        .filter(|field| options.extra.contains_key(**field));
    bad.extend(taken.map(|field| {
        BadOption::new(
            format!("extra.{field}"),
            "is what the service itself says; leave it out",
        )
    }));
    bad
}

/// Fields of a request, in any of the formats, that are no option: a caller who set them would be
/// answered something else than what is read here.
const RESERVED: [&str; 7] = [
    "model",
    "messages",
    "input",
    "stream",
    "stream_options",
    "store",
    "n",
];

/// What a provider is asked to find the cache of a prompt by, if there is to be one: the conversation,
/// each request of which repeats the one before it, in a later run too. A key for all of an entrypoint
/// would be used too often for one cache. Names of threads may be private, and longer than the 64
/// characters that keys may have.
fn prompt_cache_key(request: &ChatRequest) -> Option<String> {
    let key = || Uuid::new_v5(&Uuid::NAMESPACE_OID, request.thread.as_bytes());
    request.options.cache.map(|_| key().to_string())
}

/// Only Anthropic's format bounds what a model thinks.
fn no_thinking_tokens(options: &Options) -> Option<BadOption> {
    let why = "is not taken here; use `effort`";
    let given = options.thinking_tokens;
    given.map(|_| BadOption::new("thinking_tokens", why))
}

/// Reads JSON of an answer.
fn parse<T: DeserializeOwned>(text: &[u8]) -> Result<T, Fault> {
    serde_json::from_slice(text).map_err(|error| Fault::Unreadable(error.to_string()))
}

/// The message that a model wrote. Calls of tools that share an id, or have none, are given ids of
/// their own: a result names its call by it.
fn written(mut blocks: Vec<Block>) -> Message {
    let mut ids = CallIds::default();
    for block in &mut blocks {
        if let Block::ToolCall(call) = block {
            let id = match std::mem::take(&mut call.id) {
                id if id.is_empty() => format!("call_{}", Uuid::now_v7().simple()),
                id => id,
            };
            call.id = ids.unique(&id);
        }
    }
    Message::new(Role::Assistant, Content::of(blocks))
}

/// A call of a tool that is still written.
struct Call {
    /// Place among the calls of its message, from 0.
    index: u32,
    id: Arc<str>,
    name: Arc<str>,
}

impl Call {
    fn piece(&self, arguments: String) -> Piece {
        Piece::ToolCall {
            index: self.index,
            id: Arc::clone(&self.id),
            name: Arc::clone(&self.name),
            arguments,
        }
    }
}

/// CallIds tells calls of one message apart that a provider gave the same id. It does so in the same
/// way for the pieces of a message as for the whole.
#[derive(Default)]
struct CallIds(BTreeSet<String>);

impl CallIds {
    /// `id`, or one made of it if it is taken; none for none.
    fn unique(&mut self, id: &str) -> String {
        if id.is_empty() {
            return String::new();
        }
        let others = (2..).map(|number| format!("{id}_{number}"));
        let free = std::iter::once(id.to_owned())
            .chain(others)
            .find(|candidate| !self.0.contains(candidate));
        let free = free.unwrap_or_default();
        self.0.insert(free.clone());
        free
    }
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
