//! What a test does at random: calls, time that passes, restarts.

use proptest::{collection::vec, option, prelude::*, sample::select};

use super::{
    filter::{Filter, filter},
    texts::PATH_COUNT,
    value::{Value, document},
};

const NAMESPACES: &[&[&str]] = &[
    &["a"],
    &["a", "b"],
    &["a", "b", "c"],
    &["ab"],
    &["*", "b"],
    // Its label comes after `a` and before what `a.b` looks like.
    &["a!"],
    &["語", "%/\n"],
];

const PREFIXES: &[&[&str]] = &[&[], &["a"], &["a", "b"], &["ab"], &["*"], &["語"]];

const PATTERNS: &[&[&str]] = &[
    &[],
    &["a"],
    &["*"],
    &["*", "b"],
    &["a", "*", "c"],
    &["b"],
    &["%/\n"],
];

const KEYS: &[&str] = &["k", "K", "k/1", "é", "\n", "10", "9"];

const QUERIES: &[&str] = &[
    "zebra",
    "quartz zebra",
    "car",
    "cat zebra",
    "語",
    "deg30",
    "?!",
];

/// Names an item.
pub(super) type Name = (&'static [&'static str], &'static str);

/// One thing that a test does.
#[derive(Clone, Debug)]
pub(super) enum Operation {
    Put(Put, Precondition),
    Get(Name, Option<bool>),
    Delete(Name, Precondition),
    Search(Search),
    List {
        prefix: &'static [&'static str],
        filter: Option<Filter>,
        page_size: i32,
    },
    Count {
        prefix: &'static [&'static str],
        filter: Option<Filter>,
    },
    Namespaces(Namespaces),
    DeleteNamespace(&'static [&'static str]),
    Batch(Vec<InBatch>),
    /// Milliseconds.
    Pass(u64),
    /// Microseconds.
    StepBack(u64),
    Restart,
}

/// One operation of a batch.
#[derive(Clone, Debug)]
pub(super) enum InBatch {
    Put(Put),
    Get(Name),
    Delete(Name),
    Search(Search),
    Namespaces(Namespaces),
}

#[derive(Clone, Debug)]
pub(super) struct Put {
    pub(super) name: Name,
    pub(super) document: Value,
    pub(super) indexing: Indexing,
    /// Milliseconds; 0 is for ever, as nothing is.
    pub(super) ttl: Option<i64>,
}

#[derive(Clone, Debug)]
pub(super) enum Indexing {
    Configured,
    Disabled,
    Paths(Vec<usize>),
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Precondition {
    None,
    Exists(bool),
    /// The etag that the item has, if there is one.
    Current,
    /// One that it had before.
    Stale,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ranking {
    Best,
    Semantic,
    Lexical,
    Hybrid,
}

#[derive(Clone, Debug)]
pub(super) struct Search {
    pub(super) prefix: &'static [&'static str],
    pub(super) query: Option<&'static str>,
    pub(super) ranking: Ranking,
    pub(super) filter: Option<Filter>,
    pub(super) limit: i32,
    pub(super) offset: i32,
    pub(super) min_score: Option<f64>,
    /// Milliseconds.
    pub(super) half_life: Option<i64>,
    pub(super) refresh: Option<bool>,
}

#[derive(Clone, Debug)]
pub(super) struct Namespaces {
    pub(super) prefix: &'static [&'static str],
    pub(super) suffix: &'static [&'static str],
    pub(super) max_depth: Option<i32>,
    pub(super) limit: i32,
    pub(super) offset: i32,
}

/// Few enough that calls often mean an item that was put, and sometimes any.
fn name() -> impl Strategy<Value = Name> {
    prop_oneof![
        1 => (select(&NAMESPACES[..2]), select(&KEYS[..3])),
        1 => (select(NAMESPACES), select(KEYS)),
    ]
}

fn prefix() -> impl Strategy<Value = &'static [&'static str]> {
    prop_oneof![2 => Just(PREFIXES[0]), 1 => select(PREFIXES)]
}

