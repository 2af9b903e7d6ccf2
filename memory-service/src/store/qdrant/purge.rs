//! Removal of many items, so that each is counted by exactly one of those who remove it.

use std::{collections::HashSet, time::Duration};

use service_runtime::Tenant;

use super::{
    connection::Connection,
    filter::{filter, unchanged},
    point::{NOT_REMOVED, Stored, own_id, remains},
    query::{scroll, stored, without_value},
    swap::{Lost, Swap, TRIES, contended, delete, still_lost, swap},
};
use crate::{
    domain::{Etag, NamespacePrefix, Time},
    store::{PointId, StoreError, selection::Selection},
};

/// Items that are removed at once.
const CHUNK: u32 = 512;

/// How long what is left of a removed item is kept: much longer than a write takes that may still
/// look for what became of it, clocks that differ included.
const GRACE: Duration = Duration::from_secs(5 * 60);

/// Removes everything under a prefix; how many items there were that had not expired.
pub(super) async fn remove_under(
    connection: &Connection,
    tenant: &Tenant,
    prefix: &NamespacePrefix,
    now: Time,
) -> Result<u64, StoreError> {
    let selection = Selection::live_under(tenant, prefix, NOT_REMOVED);
    let all = |_: &Stored| true;
    let live = |stored: &Stored| stored.head.version.is_live(now);
    remove(connection, selection, now, all, live).await
}

/// Removes what has expired; how many items.
pub(super) async fn remove_expired(connection: &Connection, now: Time) -> Result<u64, StoreError> {
    let selection = Selection {
        live_at: Some(NOT_REMOVED),
        ..Selection::expired(now)
    };
    let expired = |stored: &Stored| !stored.head.version.is_live(now);
    remove(connection, selection, now, expired, expired).await
}

/// Removes those that are `wanted` of what is selected; how many of them `count`.
async fn remove(
    connection: &Connection,
    selection: Selection,
    now: Time,
    wanted: impl Fn(&Stored) -> bool,
    counts: impl Fn(&Stored) -> bool,
) -> Result<u64, StoreError> {
    let (mut counted, mut from) = (0, None);
    loop {
        let page = filter(&selection);
        let (points, next) = scroll(connection, page, false.into(), from, CHUNK).await?;
        let points: Result<Vec<_>, _> = points.into_iter().map(|point| own_id(point.id)).collect();
        counted += remove_chunk(connection, points?, now, &wanted, &counts).await?;
        if next.is_none() {
            return Ok(counted);
        }
        from = next;
    }
}

async fn remove_chunk(
    connection: &Connection,
    mut points: Vec<PointId>,
    now: Time,
    wanted: impl Fn(&Stored) -> bool,
    counts: impl Fn(&Stored) -> bool,
) -> Result<u64, StoreError> {
    let (mut counted, mut lost) = (0, Lost::new());
    let mut counting = HashSet::new();
    for _ in 0..TRIES {
        let known = stored(connection, &points).await?;
        let before = lost.clone();
        still_lost(&mut lost, &known)?;
        let happened = |point: &&PointId| !lost.contains_key(point);
        counted += before
            .keys()
            .filter(happened)
            .filter(|point| counting.contains(*point))
            .count();
        counting.clear();
        let mut swaps = Vec::new();
        for (point, stored) in known {
            let stored = stored?;
            if stored.removed.is_some() || !wanted(&stored) {
                continue;
            }
            if counts(&stored) {
                counting.insert(point);
            }
            let etag = Etag::fresh();
            swaps.push(Swap {
                point,
                after: remains(&stored, etag, now),
                before: Some(stored),
                etag,
            });
        }
        if swaps.is_empty() {
            return Ok(counted as u64);
        }
        lost = swap(connection, Vec::new(), swaps).await?;
        counted += counting
            .iter()
            .filter(|point| !lost.contains_key(point))
            .count();
        if lost.is_empty() {
            return Ok(counted as u64);
        }
        points = lost.keys().copied().collect();
    }
    Err(contended())
}

/// Deletes what is left of items that were removed long enough ago.
pub(super) async fn forget_removed(connection: &Connection, now: Time) -> Result<(), StoreError> {
    let mut from = None;
    loop {
        let removed = filter(&Selection::expired(NOT_REMOVED));
        let (points, next) = scroll(connection, removed, without_value(), from, CHUNK).await?;
        let mut forgotten = Vec::new();
        for point in points {
            let id = own_id(point.id)?;
            let stored = Stored::decode(point.payload)?;
            if stored.removed.is_some_and(|then| now.since(then) >= GRACE) {
                forgotten.push((id, stored.head.version));
            }
        }
        if !forgotten.is_empty() {
            let versions = forgotten.iter().map(|(point, version)| (*point, version));
            delete(connection, unchanged(versions)).await?;
        }
        if next.is_none() {
            return Ok(());
        }
        from = next;
    }
}
