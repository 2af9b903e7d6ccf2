//! The wire format of `/v1/embeddings`: what is asked, and whether the answer is one.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};

/// What is asked.
#[derive(Serialize)]
pub(super) struct Request<'a> {
    pub(super) model: &'a str,
    pub(super) input: &'a [String],
    /// A quarter of the size of numbers as text, and exact.
    pub(super) encoding_format: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) dimensions: Option<usize>,
}

#[derive(Deserialize)]
struct Answer {
    data: Vec<Datum>,
}

#[derive(Deserialize)]
struct Datum {
    index: usize,
    embedding: Numbers,
}

/// Some servers answer with numbers whatever they are asked for.
#[derive(Deserialize)]
#[serde(untagged)]
enum Numbers {
    Base64(String),
    Plain(Vec<f32>),
}

/// What is wrong with an answer.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadAnswer {
    #[error("it answers with what is no list of embeddings")]
    Malformed,
    #[error("it answers {found} embeddings for {asked} texts")]
    Count { asked: usize, found: usize },
    #[error("it answers without an embedding for text {0}")]
    Index(usize),
    #[error("it answers an embedding that is not made of finite numbers")]
    NotFinite,
    #[error("it answers embeddings of {found} dimensions instead of {expected}")]
    Dims { expected: usize, found: usize },
}

/// Reads the vectors of `asked` texts, in the order of the texts whatever the order of the answer.
/// They have `dims` dimensions, or as many as the first one if that is not known yet.
pub(super) fn vectors(
    answer: &[u8],
    asked: usize,
    dims: Option<usize>,
) -> Result<Vec<Vec<f32>>, BadAnswer> {
    let answer: Answer = serde_json::from_slice(answer).map_err(|_| BadAnswer::Malformed)?;
    let found = answer.data.len();
    if found != asked {
        return Err(BadAnswer::Count { asked, found });
    }
    let mut data = answer.data;
    data.sort_by_key(|datum| datum.index);
    let mut vectors = Vec::with_capacity(asked);
    let mut expected = dims;
    for (index, datum) in data.into_iter().enumerate() {
        if datum.index != index {
            return Err(BadAnswer::Index(index));
        }
        let vector = numbers(datum.embedding).ok_or(BadAnswer::Malformed)?;
        let expected = *expected.get_or_insert(vector.len());
        let found = vector.len();
        if found != expected || found == 0 {
            return Err(BadAnswer::Dims { expected, found });
        }
        if !vector.iter().all(|number| number.is_finite()) {
            return Err(BadAnswer::NotFinite);
        }
        vectors.push(vector);
    }
    Ok(vectors)
}

fn numbers(numbers: Numbers) -> Option<Vec<f32>> {
    match numbers {
        Numbers::Plain(numbers) => Some(numbers),
        Numbers::Base64(text) => {
            let bytes = STANDARD.decode(text).ok()?;
            let (numbers, rest) = bytes.as_chunks::<4>();
            let read = || numbers.iter().map(|bytes| f32::from_le_bytes(*bytes));
            rest.is_empty().then(|| read().collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_come_in_the_order_of_the_texts_in_either_encoding() {
        let two = STANDARD.encode([1.5_f32, -2.0].map(f32::to_le_bytes).concat());
        let answer = format!(
            r#"{{"data":[{{"index":1,"embedding":"{two}"}},{{"index":0,"embedding":[1,0.5]}}],"usage":null}}"#
        );
        let expected = vec![vec![1.0, 0.5], vec![1.5, -2.0]];
        assert_eq!(vectors(answer.as_bytes(), 2, None), Ok(expected));
    }

    #[test]
    fn an_answer_that_is_none_is_told_and_not_guessed() {
        let nan = STANDARD.encode(f32::NAN.to_le_bytes());
        let datum = |index: usize, embedding: &str| {
            format!(r#"{{"index":{index},"embedding":{embedding}}}"#)
        };
        let (asked, found) = (2, 1);
        for (data, expected) in [
            (vec![datum(0, "[1]")], BadAnswer::Count { asked, found }),
            (vec![datum(0, "[1]"), datum(0, "[1]")], BadAnswer::Index(1)),
            (vec![datum(0, "[1]"), datum(2, "[1]")], BadAnswer::Index(1)),
            (
                vec![datum(0, "[1]"), datum(1, &format!("\"{nan}\""))],
                BadAnswer::NotFinite,
            ),
            (
                vec![datum(0, "[1]"), datum(1, "[null]")],
                BadAnswer::Malformed,
            ),
            (
                vec![datum(0, "[1]"), datum(1, "\"AAA=\"")],
                BadAnswer::Malformed,
            ),
            (
                vec![datum(0, "[1]"), datum(1, "[1,2]")],
                BadAnswer::Dims {
                    expected: 1,
                    found: 2,
                },
            ),
            (
                vec![datum(0, "[]"), datum(1, "[]")],
                BadAnswer::Dims {
                    expected: 0,
                    found: 0,
                },
            ),
        ] {
            let answer = format!(r#"{{"data":[{}]}}"#, data.join(","));
            assert_eq!(
                vectors(answer.as_bytes(), 2, None),
                Err(expected),
                "{answer}"
            );
        }
        for answer in ["", "{", "[]", r#"{"data":{}}"#, r#"{"error":"no"}"#] {
            assert_eq!(
                vectors(answer.as_bytes(), 1, None),
                Err(BadAnswer::Malformed)
            );
        }
        let other = vectors(br#"{"data":[{"index":0,"embedding":[1]}]}"#, 1, Some(3));
        assert_eq!(
            other,
            Err(BadAnswer::Dims {
                expected: 3,
                found: 1
            })
        );
    }
}
