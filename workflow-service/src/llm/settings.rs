//! How providers are configured: the tables `[providers.NAME]`.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use serde::{
    Deserialize, Serialize,
    de::{IntoDeserializer as _, value::Error as ValueError},
};
use service_runtime::{
    Secret,
    config::{check_url, human},
};

/// Settings of all providers, by name.
pub type Providers = BTreeMap<String, ProviderSettings>;

/// ProviderSettings is what is configured of a provider. What is left out has a default, for
/// `anthropic` and `openai` also where it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProviderSettings {
    /// Wire format.
    pub api: Option<Api>,
    /// Where the API is, with its version, e.g. `http://localhost:11434/v1`.
    pub base_url: Option<String>,
    /// Version of the API, for the `messages` format.
    pub version: Option<String>,
    /// How the key is sent.
    pub auth: Option<Auth>,
    /// The key.
    pub api_key: Option<Secret>,
    /// File that holds the key.
    pub api_key_file: Option<PathBuf>,
    /// Environment variable that holds the key.
    pub api_key_variable: Option<String>,
    /// Headers to add. They may be secret.
    pub headers: BTreeMap<String, Secret>,
    /// Longest time to connect.
    #[serde(with = "human::duration")]
    pub connect_timeout: Duration,
    /// Longest silence within an answer.
    #[serde(with = "human::duration")]
    pub idle_timeout: Duration,
    /// Longest time that one try of an answer takes, its wait for its turn excluded.
    #[serde(with = "human::duration")]
    pub timeout: Duration,
    /// Most tokens of an answer whose request does not say.
    pub max_tokens: Option<u32>,
    /// Field that tells that number, for the `chat` format.
    pub max_tokens_field: Option<MaxTokensField>,
    /// Requests under way at once; further ones wait for their turn.
    pub max_concurrent: usize,
    /// Requests a minute; 0 for any number.
    pub requests_per_minute: u32,
    /// Tokens a minute, read and written; 0 for any number.
    pub tokens_per_minute: u32,
}

impl Default for ProviderSettings {
    fn default() -> Self {
        Self {
            api: None,
            base_url: None,
            version: None,
            auth: None,
            api_key: None,
            api_key_file: None,
            api_key_variable: None,
            headers: BTreeMap::new(),
            connect_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(120),
            timeout: Duration::from_secs(600),
            max_tokens: None,
            max_tokens_field: None,
            max_concurrent: 64,
            requests_per_minute: 0,
            tokens_per_minute: 0,
        }
    }
}

/// Wire format of a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Api {
    /// Anthropic's Messages.
    Messages,
    /// OpenAI's Chat Completions.
    Chat,
    /// OpenAI's Responses.
    Responses,
}

/// How a key is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Auth {
    /// `Authorization: Bearer …`
    Bearer,
    /// `x-api-key: …`
    XApiKey,
    /// Not at all.
    None,
}

/// The field of Chat Completions that bounds an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MaxTokensField {
    /// What OpenAI's newer models want.
    MaxCompletionTokens,
    /// What most compatible servers know.
    MaxTokens,
}

/// Tokens of an answer of a provider that must be told a number: what every Claude can write.
const MESSAGES_MAX_TOKENS: u32 = 4096;
/// Version of the Messages API that Anthropic and the compatible servers know.
const MESSAGES_VERSION: &str = "2023-06-01";

/// What is wrong with the settings of a provider.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`providers.{provider}.{key}` {fault}")]
pub struct BadProvider {
    /// The provider.
    pub provider: String,
    /// The key that is wrong.
    pub key: &'static str,
    /// What is wrong and what to do.
    pub fault: String,
}

/// ResolvedProvider is a provider with all defaults in their places.
#[derive(Clone, Debug)]
pub struct ResolvedProvider {
    /// Its name.
    pub name: String,
    /// Wire format.
    pub api: Api,
    /// Where its API is, without a slash at the end.
    pub base_url: String,
    /// Version of its API; only of `messages`.
    pub version: String,
    /// How the key is sent.
    pub auth: Auth,
    /// The key.
    pub key: Option<Secret>,
    /// What to do about a missing or a refused key.
    pub key_hint: String,
    /// Most tokens of an answer whose request does not say.
    pub max_tokens: Option<u32>,
    /// Field that tells that number.
    pub max_tokens_field: MaxTokensField,
    /// All the rest.
    pub settings: ProviderSettings,
}

