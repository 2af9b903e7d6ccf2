//! The one task that writes: many puts become one call, and writes of one item that come in at
//! this replica do not get into each other's way.
//!
//! It takes whatever is waiting, up to a bound, and never waits for more. What other replicas write
//! at the same time is found out by the swaps; whoever lost decides anew.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use qdrant_client::qdrant::{PointsUpdateOperation, UpdateMode};
use tokio::sync::mpsc;

use super::{
    command::Command,
    connection::Connection,
    filter::still,
    indexes::Roles,
    point::{encode, remains},
    query::stored,
    registry::{Announced, announcement},
    swap::{Known, Lost, Swap, TRIES, contended, expire_at, still_lost, swap, upsert},
};
use crate::{
    domain::{Etag, Time},
    store::{
        PointId, StoreError,
        plan::{Change, Plan},
        point::{Head, point_id},
    },
};

/// Writes that may wait. More callers than that wait for a place in the queue, within their
/// deadlines.
pub(super) const QUEUE: usize = 1024;

/// Most writes of one call: enough to make the cost of a call disappear.
const BATCH_WRITES: usize = 256;

/// Most bytes of one call, so that a batch of large documents does not hold up small ones for long;
/// an eighth of what servers take.
pub(super) const BATCH_BYTES: usize = 4 << 20;

/// Writes until nobody can ask for it any more.
pub(super) async fn run(
    connection: Arc<Connection>,
    announced: Arc<Announced>,
    mut queue: mpsc::Receiver<Command>,
) {
    while let Some(first) = queue.recv().await {
        let mut bytes = first.bytes();
        let mut commands = vec![first];
        while commands.len() < BATCH_WRITES
            && bytes < BATCH_BYTES
            && let Ok(next) = queue.try_recv()
        {
            bytes += next.bytes();
            commands.push(next);
        }
        write(&connection, &announced, commands).await;
    }
}

async fn write(connection: &Connection, announced: &Announced, mut commands: Vec<Command>) {
    let mut lost = Lost::new();
    for _ in 0..TRIES {
        commands.retain(|command| !command.is_abandoned());
        if commands.is_empty() {
            return;
        }
        match attempt(connection, announced, &mut commands, lost).await {
            Ok(still_lost) => {
                lost = still_lost;
                answer(&mut commands, &lost);
            }
            Err(error) => return fail(commands, &error),
        }
    }
    fail(commands, &contended());
}

/// Answers the commands whose items are not among the lost ones.
fn answer(commands: &mut Vec<Command>, lost: &Lost) {
    for command in commands.extract_if(.., |command| !command.names(lost)) {
        command.answer(Ok(()));
    }
}

fn fail(commands: Vec<Command>, error: &StoreError) {
    for command in commands {
        command.answer(Err(error));
    }
}

/// Decides all commands and does what was decided, unless it turns out that what they decided
/// before was done after all; answers with the swaps that did not happen.
async fn attempt(
    connection: &Connection,
    announced: &Announced,
    commands: &mut Vec<Command>,
    mut lost: Lost,
) -> Result<Lost, StoreError> {
    let mut points = HashSet::new();
    for command in &*commands {
        let (tenant, ids) = command.ids();
        points.extend(ids.iter().map(|id| point_id(tenant, id)));
    }
    let points: Vec<_> = points.into_iter().collect();
    let known = stored(connection, &points).await?;
    let roles = open_to_writes(connection)?;
    if !lost.is_empty() {
        still_lost(&mut lost, &known)?;
        answer(commands, &lost);
    }
    for outdated in commands.extract_if(.., |command| command.is_outdated(roles.stage)) {
        outdated.refuse_outdated();
    }
    let mut plan = Plan::default();
    for command in &*commands {
        let (tenant, ids) = command.ids();
        for id in ids {
            let point = point_id(tenant, id);
            plan.admit(point, tenant, id, head(&known, point).as_ref());
        }
    }
    let mut removals = HashMap::new();
    let mut now = Time::from_micros(0);
    for command in commands {
        command.decide(&mut plan);
        if let Command::Delete(delete) = &*command {
            let point = point_id(&delete.tenant, &delete.request.id);
            removals.insert(point, (delete.request.etag, delete.request.now));
        }
        now = now.max(command.now());
    }
    let decided = Decided {
        plan: &plan,
        known: &known,
        roles: &roles,
        removals: &removals,
        now,
    };
    let lost = apply(connection, announced, decided).await?;
    // Who moved on meanwhile may not see what was written just now.
    open_to_writes(connection)?;
    Ok(lost)
}

/// What the indexes are to this replica, if it may write.
pub(super) fn open_to_writes(connection: &Connection) -> Result<Roles, StoreError> {
    let roles = connection.indexing.roles()?;
    match &roles.foreign {
        None => Ok(roles),
        Some(foreign) => Err(StoreError::Unavailable(format!(
            "the collection is being indexed anew with {foreign}; restart this service with that"
        ))),
    }
}

/// What a plan starts from: the item that is there, and not what is left of one that was removed.
fn head(known: &Known, point: PointId) -> Option<Result<Head, StoreError>> {
    match known.get(&point)? {
        Ok(stored) if stored.removed.is_some() => None,
        Ok(stored) => Some(Ok(stored.head.clone())),
        Err(error) => Some(Err(error.clone())),
    }
}

/// A plan, and what it was made of.
struct Decided<'a> {
    plan: &'a Plan,
    known: &'a Known,
    roles: &'a Roles,
    removals: &'a HashMap<PointId, (Etag, Time)>,
    now: Time,
}

async fn apply(
    connection: &Connection,
    announced: &Announced,
    decided: Decided<'_>,
) -> Result<Lost, StoreError> {
    let Decided {
        plan,
        known,
        roles,
        removals,
        now,
    } = decided;
    let mut namespaces = HashSet::new();
    let mut swaps = Vec::new();
    let mut refreshes: BTreeMap<Time, (Vec<PointId>, Vec<Etag>)> = BTreeMap::new();
    for change in plan.changes() {
        let Change {
            point,
            tenant,
            id,
            before: _,
            after,
            body,
        } = change;
        let before = known.get(&point).and_then(|stored| stored.as_ref().ok());
        match (after, body) {
            (Some(version), Some(body)) => {
                namespaces.insert((tenant.clone(), id.namespace.clone()));
                swaps.push(Swap {
                    point,
                    before: before.cloned(),
                    after: encode(tenant, id, version, body, before, roles),
                    etag: version.etag,
                });
            }
            (Some(version), None) => {
                if let Some(expiry) = version.expire_time {
                    let (points, etags) = refreshes.entry(expiry).or_default();
                    points.push(point);
                    etags.push(version.etag);
                }
            }
            (None, _) => {
                if let (Some(before), Some((etag, removed))) = (before, removals.get(&point)) {
                    swaps.push(Swap {
                        point,
                        before: Some(before.clone()),
                        after: remains(before, *etag, *removed),
                        etag: *etag,
                    });
                }
            }
        }
    }
    let namespaces = announced.stale(namespaces, now);
    let names = namespaces
        .iter()
        .map(|(tenant, namespace)| announcement(tenant, namespace, now));
    let mut first: Vec<PointsUpdateOperation> = upsert(names.collect(), UpdateMode::Upsert, None)
        .into_iter()
        .collect();
    first.extend(refreshes.into_iter().map(|(expiry, (points, etags))| {
        // Whoever writes such an item in between wrote after the refresh.
        expire_at(expiry, still(&points, &etags))
    }));
    let lost = swap(connection, first, swaps).await?;
    announced.remember(namespaces, now);
    Ok(lost)
}
