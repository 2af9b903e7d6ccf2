//! Language models: one trait, one file for each provider.
//!
//! # Layout
//! - [`message`]: what is said, and how new messages join old ones
//! - [`echo`]: the offline model

pub mod echo;
pub mod message;

use std::{fmt, str::FromStr, sync::Arc};

use futures::stream::BoxStream;
use serde::{Deserialize, Serialize};
use weft_worker::Failure;

use self::{echo::Echo, message::Message};

/// ChatModel writes the next message of a conversation.
pub trait ChatModel: Send + Sync {
    /// Streams the text of the next message, piece by piece. A stream that ends without an error is
    /// a whole message.
    fn stream(&self, request: ChatRequest) -> BoxStream<'static, Result<String, Failure>>;
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
}

/// ModelName is `provider:model`; the model may be left out where a provider has but one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ModelName {
    /// Who serves the model.
    pub provider: Arc<str>,
    /// Its name there.
    pub model: Arc<str>,
}

impl FromStr for ModelName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (provider, model) = text.split_once(':').unwrap_or((text, ""));
        if provider.is_empty() {
            return Err("must be `provider:model`, e.g. `echo:offline`");
        }
        let model = if model.is_empty() && provider == echo::PROVIDER {
            echo::MODEL
        } else {
            model
        };
        if model.is_empty() {
            return Err("must name a model after the provider: `provider:model`");
        }
        Ok(Self {
            provider: provider.into(),
            model: model.into(),
        })
    }
}

impl TryFrom<String> for ModelName {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<ModelName> for String {
    fn from(name: ModelName) -> Self {
        name.to_string()
    }
}

impl fmt::Display for ModelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.provider, self.model)
    }
}

/// Models finds the model of a name.
#[derive(Clone)]
pub struct Models {
    echo: Arc<Echo>,
}

impl Models {
    /// The models that need nothing from outside.
    pub fn offline() -> Self {
        Self {
            echo: Arc::new(Echo),
        }
    }

    /// The model of this name.
    ///
    /// # Errors
    /// A sentence that names the providers there are.
    pub fn find(&self, name: &ModelName) -> Result<Arc<dyn ChatModel>, String> {
        match &*name.provider {
            echo::PROVIDER => Ok(Arc::clone(&self.echo) as Arc<dyn ChatModel>),
            other => Err(format!(
                "names the provider `{other}`, which this service does not have; use `{}:{}`",
                echo::PROVIDER,
                echo::MODEL
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_named_by_provider_and_model() {
        let name: ModelName = "anthropic:claude:latest".parse().unwrap();
        assert_eq!(
            (&*name.provider, &*name.model),
            ("anthropic", "claude:latest")
        );
        assert_eq!(
            "echo".parse::<ModelName>().unwrap().to_string(),
            "echo:offline"
        );
        assert!("anthropic".parse::<ModelName>().is_err());
        assert!(":x".parse::<ModelName>().is_err());
    }

    #[test]
    fn an_unknown_provider_is_named_in_the_error() {
        let name = "anthropic:claude".parse().unwrap();
        assert!(
            Models::offline()
                .find(&name)
                .err()
                .unwrap()
                .contains("`anthropic`")
        );
    }
}
