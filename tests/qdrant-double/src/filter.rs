//! Conditions between the wire and the engine.

use qdrant_client::qdrant::{
    Condition as WireCondition, FieldCondition as WireField, Filter as WireFilter, PointId,
    Range as WireRange, condition::ConditionOneOf, r#match::MatchValue, point_id::PointIdOptions,
};
use qdrant_edge::{
    AnyVariants, Condition, FieldCondition, Filter, HasIdCondition, IsEmptyCondition, Match,
    PointId as EngineId, Range, ValueVariants, external::ordered_float::OrderedFloat,
};
use serde_json::json;
use tonic::Status;
use uuid::Uuid;

use crate::{
    payload::path,
    refusal::{invalid, unknown},
    schema::{Schema, Use, need},
};

/// Reads a filter.
pub(crate) fn read(filter: WireFilter, schema: &Schema) -> Result<Filter, Status> {
    let WireFilter {
        should,
        must,
        must_not,
        min_should,
    } = filter;
    if min_should.is_some() {
        return Err(unknown("`min_should`"));
    }
    let conditions = |conditions: Vec<WireCondition>| {
        let read = conditions.into_iter().map(|one| condition(one, schema));
        let read: Vec<_> = read.collect::<Result<_, _>>()?;
        Ok::<_, Status>((!read.is_empty()).then_some(read))
    };
    Ok(Filter {
        should: conditions(should)?,
        must: conditions(must)?,
        must_not: conditions(must_not)?,
        ..Filter::default()
    })
}

/// Reads a filter that may be left out.
pub(crate) fn read_optional(
    filter: Option<WireFilter>,
    schema: &Schema,
) -> Result<Option<Filter>, Status> {
    filter.map(|filter| read(filter, schema)).transpose()
}

/// Reads the name of a point.
pub(crate) fn id(id: Option<PointId>) -> Result<EngineId, Status> {
    match id.and_then(|id| id.point_id_options) {
        Some(PointIdOptions::Num(number)) => Ok(EngineId::NumId(number)),
        Some(PointIdOptions::Uuid(text)) => match Uuid::parse_str(&text) {
            Ok(uuid) => Ok(EngineId::Uuid(uuid)),
            Err(_) => Err(invalid(format!("Unable to parse UUID: {text}"))),
        },
        None => Err(invalid("Empty ID is not allowed")),
    }
}

/// Writes the name of a point.
pub(crate) fn wire_id(id: EngineId) -> PointId {
    let options = match id {
        EngineId::NumId(number) => PointIdOptions::Num(number),
        EngineId::Uuid(uuid) => PointIdOptions::Uuid(uuid.to_string()),
    };
    options.into()
}

fn condition(condition: WireCondition, schema: &Schema) -> Result<Condition, Status> {
    let malformed = || invalid("Malformed Condition type");
    match condition.condition_one_of.ok_or_else(malformed)? {
        ConditionOneOf::Field(condition) => field(condition, schema),
        ConditionOneOf::IsEmpty(condition) => {
            need(schema, &condition.key, Use::Emptiness)?;
            let key = path(&condition.key)?;
            let read = json!({ "is_empty": { "key": key.to_string() } });
            let read: Result<IsEmptyCondition, _> = serde_json::from_value(read);
            Ok(Condition::IsEmpty(read.map_err(|_| malformed())?))
        }
        ConditionOneOf::HasId(condition) => {
            let ids = condition.has_id.into_iter().map(|one| id(Some(one)));
            let ids: HasIdCondition = ids.collect::<Result<Vec<_>, _>>()?.into_iter().collect();
            Ok(Condition::HasId(ids))
        }
        ConditionOneOf::Filter(filter) => Ok(Condition::Filter(read(filter, schema)?)),
        ConditionOneOf::IsNull(_)
        | ConditionOneOf::Nested(_)
        | ConditionOneOf::HasVector(_)
        | ConditionOneOf::Slice(_) => Err(unknown("this kind of condition")),
    }
}

fn field(condition: WireField, schema: &Schema) -> Result<Condition, Status> {
    let WireField {
        key,
        r#match,
        range,
        geo_bounding_box: None,
        geo_radius: None,
        values_count: None,
        geo_polygon: None,
        datetime_range: None,
        is_empty: None,
        is_null: None,
    } = condition
    else {
        return Err(unknown("this kind of condition on a field"));
    };
    let read = match (r#match, range) {
        (Some(matched), None) => {
            let value = matched.match_value;
            let value = value.ok_or_else(|| invalid("Malformed Match condition"))?;
            let (asked, value) = self::value(value)?;
            need(schema, &key, asked)?;
            FieldCondition::new_match(path(&key)?, value)
        }
        (None, Some(WireRange { lt, gt, gte, lte })) => {
            need(schema, &key, Use::Range)?;
            let range = Range {
                lt: lt.map(OrderedFloat),
                gt: gt.map(OrderedFloat),
                gte: gte.map(OrderedFloat),
                lte: lte.map(OrderedFloat),
            };
            FieldCondition::new_range(path(&key)?, range)
        }
        (Some(_), Some(_)) => return Err(unknown("two conditions in one")),
        (None, None) => {
            return Err(invalid(
                "Validation error: at least one field condition must be specified",
            ));
        }
    };
    Ok(Condition::Field(read))
}

fn value(value: MatchValue) -> Result<(Use, Match), Status> {
    Ok(match value {
        MatchValue::Keyword(text) => (Use::Text, Match::new_value(ValueVariants::String(text))),
        MatchValue::Integer(number) => (
            Use::Number,
            Match::new_value(ValueVariants::Integer(number)),
        ),
        MatchValue::Keywords(texts) => {
            let any = AnyVariants::Strings(texts.strings.into_iter().collect());
            (Use::Text, Match::new_any(any))
        }
        MatchValue::Integers(numbers) => {
            let any = AnyVariants::Integers(numbers.integers.into_iter().collect());
            (Use::Number, Match::new_any(any))
        }
        MatchValue::Boolean(_)
        | MatchValue::Text(_)
        | MatchValue::ExceptIntegers(_)
        | MatchValue::ExceptKeywords(_)
        | MatchValue::Phrase(_)
        | MatchValue::TextAny(_)
        | MatchValue::Prefix(_)
        | MatchValue::Substring(_) => return Err(unknown("this kind of match")),
    })
}
