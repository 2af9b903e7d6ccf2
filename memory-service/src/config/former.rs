//! What was configured before, and the data may still belong to.

use super::{Config, Unusable};
use crate::prepare::Indexer;

impl Config {
    /// This configuration with the former embedder and index paths instead of the present ones;
    /// `None` if none are given.
    #[must_use]
    pub fn former(&self) -> Option<Self> {
        if self.former_embedder.is_empty() {
            return None;
        }
        Some(Self {
            embedder: self.former_embedder.clone(),
            embedding_model: self.former_embedding_model.clone(),
            embedding_dims: self.former_embedding_dims,
            embedding_template: self.former_embedding_template.clone(),
            embedding_api_key_file: self.former_embedding_api_key_file.clone(),
            embedding_api_key: self.former_embedding_api_key.clone(),
            index_paths: self.former_index_paths.clone(),
            former_embedder: String::new(),
            ..self.clone()
        })
    }

    /// What the present index is made with; its embedder is called once to learn what it makes.
    ///
    /// # Errors
    /// [`Unusable`] names the flag and what to do.
    pub async fn indexer(&self) -> Result<Indexer, Unusable> {
        Ok(Indexer {
            paths: self.index_paths()?,
            embedding: self.embedding().await?,
        })
    }

    /// What the former index was made with; `None` if none is given.
    ///
    /// # Errors
    /// [`Unusable`] names the flag and what to do.
    pub async fn former_indexer(&self) -> Result<Option<Indexer>, Unusable> {
        let of_former = |error| Unusable::Former(Box::new(error));
        match self.former() {
            None => Ok(None),
            Some(former) => former.indexer().await.map(Some).map_err(of_former),
        }
    }

    /// Checks what can be checked of what was configured before without calling it.
    ///
    /// # Errors
    /// [`Unusable`] names the flag and what to do.
    pub fn check_former(&self) -> Result<(), Unusable> {
        let of_former = |error| Unusable::Former(Box::new(error));
        let Some(former) = self.former() else {
            return Ok(());
        };
        former.embedding_source().map_err(of_former)?;
        former.index_paths().map_err(of_former)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_configured_before_has_keys_of_its_own() {
        assert_eq!(Config::default().former(), None);
        let config = Config {
            embedder: "http:http://new".into(),
            embedding_model: "new".into(),
            former_embedder: "http:http://old".into(),
            former_index_paths: vec!["text".into()],
            ..Config::default()
        };
        let former = config.former().unwrap();
        assert_eq!(former.embedder, "http:http://old");
        assert_eq!(former.index_paths, ["text"]);
        let error = config.check_former().unwrap_err().to_string();
        assert_eq!(
            error,
            "of the former embedder: `--embedding-model` must name a model of `--embedder http:http://old`"
        );
    }
}
