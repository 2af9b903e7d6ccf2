//! Filters: conditions on documents, evaluated exactly.
//!
//! What [`Filter::matches`] says is what every store must answer; an engine may only narrow down
//! where to look, by [`terms`].
//!
//! # Layout
//! - `parse`: a filter from its JSON, with faults that name path and operator
//! - [`path`]: where in a document a condition looks
//! - [`terms`]: what an engine can index of documents, and ask for of a filter

mod parse;
pub mod path;
pub mod terms;

use std::cmp::Ordering;

use super::{json::Json, number::Decimal};
use path::Path;

/// A condition on a document.
#[derive(Clone, Debug)]
pub enum Filter {
    /// All hold; of none, always.
    All(Vec<Filter>),
    /// At least one holds.
    Any(Vec<Filter>),
    /// It does not hold.
    Not(Box<Filter>),
    /// The value at a path passes a test.
    Field(Path, Test),
}

/// A test of the value at a path, which may be missing.
#[derive(Clone, Debug)]
pub enum Test {
    /// Is this value. Null is also what is missing.
    Equal(Json),
    /// Is one of these values.
    In(Vec<Json>),
    /// Is a number, or a string, in this order to another one.
    Ordered(Order, Json),
    /// Is there, if only as null; or is not.
    Exists(bool),
    /// Is an array with this element.
    Contains(Json),
    /// Is an object in which this holds.
    Object(Box<Filter>),
    /// All hold; of none, always.
    All(Vec<Test>),
    /// At least one holds.
    Any(Vec<Test>),
    /// Does not hold.
    Not(Box<Test>),
}

/// The order that a test asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// `$gt`
    Greater,
    /// `$gte`
    GreaterOrEqual,
    /// `$lt`
    Less,
    /// `$lte`
    LessOrEqual,
}

impl Filter {
    /// Whether the document fulfils the filter.
    #[must_use]
    pub fn matches(&self, document: &Json) -> bool {
        match self {
            Self::All(filters) => filters.iter().all(|filter| filter.matches(document)),
            Self::Any(filters) => filters.iter().any(|filter| filter.matches(document)),
            Self::Not(filter) => !filter.matches(document),
            Self::Field(path, test) => test.passes(path.resolve(document)),
        }
    }
}

impl Test {
    fn passes(&self, value: Option<&Json>) -> bool {
        match self {
            Self::Equal(expected) => equal(value, expected),
            Self::In(expected) => expected.iter().any(|expected| equal(value, expected)),
            Self::Ordered(order, bound) => value
                .and_then(|value| compare(value, bound))
                .is_some_and(|is| order.admits(is)),
            Self::Exists(expected) => value.is_some() == *expected,
            Self::Contains(expected) => match value {
                Some(Json::Array(elements)) => {
                    elements.iter().any(|element| element.equals(expected))
                }
                _ => false,
            },
            Self::Object(filter) => {
                value.is_some_and(|value| matches!(value, Json::Object(_)) && filter.matches(value))
            }
            Self::All(tests) => tests.iter().all(|test| test.passes(value)),
            Self::Any(tests) => tests.iter().any(|test| test.passes(value)),
            Self::Not(test) => !test.passes(value),
        }
    }
}

impl Order {
    fn admits(self, is: Ordering) -> bool {
        match self {
            Self::Greater => is.is_gt(),
            Self::GreaterOrEqual => is.is_ge(),
            Self::Less => is.is_lt(),
            Self::LessOrEqual => is.is_le(),
        }
    }
}

fn equal(value: Option<&Json>, expected: &Json) -> bool {
    match value {
        Some(value) => value.equals(expected),
        None => matches!(expected, Json::Null),
    }
}

