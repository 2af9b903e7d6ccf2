//! JSON values with their numbers exactly as written.

use std::fmt::Write as _;

use super::number::Decimal;

/// How deep [`Json::parse`] follows arrays and objects: above what any value or filter may nest
/// ([`MAX_DEPTH`](super::document::MAX_DEPTH)), so that only damaged data meets it.
const PARSE_DEPTH: usize = 128;

/// A JSON value. Numbers keep their text; objects keep the order of their keys.
#[derive(Clone, Debug)]
pub enum Json {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number, as written.
    Number(String),
    /// A string, unescaped.
    String(String),
    /// An array.
    Array(Vec<Json>),
    /// An object. Of a key that repeats, the last value counts.
    Object(Vec<(String, Json)>),
}

/// A text that is not JSON, or nests too deep to be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not JSON at byte {at}")]
pub struct NotJson {
    at: usize,
}

impl Json {
    /// Reads one JSON value.
    ///
    /// # Errors
    /// [`NotJson`] with the place where the text stops being JSON.
    pub fn parse(text: &str) -> Result<Self, NotJson> {
        let mut parser = Parser { text, at: 0 };
        let value = parser.value(0)?;
        parser.skip_space();
        if parser.at == text.len() {
            Ok(value)
        } else {
            Err(parser.error())
        }
    }

    /// The value at `key`, if this is an object that has it.
    #[must_use]
    pub fn member(&self, key: &str) -> Option<&Json> {
        match self {
            Self::Object(members) => members
                .iter()
                .rev()
                .find(|(name, _)| name == key)
                .map(|(_, value)| value),
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::String(_) | Self::Array(_) => None,
        }
    }

    /// Whether both are the same value: numbers by what they are worth, strings by their
    /// characters, arrays element by element, objects key by key in any order.
    #[must_use]
    pub fn equals(&self, other: &Json) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Number(a), Self::Number(b)) => a == b || Decimal::parse(a) == Decimal::parse(b),
            (Self::String(a), Self::String(b)) => a == b,
            (Self::Array(a), Self::Array(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.equals(b))
            }
            (Self::Object(a), Self::Object(b)) => {
                let (a, b) = (by_key(a), by_key(b));
                let same = |((a, ours), (b, theirs)): (&(String, Self), &(String, Self))| {
                    a == b && ours.equals(theirs)
                };
                a.len() == b.len() && a.into_iter().zip(b).all(same)
            }
            (
                Self::Null
                | Self::Bool(_)
                | Self::Number(_)
                | Self::String(_)
                | Self::Array(_)
                | Self::Object(_),
                _,
            ) => false,
        }
    }

    /// Writes the value as LangGraph embeds it: keys sorted, `, ` and `: ` between, non-ASCII
    /// characters as they are, numbers as written.
    pub fn write_sorted(&self, out: &mut String) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Self::Number(token) => out.push_str(token),
            Self::String(text) => write_string(text, out),
            Self::Array(elements) => {
                out.push('[');
                for (index, element) in elements.iter().enumerate() {
                    out.push_str(if index == 0 { "" } else { ", " });
                    element.write_sorted(out);
                }
                out.push(']');
            }
            Self::Object(members) => {
                out.push('{');
                for (index, (key, value)) in by_key(members).into_iter().enumerate() {
                    out.push_str(if index == 0 { "" } else { ", " });
                    write_string(key, out);
                    out.push_str(": ");
                    value.write_sorted(out);
                }
                out.push('}');
            }
        }
    }
}

/// The members in the order of their keys; of several with one key, the last.
fn by_key(members: &[(String, Json)]) -> Vec<&(String, Json)> {
    let mut sorted: Vec<_> = members.iter().rev().collect();
    // Stable: the last of each key comes first.
    sorted.sort_by(|(a, _), (b, _)| a.cmp(b));
    sorted.dedup_by(|(a, _), (b, _)| a == b);
    sorted
}

