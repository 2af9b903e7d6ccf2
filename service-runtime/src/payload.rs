//! JSON values on the wire (`weft.common.v1.Payload`) and as exact text.
//!
//! # Layout
//! - `scan`: depth, numbers and lone surrogates of a text in one pass
//! - `number`: which numbers a double brings back
//! - `native`: `google.protobuf.Value` from and to text

mod native;
mod number;
mod scan;

use serde_json::value::RawValue;
use weft_proto::common::v1::{Payload, PayloadForm, payload::Form};

use self::scan::{Token, scan};

/// What a payload may be at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PayloadLimits {
    /// Bytes of its JSON text.
    pub max_bytes: usize,
    /// Arrays and objects inside each other; a plain number has depth 0, `[1]` depth 1.
    pub max_depth: usize,
}

/// Why a payload is refused. Its text continues a sentence that begins with the field's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PayloadError {
    /// Neither arm of the payload is set.
    #[error("must have a value: set `json` or `json_text`")]
    Missing,
    /// A `google.protobuf.Value` has no kind, which JSON cannot say.
    #[error("must not hold a `google.protobuf.Value` without a kind; set `null_value` for null")]
    MissingKind,
    /// `json_text` is not JSON.
    #[error("must be one JSON value (RFC 8259): {cause}")]
    NotJson {
        /// What is wrong at which line and column.
        cause: String,
    },
    /// The text is too long.
    #[error("must be at most {limit} bytes of JSON, not {actual}")]
    TooLarge {
        /// Bytes of the text.
        actual: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// Arrays and objects nest too deep.
    #[error("must not nest arrays and objects deeper than {limit} levels")]
    TooDeep {
        /// Levels allowed.
        limit: usize,
    },
    /// A number of `json` is NaN or infinite.
    #[error("must not hold NaN or an infinite number, which JSON does not have; use null")]
    NotFinite,
    /// A string has half of a surrogate pair.
    #[error(
        "must not hold half of a surrogate pair such as `\\ud800`; escape both halves or neither"
    )]
    LoneSurrogate,
}

/// The exact JSON text of `payload`: as sent in `json_text`, or written from `json`.
///
/// Numbers may be of any size. Of `json`, whole numbers within ±2^53 are written
/// as integers, keys in order.
///
/// # Errors
/// [`PayloadError`] if the payload is empty, not JSON, or beyond `limits`.
pub fn decode(payload: &Payload, limits: &PayloadLimits) -> Result<Box<RawValue>, PayloadError> {
    match &payload.form {
        None => Err(PayloadError::Missing),
        Some(Form::JsonText(text)) => {
            check_size(text, limits)?;
            let json: Box<RawValue> = serde_json::from_str(text).map_err(not_json)?;
            check_tokens(json.get(), limits)?;
            Ok(json)
        }
        Some(Form::Json(value)) => {
            let mut text = String::new();
            native::write(value, limits.max_depth, limits.max_depth, &mut text)?;
            check_size(&text, limits)?;
            RawValue::from_string(text).map_err(not_json)
        }
    }
}

/// `json` in the form a client asked for.
///
/// The `json` arm is used unless the form is `TEXT` or the value would not come back
/// as it is: a double does not bring a number back, keys repeat, or it nests deeper than clients decode.
#[must_use]
pub fn encode(json: &RawValue, form: PayloadForm) -> Payload {
    let native = match form {
        PayloadForm::Text => None,
        PayloadForm::Unspecified => {
            doubles(json.get()).and_then(|numbers| native::parse(json, &numbers))
        }
    };
    let form = match native {
        Some(value) => Form::Json(value),
        None => Form::JsonText(json.get().to_owned()),
    };
    Payload { form: Some(form) }
}

fn not_json(error: serde_json::Error) -> PayloadError {
    PayloadError::NotJson {
        cause: error.to_string(),
    }
}

