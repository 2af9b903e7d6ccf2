//! OpenAI's Responses. Nothing is kept at the provider: every request holds the whole conversation.

mod answer;
mod request;

use reqwest::header::HeaderMap;

use self::answer::Events;
use super::{Decoder, Dialect, Fault, Message};
use crate::llm::ChatRequest;

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

    fn body(&self, request: &ChatRequest) -> Result<Vec<u8>, String> {
        let options = &request.options;
        if options.thinking_tokens.is_some() {
            return Err("`thinking_tokens` is not taken here; use `effort`".to_owned());
        }
        if !options.stop.is_empty() {
            return Err("`stop` is not taken here; leave it out".to_owned());
        }
        let body = request::Body::of(request, self.max_tokens);
        serde_json::to_vec(&body).map_err(|error| error.to_string())
    }

    fn message(&self, body: &[u8]) -> Result<Message, Fault> {
        answer::whole(body)
    }

    fn decoder(&self) -> Box<dyn Decoder> {
        Box::<Events>::default()
    }
}
