//! Terms: what an engine indexes of a document so that a filter need not look at every one.
//!
//! A term says "the value at this path is this scalar", or "the array there has this scalar as an
//! element", in 64 bits. A document that fulfils a filter has, for each clause of the filter's
//! [`Narrowing`], at least one of the clause's terms. The converse does not hold: terms may
//! collide, and conditions without a clause are not covered. So whatever an engine finds by terms
//! is checked with [`Filter::matches`].

use std::collections::BTreeSet;

use sha2::{Digest as _, Sha256};

use super::{
    Filter, Test,
    path::{Path, Segment},
};
use crate::domain::{json::Json, number::Decimal};

/// Most terms of one document. Documents with more leaves are found by [`OVERFLOW`] instead, so
/// that no document costs the index more than a kilobyte.
const MAX_TERMS: usize = 128;

/// The term of documents with too many leaves. Every clause asks for it, too.
const OVERFLOW: Term = 0;

/// Most terms of one clause; a longer one costs an engine more than it saves.
const MAX_CLAUSE: usize = 1024;

/// A 64-bit hash of a path and a scalar.
pub type Term = i64;

/// The terms of a document, in ascending order.
#[must_use]
pub fn of_document(document: &Json) -> Vec<Term> {
    let mut terms = BTreeSet::new();
    collect(document, &mut Vec::new(), &mut terms);
    if terms.len() > MAX_TERMS {
        vec![OVERFLOW]
    } else {
        terms.into_iter().collect()
    }
}

/// What a document must have to have a chance with a filter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Narrowing {
    /// Of each clause at least one term.
    pub clauses: Vec<Vec<Term>>,
}

impl Narrowing {
    /// What documents that fulfil `filter` have in common.
    #[must_use]
    pub fn of(filter: &Filter) -> Self {
        let mut clauses = clauses_of(filter, &[]);
        clauses.retain(|clause| clause.len() <= MAX_CLAUSE);
        for clause in &mut clauses {
            clause.push(OVERFLOW);
        }
        Self { clauses }
    }
}

fn collect(value: &Json, path: &mut Vec<String>, terms: &mut BTreeSet<Term>) {
    if terms.len() > MAX_TERMS {
        return;
    }
    match value {
        Json::Object(members) => {
            for (key, value) in members {
                path.push(key.clone());
                collect(value, path, terms);
                path.pop();
            }
        }
        Json::Array(elements) => {
            terms.extend(
                elements
                    .iter()
                    .filter_map(|element| term(path, Kind::Element, element)),
            );
        }
        scalar => terms.extend(term(path, Kind::Value, scalar)),
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Value,
    Element,
}

fn term(path: &[String], kind: Kind, value: &Json) -> Option<Term> {
    let (tag, text) = match value {
        // Null is also what is missing, which no term can say.
        Json::Null | Json::Array(_) | Json::Object(_) => return None,
        Json::Bool(value) => ("b", value.to_string()),
        Json::Number(token) => ("n", Decimal::parse(token)?.to_string()),
        Json::String(text) => ("s", text.clone()),
    };
    let mut hash = Sha256::new();
    for key in path {
        // Lengths keep ["a", "b"] and ["ab"] apart.
        hash.update((key.len() as u64).to_le_bytes());
        hash.update(key);
    }
    hash.update(match kind {
        Kind::Value => [0xff; 8],
        Kind::Element => [0xfe; 8],
    });
    hash.update(tag);
    hash.update(text);
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&hash.finalize()[..8]);
    Some(i64::from_le_bytes(bytes))
}

/// Clauses that all documents fulfilling `filter` below the keys `base` have terms of.
fn clauses_of(filter: &Filter, base: &[String]) -> Vec<Vec<Term>> {
    match filter {
        Filter::All(filters) => filters
            .iter()
            .flat_map(|filter| clauses_of(filter, base))
            .collect(),
        Filter::Any(filters) => union(filters.iter().map(|filter| clauses_of(filter, base)))
            .into_iter()
            .collect(),
        Filter::Not(_) => Vec::new(),
        Filter::Field(path, test) => match keys(path) {
            Some(keys) => clauses_of_test(test, &[base, &keys].concat()),
            None => Vec::new(),
        },
    }
}

