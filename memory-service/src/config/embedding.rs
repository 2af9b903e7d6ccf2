//! The embedder that is configured.

use std::path::PathBuf;

use service_runtime::{Secret, config::check_url};

use super::{Config, NO_EMBEDDER, Unusable, secret_in};
use crate::embed::{
    Embedding, Source, Template,
    http::HttpSettings,
    local::{Kind, LocalSettings},
};

impl Config {
    /// The embedder, called once to learn what it makes; `None` for none.
    ///
    /// # Errors
    /// [`Unusable`] names the flag and what to do.
    pub async fn embedding(&self) -> Result<Option<Embedding>, Unusable> {
        let Some((source, template)) = self.embedding_source()? else {
            return Ok(None);
        };
        let embedder = source.open().await;
        let embedder = embedder.map_err(|cause| Unusable::Embedding {
            embedder: self.embedder.clone(),
            cause,
        })?;
        Ok(Some(Embedding { embedder, template }))
    }

    /// Where the embedder is and what it is given; `None` for none.
    ///
    /// # Errors
    /// [`Unusable`] names the flag and what to do.
    pub fn embedding_source(&self) -> Result<Option<(Source, Template)>, Unusable> {
        let template =
            Template::parse(&self.embedding_template).map_err(Unusable::EmbeddingTemplate)?;
        if self.embedder == NO_EMBEDDER {
            return Ok(None);
        }
        let unknown = || Unusable::Embedder(self.embedder.clone());
        let (kind, place) = self.embedder.split_once(':').ok_or_else(unknown)?;
        let source = match kind {
            "static" => self.local(Kind::Static, place),
            "bert" => self.local(Kind::Bert, place),
            "http" => Source::Http(self.http(place)?),
            _ => return Err(unknown()),
        };
        Ok(Some((source, template)))
    }

    fn local(&self, kind: Kind, folder: &str) -> Source {
        Source::Local(LocalSettings {
            kind,
            folder: PathBuf::from(folder),
            dims: self.dims(),
            timeout: self.embedding_timeout,
        })
    }

    fn http(&self, base_url: &str) -> Result<HttpSettings, Unusable> {
        check_url(base_url).map_err(Unusable::EmbedderUrl)?;
        if self.embedding_model.is_empty() {
            return Err(Unusable::EmbeddingModel(self.embedder.clone()));
        }
        Ok(HttpSettings {
            base_url: base_url.to_owned(),
            model: self.embedding_model.clone(),
            dims: self.dims(),
            api_key: self.embedding_api_key()?,
            timeout: self.embedding_timeout,
        })
    }

    fn dims(&self) -> Option<usize> {
        Some(self.embedding_dims).filter(|dims| *dims > 0)
    }

    fn embedding_api_key(&self) -> Result<Option<Secret>, Unusable> {
        if self.embedding_api_key.is_some() {
            return Ok(self.embedding_api_key.clone());
        }
        let file = &self.embedding_api_key_file;
        secret_in(file).map_err(|cause| Unusable::EmbeddingApiKey {
            file: file.display().to_string(),
            cause,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    #[tokio::test]
    async fn embedders_that_cannot_be_used_are_refused_by_their_flag() {
        let default = || Config {
            embedder: "http:http://127.0.0.1:1".into(),
            embedding_model: "m".into(),
            ..Config::default()
        };
        let embedder = |embedder: &str| Config {
            embedder: embedder.into(),
            ..default()
        };
        for (config, expected) in [
            (
                embedder("statics:x"),
                "`--embedder statics:x` must be `none`",
            ),
            (embedder("wordllama"), "`--embedder wordllama` must be"),
            (
                embedder("http:localhost:1"),
                "the URL of `--embedder http:` must be a URL, http:// or https://",
            ),
            (
                embedder("http:http://127.0.0.1:1?key=s3cret"),
                "the URL of `--embedder http:` must hold no user name",
            ),
            (
                embedder("static:does/not/exist"),
                "`--embedder static:does/not/exist` cannot be used: there is no `does/not/exist/model.safetensors`",
            ),
            (
                embedder("bert:does/not/exist"),
                "`--embedder bert:does/not/exist` cannot be used: there is no `does/not/exist/config.json`",
            ),
            (
                Config {
                    embedding_model: String::new(),
                    ..default()
                },
                "`--embedding-model` must name a model",
            ),
            (
                Config {
                    embedding_template: "{key}".into(),
                    ..default()
                },
                "`--embedding-template` must have `{text}`",
            ),
            (
                Config {
                    embedding_api_key_file: "does-not-exist".into(),
                    ..default()
                },
                "`--embedding-api-key-file does-not-exist` cannot be read",
            ),
            (
                default(),
                "`--embedder http:http://127.0.0.1:1` cannot be used: the embedder is unavailable",
            ),
        ] {
            let error = config.embedding().await.err().unwrap();
            assert!(error.to_string().starts_with(expected), "{error}");
            // Or it would be told twice.
            assert!(error.source().is_none(), "{error}");
        }
    }
}
