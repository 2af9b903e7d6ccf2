//! Lexical search: texts as BM25 word vectors, the same ones for every engine.
//!
//! An engine multiplies a document's vector with a query's and weighs each word by how rare it is
//! in the searched scope (IDF); the product is the BM25 score.

use std::borrow::Cow;

use qdrant_edge::bm25_embed::{EdgeBm25, EdgeBm25Config, EdgeBm25Error};

/// Longest word that is told from others, in bytes: several times any in a dictionary.
const MAX_WORD_BYTES: usize = 256;

/// The words of a text: a hash and a weight for each distinct one, in ascending order of hashes.
///
/// Invariant: as many weights as words, and at least one.
#[derive(Clone, Debug, PartialEq)]
pub struct WordVector {
    /// Hashes of the words.
    pub words: Vec<u32>,
    /// Their weights.
    pub weights: Vec<f32>,
}

impl WordVector {
    /// Whether it is of the same words, with the same weights but for rounding.
    #[must_use]
    pub fn is_like(&self, other: &Self) -> bool {
        let is_close = |(one, other): (&f32, &f32)| (one - other).abs() <= one.abs() * 1e-5;
        self.words == other.words
            && self.weights.len() == other.weights.len()
            && self.weights.iter().zip(&other.weights).all(is_close)
    }
}

/// Turns texts into word vectors: lower-cased, English stop words dropped, stemmed; k 1.2, b 0.75.
#[derive(Debug)]
pub struct Bm25(EdgeBm25);

impl Bm25 {
    /// BM25 with the engine's default parameters.
    ///
    /// # Errors
    /// If the engine refuses its own defaults.
    pub fn new() -> Result<Self, EdgeBm25Error> {
        EdgeBm25::new(EdgeBm25Config::default()).map(Self)
    }

    /// The words of a document's texts, taken together; `None` if they have none.
    #[must_use]
    pub fn document(&self, texts: &[String]) -> Option<WordVector> {
        let vector = self
            .0
            .embed_document(&with_bounded_words(&texts.join("\n")));
        word_vector(vector.indices, vector.values)
    }

    /// The words of a query; `None` if it has none, so that nothing can match it.
    #[must_use]
    pub fn query(&self, text: &str) -> Option<WordVector> {
        let vector = self.0.embed_query(&with_bounded_words(text));
        word_vector(vector.indices, vector.values)
    }
}

/// Cuts words that no language has, such as long runs of encoded data: stemming one takes time that
/// grows with the square of its length. A query for such a word is cut alike, and finds it.
fn with_bounded_words(text: &str) -> Cow<'_, str> {
    let is_short = |word: &str| word.len() <= MAX_WORD_BYTES;
    if text
        .split(|character: char| !character.is_alphanumeric())
        .all(is_short)
    {
        return Cow::Borrowed(text);
    }
    let mut length = 0;
    let bounded = text.chars().filter(|character| {
        length = if character.is_alphanumeric() {
            length + character.len_utf8()
        } else {
            0
        };
        length <= MAX_WORD_BYTES
    });
    Cow::Owned(bounded.collect())
}

fn word_vector(words: Vec<u32>, weights: Vec<f32>) -> Option<WordVector> {
    (!words.is_empty()).then_some(WordVector { words, weights })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_in_any_form_and_order() {
        let bm25 = Bm25::new().unwrap();
        let document = bm25
            .document(&["Bob LIKES running".into(), "and hiking".into()])
            .unwrap();
        for query in ["liked", "Run!", "the hikes"] {
            let query = bm25.query(query).unwrap();
            assert!(
                query.words.iter().all(|word| document.words.contains(word)),
                "{query:?}"
            );
        }
    }

    #[test]
    fn a_word_that_never_ends_is_cut_and_still_found() {
        let bm25 = Bm25::new().unwrap();
        let endless = "y".repeat(1024 * 1024);
        let document = bm25.document(&[format!("tea {endless} cup")]).unwrap();
        assert_eq!(document.words.len(), 3);
        assert!(
            document
                .words
                .contains(&bm25.query(&endless).unwrap().words[0])
        );
        assert!(
            document
                .words
                .contains(&bm25.query("cup").unwrap().words[0])
        );
    }

    #[test]
    fn texts_without_words_have_no_vector() {
        let bm25 = Bm25::new().unwrap();
        assert_eq!(bm25.query("the"), None);
        assert_eq!(bm25.query(" ?! "), None);
        assert_eq!(bm25.document(&[]), None);
        assert_eq!(bm25.document(&[String::new()]), None);
    }
}
