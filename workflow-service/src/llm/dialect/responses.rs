//! OpenAI's Responses. Nothing is kept at the provider: every request holds the whole conversation.

mod answer;
mod request;

use reqwest::header::HeaderMap;
use serde_json::Value;

use self::answer::Events;
use super::{Decoder, Dialect, Fault, Message};
use crate::llm::{
    ChatRequest,
    options::{BadOption, Options},
};

/// Responses is the wire format of Responses.
#[derive(Clone, Debug)]
pub struct Responses {
    /// Most tokens of an answer whose request does not say.
    pub max_tokens: Option<u32>,
}

impl Dialect for Responses {
    fn path(&self) -> &'static str {
        "/responses"
    }

    fn headers(&self) -> HeaderMap {
        HeaderMap::new()
    }

    fn check(&self, options: &Options) -> Vec<BadOption> {
        let stop = BadOption::new("stop", "is not taken here; leave it out");
        let stop = (!options.stop.is_empty()).then_some(stop);
        super::no_thinking_tokens(options)
            .into_iter()
            .chain(stop)
            .collect()
    }

    fn body(&self, request: &ChatRequest) -> serde_json::Result<Value> {
        serde_json::to_value(request::Body::of(request, self.max_tokens))
    }

    fn message(&self, body: &[u8]) -> Result<Message, Fault> {
        answer::whole(body)
    }

    fn decoder(&self) -> Box<dyn Decoder> {
        Box::<Events>::default()
    }
}
