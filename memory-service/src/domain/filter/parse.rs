//! Filters from JSON.

use super::{
    Filter, Order, Test,
    path::{Path, PathError},
};
use crate::domain::json::Json;

/// Why a JSON value is no filter. Continues a sentence that begins with the field's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FilterFault {
    /// A filter is something else than an object.
    #[error("must be a JSON object")]
    NotAnObject,
    /// A key is no path.
    #[error("has a key `{path}` that is not a path: it {fault}")]
    Path {
        /// The key.
        path: String,
        /// What is wrong with it.
        fault: PathError,
    },
    /// There is no such operator, or not in this place.
    #[error("uses an unknown operator `{operator}` {at}; the operators are {known}")]
    UnknownOperator {
        /// The operator.
        operator: String,
        /// Where it stands.
        at: Place,
        /// What could stand there.
        known: &'static str,
    },
    /// An operator's operand has a wrong shape.
    #[error("gives `{operator}` {at} a wrong operand: it must be {expected}")]
    Operand {
        /// The operator.
        operator: &'static str,
        /// Where it stands.
        at: Place,
        /// What it takes.
        expected: &'static str,
    },
    /// Operators and keys stand side by side.
    #[error("mixes operators such as `{operator}` with plain keys {at}; use `$and` to have both")]
    Mixed {
        /// One of the operators.
        operator: String,
        /// Where they stand.
        at: Place,
    },
}

/// Where in a filter something stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Outside of any path.
    Top,
    /// At the test of a path.
    Path(String),
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Top => f.write_str("at the top"),
            Self::Path(path) => write!(f, "at `{path}`"),
        }
    }
}

impl Place {
    fn below(&self, key: &str) -> Self {
        match self {
            Self::Top => Self::Path(key.to_owned()),
            Self::Path(path) => Self::Path(format!("{path}.{key}")),
        }
    }
}

const LOGICAL_OPERATORS: &str = "`$and`, `$or` and `$not`";
const TEST_OPERATORS: &str = "`$eq`, `$ne`, `$gt`, `$gte`, `$lt`, `$lte`, `$in`, `$nin`, `$exists`, \
                              `$contains`, `$and`, `$or` and `$not`";

impl Filter {
    /// Reads a filter.
    ///
    /// # Errors
    /// [`FilterFault`] names the path and the operator at fault.
    pub fn parse(json: &Json) -> Result<Self, FilterFault> {
        filter(json, &Place::Top)
    }
}

fn filter(json: &Json, at: &Place) -> Result<Filter, FilterFault> {
    let Json::Object(members) = json else {
        return Err(FilterFault::NotAnObject);
    };
    let conditions: Result<Vec<_>, _> = members
        .iter()
        .map(|(key, value)| condition(key, value, at))
        .collect();
    conditions.map(Filter::All)
}

fn condition(key: &str, value: &Json, at: &Place) -> Result<Filter, FilterFault> {
    match key {
        "$and" => filters("$and", value, at).map(Filter::All),
        "$or" => filters("$or", value, at).map(Filter::Any),
        "$not" => match value {
            Json::Object(_) => Ok(Filter::Not(Box::new(filter(value, at)?))),
            _ => Err(operand("$not", at, "an object")),
        },
        operator if operator.starts_with('$') => Err(FilterFault::UnknownOperator {
            operator: operator.to_owned(),
            at: at.clone(),
            known: LOGICAL_OPERATORS,
        }),
        path => {
            let parsed = Path::parse(path).map_err(|fault| FilterFault::Path {
                path: path.to_owned(),
                fault,
            })?;
            Ok(Filter::Field(parsed, test(value, &at.below(path))?))
        }
    }
}

fn filters(operator: &'static str, value: &Json, at: &Place) -> Result<Vec<Filter>, FilterFault> {
    match value {
        Json::Array(elements)
            if !elements.is_empty()
                && elements
                    .iter()
                    .all(|element| matches!(element, Json::Object(_))) =>
        {
            elements.iter().map(|element| filter(element, at)).collect()
        }
        _ => Err(operand(operator, at, "an array of at least one object")),
    }
}

fn test(json: &Json, at: &Place) -> Result<Test, FilterFault> {
    let Json::Object(members) = json else {
        return Ok(Test::Equal(json.clone()));
    };
    let operator = members
        .iter()
        .map(|(key, _)| key)
        .find(|key| key.starts_with('$'));
    let Some(operator) = operator else {
        return Ok(Test::Object(Box::new(filter(json, at)?)));
    };
    if members.iter().any(|(key, _)| !key.starts_with('$')) {
        return Err(FilterFault::Mixed {
            operator: operator.clone(),
            at: at.clone(),
        });
    }
    let mut tests = Vec::with_capacity(members.len());
    for (operator, value) in members {
        tests.push(operation(operator, value, at)?);
    }
    Ok(match tests.pop() {
        Some(only) if tests.is_empty() => only,
        last => {
            tests.extend(last);
            Test::All(tests)
        }
    })
}

