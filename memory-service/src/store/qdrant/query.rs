//! Reads of the server: candidates, items, and what writes need to know.

use std::collections::HashMap;

use futures::FutureExt as _;
use qdrant_client::qdrant::{
    CountPoints, Direction, Filter, GetPoints, IdfParams, OrderBy, PayloadExcludeSelector,
    PointId as WireId, Query, QueryPoints, RetrievedPoint, ScoredPoint, ScrollPoints, SearchParams,
    SparseVector, VectorInput, WithPayloadSelector, order_value, query, vector_input,
    with_payload_selector::SelectorOptions,
};
use service_runtime::Tenant;

use super::{
    connection::Connection,
    description::{self, DESCRIPTION, emptied},
    filter::filter,
    indexes::names,
    point::{RECENT, REMOVED, Stored, decode_vectors, fields, multi_dense, own_id, wire_id},
    swap::Known,
};
use crate::{
    domain::{Item, Time},
    store::{
        PointId, RankOrder, RankQuery, Ranked, StoreError, Vectors,
        index::Index,
        point::{Head, LARGE, UPDATE_TIME, update_time},
        selection::Selection,
    },
};

/// Candidates up to which a read asks without knowing how many there are: a server makes room for
/// as many as it is asked for.
const UNCOUNTED: usize = 4096;

/// All fields but the large ones.
pub(super) fn without_value() -> WithPayloadSelector {
    let fields = LARGE.map(str::to_owned).to_vec();
    SelectorOptions::Exclude(PayloadExcludeSelector { fields }).into()
}

/// How many points pass a filter, exactly.
pub(super) async fn count(connection: &Connection, filter: Filter) -> Result<u64, StoreError> {
    let request = CountPoints {
        collection_name: connection.collection.clone(),
        filter: Some(filter),
        exact: Some(true),
        read_consistency: connection.read_consistency(),
        ..CountPoints::default()
    };
    let mut points = connection.points();
    let answer = connection.answer(points.count(request)).await?;
    Ok(answer.result.map_or(0, |result| result.count))
}

/// One page of the points that pass a filter, and where the next one starts if there is one.
pub(super) async fn scroll(
    connection: &Connection,
    filter: Filter,
    fields: WithPayloadSelector,
    from: Option<WireId>,
    limit: u32,
) -> Result<(Vec<RetrievedPoint>, Option<WireId>), StoreError> {
    let request = ScrollPoints {
        collection_name: connection.collection.clone(),
        filter: Some(filter),
        offset: from,
        limit: Some(limit),
        with_payload: Some(fields),
        read_consistency: connection.read_consistency(),
        ..ScrollPoints::default()
    };
    let mut points = connection.points();
    let answer = connection.answer(points.scroll(request)).await?;
    Ok((answer.result, answer.next_page_offset))
}

/// The best candidates, best first.
pub(super) async fn rank(
    connection: &Connection,
    tenant: &Tenant,
    query: &RankQuery,
) -> Result<Vec<Ranked>, StoreError> {
    let number = || connection.indexing.roles()?.number(query.index);
    let scope = Selection::live_under(tenant, &query.prefix, query.now);
    let mut selection = scope.clone().narrow(&query.narrowing);
    if let Some(points) = &query.among {
        selection = selection.among(points);
    }
    let mut limit = query.limit;
    if limit > UNCOUNTED {
        let stored = count(connection, filter(&selection)).await?;
        limit = limit.min(usize::try_from(stored).unwrap_or(usize::MAX).max(1));
    }
    let mut candidates = match &query.order {
        RankOrder::Newest => newest(connection, &selection, limit).await,
        RankOrder::Words(words) => {
            let words = vector_input::Variant::Sparse(SparseVector {
                indices: words.words.clone(),
                values: words.weights.clone(),
            });
            let rarity = IdfParams {
                corpus: Some(filter(&scope)),
            };
            let [name, _] = names(number()?);
            let request = nearest(words, name, Some(rarity));
            scored(connection, request, &selection, limit, query.times).await
        }
        RankOrder::Meaning(vector) => {
            let meaning =
                vector_input::Variant::MultiDense(multi_dense(std::slice::from_ref(vector)));
            let [_, name] = names(number()?);
            let request = nearest(meaning, name, None);
            scored(connection, request, &selection, limit, query.times).await
        }
    }?;
    let best = query.load.min(candidates.len());
    let best = &mut candidates[..best];
    if !best.is_empty() {
        let points: Vec<_> = best.iter().map(|candidate| candidate.point).collect();
        let items = items(connection, tenant, &points, query.now).await?;
        for (candidate, item) in best.iter_mut().zip(items) {
            candidate.item = item;
        }
    }
    Ok(candidates)
}

