//! Filters as the model knows them: how they are written, and what fulfils them.

use proptest::{collection::vec, prelude::*, sample::select};

use super::value::{KEYS, Value, frequent, quoted, small, value};

/// A condition on a document, or on an object within one.
#[derive(Clone, Debug)]
pub(super) enum Filter {
    And(Vec<Filter>),
    Or(Vec<Filter>),
    Not(Box<Filter>),
    At(Path, Test),
}

/// Where a test looks: keys and indexes.
pub(super) type Path = Vec<Step>;

#[derive(Clone, Debug)]
pub(super) enum Step {
    Key(&'static str),
    Index(usize),
}

/// A test of what is at a path.
#[derive(Clone, Debug)]
pub(super) enum Test {
    /// A value that is no object stands for itself.
    Plain(Value),
    /// An object stands for what it has.
    Subset(Vec<(&'static str, Test)>),
    Operators(Vec<Operator>),
}

#[derive(Clone, Debug)]
pub(super) enum Operator {
    Eq(Value),
    Ne(Value),
    Gt(Value),
    Gte(Value),
    Lt(Value),
    Lte(Value),
    In(Vec<Value>),
    Nin(Vec<Value>),
    Exists(bool),
    Contains(Value),
    And(Vec<Test>),
    Or(Vec<Test>),
    Not(Box<Test>),
}

impl Filter {
    pub(super) fn fulfilled_by(&self, document: &Value) -> bool {
        match self {
            Self::And(all) => all.iter().all(|one| one.fulfilled_by(document)),
            Self::Or(any) => any.iter().any(|one| one.fulfilled_by(document)),
            Self::Not(one) => !one.fulfilled_by(document),
            Self::At(path, test) => {
                let mut found = Some(document);
                for step in path {
                    found = found.and_then(|value| match step {
                        Step::Key(key) => value.member(key),
                        Step::Index(index) => value.element(*index),
                    });
                }
                test.passed_by(found)
            }
        }
    }

    /// The filter as a JSON object.
    pub(super) fn json(&self) -> String {
        let list = |filters: &[Self]| {
            let filters: Vec<_> = filters.iter().map(Self::json).collect();
            filters.join(",")
        };
        match self {
            Self::And(all) => format!(r#"{{"$and":[{}]}}"#, list(all)),
            Self::Or(any) => format!(r#"{{"$or":[{}]}}"#, list(any)),
            Self::Not(one) => format!(r#"{{"$not":{}}}"#, one.json()),
            Self::At(path, test) => format!("{{{}:{}}}", quoted(&written(path)), test.json()),
        }
    }
}

fn written(path: &Path) -> String {
    let mut text = String::new();
    for step in path {
        match step {
            Step::Index(index) => text += &format!("[{index}]"),
            Step::Key(key) => {
                text += if text.is_empty() { "" } else { "." };
                text += &key_of_path(key);
            }
        }
    }
    text
}

fn key_of_path(key: &str) -> String {
    if key.is_empty() || key.contains(['.', '[', ']', '"']) {
        format!("\"{}\"", key.replace('"', "\\\""))
    } else {
        key.to_owned()
    }
}

impl Test {
    fn passed_by(&self, found: Option<&Value>) -> bool {
        match self {
            Self::Plain(expected) => equal(found, expected),
            Self::Subset(members) => match found {
                Some(object @ Value::Object(_)) => members
                    .iter()
                    .all(|(key, test)| test.passed_by(object.member(key))),
                _ => false,
            },
            Self::Operators(all) => all.iter().all(|one| one.passed_by(found)),
        }
    }

    fn json(&self) -> String {
        match self {
            Self::Plain(value) => value.json(),
            Self::Subset(members) => {
                let member =
                    |(key, test): &(&str, Self)| quoted(&key_of_path(key)) + ":" + &test.json();
                let members: Vec<_> = members.iter().map(member).collect();
                format!("{{{}}}", members.join(","))
            }
            Self::Operators(operators) => {
                let operators: Vec<_> = operators.iter().map(Operator::json).collect();
                format!("{{{}}}", operators.join(","))
            }
        }
    }
}

impl Operator {
    fn passed_by(&self, found: Option<&Value>) -> bool {
        let order = |bound: &Value| found.and_then(|value| value.order(bound));
        match self {
            Self::Eq(expected) => equal(found, expected),
            Self::Ne(expected) => !equal(found, expected),
            Self::Gt(bound) => order(bound).is_some_and(|is| is.is_gt()),
            Self::Gte(bound) => order(bound).is_some_and(|is| is.is_ge()),
            Self::Lt(bound) => order(bound).is_some_and(|is| is.is_lt()),
            Self::Lte(bound) => order(bound).is_some_and(|is| is.is_le()),
            Self::In(values) => values.iter().any(|value| equal(found, value)),
            Self::Nin(values) => !values.iter().any(|value| equal(found, value)),
            Self::Exists(expected) => found.is_some() == *expected,
            Self::Contains(value) => match found {
                Some(Value::Array(elements)) => elements.iter().any(|element| element.is(value)),
                _ => false,
            },
            Self::And(all) => all.iter().all(|one| one.passed_by(found)),
            Self::Or(any) => any.iter().any(|one| one.passed_by(found)),
            Self::Not(one) => !one.passed_by(found),
        }
    }

    fn json(&self) -> String {
        let values = |values: &[Value]| {
            let values: Vec<_> = values.iter().map(Value::json).collect();
            format!("[{}]", values.join(","))
        };
        let tests = |tests: &[Test]| {
            let tests: Vec<_> = tests.iter().map(Test::json).collect();
            format!("[{}]", tests.join(","))
        };
        let (name, operand) = match self {
            Self::Eq(value) => ("eq", value.json()),
            Self::Ne(value) => ("ne", value.json()),
            Self::Gt(value) => ("gt", value.json()),
            Self::Gte(value) => ("gte", value.json()),
            Self::Lt(value) => ("lt", value.json()),
            Self::Lte(value) => ("lte", value.json()),
            Self::In(of) => ("in", values(of)),
            Self::Nin(of) => ("nin", values(of)),
            Self::Exists(expected) => ("exists", expected.to_string()),
            Self::Contains(value) => ("contains", value.json()),
            Self::And(all) => ("and", tests(all)),
            Self::Or(any) => ("or", tests(any)),
            Self::Not(one) => ("not", one.json()),
        };
        format!("\"${name}\":{operand}")
    }
}

/// What is missing is null.
fn equal(found: Option<&Value>, expected: &Value) -> bool {
    found.unwrap_or(&Value::Null).is(expected)
}

fn path() -> impl Strategy<Value = Path> {
    let key = || select(KEYS).prop_map(Step::Key);
    let step = prop_oneof![2 => key(), 1 => (0..3_usize).prop_map(Step::Index)];
    let any = (key(), vec(step, 0..3)).prop_map(|(first, mut steps)| {
        steps.insert(0, first);
        steps
    });
    let first = vec![Step::Key("alpha"), Step::Index(0)];
    prop_oneof![3 => Just(vec![Step::Key("alpha")]), 1 => Just(first), 1 => any]
}

/// What is compared with: mostly what documents often have.
fn operand() -> impl Strategy<Value = Value> {
    prop_oneof![3 => frequent(), 1 => value(), 1 => small()]
}

fn operator(inner: impl Strategy<Value = Test> + Clone + 'static) -> BoxedStrategy<Operator> {
    let some = || vec(operand(), 0..4);
    prop_oneof![
        operand().prop_map(Operator::Eq),
        operand().prop_map(Operator::Ne),
        operand().prop_map(Operator::Gt),
        operand().prop_map(Operator::Gte),
        operand().prop_map(Operator::Lt),
        operand().prop_map(Operator::Lte),
        some().prop_map(Operator::In),
        some().prop_map(Operator::Nin),
        any::<bool>().prop_map(Operator::Exists),
        operand().prop_map(Operator::Contains),
        vec(inner.clone(), 1..3).prop_map(Operator::And),
        vec(inner.clone(), 1..3).prop_map(Operator::Or),
        inner.prop_map(|test| Operator::Not(Box::new(test))),
    ]
    .boxed()
}

fn test() -> impl Strategy<Value = Test> {
    let no_object = || {
        operand().prop_map(|value| match value {
            Value::Object(_) => Test::Operators(vec![Operator::Eq(value)]),
            other => Test::Plain(other),
        })
    };
    no_object().prop_recursive(2, 6, 2, move |inner| {
        prop_oneof![
            2 => no_object(),
            6 => operator(inner.clone()).prop_map(|one| Test::Operators(vec![one])),
            1 => (operand(), operand()).prop_map(|(least, most)| {
                Test::Operators(vec![Operator::Gte(least), Operator::Lt(most)])
            }),
            2 => (select(KEYS), inner).prop_map(|(key, test)| Test::Subset(vec![(key, test)])),
        ]
    })
}

/// Any filter.
pub(super) fn filter() -> impl Strategy<Value = Filter> {
    let leaf = || (path(), test()).prop_map(|(path, test)| Filter::At(path, test));
    leaf().prop_recursive(2, 6, 2, move |inner| {
        prop_oneof![
            6 => leaf(),
            1 => vec(inner.clone(), 1..3).prop_map(Filter::And),
            1 => vec(inner.clone(), 1..3).prop_map(Filter::Or),
            1 => inner.prop_map(|one| Filter::Not(Box::new(one))),
        ]
    })
}
