//! The engine read and written whole.

use futures::FutureExt as _;
use qdrant_edge::{
    CountRequestBuilder, EdgeShard, PointId as EngineId, PointInsertOperations, PointOperations,
    ScrollRequestBuilder, UpdateOperation, WithVector,
};
use service_runtime::Tenant;

use super::{
    EdgeStore,
    apart::Apart,
    filter::filter,
    point::{decode_vectors, encode},
    query,
    shared::{Engines, Growth, Shared, engine_error},
    writer::Command,
};
use crate::{
    domain::{Namespace, Time, Version},
    store::{
        Answer, PointId, StoreError,
        archive::{Archive, Record, Records},
        index::Index,
        selection::Selection,
    },
};

impl Archive for EdgeStore {
    fn stored(&self) -> Answer<'_, u64> {
        std::future::ready(Ok(self.shared.registry().stored_in_all())).boxed()
    }

    fn records(&self, from: Option<PointId>, limit: usize) -> Answer<'_, Records> {
        self.reads
            .run(move |shared| records(&shared.shard(), from, limit))
            .boxed()
    }

    fn restore(&self, records: Vec<Record>, _now: Time) -> Answer<'_, u64> {
        self.commands
            .ask(move |reply| Command::Apart(Apart::Restore { records, reply }))
            .boxed()
    }

    fn held<'a>(
        &'a self,
        tenant: &'a Tenant,
        namespace: &'a Namespace,
        now: Time,
    ) -> Answer<'a, u64> {
        let filter = filter(&Selection::live_in(tenant, namespace, now));
        self.reads
            .run(move |shared| {
                let request = CountRequestBuilder::new().exact(true).filter(filter);
                let counted = shared
                    .shard()
                    .count(request.build())
                    .map_err(engine_error)?;
                Ok(counted as u64)
            })
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
    let payload = point.payload.unwrap_or_default().0;
    let vectors = decode_vectors(point.vector);
    Record::decode(query::own_id(point.id)?, payload, vectors)
}

/// Writes records as they are. Blocks; for the writer's thread.
pub(super) fn restore(shared: &Shared, records: Vec<Record>) -> Result<u64, StoreError> {
    shared.check_room(Growth::Much)?;
    let places: Vec<_> = records.iter().map(Record::place).collect();
    let bytes = records.iter().map(Record::bytes).sum();
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
        let is_newer = |before: &Version| before.update_time < version.update_time;
        if before.as_ref().is_none_or(is_newer) {
            let index = stage.searched();
            let body = record.body(index)?;
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
        shared.disk.count(written.len(), bytes);
    }
    let mut registry = shared.registry_mut();
    for (Record { tenant, item, .. }, before) in &written {
        registry.change(tenant, &item.id, before.as_ref(), Some(&item.version));
    }
    drop(registry);
    shared.acknowledge()?;
    Ok(written.len() as u64)
}
