//! Selections as filters of the engine.

use qdrant_edge::{
    AnyVariants, Condition as EngineCondition, FieldCondition, Filter, HasIdCondition, Match,
    PointId as EngineId, Range, ValueVariants, external::ordered_float::OrderedFloat,
};

use super::schema::field;
use crate::{
    domain::Time,
    store::{
        PointId,
        point::{EXPIRE_TIME, TERMS},
        selection::{Condition, Selection},
    },
};

/// The filter that finds what is selected.
pub(super) fn filter(selection: &Selection) -> Filter {
    let expired = selection.live_at.map(|now| vec![expired_by(now)]);
    Filter {
        must: Some(selection.all.iter().map(condition).collect()),
        must_not: expired,
        ..Filter::default()
    }
}

/// Points as the engine names them.
pub(super) fn engine_ids(points: &[PointId]) -> impl Iterator<Item = EngineId> {
    points.iter().map(|point| EngineId::Uuid(point.0))
}

fn condition(condition: &Condition) -> EngineCondition {
    let is = |name, value| EngineCondition::Field(FieldCondition::new_match(field(name), value));
    match condition {
        Condition::Is(name, text) => {
            is(name, Match::new_value(ValueVariants::String(text.clone())))
        }
        Condition::AnyTerm(terms) => {
            let any = AnyVariants::Integers(terms.iter().copied().collect());
            is(TERMS, Match::new_any(any))
        }
        Condition::Among(points) => {
            EngineCondition::HasId(engine_ids(points).collect::<HasIdCondition>())
        }
        Condition::ExpiredBy(now) => expired_by(*now),
    }
}

fn expired_by(now: Time) -> EngineCondition {
    #[expect(
        clippy::cast_precision_loss,
        reason = "microseconds stay below 2^53 until 2255"
    )]
    let now = OrderedFloat(now.micros() as f64);
    let range = Range {
        lte: Some(now),
        lt: None,
        gt: None,
        gte: None,
    };
    EngineCondition::Field(FieldCondition::new_range(field(EXPIRE_TIME), range))
}
