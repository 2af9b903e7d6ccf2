//! The best candidates of a search.

use futures::FutureExt as _;
use qdrant_client::qdrant::{
    Direction, IdfParams, OrderBy, Query, QueryPoints, RetrievedPoint, ScoredPoint, ScrollPoints,
    SearchParams, SparseVector, VectorInput, order_value, query, vector_input,
};
use service_runtime::Tenant;

use super::{
    connection::Connection,
    filter::filter,
    indexes::names,
    point::{fields, own_id},
    query::{count, items},
    wire_vectors::multi_dense,
};
use crate::store::{
    RankOrder, RankQuery, Ranked, StoreError,
    point::{UPDATE_TIME, update_time},
    selection::Selection,
};

/// Candidates up to which a read asks without knowing how many there are: a server makes room for
/// as many as it is asked for.
const UNCOUNTED: usize = 4096;

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