fn put() -> impl Strategy<Value = Put> {
    let indexing = prop_oneof![
        6 => Just(Indexing::Configured),
        1 => Just(Indexing::Disabled),
        4 => vec(0..PATH_COUNT, 1..3).prop_map(Indexing::Paths),
    ];
    let ttl = prop_oneof![
        5 => Just(None),
        1 => Just(Some(0)),
        3 => (1..3_000_i64).prop_map(Some),
    ];
    (name(), document(), indexing, ttl).prop_map(|(name, document, indexing, ttl)| Put {
        name,
        document,
        indexing,
        ttl,
    })
}

fn precondition() -> impl Strategy<Value = Precondition> {
    prop_oneof![
        8 => Just(Precondition::None),
        1 => any::<bool>().prop_map(Precondition::Exists),
        1 => Just(Precondition::Current),
        1 => Just(Precondition::Stale),
    ]
}

fn search() -> impl Strategy<Value = Search> {
    let ranking = select(
        &[
            Ranking::Best,
            Ranking::Semantic,
            Ranking::Lexical,
            Ranking::Hybrid,
        ][..],
    );
    let page = (1..8_i32, 0..5_i32);
    let scores = (
        option::weighted(0.3, -0.2..1.0),
        option::weighted(0.2, 1..5_000_i64),
    );
    (
        prefix(),
        option::weighted(0.6, select(QUERIES)),
        ranking,
        option::of(filter()),
        page,
        scores,
        refresh(),
    )
        .prop_map(
            |(prefix, query, ranking, filter, (limit, offset), (min_score, half_life), refresh)| {
                Search {
                    prefix,
                    query,
                    ranking,
                    filter,
                    limit,
                    offset,
                    min_score,
                    half_life,
                    refresh,
                }
            },
        )
}

fn refresh() -> impl Strategy<Value = Option<bool>> {
    prop_oneof![3 => Just(None), 1 => any::<bool>().prop_map(Some)]
}

fn namespaces() -> impl Strategy<Value = Namespaces> {
    let depth = option::of(1..4_i32);
    let pattern = || prop_oneof![1 => Just(PATTERNS[0]), 1 => select(PATTERNS)];
    (pattern(), pattern(), depth, 1..5_i32, 0..3_i32).prop_map(
        |(prefix, suffix, max_depth, limit, offset)| Namespaces {
            prefix,
            suffix,
            max_depth,
            limit,
            offset,
        },
    )
}

fn in_batch() -> impl Strategy<Value = InBatch> {
    prop_oneof![
        4 => put().prop_map(InBatch::Put),
        2 => name().prop_map(InBatch::Get),
        2 => name().prop_map(InBatch::Delete),
        2 => search().prop_map(InBatch::Search),
        1 => namespaces().prop_map(InBatch::Namespaces),
    ]
}

fn operation() -> impl Strategy<Value = Operation> {
    let filtered = || (prefix(), option::weighted(0.7, filter()));
    prop_oneof![
        50 => (put(), precondition()).prop_map(|(put, only_if)| Operation::Put(put, only_if)),
        16 => (name(), refresh()).prop_map(|(name, refresh)| Operation::Get(name, refresh)),
        10 => (name(), precondition()).prop_map(|(name, only_if)| Operation::Delete(name, only_if)),
        25 => search().prop_map(Operation::Search),
        8 => (filtered(), 1..6_i32).prop_map(|((prefix, filter), page_size)| Operation::List {
            prefix,
            filter,
            page_size,
        }),
        24 => filtered().prop_map(|(prefix, filter)| Operation::Count { prefix, filter }),
        8 => namespaces().prop_map(Operation::Namespaces),
        1 => select(&PREFIXES[1..]).prop_map(Operation::DeleteNamespace),
        8 => vec(in_batch(), 1..8).prop_map(Operation::Batch),
        8 => (1..1_500_u64).prop_map(Operation::Pass),
        1 => (1..5_000_u64).prop_map(Operation::StepBack),
        1 => Just(Operation::Restart),
    ]
}

/// What one run of the test does.
pub(super) fn operations() -> impl Strategy<Value = Vec<Operation>> {
    // Some items first, so that what follows finds something.
    let puts = vec(
        put().prop_map(|put| Operation::Put(put, Precondition::None)),
        0..24,
    );
    (puts, vec(operation(), 1..100)).prop_map(|(puts, others)| [puts, others].concat())
}
