//! JSON values as the model knows them, and what filters say about two of them.

use std::cmp::Ordering;

use proptest::{collection::vec, option, prelude::*, sample::select};

/// Numbers in ascending order, and the ways to write each: what the model knows of arithmetic.
const NUMBERS: &[&[&str]] = &[
    &["-1e400", "-10e399"],
    &["-18446744073709551616", "-1.8446744073709551616e19"],
    &["-9223372036854775809"],
    &["-9223372036854775808"],
    &["-9007199254740993"],
    &["-9007199254740992", "-9007199254740992.0"],
    &["-1", "-1.0", "-10e-1"],
    &["-0.1"],
    &["-1e-400"],
    &["0", "-0", "0.0", "-0.0", "0e9"],
    &["1e-400"],
    &["0.1", "1e-1", "0.10"],
    &["0.30000000000000004"],
    &["1", "1.0", "1E0"],
    &["2"],
    &["9007199254740991"],
    &["9007199254740992", "9.007199254740992e15"],
    &["9007199254740993", "9007199254740993.0"],
    &["9223372036854775807"],
    &["9223372036854775808"],
    &["18446744073709551615"],
    &["18446744073709551616"],
    &["1e400", "10e399"],
];

/// Strings, some of which are words, topics of the embedder, times, or look like other values.
const STRINGS: &[&str] = &[
    "",
    " ",
    "1",
    "true",
    "null",
    "zebra",
    "ZEBRA quartz",
    "quartz, quartz: jump",
    "car",
    "car zebra",
    "cat sun",
    "deg30",
    "anticar jump",
    "2026-11-02T10:00:00Z",
    "2026-11-02T09:00:00+00:00",
    "é",
    "e\u{301}",
    "語 zebra",
    "😀",
    "\u{fffd}",
    "\0",
    "line\nbreak \"quoted\" back\\slash",
];

/// Keys of objects; those with `.[]"` need quotes in paths.
pub(super) const KEYS: &[&str] = &[
    "text",
    "alpha",
    "beta",
    "access-level",
    "quo.ted \"[0]\"",
    "語",
    "",
];

/// A JSON value.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Null,
    Bool(bool),
    /// Which of [`NUMBERS`], and how it is written.
    Number(usize, usize),
    Text(&'static str),
    Array(Vec<Value>),
    /// Without a key twice.
    Object(Vec<(&'static str, Value)>),
}

impl Value {
    /// How it is put.
    pub(super) fn json(&self) -> String {
        match self {
            Self::Null => "null".into(),
            Self::Bool(value) => value.to_string(),
            Self::Number(class, notation) => NUMBERS[*class][*notation].into(),
            Self::Text(text) => quoted(text),
            Self::Array(elements) => {
                let elements: Vec<_> = elements.iter().map(Self::json).collect();
                format!("[{}]", elements.join(","))
            }
            Self::Object(members) => {
                let member = |(key, value): &(&str, Self)| quoted(key) + ":" + &value.json();
                let members: Vec<_> = members.iter().map(member).collect();
                format!("{{{}}}", members.join(","))
            }
        }
    }

    /// How it is embedded: keys sorted, blanks after `,` and `:`.
    pub(super) fn sorted(&self) -> String {
        match self {
            Self::Array(elements) => {
                let elements: Vec<_> = elements.iter().map(Self::sorted).collect();
                format!("[{}]", elements.join(", "))
            }
            Self::Object(members) => {
                let mut members = members.clone();
                members.sort_by_key(|(key, _)| *key);
                let member = |(key, value): &(&str, Self)| quoted(key) + ": " + &value.sorted();
                let members: Vec<_> = members.iter().map(member).collect();
                format!("{{{}}}", members.join(", "))
            }
            Self::Null | Self::Bool(_) | Self::Number(..) | Self::Text(_) => self.json(),
        }
    }

    pub(super) fn member(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Object(members) => {
                let member = members.iter().find(|(name, _)| *name == key)?;
                Some(&member.1)
            }
            _ => None,
        }
    }

    pub(super) fn element(&self, index: usize) -> Option<&Self> {
        match self {
            Self::Array(elements) => elements.get(index),
            _ => None,
        }
    }

    /// 1 is 1.0, true is not 1, arrays are equal as a whole, objects in any order.
    pub(super) fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Bool(one), Self::Bool(other)) => one == other,
            (Self::Number(one, _), Self::Number(other, _)) => one == other,
            (Self::Text(one), Self::Text(other)) => one == other,
            (Self::Array(one), Self::Array(other)) => {
                one.len() == other.len() && one.iter().zip(other).all(|(one, other)| one.is(other))
            }
            (Self::Object(one), Self::Object(members)) => {
                let same = |(key, value): &(&str, Self)| {
                    other.member(key).is_some_and(|other| value.is(other))
                };
                one.len() == members.len() && one.iter().all(same)
            }
            _ => false,
        }
    }

    /// Numbers have an order, and strings have one.
    pub(super) fn order(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Number(one, _), Self::Number(other, _)) => Some(one.cmp(other)),
            (Self::Text(one), Self::Text(other)) => Some(one.as_bytes().cmp(other.as_bytes())),
            _ => None,
        }
    }
}

