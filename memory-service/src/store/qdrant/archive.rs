//! The collection read and written whole, also while services serve it.

use std::collections::{HashMap, HashSet};

use futures::FutureExt as _;
use qdrant_client::qdrant::{
    Condition, Filter, PointsUpdateOperation, RetrievedPoint, ScrollPoints, UpdateMode,
};
use service_runtime::Tenant;

use super::{
    QdrantStore, collection,
    connection::Connection,
    description::{self, DESCRIPTION},
    filter::{expired_by, filter},
    point::{NOT_REMOVED, ORDER, RECENT, encode, fields, order, own_id, wire_id},
    query::{count, stored},
    registry::{Announced, REGISTRY, announcement},
    swap::{Swap, TRIES, contended, swap, upsert},
    wire_vectors::decode_vectors,
    writer::{BATCH_BYTES, open_to_writes},
};
use crate::{
    domain::{Namespace, Time},
    store::{
        Answer, PointId, StoreError,
        archive::{Archive, Record, Records},
        selection::Selection,
    },
};

/// Most items that are read by one call, so that an answer with the largest ones comes in time.
const PAGE: usize = 64;

impl Archive for QdrantStore {
    fn stored(&self) -> Answer<'_, u64> {
        async { count(self.open_connection()?, items()).await }.boxed()
    }

    fn records(&self, from: Option<PointId>, limit: usize) -> Answer<'_, Records> {
        async move { records(self.open_connection()?, from, limit.min(PAGE)).await }.boxed()
    }

    fn restore(&self, records: Vec<Record>, now: Time) -> Answer<'_, u64> {
        async move {
            let connection = self.open_connection()?;
            let mut written = 0;
            for part in parts(records) {
                written += restore(connection, &self.announced, part, now).await?;
            }
            Ok(written)
        }
        .boxed()
    }

    fn held<'a>(
        &'a self,
        tenant: &'a Tenant,
        namespace: &'a Namespace,
        now: Time,
    ) -> Answer<'a, u64> {
        let held = filter(&Selection::live_in(tenant, namespace, now));
        async move { count(self.open_connection()?, held).await }.boxed()
    }

    fn faults(&self) -> Answer<'_, Vec<String>> {
        async { collection::faults(self.open_connection()?).await }.boxed()
    }
}

/// The filter that finds items: not what the collection says of itself, names of namespaces, and what
/// is left of removed items.
pub(super) fn items() -> Filter {
    Filter {
        must: vec![Condition::is_empty(REGISTRY)],
        must_not: vec![
            Condition::has_id([wire_id(DESCRIPTION)]),
            expired_by(NOT_REMOVED),
        ],
        ..Filter::default()
    }
}

async fn records(
    connection: &Connection,
    from: Option<PointId>,
    limit: usize,
) -> Result<Records, StoreError> {
    let request = ScrollPoints {
        collection_name: connection.collection.clone(),
        filter: Some(items()),
        offset: from.map(wire_id),
        limit: Some(u32::try_from(limit).unwrap_or(u32::MAX)),
        with_payload: Some(true.into()),
        with_vectors: Some(true.into()),
        read_consistency: connection.read_consistency(),
        ..ScrollPoints::default()
    };
    let searched = || {
        let roles = connection.indexing.roles()?;
        roles.number(roles.stage.searched())
    };
    let number = searched()?;
    let mut points = connection.points();
    let answer = connection.answer(points.scroll(request)).await?;
    // The vectors of an index go after another one was switched to.
    description::look(connection).await?;
    if searched()? != number {
        let cause = "the collection was indexed anew meanwhile";
        return Err(StoreError::Unavailable(cause.to_owned()));
    }
    let next = answer.next_page_offset;
    let points = answer.result.into_iter();
    Ok(Records {
        records: points.map(|point| record(point, number)).collect(),
        next: next.map(|next| own_id(Some(next))).transpose()?,
    })
}

fn record(point: RetrievedPoint, number: u32) -> Result<Record, StoreError> {
    let mut payload = fields(point.payload);
    payload.remove(RECENT);
    let orders = ORDER.map(|name| payload.remove(name));
    let vectors = decode_vectors(point.vectors, number);
    let mut record = Record::decode(own_id(point.id)?, payload, vectors)?;
    let key = &record.item.id.key;
    for (level, (name, found)) in ORDER.into_iter().zip(orders).enumerate() {
        if found != Some(order(key, level).into()) {
            record.strays.push(name);
        }
    }
    Ok(record)
}

/// Records in parts that servers take.
fn parts(records: Vec<Record>) -> Vec<Vec<Record>> {
    let (mut parts, mut bytes) = (Vec::new(), BATCH_BYTES);
    for record in records {
        if bytes >= BATCH_BYTES {
            parts.push(Vec::new());
            bytes = 0;
        }
        let numbers = record.vectors.meanings.iter().map(Vec::len).sum::<usize>();
        bytes += record.item.value.text().len() + numbers * size_of::<f32>();
        if let Some(part) = parts.last_mut() {
            part.push(record);
        }
    }
    parts
}

/// Writes records as they are, each only if nothing as late is there, whoever else writes meanwhile.
async fn restore(
    connection: &Connection,
    announced: &Announced,
    records: Vec<Record>,
    now: Time,
) -> Result<u64, StoreError> {
    let namespaces = records.iter().map(|Record { tenant, item, .. }| {
        let namespace = item.id.namespace.clone();
        (tenant.clone(), namespace)
    });
    let namespaces = announced.stale(namespaces.collect::<HashSet<_>>(), now);
    let mut missing: HashMap<PointId, Record> = records
        .into_iter()
        .map(|record| (record.place(), record))
        .collect();
    let mut written = 0;
    for _ in 0..TRIES {
        let points: Vec<_> = missing.keys().copied().collect();
        let mut known = stored(connection, &points).await?;
        let roles = open_to_writes(connection)?;
        let mut swaps = Vec::new();
        for (point, record) in &missing {
            let before = known.remove(point).transpose()?;
            let version = &record.item.version;
            let is_as_late = before.as_ref().is_some_and(|before| {
                before.removed.is_none() && before.head.version.update_time >= version.update_time
            });
            if is_as_late {
                continue;
            }
            let body = record.body(roles.stage.searched())?;
            let (tenant, id) = (&record.tenant, &record.item.id);
            swaps.push(Swap {
                point: *point,
                after: encode(tenant, id, version, &body, before.as_ref(), &roles),
                before,
                etag: version.etag,
            });
        }
        if swaps.is_empty() {
            return Ok(written);
        }
        let names = namespaces
            .iter()
            .map(|(tenant, namespace)| announcement(tenant, namespace, now));
        let names = upsert(names.collect(), UpdateMode::Upsert, None);
        let names: Vec<PointsUpdateOperation> = names.into_iter().collect();
        let tried = swaps.len();
        let lost = swap(connection, names, swaps).await?;
        // Who moved on meanwhile may not see what was written just now.
        open_to_writes(connection)?;
        written += (tried - lost.len()) as u64;
        if lost.is_empty() {
            announced.remember(namespaces, now);
            return Ok(written);
        }
        missing.retain(|point, _| lost.contains_key(point));
    }
    Err(contended())
}
