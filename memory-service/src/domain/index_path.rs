//! Index paths: which texts of a document are searched by query (LangGraph's grammar).

use std::{collections::HashSet, fmt, iter::Peekable, ptr, str::Chars};

use super::json::Json;

/// Longest path, in bytes: far above any that a person writes.
pub const MAX_PATH_BYTES: usize = 1024;

/// Says where in a document texts are: `$` or nothing (the whole document), `a.b`, `a[0]`,
/// `a[-1]` (the last), `a[*]` (every element), `*` (every member or element), `{a,b.c}` (several
/// members), and these one after the other, such as `sections[*].paragraphs[*].text`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexPath {
    text: String,
    steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Key(String),
    Index(i64),
    Elements,
    Each,
    Members(Vec<Vec<String>>),
}

/// A path that follows no grammar.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IndexPathError {
    /// There is nothing before, between or after dots, or within braces.
    #[error("has an empty segment")]
    EmptySegment,
    /// It begins as JSONPath would.
    #[error("begins with `$.`; paths start at the document, so leave it out")]
    JsonPathRoot,
    /// A `[` or `{` is not closed.
    #[error("has an unclosed `{0}`")]
    Unclosed(char),
    /// What is within brackets is no index.
    #[error("has `[{0}]` where an index such as `[0]`, `[-1]` or `[*]` should be")]
    BadIndex(String),
    /// A character stands where it has no meaning.
    #[error("has an unexpected `{0}`")]
    Unexpected(char),
    /// It is too long.
    #[error("is longer than {MAX_PATH_BYTES} bytes")]
    TooLong,
}

impl IndexPath {
    /// Reads a path.
    ///
    /// # Errors
    /// [`IndexPathError`] says what is malformed.
    pub fn parse(text: &str) -> Result<Self, IndexPathError> {
        let path = |steps| Self {
            text: text.to_owned(),
            steps,
        };
        match text {
            "" | "$" => return Ok(path(Vec::new())),
            _ if text.len() > MAX_PATH_BYTES => return Err(IndexPathError::TooLong),
            _ if text.starts_with("$.") => return Err(IndexPathError::JsonPathRoot),
            _ => {}
        }
        let mut chars = text.chars().peekable();
        let mut steps = Vec::new();
        loop {
            // A path may begin with `[*]`, although a document is no array.
            if chars.peek() != Some(&'[') || !steps.is_empty() {
                steps.push(segment(&mut chars)?);
            }
            while chars.next_if_eq(&'[').is_some() {
                steps.push(index(&mut chars)?);
            }
            match chars.next() {
                None => return Ok(path(steps)),
                Some('.') if chars.peek() != Some(&'[') => {}
                Some('.') => return Err(IndexPathError::EmptySegment),
                Some(other) => return Err(IndexPathError::Unexpected(other)),
            }
        }
    }

    /// The texts at this path, in the order of the document: a string as it is, a number or
    /// boolean as written, an object or array as JSON with sorted keys. Null is no text.
    #[must_use]
    pub fn texts(&self, document: &Json) -> Vec<String> {
        let mut found = vec![document];
        for step in &self.steps {
            let mut seen = HashSet::new();
            found = found
                .into_iter()
                .flat_map(|value| follow(step, value))
                .collect();
            // `{a,a}` is `{a}`: without this, a chain of them doubles the work with every link.
            found.retain(|value| seen.insert(ptr::from_ref::<Json>(value)));
        }
        found.into_iter().filter_map(text).collect()
    }
}

impl fmt::Display for IndexPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn text(value: &Json) -> Option<String> {
    match value {
        Json::Null => None,
        Json::String(text) => Some(text.clone()),
        Json::Bool(_) | Json::Number(_) | Json::Array(_) | Json::Object(_) => {
            let mut out = String::new();
            value.write_sorted(&mut out);
            Some(out)
        }
    }
}

fn follow<'a>(step: &Step, value: &'a Json) -> Vec<&'a Json> {
    match (step, value) {
        (Step::Key(key), _) => value.member(key).into_iter().collect(),
        (Step::Index(index), Json::Array(elements)) => {
            let length = i64::try_from(elements.len()).unwrap_or(i64::MAX);
            let index = if *index < 0 {
                length.saturating_add(*index)
            } else {
                *index
            };
            usize::try_from(index)
                .ok()
                .and_then(|index| elements.get(index))
                .into_iter()
                .collect()
        }
        (Step::Elements | Step::Each, Json::Array(elements)) => elements.iter().collect(),
        (Step::Each, Json::Object(members)) => members.iter().map(|(_, value)| value).collect(),
        (Step::Members(paths), Json::Object(_)) => paths
            .iter()
            .filter_map(|path| path.iter().try_fold(value, |value, key| value.member(key)))
            .collect(),
        (Step::Index(_) | Step::Elements | Step::Each | Step::Members(_), _) => Vec::new(),
    }
}

fn segment(chars: &mut Peekable<Chars<'_>>) -> Result<Step, IndexPathError> {
    if chars.next_if_eq(&'{').is_some() {
        return members(chars);
    }
    match name(chars, ".[]{}")? {
        star if star == "*" => Ok(Step::Each),
        name => Ok(Step::Key(name)),
    }
}