fn clauses_of_test(test: &Test, path: &[String]) -> Vec<Vec<Term>> {
    match test {
        Test::Equal(value) => term(path, Kind::Value, value)
            .map(|term| vec![term])
            .into_iter()
            .collect(),
        Test::In(values) => {
            let terms = values.iter().map(|value| term(path, Kind::Value, value));
            terms.collect::<Option<Vec<_>>>().into_iter().collect()
        }
        Test::Contains(value) => term(path, Kind::Element, value)
            .map(|term| vec![term])
            .into_iter()
            .collect(),
        Test::Object(filter) => clauses_of(filter, path),
        Test::All(tests) => tests
            .iter()
            .flat_map(|test| clauses_of_test(test, path))
            .collect(),
        Test::Any(tests) => union(tests.iter().map(|test| clauses_of_test(test, path)))
            .into_iter()
            .collect(),
        Test::Ordered(..) | Test::Exists(_) | Test::Not(_) => Vec::new(),
    }
}

/// One clause that holds whenever one of the alternatives does, if each has a clause at all.
fn union(alternatives: impl Iterator<Item = Vec<Vec<Term>>>) -> Option<Vec<Term>> {
    let smallest = |clauses: Vec<Vec<Term>>| clauses.into_iter().min_by_key(Vec::len);
    let clauses: Option<Vec<_>> = alternatives.map(smallest).collect();
    clauses.map(|clauses| clauses.concat())
}

/// The path as keys; `None` if it goes into an array.
fn keys(path: &Path) -> Option<Vec<String>> {
    let key = |segment: &Segment| match segment {
        Segment::Key(key) => Some(key.clone()),
        Segment::Index(_) => None,
    };
    path.segments().iter().map(key).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn narrowing(filter: &str) -> Narrowing {
        Narrowing::of(&Filter::parse(&Json::parse(filter).unwrap()).unwrap())
    }

    fn admits(filter: &str, document: &str) -> bool {
        let terms = of_document(&Json::parse(document).unwrap());
        narrowing(filter)
            .clauses
            .iter()
            .all(|clause| clause.iter().any(|term| terms.contains(term)))
    }

    #[test]
    fn documents_that_match_are_always_admitted() {
        let documents = [
            r#"{"a":1,"b":{"c":"x"},"t":["u",2.0],"z":null}"#,
            r#"{"a":1.0,"b":{"c":"y"},"t":[]}"#,
            r#"{"a":[1],"b":null,"b.c":"x","t":"u"}"#,
            r#"{"a":true,"b":[{"c":"x"}],"t":[["u"]]}"#,
            "{}",
        ];
        let filters = [
            r#"{"a":1}"#,
            r#"{"a":{"$in":[1,true]}}"#,
            r#"{"a":{"$in":[1,null]}}"#,
            r#"{"b.c":"x"}"#,
            r#"{"b":{"c":"x"}}"#,
            r#"{"b[0].c":"x"}"#,
            r#"{"\"b.c\"":"x"}"#,
            r#"{"t":{"$contains":"u"}}"#,
            r#"{"t":{"$contains":2}}"#,
            r#"{"z":null}"#,
            r#"{"$or":[{"a":1},{"t":"u"}]}"#,
            r#"{"a":[1]}"#,
            r#"{"$or":[{"a":1},{"a":{"$gt":5}}]}"#,
            r#"{"$not":{"a":1}}"#,
            r#"{"a":{"$ne":1}}"#,
            r#"{"a":1,"b.c":"y"}"#,
            r#"{"a":{"$or":[1,{"$exists":false}]}}"#,
            r#"{"a":{"$and":[1,{"$lt":2}]}}"#,
        ];
        for filter in filters {
            let parsed = Filter::parse(&Json::parse(filter).unwrap()).unwrap();
            for document in documents {
                if parsed.matches(&Json::parse(document).unwrap()) {
                    assert!(admits(filter, document), "{filter} on {document}");
                }
            }
        }
    }

    #[test]
    fn terms_narrow_down_what_scalars_can() {
        for (filter, document) in [
            (r#"{"a":1}"#, r#"{"a":"1"}"#),
            (r#"{"a":1}"#, r#"{"a":[1]}"#),
            (r#"{"ab":"c"}"#, r#"{"a":{"b":"c"}}"#),
            (r#"{"t":{"$contains":"u"}}"#, r#"{"t":"u"}"#),
            (r#"{"$or":[{"a":1},{"b":2}]}"#, r#"{"a":2,"b":1}"#),
        ] {
            assert!(!admits(filter, document), "{filter} on {document}");
        }
    }

    #[test]
    fn a_document_with_countless_leaves_is_found_all_the_same() {
        let members: Vec<_> = (0..1000).map(|i| format!("\"k{i}\":{i}")).collect();
        let document = format!("{{{}}}", members.join(","));
        assert_eq!(of_document(&Json::parse(&document).unwrap()), [OVERFLOW]);
        assert!(admits(r#"{"k999":999}"#, &document));
    }
}
