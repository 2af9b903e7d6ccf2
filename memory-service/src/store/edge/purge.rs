//! The removal of many items, a few at a time, so that other writes come in between.
//!
//! Which ones they are is found out in the registry: the engine holds writers up for as long as it
//! looks for them. The writer only looks whether they are still to go.

use std::ops::AddAssign;

use service_runtime::Tenant;

use super::{
    EdgeStore,
    apart::Apart,
    filter::engine_ids,
    operations::delete_points,
    query,
    registry::Mortal,
    renewal,
    shared::{Growth, Shared},
    writer::Command,
};
use crate::{
    domain::{ItemId, NamespacePrefix, Time},
    store::{
        PointId, StoreError,
        point::{Head, point_id},
    },
};

/// Most items that are removed before other writes have their turn.
const CHUNK: usize = 256;

/// Which items are to go.
#[derive(Clone, Copy, Debug)]
pub(super) enum Gone {
    /// All that are named.
    Named,
    /// Those that have expired by then, unless they were put anew meanwhile.
    ExpiredBy(Time),
}

/// What was removed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Removed {
    /// Items that had not expired.
    pub(super) live: u64,
    /// Items that had.
    pub(super) expired: u64,
}

impl AddAssign for Removed {
    fn add_assign(&mut self, more: Self) {
        self.live += more.live;
        self.expired += more.expired;
    }
}

impl EdgeStore {
    /// Removes everything under a prefix.
    pub(super) async fn remove_under(
        &self,
        tenant: &Tenant,
        prefix: &NamespacePrefix,
        now: Time,
    ) -> Result<Removed, StoreError> {
        let next = |after: Option<&ItemId>| {
            let registry = self.shared.registry();
            registry.names(tenant, prefix, after, CHUNK)
        };
        let place = |name: &ItemId| point_id(tenant, name);
        self.remove_chunks(next, place, Gone::Named, now).await
    }

    /// Removes what has expired, of all tenants.
    pub(super) async fn remove_expired(&self, now: Time) -> Result<Removed, StoreError> {
        let next = |after: Option<&Mortal>| {
            let registry = self.shared.registry();
            registry.expired(now, after.copied(), CHUNK)
        };
        let place = |(_, point): &Mortal| *point;
        self.remove_chunks(next, place, Gone::ExpiredBy(now), now)
            .await
    }

    /// Removes chunk after chunk of what `next` names after the last one of the chunk before.
    async fn remove_chunks<N>(
        &self,
        next: impl Fn(Option<&N>) -> Vec<N>,
        place: impl Fn(&N) -> PointId,
        gone: Gone,
        now: Time,
    ) -> Result<Removed, StoreError> {
        let (mut removed, mut after, mut gate) = (Removed::default(), None, None);
        loop {
            let mut chunk = next(after.as_ref());
            let are_many = chunk.len() == CHUNK;
            if are_many && gate.is_none() {
                gate = Some(self.shared.litter.hold_off().await);
            }
            let points = chunk.iter().map(&place).collect();
            removed += self.remove(points, gone, now).await?;
            if !are_many {
                return Ok(removed);
            }
            after = chunk.pop();
        }
    }

    /// Has the writer remove those of these items that are to go.
    async fn remove(
        &self,
        points: Vec<PointId>,
        gone: Gone,
        now: Time,
    ) -> Result<Removed, StoreError> {
        if points.is_empty() {
            return Ok(Removed::default());
        }
        let purge = move |reply| {
            Command::Apart(Apart::Purge {
                points,
                gone,
                now,
                reply,
            })
        };
        self.commands.ask(purge).await
    }
}

/// Removes those of these items that are there and are to go. Blocks; for the writer's thread.
pub(super) fn remove(
    shared: &Shared,
    points: &[PointId],
    gone: Gone,
    now: Time,
) -> Result<Removed, StoreError> {
    let heads = query::heads(&shared.shard(), points)?;
    let (mut points, mut items) = (Vec::new(), Vec::<Head>::new());
    for (point, head) in heads {
        let head = head?;
        let goes = match gone {
            Gone::Named => true,
            Gone::ExpiredBy(time) => !head.version.is_live(time),
        };
        if goes {
            points.push(point);
            items.push(head);
        }
    }
    if points.is_empty() {
        return Ok(Removed::default());
    }
    shared.check_room(Growth::Little)?;
    renewal::doubt(shared, &points);
    shared.update(delete_points(engine_ids(&points).collect()))?;
    shared.disk.count(points.len(), 0);
    renewal::remove(shared, &points);
    let mut registry = shared.registry_mut();
    for head in &items {
        registry.change(&head.tenant, &head.id, Some(&head.version), None);
    }
    drop(registry);
    shared.litter.add(points.len() as u64);
    shared.acknowledge()?;
    let live = items.iter().filter(|head| head.version.is_live(now));
    let live = live.count() as u64;
    Ok(Removed {
        live,
        expired: items.len() as u64 - live,
    })
}

#[cfg(test)]
#[path = "purge_tests.rs"]
mod tests;
