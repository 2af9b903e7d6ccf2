//! The engine read and written whole.

use futures::FutureExt as _;
use qdrant_edge::{
    EdgeShard, PointId as EngineId, PointInsertOperations, PointOperations, ScrollRequestBuilder,
    UpdateOperation, WithVector,
};

use super::{
    EdgeStore,
    apart::Apart,
    point::{decode_vectors, encode},
    query,
    shared::{Engines, Growth, Shared, engine_error},
    writer::Command,
};
use crate::store::{
    Answer, PointId, StoreError,
    archive::{Archive, Record, Records},
    index::{Index, IndexVectors},
    point::{Body, Head, indexing, point_id},
};

impl Archive for EdgeStore {
    fn stored(&self) -> u64 {
        self.shared.registry().stored_in_all()
    }

    fn records(&self, from: Option<PointId>, limit: usize) -> Answer<'_, Records> {
        self.read(move |shared| records(&shared.shard(), from, limit))
            .boxed()
    }

    fn restore(&self, records: Vec<Record>) -> Answer<'_, u64> {
        self.commands
            .ask(move |reply| Command::Apart(Apart::Restore { records, reply }))
            .boxed()
    }
}

fn records(shard: &EdgeShard, from: Option<PointId>, limit: usize) -> Result<Records, StoreError> {
    let mut request = ScrollRequestBuilder::new()
        .limit(limit)
        .with_payload(qdrant_edge::WithPayloadInterface::Bool(true))
        .with_vector(WithVector::Bool(true));
    if let Some(from) = from {
        request = request.offset(EngineId::Uuid(from.0));
    }
    let (points, next) = shard.scroll(request.build()).map_err(engine_error)?;
    Ok(Records {
        records: points.into_iter().map(record).collect(),
        next: next.map(query::own_id).transpose()?,
    })
}

/// A record, or what is wrong with it.
type Kept = Result<Record, StoreError>;

/// The records at these places that are there, without vectors.
pub(super) fn at(
    shard: &EdgeShard,
    places: &[PointId],
) -> Result<Vec<(PointId, Kept)>, StoreError> {
    let everything = qdrant_edge::WithPayloadInterface::Bool(true);
    let points = query::retrieve(shard, places, everything)?;
    let at = |point: qdrant_edge::Record| Ok((query::own_id(point.id)?, record(point)));
    points.into_iter().map(at).collect()
}

fn record(point: qdrant_edge::Record) -> Kept {
    let place = query::own_id(point.id)?;
    let payload = point.payload.unwrap_or_default().0;
    let indexing = indexing(&payload)?;
    let (tenant, item) = Head::decode_item(payload)?;
    if point_id(&tenant, &item.id) != place {
        let named = format!("the item {} of `{tenant}` at a place of another", item.id);
        return Err(StoreError::Corrupt(named));
    }
    Ok(Record {
        tenant,
        item,
        indexing,
        vectors: decode_vectors(point.vector),
    })
}

/// Writes records as they are. Blocks; for the writer's thread.
pub(super) fn restore(shared: &Shared, records: Vec<Record>) -> Result<u64, StoreError> {
    shared.check_room(Growth::Much)?;
    let places: Vec<_> = records.iter().map(Record::place).collect();
    let Engines { first, stage, .. } = shared.engines();
    let heads = query::heads(&first, &places)?;
    let mut differing = Vec::new();
    let mut written = Vec::new();
    let mut points = Vec::new();
    for (record, place) in records.into_iter().zip(places) {
        let before = match heads.get(&place) {
            Some(head) => Some(head.as_ref().map_err(Clone::clone)?.version.clone()),
            None => None,
        };
        let version = &record.item.version;
        let is_newer = |before: &crate::domain::Version| before.update_time < version.update_time;
        if before.as_ref().is_none_or(is_newer) {
            let document = record
                .item
                .value
                .parse()
                .map_err(|error| StoreError::Corrupt(error.to_string()))?;
            let index = stage.searched();
            let mut vectors = IndexVectors::default();
            *vectors.get_mut(index) = Some(record.vectors.clone());
            let body = Body {
                terms: crate::domain::filter::terms::of_document(&document),
                value: record.item.value.clone(),
                indexing: record.indexing.clone(),
                vectors,
            };
            let Record { tenant, item, .. } = &record;
            points.push(encode(tenant, &item.id, version, &body, index));
            differing.push(place);
            written.push((record, before));
        }
    }
    if stage.searched() == Index::Former {
        shared.missing().extend(differing);
    }
    if !points.is_empty() {
        let points = PointInsertOperations::PointsList(points);
        shared.update(UpdateOperation::PointOperation(
            PointOperations::UpsertPoints(points),
        ))?;
    }
    let mut registry = shared.registry_mut();
    for (Record { tenant, item, .. }, before) in &written {
        registry.change(tenant, &item.id, before.as_ref(), Some(&item.version));
    }
    drop(registry);
    shared.acknowledge()?;
    Ok(written.len() as u64)
}
