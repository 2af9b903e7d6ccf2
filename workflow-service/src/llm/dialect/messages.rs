//! Anthropic's Messages.

mod answer;
mod request;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use self::answer::Events;
use super::{Decoder, Dialect, Fault, Message};
use crate::llm::ChatRequest;

/// First version of the API that refuses `temperature` and `top_p`, whatever their values.
const FIRST_WITHOUT_SAMPLING: &str = "2026-10-21";

/// Messages is Anthropic's wire format.
#[derive(Clone, Debug)]
pub struct Messages {
    /// Version of the API.
    pub version: String,
    /// Most tokens of an answer whose request does not say; the format wants a number.
    pub max_tokens: u32,
}

impl Dialect for Messages {
    fn path(&self) -> &'static str {
        "/messages"
    }

    fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if let Ok(version) = HeaderValue::from_str(&self.version) {
            headers.insert(HeaderName::from_static("anthropic-version"), version);
        }
        headers
    }

    fn body(&self, request: &ChatRequest) -> Result<Vec<u8>, String> {
        let options = &request.options;
        let samples = options.temperature.is_some() || options.top_p.is_some();
        if samples && self.version.as_str() >= FIRST_WITHOUT_SAMPLING {
            return Err(format!(
                "version {} of the API takes neither `temperature` nor `top_p`; leave them out",
                self.version
            ));
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
