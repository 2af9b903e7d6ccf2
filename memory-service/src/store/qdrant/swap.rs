//! Writes that happen only if nobody else wrote in between.
//!
//! The server checks and writes each point at once, but does not say whether it did. So a writer
//! reads back: its write happened if its etag is the present one, or among those that the item
//! remembers.

use std::collections::HashMap;

use qdrant_client::qdrant::{
    DeletePoints, Filter, PointStruct, PointsSelector, PointsUpdateOperation, UpdateBatchPoints,
    UpdateMode,
    points_selector::PointsSelectorOneOf,
    points_update_operation::{Operation, PointStructList, SetPayload},
};
use serde_json::Map;

use super::{
    connection::{Connection, done, strong},
    filter::unchanged,
    point::Stored,
    query::stored,
};
use crate::{
    domain::{Etag, Time},
    store::{PointId, StoreError, point::EXPIRE_TIME},
};

/// Tries of a write whose item others write at the same moment. Each round, one of them succeeds.
pub(super) const TRIES: usize = 64;

/// One point in place of another.
pub(super) struct Swap {
    /// Where.
    pub(super) point: PointId,
    /// What has to be there still; `None` for nothing.
    pub(super) before: Option<Stored>,
    /// What comes in its place.
    pub(super) after: PointStruct,
    /// The write that it is the outcome of.
    pub(super) etag: Etag,
}

/// Swaps that did not happen, as far as could be seen.
pub(super) type Lost = HashMap<PointId, Etag>;

/// What is stored of points.
pub(super) type Known = HashMap<PointId, Result<Stored, StoreError>>;

/// Does swaps after the operations `first`; answers with those that did not happen.
pub(super) async fn swap(
    connection: &Connection,
    first: Vec<PointsUpdateOperation>,
    swaps: Vec<Swap>,
) -> Result<Lost, StoreError> {
    let mut lost: Lost = swaps.iter().map(|swap| (swap.point, swap.etag)).collect();
    let mut all = first;
    all.extend(operations(swaps));
    update(connection, all).await?;
    let points: Vec<_> = lost.keys().copied().collect();
    still_lost(&mut lost, &stored(connection, &points).await?)?;
    Ok(lost)
}

/// Strikes out the swaps that did happen after all. A copy of the collection that lags behind may
/// have shown what was there before, so this is asked again before a swap is repeated.
pub(super) fn still_lost(lost: &mut Lost, known: &Known) -> Result<(), StoreError> {
    for (point, stored) in known {
        let stored = stored.as_ref().map_err(Clone::clone)?;
        if lost.get(point).is_some_and(|etag| stored.knows(*etag)) {
            lost.remove(point);
        }
    }
    Ok(())
}

/// What the server has to do for these swaps.
fn operations(swaps: Vec<Swap>) -> impl Iterator<Item = PointsUpdateOperation> {
    let (mut created, mut replaced, mut before) = (Vec::new(), Vec::new(), Vec::new());
    for swap in swaps {
        match swap.before {
            None => created.push(swap.after),
            Some(stored) => {
                before.push((swap.point, stored.head.version));
                replaced.push(swap.after);
            }
        }
    }
    let versions = before.iter().map(|(point, version)| (*point, version));
    let unchanged = (!before.is_empty()).then(|| unchanged(versions));
    let created = upsert(created, UpdateMode::InsertOnly, None);
    let replaced = upsert(replaced, UpdateMode::UpdateOnly, unchanged);
    created.into_iter().chain(replaced)
}

/// An operation that writes points; `None` if there are none.
pub(super) fn upsert(
    points: Vec<PointStruct>,
    mode: UpdateMode,
    only: Option<Filter>,
) -> Option<PointsUpdateOperation> {
    let list = PointStructList {
        points,
        shard_key_selector: None,
        update_filter: only,
        update_mode: Some(mode.into()),
    };
    (!list.points.is_empty()).then(|| Operation::Upsert(list).into())
}

/// The operation that lets what passes a filter expire at another time.
pub(super) fn expire_at(expiry: Time, only: Filter) -> PointsUpdateOperation {
    let payload = Map::from_iter([(EXPIRE_TIME.to_owned(), expiry.micros().into())]);
    let payload = payload.into_iter();
    Operation::SetPayload(SetPayload {
        payload: payload
            .map(|(name, value): (_, serde_json::Value)| (name, value.into()))
            .collect(),
        points_selector: Some(PointsSelector {
            points_selector_one_of: Some(PointsSelectorOneOf::Filter(only)),
        }),
        shard_key_selector: None,
        key: None,
    })
    .into()
}

/// Lets the server do operations one after the other, and waits until all are done.
pub(super) async fn update(
    connection: &Connection,
    operations: Vec<PointsUpdateOperation>,
) -> Result<(), StoreError> {
    if operations.is_empty() {
        return Ok(());
    }
    let request = UpdateBatchPoints {
        collection_name: connection.collection.clone(),
        wait: Some(true),
        operations,
        ordering: strong(),
        timeout: None,
    };
    let mut points = connection.points();
    let answer = connection.answer(points.update_batch(request)).await?;
    done(&answer.result)
}

/// Deletes what passes a filter.
pub(super) async fn delete(connection: &Connection, filter: Filter) -> Result<(), StoreError> {
    let request = DeletePoints {
        collection_name: connection.collection.clone(),
        wait: Some(true),
        points: Some(PointsSelector {
            points_selector_one_of: Some(PointsSelectorOneOf::Filter(filter)),
        }),
        ordering: strong(),
        ..DeletePoints::default()
    };
    let mut points = connection.points();
    let answer = connection.answer(points.delete(request)).await?;
    done(&answer.result)
}

/// What a writer says that never succeeds.
pub(super) fn contended() -> StoreError {
    StoreError::Unavailable("others keep writing the same items".into())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        domain::{ItemId, Key, Namespace, Version},
        store::point::{Head, point_id},
    };

    fn stored(etag: Etag, recent: &[Etag]) -> (PointId, Stored) {
        let tenant = service_runtime::Tenant::default();
        let id = ItemId {
            namespace: Namespace::from_dotted("a"),
            key: Key::stored("k".into()),
        };
        let time = Time::from_micros(1);
        let head = Head {
            tenant: tenant.clone(),
            id: id.clone(),
            version: Version {
                create_time: time,
                update_time: time,
                expire_time: None,
                ttl: None,
                etag,
            },
        };
        let recent = recent.iter().map(|etag| json!(etag.to_string()));
        (point_id(&tenant, &id), Stored::of(head, recent.collect()))
    }

    #[test]
    fn a_write_happened_if_the_item_has_or_remembers_its_etag() {
        let (mine, others) = (Etag::fresh(), Etag::fresh());
        for (etag, recent, happened) in [
            (mine, vec![], true),
            (others, vec![mine], true),
            (others, vec![Etag::fresh()], false),
        ] {
            let (point, stored) = stored(etag, &recent);
            let mut lost = Lost::from([(point, mine)]);
            still_lost(&mut lost, &Known::from([(point, Ok(stored))])).unwrap();
            assert_eq!(lost.is_empty(), happened);
        }
    }

    #[test]
    fn a_write_to_an_item_that_is_not_there_did_not_happen() {
        let (point, _) = stored(Etag::fresh(), &[]);
        let mut lost = Lost::from([(point, Etag::fresh())]);
        still_lost(&mut lost, &Known::new()).unwrap();
        assert_eq!(lost.len(), 1);
    }
}
