//! What stored vectors depend on.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Which embedder made vectors, and of what. Vectors of different identities cannot be compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EmbedderIdentity {
    /// Kind and model, such as `http:text-embedding-3-small`.
    pub name: String,
    /// Length of the vectors; at least 1.
    pub dims: usize,
    /// What is embedded of an item.
    pub template: String,
}

impl EmbedderIdentity {
    /// An embedder as operators are told of it; `none` if there is none.
    #[must_use]
    pub fn shown(embedder: Option<&Self>) -> String {
        embedder.map_or_else(|| "`none`".to_owned(), ToString::to_string)
    }
}

impl fmt::Display for EmbedderIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            dims,
            template,
        } = self;
        write!(
            f,
            "`{name}` with {dims} dimensions and template `{template}`"
        )
    }
}
