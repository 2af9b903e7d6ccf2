//! The models that there are, by the names of their providers.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    ChatModel, ModelName,
    dialect::{Dialect, chat::Chat, messages::Messages, responses::Responses},
    echo::{self, Echo},
    settings::{Api, BadProvider, ProviderSettings, Providers, ResolvedProvider},
    transport::HttpModel,
};

/// Providers that there are without being configured; a key is all they need.
const BUILT_IN: [&str; 2] = ["anthropic", "openai"];

/// Models finds the model of a name. Cheap to clone.
#[derive(Clone)]
pub struct Models(Arc<BTreeMap<String, Provider>>);

struct Provider {
    model: Arc<dyn ChatModel>,
    /// What to do first, if it cannot be used yet.
    missing: Option<String>,
}

impl Models {
    /// The offline model, and the providers of a configuration; `variable` reads the environment.
    ///
    /// # Errors
    /// [`BadProvider`] names the key and what to do.
    pub fn new(
        providers: &Providers,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, BadProvider> {
        let mut settings = providers.clone();
        for name in BUILT_IN {
            settings.entry(name.to_owned()).or_default();
        }
        if settings.contains_key(echo::PROVIDER) {
            return Err(BadProvider {
                provider: echo::PROVIDER.to_owned(),
                key: "api",
                fault: "cannot be set: `echo` is the offline model; choose another name".to_owned(),
            });
        }
        let mut models = BTreeMap::new();
        for (name, settings) in settings {
            models.insert(name.clone(), provider(&name, &settings, &variable)?);
        }
        let echo = Provider {
            model: Arc::new(Echo),
            missing: None,
        };
        models.insert(echo::PROVIDER.to_owned(), echo);
        Ok(Self(Arc::new(models)))
    }

    /// The model of this name.
    ///
    /// # Errors
    /// A sentence that says what to do.
    pub fn find(&self, name: &ModelName) -> Result<Arc<dyn ChatModel>, String> {
        let Some(provider) = self.0.get(&*name.provider) else {
            let known: Vec<_> = self.0.keys().map(|name| format!("`{name}`")).collect();
            return Err(format!(
                "names the provider `{}`, which is not configured; there are {}",
                name.provider,
                known.join(", ")
            ));
        };
        match &provider.missing {
            Some(missing) => Err(format!(
                "names the provider `{}`, which has no key; {missing}",
                name.provider
            )),
            None => Ok(Arc::clone(&provider.model)),
        }
    }
}

fn provider(
    name: &str,
    settings: &ProviderSettings,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Provider, BadProvider> {
    let resolved = settings.resolve(name, variable)?;
    // A server of one's own may need no key; the two large ones always do, where they are.
    let needs_key = BUILT_IN.contains(&name) && settings.base_url.is_none();
    let missing = (needs_key && resolved.key.is_none()).then(|| resolved.key_hint.clone());
    let dialect = dialect(&resolved);
    Ok(Provider {
        model: Arc::new(HttpModel::new(resolved, dialect)?),
        missing,
    })
}

fn dialect(provider: &ResolvedProvider) -> Arc<dyn Dialect> {
    match provider.api {
        Api::Messages => Arc::new(Messages {
            version: provider.version.clone(),
            max_tokens: provider.max_tokens.unwrap_or_default(),
        }),
        Api::Chat => Arc::new(Chat {
            max_tokens: provider.max_tokens,
            max_tokens_field: provider.max_tokens_field,
            is_openai: provider.name == "openai",
        }),
        Api::Responses => Arc::new(Responses {
            max_tokens: provider.max_tokens,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(providers: &str, name: &str) -> Result<(), String> {
        let providers: Providers = toml::from_str(providers).unwrap();
        let models = Models::new(&providers, |_| None).unwrap();
        models.find(&name.parse().unwrap()).map(drop)
    }

    #[test]
    fn an_unknown_provider_is_named_beside_those_there_are() {
        let error = find("", "nobody:x").unwrap_err();
        assert!(error.contains("`nobody`") && error.contains("`anthropic`, `echo`, `openai`"));
        assert!(find("", "echo").is_ok());
    }

    #[test]
    fn a_provider_without_a_key_says_where_to_put_it() {
        let error = find("", "anthropic:claude").unwrap_err();
        assert!(error.contains("`ANTHROPIC_API_KEY`"), "{error}");
        let local = "[ollama]\nbase_url = \"http://localhost:11434/v1\"";
        assert!(find(local, "ollama:llama").is_ok());
        let mocked = "[anthropic]\nbase_url = \"http://localhost:1/v1\"";
        assert!(find(mocked, "anthropic:claude").is_ok());
    }

    #[test]
    fn the_offline_model_is_nobody_elses() {
        let providers: Providers = toml::from_str("[echo]\nbase_url = \"http://x\"").unwrap();
        let error = Models::new(&providers, |_| None).map(drop).unwrap_err();
        assert!(error.to_string().contains("`providers.echo."));
    }
}
