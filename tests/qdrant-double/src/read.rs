//! What points are asked for.

use std::{
    collections::HashSet,
    hash::{BuildHasher as _, RandomState},
};

use qdrant_client::qdrant::{
    CountPoints, Direction as WireDirection, FacetCounts, FacetHit, FacetValue as WireFacetValue,
    GetPoints, OrderBy as WireOrderBy, OrderValue as WireOrderValue, RetrievedPoint, ScrollPoints,
    ScrollResponse, facet_value, order_value, start_from,
};
use qdrant_edge::{
    CountRequestBuilder, Direction, FacetRequestBuilder, FacetValue, FacetValueHit, OrderBy,
    OrderByInterface, OrderValue, PointId as EngineId, Record, RetrieveRequestBuilder,
    ScrollRequestBuilder, StartFrom,
};
use tonic::Status;
use uuid::Uuid;

use crate::{
    collection::Collection,
    filter::{self, id, wire_id},
    payload,
    refusal::{engine, invalid, unknown},
    schema::{Schema, Use, need},
    vector,
};

/// How many more than asked for the engine is asked for, to have equals of the last.
pub(crate) const TIES: usize = 64;

/// Points by their ids.
pub(crate) fn get(
    collection: &Collection,
    request: GetPoints,
) -> Result<Vec<RetrievedPoint>, Status> {
    let ids = request.ids.into_iter().map(|one| id(Some(one)));
    let retrieve = RetrieveRequestBuilder::new(ids.collect::<Result<_, _>>()?)
        .with_payload(payload::wanted(request.with_payload, true)?)
        .with_vector(vector::wanted(request.with_vectors));
    let found = collection
        .shard
        .retrieve(retrieve.build())
        .map_err(engine)?;
    Ok(found.into_iter().map(retrieved).collect())
}

/// A page of points in order of ids, or of a field.
pub(crate) fn scroll(
    collection: &Collection,
    request: ScrollPoints,
) -> Result<ScrollResponse, Status> {
    let schema = collection.schema();
    let limit = request.limit.unwrap_or(10);
    if limit == 0 {
        return Err(invalid("Validation error: limit must be 1 or larger"));
    }
    let limit = limit as usize;
    let is_ordered = request.order_by.is_some();
    let mut scroll = ScrollRequestBuilder::new()
        .limit(if is_ordered { limit + TIES } else { limit })
        .with_payload(payload::wanted(request.with_payload, true)?)
        .with_vector(vector::wanted(request.with_vectors));
    if let Some(filter) = filter::read_optional(request.filter, &schema)? {
        scroll = scroll.filter(filter);
    }
    match (request.order_by, request.offset) {
        (Some(_), Some(_)) => {
            let message = "Wrong input: Cannot use an `offset` when using `order_by`. The alternative for paging is to use `order_by.start_from` and a filter";
            return Err(invalid(message));
        }
        (Some(order), None) => {
            scroll = scroll.order_by(OrderByInterface::Struct(order_by(order, &schema)?));
        }
        (None, Some(offset)) => scroll = scroll.offset(id(Some(offset))?),
        (None, None) => {}
    }
    let (mut found, mut next) = collection.shard.scroll(scroll.build()).map_err(engine)?;
    if is_ordered {
        let same = |one: &Record, other: &Record| one.order_value == other.order_value;
        mix_ties(&mut found, limit, same, |record| record.id);
        next = None;
    }
    Ok(ScrollResponse {
        next_page_offset: next.map(wire_id),
        result: found.into_iter().map(retrieved).collect(),
        ..ScrollResponse::default()
    })
}

/// Mixes what is equal, and cuts after `limit`: which of equals come first, and which are cut off, is
/// never the same twice.
pub(crate) fn mix_ties<T>(
    found: &mut Vec<T>,
    limit: usize,
    same: impl Fn(&T, &T) -> bool,
    id: impl Fn(&T) -> EngineId,
) {
    let order = RandomState::new();
    for equals in found.chunk_by_mut(same) {
        equals.sort_by_cached_key(|one| order.hash_one(id(one)));
    }
    found.truncate(limit);
}

fn order_by(order: WireOrderBy, schema: &Schema) -> Result<OrderBy, Status> {
    need(schema, &order.key, Use::Range)?;
    let direction = match order.direction() {
        WireDirection::Asc => Direction::Asc,
        WireDirection::Desc => Direction::Desc,
    };
    let start_from = match order.start_from.and_then(|start| start.value) {
        None => None,
        Some(start_from::Value::Integer(number)) => Some(StartFrom::Integer(number)),
        Some(_) => return Err(unknown("this kind of start")),
    };
    Ok(OrderBy {
        key: payload::path(&order.key)?,
        direction: Some(direction),
        start_from,
    })
}

/// How many points pass a filter.
pub(crate) fn count(collection: &Collection, request: CountPoints) -> Result<u64, Status> {
    let mut count = CountRequestBuilder::new().exact(request.exact.unwrap_or(true));
    if let Some(filter) = filter::read_optional(request.filter, &collection.schema())? {
        count = count.filter(filter);
    }
    let counted = collection.shard.count(count.build()).map_err(engine)?;
    Ok(counted as u64)
}

/// How many points there are for each value of a field.
pub(crate) fn facet(
    collection: &Collection,
    request: FacetCounts,
) -> Result<Vec<FacetHit>, Status> {
    let schema = collection.schema();
    need(&schema, &request.key, Use::Facet)?;
    let limit = request.limit.unwrap_or(10);
    if limit == 0 {
        return Err(invalid("Validation error: limit must be 1 or larger"));
    }
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let exact = request.exact.unwrap_or(false);
    let all = FacetRequestBuilder::new(payload::path(&request.key)?)
        .limit(limit)
        .exact(exact);
    let filter = filter::read_optional(request.filter, &schema)?;
    let asked = match filter {
        Some(filter) => all.clone().filter(filter),
        None => all.clone(),
    };
    let mut found = collection.shard.facet(asked.build()).map_err(engine)?;
    if exact {
        // As servers do, name values that no point has any more.
        let others = collection.shard.facet(all.build()).map_err(engine)?.hits;
        let there: HashSet<_> = found.hits.iter().map(|hit| hit.value.clone()).collect();
        let others = others.into_iter().filter(|hit| !there.contains(&hit.value));
        found
            .hits
            .extend(others.map(|hit| FacetValueHit { count: 0, ..hit }));
        found.hits.truncate(limit);
    }
    let hit = |hit: FacetValueHit| {
        let variant = match hit.value {
            FacetValue::Keyword(text) => facet_value::Variant::StringValue(text),
            FacetValue::Int(number) => facet_value::Variant::IntegerValue(number),
            FacetValue::Uuid(uuid) => {
                facet_value::Variant::StringValue(Uuid::from_u128(uuid).to_string())
            }
            FacetValue::Bool(value) => facet_value::Variant::BoolValue(value),
        };
        FacetHit {
            value: Some(WireFacetValue {
                variant: Some(variant),
            }),
            count: hit.count as u64,
        }
    };
    Ok(found.hits.into_iter().map(hit).collect())
}

fn retrieved(record: Record) -> RetrievedPoint {
    RetrievedPoint {
        id: Some(wire_id(record.id)),
        payload: payload::write(record.payload),
        vectors: vector::write(record.vector),
        order_value: record.order_value.map(|value| WireOrderValue {
            variant: Some(match value {
                OrderValue::Int(number) => order_value::Variant::Int(number),
                OrderValue::Float(number) => order_value::Variant::Float(number),
            }),
        }),
        ..RetrievedPoint::default()
    }
}
