//! Reads of points: items, vectors, and what writes need to know.

use std::collections::HashMap;

use qdrant_client::qdrant::{
    CountPoints, Filter, GetPoints, PayloadExcludeSelector, PointId as WireId, RetrievedPoint,
    ScrollPoints, WithPayloadSelector, with_payload_selector::SelectorOptions,
};
use service_runtime::Tenant;

use super::{
    connection::Connection,
    description::{self, DESCRIPTION, emptied},
    point::{RECENT, REMOVED, Stored, fields, own_id, wire_id},
    swap::Known,
    wire_vectors::decode_vectors,
};
use crate::{
    domain::{Item, Time},
    store::{
        PointId, StoreError, Vectors,
        index::Index,
        point::{Head, LARGE},
    },
};

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
