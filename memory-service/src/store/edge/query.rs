//! Reads of the engine: candidates, items, and what writes need to know.

use std::collections::{HashMap, HashSet};

use qdrant_edge::{
    Direction, EdgeShard, Filter, IdfCorpusParams, IdfParams, NamedQuery, OrderBy,
    OrderByInterface, OrderValue, PointId as EngineId, QueryEnum, QueryRequestBuilder, Record,
    RetrieveRequestBuilder, ScoredPoint, ScoringQuery, ScrollRequestBuilder, SearchParams,
    SparseVector, TypedMultiDenseVector, VectorInternal, WithPayloadInterface, WithVector,
};
use service_runtime::Tenant;

use super::{
    filter::{engine_ids, filter},
    point::{decode_vectors, only, without_value},
    schema::field,
    shared::{Engines, engine_error},
};
use crate::{
    domain::{Item, Time, filter::terms::Narrowing},
    lexical::WordVector,
    store::{
        PointId, RankOrder, RankQuery, Ranked, StoreError, Vectors,
        point::{Head, MEANINGS, UPDATE_TIME, WORDS, update_time},
        selection::Selection,
    },
};

/// Those of these points that have the terms of `narrowing`.
pub(super) fn narrowed(
    shard: &EdgeShard,
    narrowing: &Narrowing,
    points: &[PointId],
) -> Result<HashSet<PointId>, StoreError> {
    let filter = filter(&Selection::narrowed(narrowing, points));
    let request = ScrollRequestBuilder::new()
        .limit(points.len().max(1))
        .filter(filter)
        .with_payload(WithPayloadInterface::Bool(false));
    let (records, _) = shard.scroll(request.build()).map_err(engine_error)?;
    records
        .into_iter()
        .map(|record| own_id(record.id))
        .collect()
}

/// The best candidates in `scope`, best first.
pub(super) fn rank(
    engines: &Engines,
    tenant: &Tenant,
    scope: Selection,
    query: &RankQuery,
) -> Result<Vec<Ranked>, StoreError> {
    let shard = match &query.order {
        RankOrder::Newest => &engines.first,
        RankOrder::Words(_) | RankOrder::Meaning(_) => engines.of(query.index)?,
    };
    let mut selection = scope.clone().narrow(&query.narrowing);
    if let Some(points) = &query.among {
        selection = selection.among(points);
    }
    let (scope, filter) = (filter(&scope), filter(&selection));
    let mut candidates = match &query.order {
        RankOrder::Newest => newest(shard, filter, query.limit),
        RankOrder::Words(words) => {
            let request = by_words(words, scope, query.limit).filter(filter);
            scored(shard, request, query.times)
        }
        RankOrder::Meaning(vector) => {
            let request = by_meaning(vector, query.limit).filter(filter);
            scored(shard, request, query.times)
        }
    }?;
    let best = query.load.min(candidates.len());
    let best = &mut candidates[..best];
    if !best.is_empty() {
        let points: Vec<_> = best.iter().map(|candidate| candidate.point).collect();
        for (candidate, item) in
            best.iter_mut()
                .zip(items(&engines.first, tenant, &points, query.now)?)
        {
            candidate.item = item;
        }
    }
    Ok(candidates)
}

fn newest(shard: &EdgeShard, filter: Filter, limit: usize) -> Result<Vec<Ranked>, StoreError> {
    // While data is written anew, an item that is changed between two looks is seen twice.
    let mut twice = 0;
    loop {
        let asked = limit.saturating_add(twice);
        let mut candidates = by_time(shard, filter.clone(), asked)?;
        let found = candidates.len();
        let mut seen = HashSet::with_capacity(found);
        candidates.retain(|candidate| seen.insert(candidate.point));
        if found < asked || candidates.len() >= limit {
            candidates.truncate(limit);
            return Ok(candidates);
        }
        twice += found - candidates.len();
    }
}

fn by_time(shard: &EdgeShard, filter: Filter, limit: usize) -> Result<Vec<Ranked>, StoreError> {
    let order = OrderBy {
        key: field(UPDATE_TIME),
        direction: Some(Direction::Desc),
        start_from: None,
    };
    let request = ScrollRequestBuilder::new()
        .limit(limit)
        .filter(filter)
        .with_payload(WithPayloadInterface::Bool(false))
        .order_by(OrderByInterface::Struct(order));
    let (records, _) = shard.scroll(request.build()).map_err(engine_error)?;
    let candidate = |record: Record| {
        #[expect(
            clippy::cast_precision_loss,
            reason = "microseconds stay below 2^53 until 2255"
        )]
        let rank = match record.order_value {
            Some(OrderValue::Int(micros)) => micros as f64,
            Some(OrderValue::Float(value)) => value,
            None => return Err(StoreError::Corrupt("an item without a time".into())),
        };
        Ok(Ranked {
            point: own_id(record.id)?,
            rank,
            update_time: None,
            item: None,
        })
    };
    records.into_iter().map(candidate).collect()
}

/// Asks for items by their words, which weigh by how rare they are in `scope`.
fn by_words(words: &WordVector, scope: Filter, limit: usize) -> QueryRequestBuilder {
    let WordVector { words, weights } = words.clone();
    let vector = VectorInternal::Sparse(SparseVector {
        indices: words,
        values: weights,
    });
    let nearest = QueryEnum::Nearest(NamedQuery {
        query: vector,
        using: Some(WORDS.into()),
    });
    let params = SearchParams {
        idf: Some(IdfParams::Corpus(IdfCorpusParams { corpus: scope })),
        ..SearchParams::default()
    };
    QueryRequestBuilder::new(limit)
        .query(ScoringQuery::Vector(nearest))
        .params(params)
}