async fn newest(
    connection: &Connection,
    selection: &Selection,
    limit: usize,
) -> Result<Vec<Ranked>, StoreError> {
    let request = ScrollPoints {
        collection_name: connection.collection.clone(),
        filter: Some(filter(selection)),
        limit: Some(u32::try_from(limit).unwrap_or(u32::MAX)),
        with_payload: Some(false.into()),
        read_consistency: connection.read_consistency(),
        order_by: Some(OrderBy {
            key: UPDATE_TIME.to_owned(),
            direction: Some(Direction::Desc.into()),
            start_from: None,
        }),
        ..ScrollPoints::default()
    };
    let mut points = connection.points();
    let answer = connection.answer(points.scroll(request)).await?;
    let candidate = |point: RetrievedPoint| {
        let rank = point.order_value.and_then(|value| value.variant);
        #[expect(
            clippy::cast_precision_loss,
            reason = "microseconds stay below 2^53 until 2255"
        )]
        let rank = match rank {
            Some(order_value::Variant::Int(micros)) => micros as f64,
            Some(order_value::Variant::Float(value)) => value,
            None => return Err(StoreError::Corrupt("an item without a time".into())),
        };
        Ok(Ranked {
            point: own_id(point.id)?,
            rank,
            update_time: None,
            item: None,
        })
    };
    answer.result.into_iter().map(candidate).collect()
}

/// Asks for the nearest points, for all of them: what a graph finds is most of them, so that pages
/// would miss items or show them twice.
fn nearest(vector: vector_input::Variant, using: String, rarity: Option<IdfParams>) -> QueryPoints {
    let input = VectorInput {
        variant: Some(vector),
    };
    let params = SearchParams {
        exact: Some(true),
        idf: rarity,
        ..SearchParams::default()
    };
    QueryPoints {
        query: Some(Query {
            variant: Some(query::Variant::Nearest(input)),
        }),
        using: Some(using),
        params: Some(params),
        ..QueryPoints::default()
    }
}

async fn scored(
    connection: &Connection,
    request: QueryPoints,
    selection: &Selection,
    limit: usize,
    times: bool,
) -> Result<Vec<Ranked>, StoreError> {
    let fields = if times {
        vec![UPDATE_TIME].into()
    } else {
        false.into()
    };
    let request = QueryPoints {
        collection_name: connection.collection.clone(),
        filter: Some(filter(selection)),
        limit: Some(limit as u64),
        with_payload: Some(fields),
        read_consistency: connection.read_consistency(),
        ..request
    };
    let mut points = connection.points();
    // A query takes tens of kilobytes, most of them unused: not on every stack above.
    let answer = connection.answer(points.query(request).boxed()).await?;
    let candidate = |point: ScoredPoint| {
        Ok(Ranked {
            point: own_id(point.id)?,
            rank: f64::from(point.score),
            update_time: update_time(&self::fields(point.payload)),
            item: None,
        })
    };
    answer.result.into_iter().map(candidate).collect()
}

/// The items of these points, without those of other tenants and those that have expired.
pub(super) async fn items(
    connection: &Connection,
    tenant: &Tenant,
    points: &[PointId],
    now: Time,
) -> Result<Vec<Option<Item>>, StoreError> {
    let mut items = HashMap::new();
    for point in get(connection, points, true.into(), false).await? {
        let id = own_id(point.id)?;
        let mut payload = fields(point.payload);
        // What is left of a removed item has no document.
        if payload.contains_key(REMOVED) {
            continue;
        }
        payload.remove(RECENT);
        let (owner, item) = Head::decode_item(payload)?;
        if owner == *tenant && item.version.is_live(now) {
            items.insert(id, item);
        }
    }
    Ok(points.iter().map(|point| items.remove(point)).collect())
}

/// The vectors of these points.
pub(super) async fn vectors(
    connection: &Connection,
    points: &[PointId],
    index: Index,
) -> Result<Vec<Vectors>, StoreError> {
    let number = connection.indexing.roles()?.number(index)?;
    let mut found = HashMap::new();
    for point in get(connection, points, false.into(), true).await? {
        found.insert(own_id(point.id)?, decode_vectors(point.vectors, number));
    }
    let mut of_point = |point: &PointId| found.remove(point).unwrap_or_default();
    Ok(points.iter().map(&mut of_point).collect())
}

/// What writes need to know of these points; those that are not there are left out. What the
/// collection says of itself at that moment is learned.
pub(super) async fn stored(
    connection: &Connection,
    points: &[PointId],
) -> Result<Known, StoreError> {
    let mut all = points.to_vec();
    all.push(DESCRIPTION);
    let (mut known, mut described) = (Known::new(), false);
    for point in get(connection, &all, without_value(), false).await? {
        let id = own_id(point.id)?;
        if id == DESCRIPTION {
            let learned = description::learn(connection, &fields(point.payload));
            described = learned.is_ok();
        } else {
            known.insert(id, Stored::decode(point.payload));
        }
    }
    if !described {
        return Err(emptied());
    }
    Ok(known)
}

async fn get(
    connection: &Connection,
    points: &[PointId],
    fields: WithPayloadSelector,
    vectors: bool,
) -> Result<Vec<RetrievedPoint>, StoreError> {
    if points.is_empty() {
        return Ok(Vec::new());
    }
    let request = GetPoints {
        collection_name: connection.collection.clone(),
        ids: points.iter().copied().map(wire_id).collect(),
        with_payload: Some(fields),
        with_vectors: Some(vectors.into()),
        read_consistency: connection.read_consistency(),
        ..GetPoints::default()
    };
    let mut client = connection.points();
    Ok(connection.answer(client.get(request)).await?.result)
}