fn name(chars: &mut Peekable<Chars<'_>>, end: &str) -> Result<String, IndexPathError> {
    let mut name = String::new();
    while let Some(character) = chars.next_if(|character| !end.contains(*character)) {
        name.push(character);
    }
    match chars.peek() {
        Some(unexpected @ (']' | '{' | '}')) if !end.contains(',') => {
            Err(IndexPathError::Unexpected(*unexpected))
        }
        _ if name.is_empty() => Err(IndexPathError::EmptySegment),
        _ => Ok(name),
    }
}

fn index(chars: &mut Peekable<Chars<'_>>) -> Result<Step, IndexPathError> {
    let mut content = String::new();
    loop {
        match chars.next().ok_or(IndexPathError::Unclosed('['))? {
            ']' => break,
            other => content.push(other),
        }
    }
    if content == "*" {
        return Ok(Step::Elements);
    }
    let digits = content.strip_prefix('-').unwrap_or(&content);
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    match content.parse() {
        Ok(index) if is_number => Ok(Step::Index(index)),
        _ => Err(IndexPathError::BadIndex(content)),
    }
}

/// The rest of `{a, b.c}`.
fn members(chars: &mut Peekable<Chars<'_>>) -> Result<Step, IndexPathError> {
    let mut paths = vec![Vec::new()];
    loop {
        let key = name(chars, ".,[]{}")?.trim().to_owned();
        if key.is_empty() {
            return Err(IndexPathError::EmptySegment);
        }
        if let Some(path) = paths.last_mut() {
            path.push(key);
        }
        match chars.next().ok_or(IndexPathError::Unclosed('{'))? {
            '.' => {}
            ',' => paths.push(Vec::new()),
            '}' => return Ok(Step::Members(paths)),
            other => return Err(IndexPathError::Unexpected(other)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(path: &str, document: &str) -> Vec<String> {
        let path = IndexPath::parse(path).unwrap_or_else(|error| panic!("{path}: {error}"));
        path.texts(&Json::parse(document).unwrap())
    }

    const DOCUMENT: &str = r#"{
        "text": "hello", "n": 1.0, "yes": true, "none": null, "empty": "",
        "notes": [{"body": "one", "tags": ["x", "y"]}, {"body": "two", "tags": []}, "three"],
        "meta": {"z": "last", "a": {"deep": "é"}}
    }"#;

    #[test]
    fn every_form_of_the_grammar_finds_its_texts() {
        for (path, expected) in [
            ("text", ["hello"].as_slice()),
            ("n", &["1.0"]),
            ("yes", &["true"]),
            ("none", &[]),
            ("empty", &[""]),
            ("missing", &[]),
            ("meta.a.deep", &["é"]),
            ("meta.a", &[r#"{"deep": "é"}"#]),
            ("meta", &[r#"{"a": {"deep": "é"}, "z": "last"}"#]),
            ("notes[0].body", &["one"]),
            ("notes[-1]", &["three"]),
            ("notes[7]", &[]),
            ("notes[-7]", &[]),
            ("notes[*].body", &["one", "two"]),
            ("notes[*].tags[*]", &["x", "y"]),
            ("notes.*.body", &["one", "two"]),
            ("meta.*", &["last", r#"{"deep": "é"}"#]),
            ("{text,meta.a.deep}", &["hello", "é"]),
            ("{text, missing, meta.z}", &["hello", "last"]),
            (
                "notes[*].{body,tags}",
                &["one", r#"["x", "y"]"#, "two", "[]"],
            ),
            ("{meta}.z", &["last"]),
            ("text[*]", &[]),
            ("[*]", &[]),
        ] {
            assert_eq!(texts(path, DOCUMENT), expected, "{path}");
        }
        assert_eq!(
            texts("$", r#"{"b":[1,2],"a":"é"}"#),
            [r#"{"a": "é", "b": [1, 2]}"#]
        );
        assert_eq!(texts("", "{}"), ["{}"]);
    }

    #[test]
    fn malformed_paths_say_what_is_wrong() {
        for (path, expected) in [
            (".a", IndexPathError::EmptySegment),
            ("a.", IndexPathError::EmptySegment),
            ("a..b", IndexPathError::EmptySegment),
            ("a.[0]", IndexPathError::EmptySegment),
            ("{}", IndexPathError::EmptySegment),
            ("{a,}", IndexPathError::EmptySegment),
            ("{a, }", IndexPathError::EmptySegment),
            ("$.a", IndexPathError::JsonPathRoot),
            ("a[0", IndexPathError::Unclosed('[')),
            ("{a", IndexPathError::Unclosed('{')),
            ("a[]", IndexPathError::BadIndex(String::new())),
            ("a[x]", IndexPathError::BadIndex("x".into())),
            ("a[+1]", IndexPathError::BadIndex("+1".into())),
            ("a]", IndexPathError::Unexpected(']')),
            ("a}", IndexPathError::Unexpected('}')),
            ("a{b}", IndexPathError::Unexpected('{')),
            ("{a[0]}", IndexPathError::Unexpected('[')),
            ("a[0]b", IndexPathError::Unexpected('b')),
        ] {
            assert_eq!(IndexPath::parse(path), Err(expected), "{path}");
        }
        assert_eq!(
            IndexPath::parse(&"a".repeat(1025)),
            Err(IndexPathError::TooLong)
        );
    }

    #[test]
    fn repeated_members_do_not_multiply() {
        let path = vec!["{a,a,a,a}"; 40].join(".");
        let document = format!("{}1{}", r#"{"a":"#.repeat(40), "}".repeat(40));
        assert_eq!(texts(&path, &document), ["1"]);
    }
}