fn by_meaning(vector: &[f32], limit: usize) -> QueryRequestBuilder {
    let vector = TypedMultiDenseVector {
        dim: vector.len(),
        flattened_vectors: vector.to_vec(),
    };
    let nearest = QueryEnum::Nearest(NamedQuery {
        query: VectorInternal::MultiDense(vector),
        using: Some(MEANINGS.into()),
    });
    QueryRequestBuilder::new(limit).query(ScoringQuery::Vector(nearest))
}

fn scored(
    shard: &EdgeShard,
    mut request: QueryRequestBuilder,
    times: bool,
) -> Result<Vec<Ranked>, StoreError> {
    if times {
        request = request.with_payload(only(UPDATE_TIME));
    }
    let points = shard.query(request.build()).map_err(engine_error)?;
    let candidate = |point: ScoredPoint| {
        Ok(Ranked {
            point: own_id(point.id)?,
            rank: f64::from(point.score),
            update_time: point
                .payload
                .as_ref()
                .and_then(|payload| update_time(&payload.0)),
            item: None,
        })
    };
    points.into_iter().map(candidate).collect()
}

pub(super) fn own_id(id: EngineId) -> Result<PointId, StoreError> {
    match id {
        EngineId::Uuid(uuid) => Ok(PointId(uuid)),
        EngineId::NumId(number) => Err(StoreError::Corrupt(format!("a point numbered {number}"))),
    }
}

/// The items of these points, without those of other tenants and those that have expired.
pub(super) fn items(
    shard: &EdgeShard,
    tenant: &Tenant,
    points: &[PointId],
    now: Time,
) -> Result<Vec<Option<Item>>, StoreError> {
    let mut stored = stored(shard, points)?;
    let visible = |point| {
        let (owner, item) = stored.remove(point).transpose()?.unzip();
        let item = item.filter(|item: &Item| item.version.is_live(now));
        Ok(item.filter(|_| owner.as_ref() == Some(tenant)))
    };
    points.iter().map(visible).collect()
}

/// Items and whose they are.
pub(super) type Stored = HashMap<PointId, Result<(Tenant, Item), StoreError>>;

/// What is stored at these points, of any tenant, expired or not.
pub(super) fn stored(shard: &EdgeShard, points: &[PointId]) -> Result<Stored, StoreError> {
    let records = retrieve(shard, points, WithPayloadInterface::Bool(true))?;
    let item = |record: Record| {
        let payload = record.payload?;
        Some(own_id(record.id).map(|point| (point, Head::decode_item(payload.0))))
    };
    records.into_iter().filter_map(item).collect()
}

/// The vectors of these points.
pub(super) fn vectors(shard: &EdgeShard, points: &[PointId]) -> Result<Vec<Vectors>, StoreError> {
    let request = RetrieveRequestBuilder::new(engine_ids(points).collect())
        .with_payload(WithPayloadInterface::Bool(false))
        .with_vector(WithVector::Bool(true));
    let mut found = HashMap::new();
    for record in shard.retrieve(request.build()).map_err(engine_error)? {
        found.insert(own_id(record.id)?, decode_vectors(record.vector));
    }
    let mut of_point = |point: &PointId| found.remove(point).unwrap_or_default();
    Ok(points.iter().map(&mut of_point).collect())
}

/// What writes need to know of these points; those that are not there are left out.
pub(super) fn heads(
    shard: &EdgeShard,
    points: &[PointId],
) -> Result<HashMap<PointId, Result<Head, StoreError>>, StoreError> {
    let records = retrieve(shard, points, without_value())?;
    let head = |record: Record| {
        let head = Head::decode(&mut record.payload.unwrap_or_default().0);
        Ok((own_id(record.id)?, head))
    };
    records.into_iter().map(head).collect()
}

pub(super) fn retrieve(
    shard: &EdgeShard,
    points: &[PointId],
    fields: WithPayloadInterface,
) -> Result<Vec<Record>, StoreError> {
    let ids = engine_ids(points).collect();
    let request = RetrieveRequestBuilder::new(ids).with_payload(fields);
    shard.retrieve(request.build()).map_err(engine_error)
}

/// Points of a walk, and where the next page starts if there is one.
pub(super) type Page = (Vec<(EngineId, Head)>, Option<EngineId>);

/// One page of a walk over all points that are selected.
pub(super) fn walk(
    shard: &EdgeShard,
    selection: &Selection,
    from: Option<EngineId>,
    limit: usize,
) -> Result<Page, StoreError> {
    let mut request = ScrollRequestBuilder::new()
        .limit(limit)
        .filter(filter(selection))
        .with_payload(without_value());
    if let Some(from) = from {
        request = request.offset(from);
    }
    let (records, next) = shard.scroll(request.build()).map_err(engine_error)?;
    let mut heads = Vec::with_capacity(records.len());
    for record in records {
        let mut payload = record.payload.unwrap_or_default().0;
        heads.push((record.id, Head::decode(&mut payload)?));
    }
    Ok((heads, next))
}
