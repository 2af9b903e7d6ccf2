//! Paths of filters: where in a document a condition looks.

use std::{fmt, iter::Peekable, str::Chars};

use crate::domain::json::Json;

/// A place in a document: `a`, `a.b`, `a[0]`, `"quo.ted"`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    text: String,
    segments: Vec<Segment>,
}

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Segment {
    /// Into an object.
    Key(String),
    /// Into an array, counted from 0.
    Index(usize),
}

/// A path that follows no grammar.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// There is nothing before, between or after dots.
    #[error("has an empty segment")]
    EmptySegment,
    /// A quote is not closed.
    #[error("has an unclosed quote")]
    UnclosedQuote,
    /// Something other than `.` or `[` follows a closing quote or bracket, or a quote stands
    /// within a segment.
    #[error("has an unexpected `{0}`; quote keys that hold any of `.[]\"`")]
    Unexpected(char),
    /// An index is not a whole number.
    #[error("has an index that is no number of an element, such as `[0]`")]
    BadIndex,
}

impl Path {
    /// Reads a path: segments of any characters but `.[]"`, or within double quotes (where `\"`
    /// and `\\` stand for `"` and `\`), with dots between and indexes such as `[0]` after them.
    ///
    /// # Errors
    /// [`PathError`] says what is malformed.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        let mut chars = text.chars().peekable();
        let mut segments = Vec::new();
        loop {
            segments.push(Segment::Key(key(&mut chars)?));
            while chars.next_if_eq(&'[').is_some() {
                segments.push(Segment::Index(index(&mut chars)?));
            }
            match chars.next() {
                None => {
                    return Ok(Self {
                        text: text.to_owned(),
                        segments,
                    });
                }
                Some('.') => {}
                Some(other) => return Err(PathError::Unexpected(other)),
            }
        }
    }

    /// The steps.
    #[must_use]
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// The value at this place, if there is one.
    #[must_use]
    pub fn resolve<'a>(&self, document: &'a Json) -> Option<&'a Json> {
        self.segments
            .iter()
            .try_fold(document, |value, segment| match (segment, value) {
                (Segment::Key(key), object) => object.member(key),
                (Segment::Index(index), Json::Array(elements)) => elements.get(*index),
                (Segment::Index(_), _) => None,
            })
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn key(chars: &mut Peekable<Chars<'_>>) -> Result<String, PathError> {
    let mut key = String::new();
    if chars.next_if_eq(&'"').is_some() {
        loop {
            match chars.next().ok_or(PathError::UnclosedQuote)? {
                '"' => return Ok(key),
                '\\' => match chars.next().ok_or(PathError::UnclosedQuote)? {
                    escaped @ ('"' | '\\') => key.push(escaped),
                    other => key.extend(['\\', other]),
                },
                other => key.push(other),
            }
        }
    }
    while let Some(character) = chars.next_if(|character| !".[]\"".contains(*character)) {
        key.push(character);
    }
    match chars.peek() {
        Some(unexpected @ ('"' | ']')) => Err(PathError::Unexpected(*unexpected)),
        _ if key.is_empty() => Err(PathError::EmptySegment),
        _ => Ok(key),
    }
}

fn index(chars: &mut Peekable<Chars<'_>>) -> Result<usize, PathError> {
    let mut digits = String::new();
    while let Some(digit) = chars.next_if(char::is_ascii_digit) {
        digits.push(digit);
    }
    let closed = chars.next() == Some(']');
    digits
        .parse()
        .ok()
        .filter(|_| closed)
        .ok_or(PathError::BadIndex)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segments(text: &str) -> Vec<String> {
        let path = Path::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        path.segments()
            .iter()
            .map(|segment| match segment {
                Segment::Key(key) => key.clone(),
                Segment::Index(index) => format!("#{index}"),
            })
            .collect()
    }

    #[test]
    fn paths_are_keys_and_indexes() {
        for (text, expected) in [
            ("a", ["a"].as_slice()),
            ("access-level", &["access-level"]),
            ("123abc", &["123abc"]),
            ("a b.$c", &["a b", "$c"]),
            ("a.b[0][12].c", &["a", "b", "#0", "#12", "c"]),
            ("\"quo.ted\".x", &["quo.ted", "x"]),
            ("a.\"q\\\"\\\\[0]\"[1]", &["a", "q\"\\[0]", "#1"]),
            ("\"\"", &[""]),
            ("é.語", &["é", "語"]),
        ] {
            assert_eq!(segments(text), expected, "{text}");
        }
    }

    #[test]
    fn malformed_paths_say_what_is_wrong() {
        for (text, expected) in [
            ("", PathError::EmptySegment),
            (".a", PathError::EmptySegment),
            ("a.", PathError::EmptySegment),
            ("a..b", PathError::EmptySegment),
            ("[0]", PathError::EmptySegment),
            ("a[", PathError::BadIndex),
            ("a[]", PathError::BadIndex),
            ("a[-1]", PathError::BadIndex),
            ("a[x]", PathError::BadIndex),
            ("a[99999999999999999999999]", PathError::BadIndex),
            ("a]", PathError::Unexpected(']')),
            ("a[0]b", PathError::Unexpected('b')),
            ("a\"b\"", PathError::Unexpected('"')),
            ("\"a\"b", PathError::Unexpected('b')),
            ("\"a", PathError::UnclosedQuote),
            ("\"a\\", PathError::UnclosedQuote),
        ] {
            assert_eq!(Path::parse(text), Err(expected), "{text}");
        }
    }

    #[test]
    fn a_path_finds_its_value_or_nothing() {
        let document = Json::parse(r#"{"a":{"b":[1,{"c":null}]},"a.b":2}"#).unwrap();
        let found = |text: &str| {
            Path::parse(text).unwrap().resolve(&document).map(|value| {
                let mut out = String::new();
                value.write_sorted(&mut out);
                out
            })
        };
        assert_eq!(found("a.b[0]").as_deref(), Some("1"));
        assert_eq!(found("a.b[1].c").as_deref(), Some("null"));
        assert_eq!(found("\"a.b\"").as_deref(), Some("2"));
        for missing in ["b", "a.b.c", "a.b[2]", "a[0]", "a.b[0].c"] {
            assert_eq!(found(missing), None, "{missing}");
        }
    }
}
