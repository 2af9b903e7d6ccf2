//! Documents: the values of items, as the exact text they were put as.

use std::sync::Arc;

use serde_json::value::RawValue;
use service_runtime::PayloadLimits;

use super::json::{Json, NotJson};

/// Longest document, in bytes of JSON text: 1 MiB.
pub const MAX_DOCUMENT_BYTES: usize = 1 << 20;

/// Deepest document: objects and arrays inside each other.
pub const MAX_DEPTH: usize = 64;

/// What a document, and a filter, may be at most.
pub const DOCUMENT_LIMITS: PayloadLimits = PayloadLimits {
    max_bytes: MAX_DOCUMENT_BYTES,
    max_depth: MAX_DEPTH,
};

/// A JSON object with the exact text it was put as.
#[derive(Clone, Debug)]
pub struct Document(Arc<RawValue>);

impl Document {
    /// Takes a JSON text within [`DOCUMENT_LIMITS`] that is an object; `None` if it is none.
    #[must_use]
    pub fn try_new(json: Box<RawValue>) -> Option<Self> {
        json.get().starts_with('{').then(|| Self(json.into()))
    }

    /// Reads back a stored document.
    ///
    /// # Errors
    /// If the text is not a JSON object any more.
    pub fn stored(text: String) -> Result<Self, serde_json::Error> {
        RawValue::from_string(text).map(|json| Self(json.into()))
    }

    /// The exact text.
    #[must_use]
    pub fn text(&self) -> &str {
        self.0.get()
    }

    /// The exact text as JSON to encode.
    #[must_use]
    pub fn raw(&self) -> &RawValue {
        &self.0
    }

    /// The document as a tree.
    ///
    /// # Errors
    /// [`NotJson`] if what was stored is damaged.
    pub fn parse(&self) -> Result<Json, NotJson> {
        Json::parse(self.text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_objects_are_documents() {
        let raw = |text: &str| RawValue::from_string(text.into()).unwrap();
        assert_eq!(
            Document::try_new(raw("{\"a\" :1.0}")).unwrap().text(),
            "{\"a\" :1.0}"
        );
        for text in ["[]", "1", "\"{}\"", "null"] {
            assert!(Document::try_new(raw(text)).is_none(), "{text}");
        }
    }
}
