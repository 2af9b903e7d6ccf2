//! Language models: one trait, and the providers that can be configured.
//!
//! # Layout
//! - [`message`], [`content`], [`usage`]: what is said, and what it took
//! - [`history`]: how new messages join old ones, and what of them a model is given
//! - [`options`]: what can be asked of a model beside an answer
//! - [`name`], [`models`], [`settings`]: which models there are
//! - [`dialect`]: wire formats
//! - [`transport`], `endpoint`, [`sse`]: how they travel
//! - [`error`], [`retry`], [`limits`]: what goes wrong, when to try again, and who has to wait
//! - [`echo`]: the offline model

pub mod content;
pub mod dialect;
pub mod echo;
mod endpoint;
pub mod error;
pub mod history;
pub mod limits;
pub mod message;
pub mod models;
pub mod name;
pub mod options;
pub mod retry;
pub mod settings;
pub mod sse;
pub mod transport;
pub mod usage;

use std::sync::Arc;

use futures::stream::BoxStream;

use self::{
    error::ModelError,
    message::Message,
    options::{BadOption, Options, ToolSpec},
};
pub use self::{models::Models, name::ModelName};

/// ChatModel writes the next message of a conversation.
pub trait ChatModel: Send + Sync {
    /// All that is wrong with options, as far as can be told without a request.
    fn check(&self, options: &Options) -> Vec<BadOption>;

    /// Streams the next message, piece by piece. The last piece is the whole message; a stream that
    /// ends without it ends with an error. Nothing is sent before the stream is polled.
    fn stream(&self, request: ChatRequest) -> BoxStream<'static, Result<Piece, ModelError>>;
}

/// Piece is a part of an answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Piece {
    /// Text to append.
    Text(String),
    /// Thoughts to append.
    Thinking(String),
    /// Arguments of a call of a tool to append.
    ToolCall {
        /// Place of the call among those of its message, from 0.
        index: u32,
        /// Its id; empty as long as the provider has not told it.
        id: Arc<str>,
        /// Name of the tool; empty likewise.
        name: Arc<str>,
        /// Text of the arguments.
        arguments: String,
    },
    /// The request waits for its turn, and for what. Told once it has waited for a second, and again
    /// if it waits for something else.
    Waits(String),
    /// A request that waited is made.
    GoesOn,
    /// The whole message, at the end.
    Done(Box<Message>),
}

/// ChatRequest is what a model is given.
#[derive(Clone, Debug)]
pub struct ChatRequest {
    /// Name of the model at its provider.
    pub model: Arc<str>,
    /// What the model is told about its role.
    pub system: String,
    /// The conversation, oldest message first.
    pub messages: Vec<Message>,
    /// Tools that it may call.
    pub tools: Vec<ToolSpec>,
    /// What else is asked for.
    pub options: Options,
    /// Thread that asks: threads take turns, and a provider may keep a prompt cache for each.
    pub thread: Arc<str>,
}
