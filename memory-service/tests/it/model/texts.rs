//! Texts as the model knows them: which ones a put is found by, and how well a query matches them.

use std::collections::{BTreeMap, BTreeSet};

use super::value::Value;
use crate::embedder::vector;

/// One way to say where texts are.
#[derive(Clone, Copy, Debug)]
enum Step {
    Key(&'static str),
    Index(i64),
    Elements,
    Each,
    Members(&'static [&'static [&'static str]]),
}

/// Index paths, and what they mean.
const PATHS: &[(&str, &[Step])] = &[
    ("$", &[]),
    ("text", &[Step::Key("text")]),
    ("alpha.text", &[Step::Key("alpha"), Step::Key("text")]),
    ("access-level", &[Step::Key("access-level")]),
    ("text[0]", &[Step::Key("text"), Step::Index(0)]),
    ("text[-1]", &[Step::Key("text"), Step::Index(-1)]),
    ("text[*]", &[Step::Key("text"), Step::Elements]),
    ("alpha.*", &[Step::Key("alpha"), Step::Each]),
    ("*", &[Step::Each]),
    ("*[*]", &[Step::Each, Step::Elements]),
    ("{text,beta}", &[Step::Members(&[&["text"], &["beta"]])]),
    (
        "{alpha.text, 語}",
        &[Step::Members(&[&["alpha", "text"], &["語"]])],
    ),
];

/// How many index paths there are to choose from.
pub(super) const PATH_COUNT: usize = PATHS.len();

/// Which of the paths the service under test is configured with.
pub(super) const CONFIGURED: &[usize] = &[1, 10];

/// How an index path is written.
pub(super) fn path(index: usize) -> String {
    PATHS[index].0.to_owned()
}

/// The texts of a document at these paths.
pub(super) fn texts(document: &Value, paths: &[usize]) -> Vec<String> {
    let mut texts = Vec::new();
    for index in paths {
        let mut found = vec![document];
        for step in PATHS[*index].1 {
            found = found
                .into_iter()
                .flat_map(|value| follow(*step, value))
                .collect();
        }
        texts.extend(found.into_iter().filter_map(|value| match value {
            Value::Null => None,
            Value::Text(text) => Some((*text).to_owned()),
            other => Some(other.sorted()),
        }));
    }
    texts
}

fn follow(step: Step, value: &Value) -> Vec<&Value> {
    match (step, value) {
        (Step::Key(key), _) => value.member(key).into_iter().collect(),
        (Step::Index(index), Value::Array(elements)) => {
            let from_start = index.try_into().ok();
            let index = from_start.or(elements.len().checked_sub(index.unsigned_abs() as usize));
            index
                .and_then(|index| elements.get(index))
                .into_iter()
                .collect()
        }
        (Step::Elements | Step::Each, Value::Array(elements)) => elements.iter().collect(),
        (Step::Each, Value::Object(members)) => members.iter().map(|(_, value)| value).collect(),
        (Step::Members(paths), Value::Object(_)) => {
            let at = |path: &&[&str]| path.iter().try_fold(value, |value, key| value.member(key));
            paths.iter().filter_map(at).collect()
        }
        _ => Vec::new(),
    }
}

/// What queries find an item by.
#[derive(Clone, Debug, Default)]
pub(super) struct Index {
    /// How often each word occurs.
    words: BTreeMap<String, u32>,
    /// The texts that are embedded.
    embedded: BTreeSet<String>,
}

impl Index {
    pub(super) fn of(texts: &[String]) -> Self {
        let mut index = Self::default();
        for text in texts {
            for word in words(text) {
                *index.words.entry(word).or_default() += 1;
            }
            if !text.trim().is_empty() {
                index.embedded.insert(text.clone());
            }
        }
        index
    }

    /// The cosine of the best text; `None` without texts.
    pub(super) fn cosine(&self, query: &str) -> Option<f64> {
        let query = vector(query);
        let cosines = self.embedded.iter().map(|text| cosine(vector(text), query));
        cosines.reduce(f64::max)
    }
}

fn cosine(one: [f32; 4], other: [f32; 4]) -> f64 {
    let dot = |one: [f32; 4], other: [f32; 4]| -> f64 {
        let products = one
            .iter()
            .zip(other)
            .map(|(a, b)| f64::from(*a) * f64::from(b));
        products.sum()
    };
    let length = |vector| f64::max(dot(vector, vector).sqrt(), f64::MIN_POSITIVE);
    dot(one, other) / (length(one) * length(other))
}

/// BM25 scores, k 1.2, b 0.75, for an average length of 256 words, with the statistics of
/// `scope`; nothing for items without a word of the query.
pub(super) fn bm25<'a>(
    query: &str,
    scope: impl Iterator<Item = &'a Index> + Clone,
    index: &Index,
) -> Option<f64> {
    let (k, b, average) = (1.2, 0.75, 256.0);
    let with_words = || scope.clone().filter(|index| !index.words.is_empty());
    let count = with_words().count() as f64;
    let length = f64::from(index.words.values().sum::<u32>());
    let query: BTreeSet<_> = words(query).collect();
    let scores = query.iter().filter_map(|word| {
        let occurrences = f64::from(*index.words.get(word)?);
        let with = with_words()
            .filter(|index| index.words.contains_key(word))
            .count() as f64;
        let rarity = ((count - with + 0.5) / (with + 0.5) + 1.0).ln();
        let normal = k * (1.0 - b + b * length / average);
        Some(rarity * occurrences * (k + 1.0) / (occurrences + normal))
    });
    scores.reduce(|one, other| one + other)
}

/// The words of a text. None of those in use here has another form that would be the same word, or
/// is too common to count.
fn words(text: &str) -> impl Iterator<Item = String> + use<'_> {
    text.split(|character: char| !character.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
}
