//! Anthropic's Messages.

mod answer;
mod request;
mod usage;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

use self::answer::Events;
use super::{Decoder, Dialect, Fault, Message};
use crate::llm::{
    ChatRequest,
    options::{BadOption, Options},
};

/// First version of the API that refuses [`SAMPLING`], whatever their values.
const FIRST_WITHOUT_SAMPLING: &str = "2026-10-21";
/// Fields that say how random an answer is.
const SAMPLING: [&str; 3] = ["temperature", "top_p", "top_k"];

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

    fn check(&self, options: &Options) -> Vec<BadOption> {
        if self.version.as_str() < FIRST_WITHOUT_SAMPLING {
            return Vec::new();
        }
        let given = [
            ("temperature", options.temperature.is_some()),
            ("top_p", options.top_p.is_some()),
        ];
        let named = given.into_iter().filter(|(_, is_given)| *is_given);
        let named = named.map(|(name, _)| name.to_owned());
        let extra = SAMPLING
            .iter()
            .filter(|name| options.extra.contains_key(**name));
        let extra = extra.map(|name| format!("extra.{name}"));
        let version = &self.version;
        let why = format!("is not taken by version {version} of the API; leave it out");
        named
            .chain(extra)
            .map(|option| BadOption::new(option, why.clone()))
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
