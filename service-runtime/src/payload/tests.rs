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