/// A string as JSON, other characters than ASCII as they are.
pub(super) fn quoted(text: &str) -> String {
    let mut json = String::from("\"");
    for character in text.chars() {
        match character {
            '\n' => json += "\\n",
            '"' => json += "\\\"",
            '\\' => json += "\\\\",
            '\0' => json += "\\u0000",
            other => json.push(other),
        }
    }
    json + "\""
}

fn number() -> impl Strategy<Value = Value> {
    (0..NUMBERS.len(), any::<prop::sample::Index>())
        .prop_map(|(class, notation)| Value::Number(class, notation.index(NUMBERS[class].len())))
}

/// Few enough that documents and filters often mean the same one: those that are easily taken for
/// another.
pub(super) fn frequent() -> impl Strategy<Value = Value> {
    let zero_to_one = select(vec![(9, 0), (9, 3), (13, 0), (13, 1)]);
    let around_2_53 = select(vec![(15, 0), (16, 0), (16, 1), (17, 0)]);
    prop_oneof![
        3 => zero_to_one.prop_map(|(class, notation)| Value::Number(class, notation)),
        3 => around_2_53.prop_map(|(class, notation)| Value::Number(class, notation)),
        2 => select(vec!["1", "zebra", "é"]).prop_map(Value::Text),
        1 => Just(Value::Bool(true)),
        1 => Just(Value::Null),
    ]
}

/// Lists and objects that documents and filters often have in common.
pub(super) fn small() -> impl Strategy<Value = Value> {
    let zero_or_one = || select(vec![(9, 0), (13, 0), (13, 1)]);
    let number = || zero_or_one().prop_map(|(class, notation)| Value::Number(class, notation));
    prop_oneof![
        vec(prop_oneof![frequent(), number()], 1..3).prop_map(Value::Array),
        number().prop_map(|number| Value::Object(vec![(KEYS[0], number)])),
    ]
}

/// Any value, a few levels deep.
pub(super) fn value() -> impl Strategy<Value = Value> {
    let leaf = || {
        prop_oneof![
            12 => frequent(),
            1 => Just(Value::Null),
            1 => any::<bool>().prop_map(Value::Bool),
            3 => number(),
            3 => select(STRINGS).prop_map(Value::Text),
        ]
    };
    let nested = leaf().prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::Array),
            members(inner).prop_map(Value::Object),
        ]
    });
    // Left alone, nearly everything would be nested, and nearly nothing equal.
    prop_oneof![3 => leaf(), 1 => nested]
}

/// A document: most have a text to be found by, and fields that filters meet often.
pub(super) fn document() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        4 => select(STRINGS).prop_map(Value::Text),
        1 => value(),
    ];
    // As lists and objects, too, so that there is something to be contained.
    let alpha = prop_oneof![
        1 => value(),
        1 => small(),
    ];
    let fields = (option::weighted(0.8, text), option::weighted(0.8, alpha));
    (fields, members(value())).prop_map(|((text, alpha), mut members)| {
        for (key, value) in [("text", text), ("alpha", alpha)] {
            if let Some(value) = value {
                members.retain(|(other, _)| *other != key);
                members.push((key, value));
            }
        }
        Value::Object(members)
    })
}

fn members(
    value: impl Strategy<Value = Value>,
) -> impl Strategy<Value = Vec<(&'static str, Value)>> {
    vec((select(KEYS), value), 0..5).prop_map(|members| {
        let mut distinct: Vec<(&'static str, Value)> = Vec::new();
        for (key, value) in members {
            if distinct.iter().all(|(other, _)| *other != key) {
                distinct.push((key, value));
            }
        }
        distinct
    })
}
