//! Reading the arguments of an entrypoint, with the path of what is wrong.

use std::collections::BTreeMap;

use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::{Value, value::RawValue};
use serde_path_to_error::Segment;
use weft_worker::InvalidArgument;

/// Most complaints about the form of a config that are told at once.
const MAX_COMPLAINTS: usize = 32;

/// Refuses keys of a config that are written as a path: they would be taken for the caller's own.
pub fn check_dots(config: &RawValue, invalid: &mut Vec<InvalidArgument>) {
    const TABLES: [&str; 3] = ["memory", "history", "options"];
    let keys = serde_json::from_str::<BTreeMap<String, IgnoredAny>>(config.get());
    for key in keys.unwrap_or_default().into_keys() {
        if let Some((table, name)) = key.split_once('.')
            && TABLES.contains(&table)
        {
            let why = format!("is no key; write {{\"{table}\": {{\"{name}\": …}}}}");
            invalid.push(InvalidArgument::new(format!("config.{key}"), why));
        }
    }
}

/// Reads `json` as a `T`; `name` is `input` or `config`.
///
/// # Errors
/// The path of the first field that is wrong, and why.
pub fn read<T: DeserializeOwned>(name: &str, json: &RawValue) -> Result<T, InvalidArgument> {
    let mut deserializer = serde_json::Deserializer::from_str(json.get());
    serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = path(name, error.path(), &Removed::new());
        complaint(path, &error.into_inner())
    })
}

/// Reads a config whose fields all have defaults. What is wrong with it is added to `invalid`, up to
/// [`MAX_COMPLAINTS`], each with its path, and read as if it were absent.
pub fn read_config<T: DeserializeOwned + Default>(
    config: &RawValue,
    invalid: &mut Vec<InvalidArgument>,
) -> T {
    let mut value: Value = match read("config", config) {
        Ok(value) => value,
        Err(error) => {
            join(invalid, vec![error]);
            return T::default();
        }
    };
    let mut removed = Removed::new();
    for _ in 0..MAX_COMPLAINTS {
        let error = match serde_path_to_error::deserialize(&value) {
            Ok(read) => return read,
            Err(error) => error,
        };
        let segments: Vec<_> = error.path().iter().cloned().collect();
        let told = path("config", &segments, &removed);
        let depth = remove(&mut value, &segments);
        join(invalid, vec![complaint(told, &error.into_inner())]);
        match segments[..depth].split_last() {
            Some((Segment::Seq { .. }, list)) => {
                *removed.entry(path("config", list, &removed)).or_default() += 1;
            }
            Some(_) => {}
            None => break,
        }
    }
    T::default()
}

/// Adds to `invalid` what is about no field that is in it already, nor about one around or within
/// such a field: it would follow from the other.
pub fn join(invalid: &mut Vec<InvalidArgument>, more: Vec<InvalidArgument>) {
    let is_within = |inner: &str, outer: &str| {
        let rest = inner.strip_prefix(outer);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    };
    let known = invalid.len();
    for new in more {
        let is_told = invalid[..known]
            .iter()
            .any(|told| is_within(&new.field, &told.field) || is_within(&told.field, &new.field));
        if !is_told {
            invalid.push(new);
        }
    }
}

/// How many elements were taken out of each list, by its path. They are taken out in order, so that
/// all that is left of a list where something is found to be wrong comes after them.
type Removed = BTreeMap<String, usize>;

/// The path of a field as its sender knows it, before anything was taken out.
fn path<'a>(
    name: &str,
    segments: impl IntoIterator<Item = &'a Segment>,
    removed: &Removed,
) -> String {
    segments
        .into_iter()
        .fold(name.to_owned(), |path, segment| match segment {
            Segment::Seq { index } => {
                let before = removed.get(&path).copied().unwrap_or_default();
                format!("{path}[{}]", index + before)
            }
            Segment::Map { key } | Segment::Enum { variant: key } => format!("{path}.{key}"),
            Segment::Unknown => path,
        })
}

fn complaint(path: String, error: &serde_json::Error) -> InvalidArgument {
    // The path says more than a position in a text that the caller may not have written.
    let cause = error.to_string();
    let cause = cause.split(" at line ").next().unwrap_or_default();
    InvalidArgument::new(path, cause)
}

/// Takes what is at a path out of a value, or the nearest thing around it that can be taken out: how
/// many segments lead to it, 0 if there is none.
fn remove(value: &mut Value, segments: &[Segment]) -> usize {
    let Some((first, rest)) = segments.split_first() else {
        return 0;
    };
    let inner = match (&mut *value, first) {
        (Value::Object(fields), Segment::Map { key } | Segment::Enum { variant: key }) => {
            fields.get_mut(key)
        }
        (Value::Array(elements), Segment::Seq { index }) => elements.get_mut(*index),
        _ => None,
    };
    let Some(inner) = inner else { return 0 };
    let deeper = remove(inner, rest);
    if deeper > 0 {
        return deeper + 1;
    }
    match (value, first) {
        (Value::Object(fields), Segment::Map { key } | Segment::Enum { variant: key }) => {
            drop(fields.shift_remove(key));
        }
        (Value::Array(elements), Segment::Seq { index }) => drop(elements.remove(*index)),
        _ => {}
    }
    1
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Config {
        count: u32,
        name: Option<String>,
        inner: Inner,
        tools: Vec<Tool>,
    }

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Inner {
        limit: u32,
        ratio: f64,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Tool {
        name: String,
    }

    fn read(config: &Value) -> (Config, Vec<String>) {
        let mut invalid = Vec::new();
        let config = RawValue::from_string(config.to_string()).unwrap();
        let read = read_config(&config, &mut invalid);
        (read, invalid.into_iter().map(|wrong| wrong.field).collect())
    }

    #[test]
    fn all_that_is_wrong_with_a_config_is_told_at_once_and_the_rest_is_read() {
        let (config, mut wrong) = read(&json!({
            "count": "many", "name": "n", "speed": 1,
            "inner": { "limit": -1, "ratio": 0.5, "colour": "red" },
            "tools": [{ "name": "a" }, { "nam": "b" }, { "name": 3 }, { "name": "d" }],
        }));
        wrong.sort();
        assert_eq!(
            wrong,
            [
                "config.count",
                "config.inner.colour",
                "config.inner.limit",
                "config.speed",
                "config.tools[1]",
                "config.tools[2].name",
            ]
        );
        let names: Vec<_> = config.tools.iter().map(|tool| tool.name.as_str()).collect();
        assert_eq!((config.inner.ratio, names), (0.5, vec!["a", "d"]));
        assert_eq!(config.name.as_deref(), Some("n"));
    }

    #[test]
    fn what_is_no_object_is_told_once() {
        assert_eq!(read(&json!(5)), (Config::default(), vec!["config".into()]));
    }

    #[test]
    fn what_follows_from_a_wrong_field_is_not_told() {
        let wrong = |field: &str| InvalidArgument::new(field, "is wrong");
        let mut invalid = vec![wrong("config.a.b"), wrong("config.c")];
        let more = [
            "config.a",
            "config.a.b[0]",
            "config.cd",
            "config.c",
            "config.d",
            "config.d",
        ];
        join(&mut invalid, more.map(wrong).to_vec());
        let fields: Vec<_> = invalid.iter().map(|each| each.field.as_str()).collect();
        assert_eq!(
            fields,
            [
                "config.a.b",
                "config.c",
                "config.cd",
                "config.d",
                "config.d"
            ]
        );
    }
}
