//! What stored vectors depend on.

use std::{collections::BTreeSet, fmt};

use serde::{Deserialize, Serialize};

use super::IndexPath;

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

/// What an index of items was made with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexIdentity {
    /// What made the vectors; `None` for none.
    pub embedder: Option<EmbedderIdentity>,
    /// Where documents have their texts, unless their puts said; `None` if that was not recorded.
    pub paths: Option<BTreeSet<String>>,
}

impl IndexIdentity {
    /// An index of the texts at these paths.
    #[must_use]
    pub fn new(embedder: Option<EmbedderIdentity>, paths: &[IndexPath]) -> Self {
        Self {
            embedder,
            paths: Some(paths.iter().map(ToString::to_string).collect()),
        }
    }

    /// Whether an index is as it would be made now, as far as that was recorded.
    #[must_use]
    pub fn fits(&self, configured: &Self) -> bool {
        let same_paths = match (&self.paths, &configured.paths) {
            (Some(one), Some(other)) => one == other,
            (None, _) | (_, None) => true,
        };
        self.embedder == configured.embedder && same_paths
    }
}

impl fmt::Display for IndexIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&EmbedderIdentity::shown(self.embedder.as_ref()))?;
        let Some(paths) = &self.paths else {
            return Ok(());
        };
        let paths: Vec<_> = paths.iter().map(|path| format!("`{path}`")).collect();
        write!(f, " over {}", paths.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_fits_what_would_make_the_same_one() {
        let of = |paths: &[&str]| {
            let paths = paths.iter().map(|text| IndexPath::parse(text).unwrap());
            let paths: Vec<_> = paths.collect();
            IndexIdentity::new(None, &paths)
        };
        let unrecorded = IndexIdentity {
            embedder: None,
            paths: None,
        };
        assert!(of(&["a", "b"]).fits(&of(&["b", "a"])));
        assert!(!of(&["a"]).fits(&of(&["b"])));
        assert!(unrecorded.fits(&of(&["a"])));
        assert_eq!(of(&["b", "a"]).to_string(), "`none` over `a`, `b`");
    }
}
