//! OpenAI's Chat Completions, as OpenAI, Ollama, vLLM, llama.cpp, OpenRouter and others speak it.

mod answer;
mod calls;
mod request;

use reqwest::header::HeaderMap;
use serde_json::Value;

use self::answer::Chunks;
use super::{Decoder, Dialect, Fault, Message};
use crate::llm::{
    ChatRequest,
    options::{BadOption, Options},
    settings::MaxTokensField,
};

/// Chat is the wire format of Chat Completions.
#[derive(Clone, Debug)]
pub struct Chat {
    /// Most tokens of an answer whose request does not say.
    pub max_tokens: Option<u32>,
    /// The field that tells that number.
    pub max_tokens_field: MaxTokensField,
    /// Whether the server knows what OpenAI alone has, such as keys of its prompt cache.
    pub is_openai: bool,
}

impl Dialect for Chat {
    fn path(&self) -> &'static str {
        "/chat/completions"
    }

    fn headers(&self) -> HeaderMap {
        HeaderMap::new()
    }

    fn check(&self, options: &Options) -> Vec<BadOption> {
        super::no_thinking_tokens(options).into_iter().collect()
    }

    fn body(&self, request: &ChatRequest) -> serde_json::Result<Value> {
        serde_json::to_value(request::Body::of(request, self))
    }

    fn message(&self, body: &[u8]) -> Result<Message, Fault> {
        answer::whole(body)
    }

    fn decoder(&self) -> Box<dyn Decoder> {
        Box::<Chunks>::default()
    }
}
