//! Which texts of a document a put wants to be found by.

use super::{index_path::IndexPath, json::Json};

/// How a put wants its document indexed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Indexing {
    /// As the service is configured.
    #[default]
    Configured,
    /// Not at all: no query finds it.
    Disabled,
    /// By the texts at these paths.
    Paths(Vec<IndexPath>),
}

impl Indexing {
    /// The texts of `document`, if `configured` are the paths of the service.
    #[must_use]
    pub fn texts(&self, configured: &[IndexPath], document: &Json) -> Vec<String> {
        let paths = match self {
            Self::Configured => configured,
            Self::Disabled => &[],
            Self::Paths(paths) => paths,
        };
        paths.iter().flat_map(|path| path.texts(document)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_put_may_choose_its_texts_or_none() {
        let path = |text| IndexPath::parse(text).unwrap();
        let configured = [path("a")];
        let document = Json::parse(r#"{"a":"x","b":"y"}"#).unwrap();
        let texts = |indexing: Indexing| indexing.texts(&configured, &document);
        assert_eq!(texts(Indexing::Configured), ["x"]);
        assert_eq!(
            texts(Indexing::Paths(vec![path("b"), path("a")])),
            ["y", "x"]
        );
        assert!(texts(Indexing::Disabled).is_empty());
    }
}
