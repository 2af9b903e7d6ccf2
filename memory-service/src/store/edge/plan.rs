//! Many writes as few operations of the engine.
//!
//! A plan starts from the versions that are stored, lets writes decide one after the other, each
//! on the outcome of the one before, and says what has to be done so that the last outcome holds.

use std::collections::{BTreeMap, HashMap, HashSet};

use qdrant_edge::{
    Payload, PayloadOps, PointId as EngineId, PointInsertOperations, PointOperations, SetPayloadOp,
    UpdateOperation,
};
use serde_json::Map;
use service_runtime::Tenant;

use super::{
    point::{Body, Head, encode},
    schema::EXPIRE_TIME,
};
use crate::{
    domain::{ItemId, Precondition, Time, Version},
    store::{PointId, Put, StoreError, WriteError},
};

/// Writes on their way into the engine.
#[derive(Debug, Default)]
pub(super) struct Plan {
    slots: HashMap<PointId, Slot>,
}

/// One item of a plan.
#[derive(Debug)]
struct Slot {
    tenant: Tenant,
    id: ItemId,
    stored: Result<Option<Version>, StoreError>,
    planned: Option<Version>,
    /// Of the last put, unless a delete came after it.
    body: Option<Body>,
}

/// How an item changes by a plan.
#[derive(Debug)]
pub(super) struct Change<'a> {
    pub(super) point: PointId,
    pub(super) tenant: &'a Tenant,
    pub(super) id: &'a ItemId,
    pub(super) before: Option<&'a Version>,
    pub(super) after: Option<&'a Version>,
}

impl Plan {
    /// Makes room for an item that the plan may write; `stored` is what the engine has of it.
    pub(super) fn admit(
        &mut self,
        point: PointId,
        tenant: &Tenant,
        id: &ItemId,
        stored: Option<&Result<Head, StoreError>>,
    ) {
        self.slots.entry(point).or_insert_with(|| {
            let stored = match stored {
                None => Ok(None),
                Some(Ok(head)) => Ok(Some(head.version.clone())),
                Some(Err(error)) => Err(error.clone()),
            };
            let planned = stored.clone().ok().flatten();
            Slot {
                tenant: tenant.clone(),
                id: id.clone(),
                stored,
                planned,
                body: None,
            }
        });
    }

    fn slot(&mut self, point: PointId) -> Result<&mut Slot, StoreError> {
        let slot = self.slots.get_mut(&point);
        let slot = slot.ok_or_else(|| StoreError::Internal("a write without a slot".into()))?;
        slot.stored.clone()?;
        Ok(slot)
    }

    /// Plans a put.
    pub(super) fn put(&mut self, point: PointId, put: Put) -> Result<Version, WriteError> {
        let slot = self.slot(point)?;
        let Put {
            id: _,
            value,
            terms,
            indexing,
            words,
            meanings,
            ttl,
            precondition,
            etag,
            now,
        } = put;
        let version = Version::written(slot.planned.as_ref(), &precondition, now, ttl, etag)?;
        slot.planned = Some(version.clone());
        slot.body = Some(Body {
            value,
            terms,
            indexing,
            words,
            meanings,
        });
        Ok(version)
    }

    /// Plans a delete.
    pub(super) fn delete(
        &mut self,
        point: PointId,
        precondition: &Precondition,
        now: Time,
    ) -> Result<(), WriteError> {
        let slot = self.slot(point)?;
        let live = slot.planned.as_ref().filter(|version| version.is_live(now));
        precondition.check(live)?;
        slot.planned = None;
        slot.body = None;
        Ok(())
    }

    /// Plans the restart of a lifetime.
    pub(super) fn refresh(
        &mut self,
        point: PointId,
        now: Time,
    ) -> Result<Option<Version>, StoreError> {
        let slot = self.slot(point)?;
        let refreshed = slot
            .planned
            .as_ref()
            .and_then(|version| version.refreshed(now));
        if refreshed.is_some() {
            slot.planned.clone_from(&refreshed);
        }
        Ok(refreshed)
    }

    /// What changes, item by item.
    pub(super) fn changes(&self) -> impl Iterator<Item = Change<'_>> {
        self.slots.iter().filter_map(|(point, slot)| {
            let before = slot.stored.as_ref().ok()?.as_ref();
            let after = slot.planned.as_ref();
            let Slot { tenant, id, .. } = slot;
            (before != after).then_some(Change {
                point: *point,
                tenant,
                id,
                before,
                after,
            })
        })
    }

    /// What the engine has to do.
    pub(super) fn operations(&self) -> Vec<UpdateOperation> {
        let mut upserts = Vec::new();
        let mut deletes = Vec::new();
        let mut refreshes: BTreeMap<Time, Vec<EngineId>> = BTreeMap::new();
        for change in self.changes() {
            let point = EngineId::Uuid(change.point.0);
            let body = self
                .slots
                .get(&change.point)
                .and_then(|slot| slot.body.as_ref());
            match (change.after, body) {
                (None, _) => deletes.push(point),
                (Some(version), Some(body)) => {
                    upserts.push(encode(change.tenant, change.id, version, body));
                }
                (Some(version), None) => {
                    if let Some(expiry) = version.expire_time {
                        refreshes.entry(expiry).or_default().push(point);
                    }
                }
            }
        }
        let mut operations = Vec::new();
        if !upserts.is_empty() {
            let points = PointInsertOperations::PointsList(upserts);
            operations.push(UpdateOperation::PointOperation(
                PointOperations::UpsertPoints(points),
            ));
        }
        if !deletes.is_empty() {
            operations.push(delete_points(deletes));
        }
        for (expiry, points) in refreshes {
            let payload = Map::from_iter([(EXPIRE_TIME.to_owned(), expiry.micros().into())]);
            operations.push(UpdateOperation::PayloadOperation(PayloadOps::SetPayload(
                SetPayloadOp {
                    payload: Payload(payload),
                    points: Some(points),
                    filter: None,
                    key: None,
                },
            )));
        }
        operations
    }

    /// The items of the plan, to look up what became of them.
    pub(super) fn points(&self) -> HashSet<PointId> {
        self.slots.keys().copied().collect()
    }
}

/// The operation that removes points.
pub(super) fn delete_points(ids: Vec<EngineId>) -> UpdateOperation {
    UpdateOperation::PointOperation(PointOperations::DeletePoints { ids })
}