fn check_size(text: &str, limits: &PayloadLimits) -> Result<(), PayloadError> {
    let (actual, limit) = (text.len(), limits.max_bytes);
    if actual > limit {
        Err(PayloadError::TooLarge { actual, limit })
    } else {
        Ok(())
    }
}

fn check_tokens(text: &str, limits: &PayloadLimits) -> Result<(), PayloadError> {
    let limit = limits.max_depth;
    scan(text).try_for_each(|token| match token {
        Token::Open(depth) if depth > limit => Err(PayloadError::TooDeep { limit }),
        Token::LoneSurrogate => Err(PayloadError::LoneSurrogate),
        Token::Open(_) | Token::Number(_) => Ok(()),
    })
}

/// The numbers of `text` in order, if doubles bring all of them back.
fn doubles(text: &str) -> Option<Vec<f64>> {
    let numbers = scan(text).filter_map(|token| match token {
        Token::Number(range) => Some(number::as_double(&text[range])),
        Token::Open(_) | Token::LoneSurrogate => None,
    });
    numbers.collect()
}

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use prost_types::{Value, value::Kind};
    use weft_proto::memory::v1::{GetItemResponse, Item};

    use super::*;

    const LIMITS: PayloadLimits = PayloadLimits {
        max_bytes: 1 << 20,
        max_depth: 64,
    };

    fn text(text: impl Into<String>) -> Payload {
        Payload {
            form: Some(Form::JsonText(text.into())),
        }
    }

    fn json(value: impl Into<Value>) -> Payload {
        Payload {
            form: Some(Form::Json(value.into())),
        }
    }

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).unwrap()
    }

    fn nested(open: &str, close: &str, depth: usize) -> String {
        format!("{}1{}", open.repeat(depth), close.repeat(depth))
    }

    /// Sends `text` in the form the server chooses and reads it back as a client's echo would.
    fn there_and_back(text: &str) -> (String, bool) {
        let payload = encode(&raw(text), PayloadForm::Unspecified);
        let native = matches!(payload.form, Some(Form::Json(_)));
        (decode(&payload, &LIMITS).unwrap().get().to_owned(), native)
    }

    #[test]
    fn text_is_kept_to_the_byte() {
        for exact in [
            "9007199254740993",
            "1e400",
            "1.0",
            "-0.0",
            "0",
            "null",
            "\"\"",
            "{}",
            "[]",
            r#"{"b":1,"a":[1.50, {"x" : "\u0000\ud83d\ude00"}]}"#,
            r#"{"a":1,"a":2}"#,
            "123456789012345678901234567890.000100",
        ] {
            assert_eq!(decode(&text(exact), &LIMITS).unwrap().get(), exact);
            assert_eq!(encode(&raw(exact), PayloadForm::Text), text(exact));
        }
        assert_eq!(
            decode(&text(" \n{\"a\": 1}\t"), &LIMITS).unwrap().get(),
            "{\"a\": 1}"
        );
    }

    #[test]
    fn json_is_used_where_a_client_reads_the_same_value() {
        for (written, read) in [
            ("9007199254740991", "9007199254740991"),
            ("9007199254740992", "9007199254740992"),
            ("-9007199254740992", "-9007199254740992"),
            ("1.0", "1"),
            ("10e-1", "1"),
            ("0.1", "0.1"),
            ("1e22", "1e+22"),
            ("-0.0", "-0.0"),
            (
                r#"{"b":[null,true],"a":"\u0000\n"}"#,
                r#"{"a":"\u0000\n","b":[null,true]}"#,
            ),
            ("[]", "[]"),
            ("{}", "{}"),
        ] {
            let (back, native) = there_and_back(written);
            assert!(native, "{written}");
            assert_eq!(back, read, "{written}");
        }
    }

    #[test]
    fn every_double_comes_back_as_itself() {
        // Bit patterns spread over the whole range by an odd multiplier.
        let spread = (0..10_000_u64).map(|step| step.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        for double in spread
            .map(f64::from_bits)
            .filter(|double| double.is_finite())
        {
            let (back, native) = there_and_back(&format!("[{double:?},{double:e}]"));
            let numbers: Vec<f64> = back[1..back.len() - 1]
                .split(',')
                .map(|number| number.parse().unwrap())
                .collect();
            assert_eq!(numbers, [double, double], "{native}");
        }
    }

    #[test]
    fn text_is_used_where_json_would_change_the_value() {
        let deep = nested("[", "]", 60);
        for exact in [
            "9007199254740993",
            "-9007199254740993",
            "[1,{\"a\":1e400}]",
            "18446744073709551615",
            "0.1000000000000000055",
            "1e-400",
            r#"{"a":1,"a":1}"#,
            r#"[{"a":{"b":1,"b":2}}]"#,
            &deep,
        ] {
            assert_eq!(there_and_back(exact), (exact.to_owned(), false));
        }
    }

    #[test]
    fn whatever_is_sent_as_json_can_be_decoded_by_a_client() {
        let mut sent_as_json = [0, 0];
        for depth in 0..=64 {
            let kinds = [nested("{\"a\":", "}", depth), nested("[", "]", depth)];
            for (kind, document) in kinds.into_iter().enumerate() {
                let value = encode(&raw(&document), PayloadForm::Unspecified);
                if matches!(value.form, Some(Form::Json(_))) {
                    sent_as_json[kind] = depth;
                }
                let item = Item {
                    value: Some(value),
                    ..Item::default()
                };
                let response = GetItemResponse { item: Some(item) };
                let bytes = response.encode_to_vec();
                assert_eq!(GetItemResponse::decode(bytes.as_slice()).unwrap(), response);
            }
        }
        assert_eq!(sent_as_json, [29, 44]);
    }

    #[test]
    fn both_forms_are_refused_beyond_the_same_limits() {
        for depth in [64, 65] {
            let document = nested("[", "]", depth);
            let list = (0..depth).fold(Value::from(1.0), |inner, _| Value::from(vec![inner]));
            for payload in [text(document), json(list)] {
                let too_deep = Err(PayloadError::TooDeep { limit: 64 });
                let expected = if depth > 64 { too_deep } else { Ok(()) };
                assert_eq!(decode(&payload, &LIMITS).map(|_| ()), expected);
            }
        }
        let small = PayloadLimits {
            max_bytes: 5,
            max_depth: 1,
        };
        for payload in [text("\"1234\""), json("1234")] {
            let too_large = PayloadError::TooLarge {
                actual: 6,
                limit: 5,
            };
            assert_eq!(decode(&payload, &small).unwrap_err(), too_large);
        }
        assert!(decode(&json("123"), &small).is_ok());
    }

    #[test]
    fn what_is_not_json_is_refused_with_the_place() {
        for bad in [
            "",
            "{",
            "[1,]",
            "01",
            "1 2",
            "'a'",
            "NaN",
            "\"\u{1}\"",
            "\u{feff}1",
            "tru",
            "\"\\x\"",
        ] {
            let error = decode(&text(bad), &LIMITS).unwrap_err().to_string();
            assert!(error.contains("line 1 column"), "{bad:?}: {error}");
        }
        let lone = decode(&text(r#"{"a":"\ud800"}"#), &LIMITS).unwrap_err();
        assert_eq!(lone, PayloadError::LoneSurrogate);
    }

    #[test]
    fn a_payload_that_json_cannot_say_is_refused() {
        assert_eq!(
            decode(&Payload { form: None }, &LIMITS).unwrap_err(),
            PayloadError::Missing
        );
        for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let hidden = json(vec![Value::from(number)]);
            assert_eq!(
                decode(&hidden, &LIMITS).unwrap_err(),
                PayloadError::NotFinite
            );
        }
        let unset = json(vec![Value { kind: None }]);
        assert_eq!(
            decode(&unset, &LIMITS).unwrap_err(),
            PayloadError::MissingKind
        );
        let null = json(Kind::NullValue(0));
        assert_eq!(decode(&null, &LIMITS).unwrap().get(), "null");
    }
}