fn write_string(text: &str, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            control if control < ' ' => {
                // Writing to a String cannot fail.
                let _ = write!(out, "\\u{:04x}", u32::from(control));
            }
            other => out.push(other),
        }
    }
    out.push('"');
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl Parser<'_> {
    fn error(&self) -> NotJson {
        NotJson { at: self.at }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    fn skip(&mut self, token: &str) -> bool {
        let found = self.text[self.at..].starts_with(token);
        self.at += if found { token.len() } else { 0 };
        found
    }

    fn value(&mut self, depth: usize) -> Result<Json, NotJson> {
        self.skip_space();
        match self.peek().ok_or(self.error())? {
            b'{' | b'[' if depth == PARSE_DEPTH => Err(self.error()),
            b'{' => self.object(depth + 1),
            b'[' => self.array(depth + 1),
            b'"' => self.string().map(Json::String),
            b'n' if self.skip("null") => Ok(Json::Null),
            b't' if self.skip("true") => Ok(Json::Bool(true)),
            b'f' if self.skip("false") => Ok(Json::Bool(false)),
            b'-' | b'0'..=b'9' => self.number(),
            _ => Err(self.error()),
        }
    }

    fn number(&mut self) -> Result<Json, NotJson> {
        let rest = &self.text[self.at..];
        let end = rest
            .find(|c: char| !matches!(c, '0'..='9' | '+' | '-' | '.' | 'e' | 'E'))
            .unwrap_or(rest.len());
        let token = &rest[..end];
        Decimal::parse(token).ok_or(self.error())?;
        self.at += end;
        Ok(Json::Number(token.to_owned()))
    }

    /// Finds the end of the string and leaves its escapes to serde_json.
    fn string(&mut self) -> Result<String, NotJson> {
        let start = self.at;
        let mut end = start + 1;
        let bytes = self.text.as_bytes();
        loop {
            match bytes.get(end) {
                Some(b'"') => break,
                Some(b'\\') => end += 2,
                Some(_) => end += 1,
                None => return Err(self.error()),
            }
        }
        let token = self.text.get(start..=end).ok_or(self.error())?;
        let text = serde_json::from_str(token).map_err(|_| self.error())?;
        self.at = end + 1;
        Ok(text)
    }

    fn array(&mut self, depth: usize) -> Result<Json, NotJson> {
        let mut elements = Vec::new();
        self.at += 1;
        self.skip_space();
        if self.skip("]") {
            return Ok(Json::Array(elements));
        }
        loop {
            elements.push(self.value(depth)?);
            self.skip_space();
            if self.skip("]") {
                return Ok(Json::Array(elements));
            }
            if !self.skip(",") {
                return Err(self.error());
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<Json, NotJson> {
        let mut members = Vec::new();
        self.at += 1;
        self.skip_space();
        if self.skip("}") {
            return Ok(Json::Object(members));
        }
        loop {
            self.skip_space();
            if self.peek() != Some(b'"') {
                return Err(self.error());
            }
            let key = self.string()?;
            self.skip_space();
            if !self.skip(":") {
                return Err(self.error());
            }
            members.push((key, self.value(depth)?));
            self.skip_space();
            if self.skip("}") {
                return Ok(Json::Object(members));
            }
            if !self.skip(",") {
                return Err(self.error());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> Json {
        Json::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    fn sorted(text: &str) -> String {
        let mut out = String::new();
        json(text).write_sorted(&mut out);
        out
    }

    #[test]
    fn values_are_written_with_sorted_keys_and_numbers_as_they_were() {
        assert_eq!(
            sorted(r#" {"b":[1.0, 1e400 ,{}],"a":{"z":null,"é":"\u0000\"\\\n"} , "t":true} "#),
            r#"{"a": {"z": null, "é": "\u0000\"\\\n"}, "b": [1.0, 1e400, {}], "t": true}"#,
        );
        assert_eq!(sorted(r#"{"a":1,"a":2}"#), r#"{"a": 2}"#);
    }

    #[test]
    fn equality_is_of_values_and_not_of_their_texts() {
        for (a, b) in [
            ("1", "1.0"),
            ("9007199254740993", "9.007199254740993e15"),
            (r#""A""#, r#""\u0041""#),
            (r#"{"a":1,"b":[2]}"#, r#"{"b":[2.0],"a":1}"#),
            (r#"{"a":1,"a":2}"#, r#"{"a":2}"#),
        ] {
            assert!(json(a).equals(&json(b)), "{a} {b}");
        }
        for (a, b) in [
            ("1", "true"),
            ("1", r#""1""#),
            ("0", "null"),
            ("9007199254740992", "9007199254740993"),
            ("[1,2]", "[2,1]"),
            ("[1]", "[1,1]"),
            ("[1]", "1"),
            (r#"{"a":1}"#, r#"{"a":1,"b":2}"#),
            (r#"{"a":1,"b":2}"#, r#"{"a":1}"#),
            (r#"{"a":null}"#, "{}"),
        ] {
            assert!(!json(a).equals(&json(b)), "{a} {b}");
        }
    }

    #[test]
    fn damaged_text_is_an_error_and_never_a_panic() {
        for text in [
            "",
            "{",
            "[1,]",
            "{\"a\"}",
            "{\"a\":1,}",
            "{a:1}",
            "\"\\",
            "\"x",
            "nul",
            "1 2",
            "01x",
            "\"\\ud800\"",
            "[1}",
            "-",
            "é",
        ] {
            assert!(Json::parse(text).is_err(), "{text}");
        }
        assert!(Json::parse(&"[".repeat(100_000)).is_err());
    }
}
