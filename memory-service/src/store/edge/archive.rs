//! The engine read and written whole.

use futures::FutureExt as _;
use qdrant_edge::{
    EdgeShard, PointId as EngineId, PointInsertOperations, PointOperations, ScrollRequestBuilder,
    UpdateOperation, WithVector,
};

use super::{
    EdgeStore,
    point::{decode_vectors, encode},
    query,
    shared::{Growth, Shared, engine_error},
    writer::Command,
};
use crate::store::{
    Answer, PointId, StoreError,
    archive::{Archive, Record, Records},
    point::{Body, Head, indexing, point_id},
};

impl Archive for EdgeStore {
    fn stored(&self) -> u64 {
        self.shared.registry().stored_in_all()
    }

    fn records(&self, from: Option<PointId>, limit: usize) -> Answer<'_, Records> {
        self.read(move |shared| records(&shared.shard, from, limit))
            .boxed()
    }

    fn restore(&self, records: Vec<Record>) -> Answer<'_, u64> {
        self.commands
            .ask(move |reply| Command::Restore { records, reply })
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
    let record = |point: qdrant_edge::Record| {
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
    };
    Ok(Records {
        records: points.into_iter().map(record).collect(),
        next: next.map(query::own_id).transpose()?,
    })
}

/// Writes records as they are. Blocks; for the writer's thread.
pub(super) fn restore(shared: &Shared, records: Vec<Record>) -> Result<u64, StoreError> {
    shared.check_room(Growth::Much)?;
    let places: Vec<_> = records.iter().map(Record::place).collect();
    let heads = query::heads(&shared.shard, &places)?;
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
            let body = Body {
                terms: crate::domain::filter::terms::of_document(&document),
                value: record.item.value.clone(),
                indexing: record.indexing.clone(),
                words: record.vectors.words.clone(),
                meanings: record.vectors.meanings.clone(),
            };
            points.push(encode(&record.tenant, &record.item.id, version, &body));
            written.push((record, before));
        }
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
