//! Selections as filters of the server. Only kinds of conditions that servers have had for years:
//! one that does not know a kind drops it, and selects everything.

use std::collections::BTreeMap;

use qdrant_client::qdrant::{
    Condition as WireCondition, FieldCondition, Filter, Match, Range, RepeatedIntegers,
    RepeatedStrings, r#match::MatchValue,
};

use super::point::wire_id;
use crate::{
    domain::{Etag, Time, Version},
    store::{
        PointId,
        point::{ETAG, EXPIRE_TIME, TERMS},
        selection::{Condition, Selection},
    },
};

/// The filter that finds what is selected.
pub(super) fn filter(selection: &Selection) -> Filter {
    Filter {
        must: selection.all.iter().map(condition).collect(),
        must_not: selection.live_at.map(expired_by).into_iter().collect(),
        ..Filter::default()
    }
}

/// The filter that finds those of these points that still have these versions.
pub(super) fn unchanged<'a>(points: impl Iterator<Item = (PointId, &'a Version)>) -> Filter {
    // An etag is of one item only; a refresh keeps it, and changes when the item expires.
    let mut by_expiry: BTreeMap<Option<Time>, Vec<Etag>> = BTreeMap::new();
    let mut ids = Vec::new();
    for (point, version) in points {
        ids.push(wire_id(point));
        let etags = by_expiry.entry(version.expire_time).or_default();
        etags.push(version.etag);
    }
    let versions = by_expiry.into_iter().map(|(expiry, etags)| {
        let expiry = match expiry {
            Some(expiry) => range(expiry, Some(expiry)),
            None => WireCondition::is_empty(EXPIRE_TIME),
        };
        Filter::must([any_etag(&etags), expiry]).into()
    });
    Filter {
        must: vec![WireCondition::has_id(ids)],
        should: versions.collect(),
        ..Filter::default()
    }
}

/// The filter that finds those of these points that have one of these etags.
pub(super) fn still(points: &[PointId], etags: &[Etag]) -> Filter {
    Filter::must([among(points), any_etag(etags)])
}

/// A field that is this number.
pub(super) fn number_is(name: &str, number: i64) -> WireCondition {
    is(name, MatchValue::Integer(number))
}

fn condition(condition: &Condition) -> WireCondition {
    match condition {
        Condition::Is(name, text) => is(name, MatchValue::Keyword(text.clone())),
        Condition::AnyTerm(terms) => {
            let integers = terms.clone();
            is(TERMS, MatchValue::Integers(RepeatedIntegers { integers }))
        }
        Condition::Among(points) => among(points),
        Condition::ExpiredBy(now) => expired_by(*now),
    }
}

fn is(name: &str, value: MatchValue) -> WireCondition {
    FieldCondition {
        key: name.to_owned(),
        r#match: Some(Match {
            match_value: Some(value),
        }),
        ..FieldCondition::default()
    }
    .into()
}

fn among(points: &[PointId]) -> WireCondition {
    WireCondition::has_id(points.iter().copied().map(wire_id))
}

fn any_etag(etags: &[Etag]) -> WireCondition {
    let strings = etags.iter().map(ToString::to_string).collect();
    is(ETAG, MatchValue::Keywords(RepeatedStrings { strings }))
}

/// What has expired by then.
pub(super) fn expired_by(now: Time) -> WireCondition {
    range(now, None)
}

/// Expires by `latest`, and not before `earliest`.
fn range(latest: Time, earliest: Option<Time>) -> WireCondition {
    #[expect(
        clippy::cast_precision_loss,
        reason = "microseconds stay below 2^53 until 2255"
    )]
    let exact = |time: Time| time.micros() as f64;
    FieldCondition {
        key: EXPIRE_TIME.to_owned(),
        range: Some(Range {
            lte: Some(exact(latest)),
            gte: earliest.map(exact),
            ..Range::default()
        }),
        ..FieldCondition::default()
    }
    .into()
}
