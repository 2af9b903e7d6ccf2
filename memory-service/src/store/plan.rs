//! Many writes, decided together.
//!
//! A plan starts from the versions that are stored, lets writes decide one after the other, each
//! on the outcome of the one before, and says what has to be done so that the last outcome holds.

use std::collections::{HashMap, HashSet};

use service_runtime::Tenant;

use super::{
    PointId, Put, StoreError, WriteError,
    point::{Body, Head},
};
use crate::domain::{ItemId, Precondition, Time, Version};

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
    /// What a put gave it; without one, only its lifetime changes.
    pub(super) body: Option<&'a Body>,
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
            vectors,
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
            vectors,
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
            let Slot {
                tenant, id, body, ..
            } = slot;
            (before != after).then_some(Change {
                point: *point,
                tenant,
                id,
                before,
                after,
                body: body.as_ref(),
            })
        })
    }

    /// The items of the plan, to look up what became of them.
    pub(super) fn points(&self) -> HashSet<PointId> {
        self.slots.keys().copied().collect()
    }
}