impl ProviderSettings {
    /// Finds the defaults of the provider `name`; `variable` reads the environment.
    ///
    /// # Errors
    /// [`BadProvider`] names the key and what to do.
    pub fn resolve(
        &self,
        name: &str,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<ResolvedProvider, BadProvider> {
        let bad = |key, fault: &str| BadProvider {
            provider: name.to_owned(),
            key,
            fault: fault.to_owned(),
        };
        let (api, base_url, key_variable) = match name {
            "anthropic" => (
                Api::Messages,
                Some("https://api.anthropic.com/v1"),
                Some("ANTHROPIC_API_KEY"),
            ),
            "openai" => (
                Api::Chat,
                Some("https://api.openai.com/v1"),
                Some("OPENAI_API_KEY"),
            ),
            _ => (Api::Chat, None, None),
        };
        let api = self.api.unwrap_or(api);
        let base_url = self
            .base_url
            .as_deref()
            .or(base_url)
            .ok_or_else(|| bad("base_url", "is required, e.g. `http://localhost:11434/v1`"))?;
        let base_url = base_url.trim_end_matches('/').to_owned();
        check_url(&base_url).map_err(|error| bad("base_url", &error.to_string()))?;
        if self.max_concurrent == 0 {
            return Err(bad("max_concurrent", "must be more than zero"));
        }
        if self.max_tokens == Some(0) {
            return Err(bad("max_tokens", "must be more than zero"));
        }
        let key_variable = self.api_key_variable.as_deref().or(key_variable);
        let (key, key_hint) = self.key(name, key_variable, variable)?;
        let is_messages = api == Api::Messages;
        let max_tokens_field = self.max_tokens_field.unwrap_or(match name {
            "openai" => MaxTokensField::MaxCompletionTokens,
            _ => MaxTokensField::MaxTokens,
        });
        Ok(ResolvedProvider {
            name: name.to_owned(),
            api,
            base_url,
            version: self
                .version
                .clone()
                .unwrap_or_else(|| MESSAGES_VERSION.to_owned()),
            auth: self.auth.unwrap_or(match is_messages {
                true => Auth::XApiKey,
                false => Auth::Bearer,
            }),
            key,
            key_hint,
            max_tokens: self
                .max_tokens
                .or_else(|| is_messages.then_some(MESSAGES_MAX_TOKENS)),
            max_tokens_field,
            settings: self.clone(),
        })
    }

    /// The key, and where it comes from or should come from.
    fn key(
        &self,
        name: &str,
        key_variable: Option<&str>,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<(Option<Secret>, String), BadProvider> {
        let bad = |key, fault: String| BadProvider {
            provider: name.to_owned(),
            key,
            fault,
        };
        let secret = |text: &str, from| {
            let secret = Secret::deserialize(text.trim().into_deserializer());
            secret.map_err(|error: ValueError| bad(from, error.to_string()))
        };
        if let Some(key) = &self.api_key {
            let hint = format!("check `providers.{name}.api_key`");
            return Ok((Some(key.clone()), hint));
        }
        if let Some(file) = &self.api_key_file {
            let text = std::fs::read_to_string(file).map_err(|error| {
                bad(
                    "api_key_file",
                    format!("`{}` cannot be read: {error}", file.display()),
                )
            })?;
            let hint = format!("check the file `{}`", file.display());
            return Ok((Some(secret(&text, "api_key_file")?), hint));
        }
        let Some(key_variable) = key_variable else {
            let hint = format!("set `providers.{name}.api_key_file`");
            return Ok((None, hint));
        };
        let text = variable(key_variable).filter(|text| !text.trim().is_empty());
        let key = text
            .map(|text| secret(&text, "api_key_variable"))
            .transpose()?;
        Ok((key, format!("check the variable `{key_variable}`")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nothing(_: &str) -> Option<String> {
        None
    }

    fn read(toml: &str) -> ProviderSettings {
        toml::from_str(toml).unwrap()
    }

    #[test]
    fn the_two_large_providers_need_a_key_only() {
        let variable = |name: &str| (name == "ANTHROPIC_API_KEY").then(|| "sk-1\n".to_owned());
        let anthropic = ProviderSettings::default()
            .resolve("anthropic", variable)
            .unwrap();
        assert_eq!(anthropic.base_url, "https://api.anthropic.com/v1");
        assert_eq!(
            (anthropic.api, anthropic.auth),
            (Api::Messages, Auth::XApiKey)
        );
        assert_eq!(anthropic.key.unwrap().expose(), "sk-1");
        assert_eq!(anthropic.max_tokens, Some(4096));
        let openai = ProviderSettings::default()
            .resolve("openai", nothing)
            .unwrap();
        assert_eq!((openai.api, openai.auth), (Api::Chat, Auth::Bearer));
        assert!(openai.key.is_none() && openai.key_hint.contains("OPENAI_API_KEY"));
    }

    #[test]
    fn other_providers_say_where_they_are() {
        let local = read("base_url = \"http://localhost:11434/v1/\"")
            .resolve("ollama", nothing)
            .unwrap();
        assert_eq!(local.base_url, "http://localhost:11434/v1");
        assert_eq!(local.max_tokens_field, MaxTokensField::MaxTokens);
        let lost = ProviderSettings::default().resolve("ollama", nothing);
        assert!(
            lost.unwrap_err()
                .to_string()
                .contains("`providers.ollama.base_url` is required")
        );
        let odd = read("base_url = \"localhost:1\"").resolve("ollama", nothing);
        assert_eq!(odd.unwrap_err().key, "base_url");
        let openai = ProviderSettings::default().resolve("openai", nothing);
        assert_eq!(
            openai.unwrap().max_tokens_field,
            MaxTokensField::MaxCompletionTokens
        );
    }

    #[test]
    fn a_key_that_is_given_wins_over_a_file_wins_over_a_variable() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        std::fs::write(&file, "from-file\n").unwrap();
        let variable = |_: &str| Some("from-variable".to_owned());
        let with = |settings: ProviderSettings| {
            let resolved = settings.resolve("openai", variable).unwrap();
            resolved.key.unwrap().expose().to_owned()
        };
        let mut settings = ProviderSettings::default();
        assert_eq!(with(settings.clone()), "from-variable");
        settings.api_key_file = Some(file.clone());
        assert_eq!(with(settings.clone()), "from-file");
        settings.api_key = read("api_key = \"given\"").api_key;
        assert_eq!(with(settings.clone()), "given");
        let shown = format!("{settings:?}{}", toml::to_string(&settings).unwrap());
        assert!(!shown.contains("given"), "{shown}");

        settings = ProviderSettings {
            api_key_file: Some(folder.path().join("none")),
            ..ProviderSettings::default()
        };
        assert_eq!(
            settings.resolve("openai", variable).unwrap_err().key,
            "api_key_file"
        );
    }

    #[test]
    fn an_unknown_setting_is_refused() {
        assert!(toml::from_str::<ProviderSettings>("base_ulr = \"x\"").is_err());
        assert!(toml::from_str::<ProviderSettings>("api = \"soap\"").is_err());
    }
}
