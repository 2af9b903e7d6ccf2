//! Templates: what exactly is embedded of an item.

use std::fmt;

use crate::domain::ItemId;

/// A text with the placeholders `{text}`, `{namespace}` (labels with dots between) and `{key}`.
///
/// Invariant: it has `{text}`, and no other placeholders than these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    text: String,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(String),
    Namespace,
    Key,
    Text,
}

/// A template that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// All items would be embedded alike.
    #[error("must have `{{text}}`")]
    NoText,
    /// There is no such placeholder.
    #[error("has `{{{0}}}`; there are `{{text}}`, `{{namespace}}` and `{{key}}`")]
    Unknown(String),
    /// A brace has no partner.
    #[error("has a `{{` without `}}`")]
    Unclosed,
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// [`TemplateError`] says what makes no sense.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((literal, after)) = rest.split_once('{') {
            let (name, after) = after.split_once('}').ok_or(TemplateError::Unclosed)?;
            parts.push(Part::Literal(literal.to_owned()));
            parts.push(match name {
                "namespace" => Part::Namespace,
                "key" => Part::Key,
                "text" => Part::Text,
                other => return Err(TemplateError::Unknown(other.to_owned())),
            });
            rest = after;
        }
        if !parts.contains(&Part::Text) {
            return Err(TemplateError::NoText);
        }
        parts.push(Part::Literal(rest.to_owned()));
        Ok(Self {
            text: text.to_owned(),
            parts,
        })
    }

    /// What is embedded of an item for one of its texts.
    #[must_use]
    pub fn fill(&self, id: &ItemId, text: &str) -> String {
        let fill = |part: &Part| match part {
            Part::Literal(literal) => literal.clone(),
            Part::Namespace => id.namespace.to_string(),
            Part::Key => id.key.to_string(),
            Part::Text => text.to_owned(),
        };
        self.parts.iter().map(fill).collect()
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Key, Namespace};

    #[test]
    fn placeholders_are_filled_and_texts_are_left_alone() {
        let id = ItemId {
            namespace: Namespace::from_dotted("a.b"),
            key: Key::stored("k".to_owned()),
        };
        for (template, expected) in [
            ("{text}", "say {key}"),
            ("{namespace} {key}: {text}!", "a.b k: say {key}!"),
        ] {
            let template = Template::parse(template).unwrap();
            assert_eq!(template.fill(&id, "say {key}"), expected);
        }
    }

    #[test]
    fn templates_that_make_no_sense_are_refused() {
        for (template, expected) in [
            ("passage", TemplateError::NoText),
            ("{text} {value}", TemplateError::Unknown("value".to_owned())),
            ("{text} {key", TemplateError::Unclosed),
        ] {
            assert_eq!(Template::parse(template), Err(expected));
        }
    }
}
