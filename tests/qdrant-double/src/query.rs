//! Points nearest to a vector.

use std::hash::{BuildHasher as _, RandomState};

use qdrant_client::qdrant::{
    QueryPoints, ScoredPoint as WireScored, SearchParams as WireParams, query::Variant,
};
use qdrant_edge::{
    IdfCorpusParams, IdfParams, NamedQuery, QueryEnum, QueryRequestBuilder, ScoredPoint,
    ScoringQuery, SearchParams, VectorInternal,
};
use tonic::Status;

use crate::{
    collection::Collection,
    filter::{self, wire_id},
    payload,
    read::{TIES, mix_ties},
    refusal::{engine, invalid, unknown},
    schema::Schema,
    vector,
};

/// The points nearest to a vector.
pub(crate) fn query(
    collection: &Collection,
    request: QueryPoints,
) -> Result<Vec<WireScored>, Status> {
    let schema = collection.schema();
    let QueryPoints {
        collection_name: _,
        prefetch,
        query,
        using,
        filter,
        params,
        score_threshold,
        limit,
        offset,
        with_vectors,
        with_payload,
        read_consistency: _,
        shard_key_selector: None,
        lookup_from: None,
        timeout: _,
    } = request
    else {
        return Err(unknown("shard keys and lookups"));
    };
    if !prefetch.is_empty() {
        return Err(unknown("prefetches"));
    }
    let using = using.ok_or_else(|| invalid("Wrong input: Not existing vector name error: "))?;
    let Some(Variant::Nearest(input)) = query.and_then(|query| query.variant) else {
        return Err(unknown("queries other than `nearest`"));
    };
    let limit = limit.unwrap_or(10);
    if limit == 0 {
        return Err(invalid("Validation error: limit must be 1 or larger"));
    }
    let vector = vector::read_query(&using, input, &collection.layout())?;
    let has_graph = !matches!(vector, VectorInternal::Sparse(_));
    let nearest = QueryEnum::Nearest(NamedQuery {
        query: vector,
        using: Some(using),
    });
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut query = QueryRequestBuilder::new(limit.saturating_add(TIES))
        .query(ScoringQuery::Vector(nearest))
        .offset(usize::try_from(offset.unwrap_or(0)).unwrap_or(usize::MAX))
        .with_payload(payload::wanted(with_payload, false)?)
        .with_vector(vector::wanted(with_vectors));
    if let Some(filter) = filter::read_optional(filter, &schema)? {
        query = query.filter(filter);
    }
    let params = search_params(params.unwrap_or_default(), &schema)?;
    let is_exact = params.exact || !has_graph;
    query = query.params(params);
    if let Some(threshold) = score_threshold {
        query = query.score_threshold(threshold);
    }
    let mut found = collection.shard.query(query.build()).map_err(engine)?;
    if !is_exact {
        miss_one(&mut found, limit);
    }
    let same = |one: &ScoredPoint, other: &ScoredPoint| one.score == other.score;
    mix_ties(&mut found, limit, same, |point| point.id);
    Ok(found.into_iter().map(scored).collect())
}

/// Forgets one of the best at random, as a graph of vectors does not lead to every one of them. A
/// server makes graphs from some thousands of points on; this one behaves as if it had one all the time.
fn miss_one(found: &mut Vec<ScoredPoint>, limit: usize) {
    let best = found.len().min(limit);
    if best > 0 {
        found.remove(RandomState::new().hash_one(()) as usize % best);
    }
}

fn search_params(params: WireParams, schema: &Schema) -> Result<SearchParams, Status> {
    let WireParams {
        hnsw_ef: None,
        exact,
        quantization: None,
        indexed_only: None,
        acorn: None,
        idf,
    } = params
    else {
        return Err(unknown("these search parameters"));
    };
    let corpus = filter::read_optional(idf.and_then(|idf| idf.corpus), schema)?;
    Ok(SearchParams {
        exact: exact.unwrap_or(false),
        idf: corpus.map(|corpus| IdfParams::Corpus(IdfCorpusParams { corpus })),
        ..SearchParams::default()
    })
}

fn scored(point: ScoredPoint) -> WireScored {
    WireScored {
        id: Some(wire_id(point.id)),
        payload: payload::write(point.payload),
        score: point.score,
        vectors: vector::write(point.vector),
        ..WireScored::default()
    }
}