fn compare(value: &Json, bound: &Json) -> Option<Ordering> {
    match (value, bound) {
        (Json::Number(value), Json::Number(bound)) => {
            Some(Decimal::parse(value)?.cmp(&Decimal::parse(bound)?))
        }
        (Json::String(value), Json::String(bound)) => Some(value.cmp(bound)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(filter: &str, document: &str) -> bool {
        let filter = Filter::parse(&Json::parse(filter).unwrap())
            .unwrap_or_else(|fault| panic!("{filter}: {fault}"));
        filter.matches(&Json::parse(document).unwrap())
    }

    fn check(document: &str, matching: &[&str], others: &[&str]) {
        for filter in matching {
            assert!(
                matches(filter, document),
                "{filter} should match {document}"
            );
        }
        for filter in others {
            assert!(
                !matches(filter, document),
                "{filter} should not match {document}"
            );
        }
    }

    #[test]
    fn equality_knows_the_kinds_of_values() {
        check(
            r#"{"n":1,"t":true,"s":"1","z":null,"a":[1,2],"o":{"x":1}}"#,
            &[
                r#"{}"#,
                r#"{"n":1.0}"#,
                r#"{"n":{"$eq":10e-1}}"#,
                r#"{"t":true}"#,
                r#"{"s":"1"}"#,
                r#"{"z":null}"#,
                r#"{"missing":null}"#,
                r#"{"missing":{"$eq":null}}"#,
                r#"{"a":[1,2.0]}"#,
                r#"{"a[1]":2}"#,
                r#"{"o":{"$eq":{"x":1}}}"#,
                r#"{"n":1,"s":"1"}"#,
            ],
            &[
                r#"{"n":true}"#,
                r#"{"n":"1"}"#,
                r#"{"t":1}"#,
                r#"{"s":1}"#,
                r#"{"n":null}"#,
                r#"{"a":1}"#,
                r#"{"a":[2,1]}"#,
                r#"{"a":[1]}"#,
                r#"{"o":{"$eq":{}}}"#,
                r#"{"n":1,"s":"2"}"#,
                r#"{"z":0}"#,
            ],
        );
    }

    #[test]
    fn a_nested_object_is_a_subset() {
        check(
            r#"{"o":{"x":1,"y":{"z":[5],"w":"v"}},"n":1}"#,
            &[
                r#"{"o":{}}"#,
                r#"{"o":{"x":1}}"#,
                r#"{"o":{"y":{"w":"v"},"x":{"$gt":0}}}"#,
                r#"{"o":{"y.w":"v"}}"#,
                r#"{"o.y":{"w":{"$in":["v"]}}}"#,
                r#"{"o":{"q":null}}"#,
            ],
            &[
                r#"{"o":{"x":2}}"#,
                r#"{"n":{}}"#,
                r#"{"missing":{}}"#,
                r#"{"missing":{"x":null}}"#,
                r#"{"o":{"y":{"w":"v","u":1}}}"#,
            ],
        );
    }

    #[test]
    fn not_equal_matches_what_is_missing() {
        check(
            r#"{"n":1,"z":null}"#,
            &[
                r#"{"n":{"$ne":2}}"#,
                r#"{"missing":{"$ne":2}}"#,
                r#"{"n":{"$ne":null}}"#,
                r#"{"missing":{"$nin":[1,2]}}"#,
                r#"{"n":{"$nin":[]}}"#,
                r#"{"z":{"$ne":1}}"#,
            ],
            &[
                r#"{"n":{"$ne":1.0}}"#,
                r#"{"missing":{"$ne":null}}"#,
                r#"{"z":{"$ne":null}}"#,
                r#"{"n":{"$nin":[3,1]}}"#,
                r#"{"missing":{"$nin":[null]}}"#,
                r#"{"n":{"$in":[]}}"#,
            ],
        );
    }

    #[test]
    fn order_is_of_numbers_and_of_strings_and_never_an_error() {
        check(
            r#"{"n":10,"big":9007199254740993,"s":"b","t":"2026-11-02T10:00:00Z","z":null,"a":[1]}"#,
            &[
                r#"{"n":{"$gt":9}}"#,
                r#"{"n":{"$gte":10.0,"$lt":11}}"#,
                r#"{"n":{"$lt":1e400}}"#,
                r#"{"big":{"$gt":9007199254740992}}"#,
                r#"{"s":{"$gt":"a","$lte":"b"}}"#,
                r#"{"t":{"$gte":"2026-11-01T00:00:00Z"}}"#,
            ],
            &[
                r#"{"n":{"$gt":10}}"#,
                r#"{"n":{"$gt":"9"}}"#,
                r#"{"s":{"$gt":1}}"#,
                r#"{"big":{"$lte":9007199254740992}}"#,
                r#"{"missing":{"$lt":5}}"#,
                r#"{"z":{"$lte":null}}"#,
                r#"{"a":{"$gt":0}}"#,
                r#"{"n":{"$gt":true}}"#,
                r#"{"a":{"$gte":[1]}}"#,
                r#"{"z":{"$lt":1}}"#,
            ],
        );
    }

    #[test]
    fn existence_membership_and_elements() {
        check(
            r#"{"z":null,"tags":["a",1,null,{"k":1}],"s":"abc"}"#,
            &[
                r#"{"z":{"$exists":true}}"#,
                r#"{"missing":{"$exists":false}}"#,
                r#"{"tags":{"$contains":"a"}}"#,
                r#"{"tags":{"$contains":1.0}}"#,
                r#"{"tags":{"$contains":null}}"#,
                r#"{"tags":{"$contains":{"k":1}}}"#,
                r#"{"s":{"$in":[1,"abc"]}}"#,
                r#"{"missing":{"$in":[null]}}"#,
            ],
            &[
                r#"{"z":{"$exists":false}}"#,
                r#"{"missing":{"$exists":true}}"#,
                r#"{"tags":{"$contains":"b"}}"#,
                r#"{"s":{"$contains":"a"}}"#,
                r#"{"missing":{"$contains":null}}"#,
                r#"{"tags":"a"}"#,
                r#"{"tags":{"$in":["a"]}}"#,
                r#"{"tags":{"$contains":{}}}"#,
            ],
        );
    }

    #[test]
    fn conditions_combine_at_both_levels() {
        check(
            r#"{"n":5,"s":"x"}"#,
            &[
                r#"{"$and":[{"n":5},{"s":"x"}]}"#,
                r#"{"$or":[{"n":6},{"s":"x"}]}"#,
                r#"{"$not":{"n":6}}"#,
                r#"{"n":{"$not":{"$gt":5}}}"#,
                r#"{"n":{"$or":[{"$lt":1},{"$gte":5}]}}"#,
                r#"{"n":{"$not":6}}"#,
                r#"{"n":{"$and":[{"$gt":4},{"$lt":6}]},"s":"x"}"#,
                r#"{"missing":{"$not":{"$exists":true}}}"#,
            ],
            &[
                r#"{"$and":[{"n":5},{"s":"y"}]}"#,
                r#"{"$or":[{"n":6},{"s":"y"}]}"#,
                r#"{"$not":{"n":5}}"#,
                r#"{"$not":{}}"#,
                r#"{"n":{"$not":{"$gt":4}}}"#,
                r#"{"$or":[{"n":5}],"s":"y"}"#,
            ],
        );
    }
}
