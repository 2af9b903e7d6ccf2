//! Names of models: `provider:model`.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};

use super::echo;

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
}
