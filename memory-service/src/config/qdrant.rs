//! Configuration of the engine for Qdrant servers.

use std::num::NonZeroU32;

use service_runtime::config::{BadUrl, check_url};

use super::{Config, secret_in};
use crate::store::qdrant::{QdrantSettings, ReadConsistency};

/// A configuration of Qdrant that cannot be served.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnusableQdrant {
    /// The URL is none.
    #[error(
        "`--qdrant-url {0}` must be like `http://host:6334` or `https://host:6334`, where the server serves gRPC"
    )]
    Url(String),
    /// The URL may hold a secret.
    #[error("`--qdrant-url` {0}")]
    SecretUrl(BadUrl),
    /// Collections cannot have that name.
    #[error("`qdrant_collection` must not be empty")]
    Collection,
    /// A file cannot be read.
    #[error("`{flag} {file}` cannot be read: {cause}")]
    File {
        /// The flag that names it.
        flag: &'static str,
        /// The file.
        file: String,
        /// Why.
        cause: String,
    },
    /// There is no such consistency.
    #[error(
        "`qdrant_read_consistency` must be empty, `all`, `majority`, `quorum`, or a number of at least 1, not `{0}`"
    )]
    ReadConsistency(String),
    /// Nothing could be answered in no time.
    #[error("`qdrant_timeout` must be longer than `0s`")]
    Timeout,
}

impl Config {
    /// How to reach the Qdrant server; `None` for the embedded engine.
    ///
    /// # Errors
    /// [`UnusableQdrant`] names the flag or key and what to do.
    pub fn qdrant(&self) -> Result<Option<QdrantSettings>, UnusableQdrant> {
        if self.qdrant_url.is_empty() {
            return Ok(None);
        }
        check_url(&self.qdrant_url).map_err(|error| match error {
            BadUrl::NotOne => UnusableQdrant::Url(self.qdrant_url.clone()),
            BadUrl::MayHoldSecret => UnusableQdrant::SecretUrl(error),
        })?;
        if self.qdrant_collection.is_empty() {
            return Err(UnusableQdrant::Collection);
        }
        if self.qdrant_timeout.is_zero() {
            return Err(UnusableQdrant::Timeout);
        }
        let file = |flag, file: &std::path::Path| {
            let file = file.display().to_string();
            move |cause| UnusableQdrant::File { flag, file, cause }
        };
        let api_key = match &self.qdrant_api_key {
            Some(key) => Some(key.clone()),
            None => {
                let unreadable = file("--qdrant-api-key-file", &self.qdrant_api_key_file);
                secret_in(&self.qdrant_api_key_file).map_err(unreadable)?
            }
        };
        let roots = if self.qdrant_ca_file.as_os_str().is_empty() {
            None
        } else {
            let unreadable = file("--qdrant-ca-file", &self.qdrant_ca_file);
            let roots = std::fs::read(&self.qdrant_ca_file);
            Some(roots.map_err(|error| unreadable(error.to_string()))?)
        };
        let read_consistency = match self.qdrant_read_consistency.as_str() {
            "" => None,
            text => {
                let unknown = || UnusableQdrant::ReadConsistency(text.to_owned());
                Some(ReadConsistency::parse(text).ok_or_else(unknown)?)
            }
        };
        Ok(Some(QdrantSettings {
            url: self.qdrant_url.clone(),
            api_key,
            roots,
            collection: self.qdrant_collection.clone(),
            timeout: self.qdrant_timeout,
            shards: NonZeroU32::new(self.qdrant_shards),
            replication_factor: NonZeroU32::new(self.qdrant_replication_factor),
            write_consistency_factor: NonZeroU32::new(self.qdrant_write_consistency_factor),
            read_consistency,
        }))
    }
}

#[cfg(test)]
mod tests {
    use std::{path::Path, time::Duration};

    use super::*;

    fn with(change: impl FnOnce(&mut Config)) -> Result<Option<QdrantSettings>, String> {
        let mut config = Config {
            qdrant_url: "http://localhost:6334".into(),
            ..Config::default()
        };
        change(&mut config);
        config.qdrant().map_err(|error| error.to_string())
    }

    #[test]
    fn without_a_url_there_is_no_qdrant() {
        assert!(Config::default().qdrant().unwrap().is_none());
    }

    #[test]
    fn the_key_is_read_from_its_file_and_never_shown() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        std::fs::write(&file, "s3cret\n").unwrap();
        let settings = with(|config| config.qdrant_api_key_file = file).unwrap();
        let settings = settings.unwrap();
        let key = settings.api_key.as_ref().map(|key| key.expose().to_owned());
        assert_eq!(key.as_deref(), Some("s3cret"));
        assert!(!format!("{settings:?}").contains("s3cret"));
    }

    #[test]
    fn how_many_shards_and_copies_there_are_to_be_is_configured() {
        let settings = with(|config| {
            config.qdrant_shards = 3;
            config.qdrant_replication_factor = 4;
            config.qdrant_write_consistency_factor = 2;
            config.qdrant_read_consistency = "quorum".into();
        });
        let settings = settings.unwrap().unwrap();
        let numbers = [
            settings.shards,
            settings.replication_factor,
            settings.write_consistency_factor,
        ];
        assert_eq!(
            numbers.map(|number| number.map(NonZeroU32::get)),
            [Some(3), Some(4), Some(2)]
        );
        assert_eq!(settings.read_consistency, Some(ReadConsistency::Quorum));
        // What is not said is the server's choice.
        let settings = with(|_| ()).unwrap().unwrap();
        assert_eq!(settings.replication_factor, None);
        assert_eq!(settings.write_consistency_factor, None);
        assert_eq!(settings.read_consistency, None);
    }

    #[test]
    fn what_cannot_be_served_is_refused_by_its_name() {
        type Change = fn(&mut Config);
        let cases: [(Change, &str); 7] = [
            (
                |config| config.qdrant_url = "http://host:6334?api_key=s3cret".into(),
                "`--qdrant-url` must hold no user name",
            ),
            (
                |config| config.qdrant_url = "localhost:6334".into(),
                "--qdrant-url localhost:6334",
            ),
            (
                |config| config.qdrant_collection = String::new(),
                "qdrant_collection",
            ),
            (
                |config| config.qdrant_timeout = Duration::ZERO,
                "qdrant_timeout",
            ),
            (
                |config| config.qdrant_read_consistency = "most".into(),
                "not `most`",
            ),
            (
                |config| config.qdrant_ca_file = Path::new("none.pem").into(),
                "--qdrant-ca-file none.pem",
            ),
            (
                |config| config.qdrant_api_key_file = Path::new("none").into(),
                "--qdrant-api-key-file none",
            ),
        ];
        for (change, expected) in cases {
            let error = with(change).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
