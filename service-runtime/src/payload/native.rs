//! `google.protobuf.Value` from and to JSON text.

use std::{collections::BTreeMap, fmt};

use prost_types::{ListValue, Struct, Value, value::Kind};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::PayloadError;

/// 2^53: up to here doubles count in ones, so that a whole double is one integer only.
const MAX_WHOLE: f64 = 9_007_199_254_740_992.0;

/// Nested messages that prost decodes (100, not settable), less some for the
/// messages around a payload.
const MESSAGE_BUDGET: usize = 100 - 12;
/// An object is a `Struct` in a map entry with a `Value`.
const MESSAGES_PER_OBJECT: usize = 3;
/// A list is a `ListValue` with a `Value`.
const MESSAGES_PER_LIST: usize = 2;

/// Appends `value` as JSON.
pub(super) fn write(
    value: &Value,
    depth_left: usize,
    max_depth: usize,
    out: &mut String,
) -> Result<(), PayloadError> {
    let inner = || {
        depth_left
            .checked_sub(1)
            .ok_or(PayloadError::TooDeep { limit: max_depth })
    };
    match &value.kind {
        None => return Err(PayloadError::MissingKind),
        Some(Kind::NullValue(_)) => out.push_str("null"),
        Some(Kind::BoolValue(flag)) => out.push_str(if *flag { "true" } else { "false" }),
        Some(Kind::NumberValue(number)) => write_number(*number, out)?,
        Some(Kind::StringValue(text)) => write_string(text, out),
        Some(Kind::ListValue(list)) => {
            let depth_left = inner()?;
            out.push('[');
            for (index, element) in list.values.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write(element, depth_left, max_depth, out)?;
            }
            out.push(']');
        }
        Some(Kind::StructValue(object)) => {
            let depth_left = inner()?;
            out.push('{');
            for (index, (name, member)) in object.fields.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_string(name, out);
                out.push(':');
                write(member, depth_left, max_depth, out)?;
            }
            out.push('}');
        }
    }
    Ok(())
}

fn write_number(number: f64, out: &mut String) -> Result<(), PayloadError> {
    if !number.is_finite() {
        return Err(PayloadError::NotFinite);
    }
    let negative_zero = number == 0.0 && number.is_sign_negative();
    if number.fract() == 0.0 && number.abs() <= MAX_WHOLE && !negative_zero {
        out.push_str(&(number as i64).to_string());
    } else {
        out.push_str(&serde_json::json!(number).to_string());
    }
    Ok(())
}

fn write_string(text: &str, out: &mut String) {
    out.push_str(&serde_json::Value::from(text).to_string());
}

/// `json` as a value, unless its structure does not survive in one: it has
/// duplicate keys or lone surrogates, or nests deeper than clients can decode.
///
/// `numbers` are those of `json` in order: serde_json reads some with a last digit off.
pub(super) fn parse(json: &RawValue, numbers: &[f64]) -> Option<Value> {
    let mut deserializer = serde_json::Deserializer::from_str(json.get());
    let mut numbers = numbers.iter().copied();
    let native = Native {
        budget: MESSAGE_BUDGET,
        numbers: &mut numbers,
    };
    native.deserialize(&mut deserializer).ok()
}

struct Native<'a, I> {
    budget: usize,
    numbers: &'a mut I,
}

impl<I: Iterator<Item = f64>> Native<'_, I> {
    fn inside<E: Error>(&mut self, messages: usize) -> Result<Native<'_, I>, E> {
        let budget = self
            .budget
            .checked_sub(messages)
            .ok_or_else(|| E::custom("too deep"))?;
        Ok(Native {
            budget,
            numbers: self.numbers,
        })
    }

    fn number<E: Error>(self) -> Result<Value, E> {
        let number = self
            .numbers
            .next()
            .ok_or_else(|| E::custom("more numbers than scanned"))?;
        Ok(Kind::NumberValue(number).into())
    }
}

impl<'de, I: Iterator<Item = f64>> DeserializeSeed<'de> for Native<'_, I> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, I: Iterator<Item = f64>> Visitor<'de> for Native<'_, I> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Kind::NullValue(0).into())
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Value, E> {
        Ok(Kind::BoolValue(flag).into())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Value, E> {
        self.number()
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Value, E> {
        self.number()
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Value, E> {
        self.number()
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Kind::StringValue(text.to_owned()).into())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(element) = list.next_element_seed(self.inside(MESSAGES_PER_LIST)?)? {
            values.push(element);
        }
        Ok(Kind::ListValue(ListValue { values }).into())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut object: A) -> Result<Value, A::Error> {
        let mut fields = BTreeMap::new();
        while let Some(name) = object.next_key::<String>()? {
            let member = object.next_value_seed(self.inside(MESSAGES_PER_OBJECT)?)?;
            if fields.insert(name, member).is_some() {
                return Err(Error::custom("duplicate key"));
            }
        }
        Ok(Kind::StructValue(Struct { fields }).into())
    }
}