fn operation(operator: &str, value: &Json, at: &Place) -> Result<Test, FilterFault> {
    let not = |test| Test::Not(Box::new(test));
    let ordered = |order| Ok(Test::Ordered(order, value.clone()));
    match operator {
        "$eq" => Ok(Test::Equal(value.clone())),
        "$ne" => Ok(not(Test::Equal(value.clone()))),
        "$gt" => ordered(Order::Greater),
        "$gte" => ordered(Order::GreaterOrEqual),
        "$lt" => ordered(Order::Less),
        "$lte" => ordered(Order::LessOrEqual),
        "$in" => elements("$in", value, at).map(Test::In),
        "$nin" => elements("$nin", value, at).map(|values| not(Test::In(values))),
        "$exists" => match value {
            Json::Bool(expected) => Ok(Test::Exists(*expected)),
            _ => Err(operand("$exists", at, "true or false")),
        },
        "$contains" => Ok(Test::Contains(value.clone())),
        "$and" => tests("$and", value, at).map(Test::All),
        "$or" => tests("$or", value, at).map(Test::Any),
        "$not" => test(value, at).map(not),
        _ => Err(FilterFault::UnknownOperator {
            operator: operator.to_owned(),
            at: at.clone(),
            known: TEST_OPERATORS,
        }),
    }
}

fn elements(operator: &'static str, value: &Json, at: &Place) -> Result<Vec<Json>, FilterFault> {
    match value {
        Json::Array(elements) => Ok(elements.clone()),
        _ => Err(operand(operator, at, "an array of values")),
    }
}

fn tests(operator: &'static str, value: &Json, at: &Place) -> Result<Vec<Test>, FilterFault> {
    match value {
        Json::Array(elements) if !elements.is_empty() => {
            elements.iter().map(|element| test(element, at)).collect()
        }
        _ => Err(operand(operator, at, "an array of at least one test")),
    }
}

fn operand(operator: &'static str, at: &Place, expected: &'static str) -> FilterFault {
    FilterFault::Operand {
        operator,
        at: at.clone(),
        expected,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_name_the_path_and_the_operator() {
        for (text, expected) in [
            ("[]", "must be a JSON object"),
            (
                r#"{"a":{"$regex":"x"}}"#,
                "unknown operator `$regex` at `a`;",
            ),
            (
                r#"{"$nor":[]}"#,
                "unknown operator `$nor` at the top; the operators are `$and`",
            ),
            (
                r#"{"a":{"b":{"$near":1}}}"#,
                "unknown operator `$near` at `a.b`;",
            ),
            (
                r#"{"$or":[{"a.b[0]":{"$foo":1}}]}"#,
                "unknown operator `$foo` at `a.b[0]`;",
            ),
            (
                r#"{"a":{"$in":1}}"#,
                "`$in` at `a` a wrong operand: it must be an array of values",
            ),
            (r#"{"a":{"$nin":{}}}"#, "`$nin` at `a`"),
            (
                r#"{"a":{"$exists":1}}"#,
                "`$exists` at `a` a wrong operand: it must be true or false",
            ),
            (r#"{"$and":[]}"#, "`$and` at the top a wrong operand"),
            (r#"{"$or":[1]}"#, "`$or` at the top"),
            (
                r#"{"$not":1}"#,
                "`$not` at the top a wrong operand: it must be an object",
            ),
            (r#"{"a":{"$or":[]}}"#, "`$or` at `a`"),
            (
                r#"{"a":{"$gt":1,"b":2}}"#,
                "mixes operators such as `$gt` with plain keys at `a`",
            ),
            (
                r#"{"":1}"#,
                "has a key `` that is not a path: it has an empty segment",
            ),
            (r#"{"a":{"b..c":1}}"#, "has a key `b..c` that is not a path"),
        ] {
            let fault = Filter::parse(&Json::parse(text).unwrap())
                .unwrap_err()
                .to_string();
            assert!(fault.contains(expected), "{text}: {fault}");
        }
    }

    #[test]
    fn a_quoted_key_may_look_like_an_operator() {
        let filter = Filter::parse(&Json::parse(r#"{"\"$a\"":1}"#).unwrap()).unwrap();
        assert!(filter.matches(&Json::parse(r#"{"$a":1}"#).unwrap()));
    }
}
