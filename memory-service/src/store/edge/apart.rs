//! What the writer does between batches, all by itself.

use super::{
    archive::restore,
    operations::delete_points,
    query, renewal,
    shared::{Growth, Shared},
    writer::Reply,
};
use crate::{
    domain::Time,
    store::{PointId, StoreError, archive::Record, index::Stage, selection::Selection},
};

/// Most items that a purge removes before other writes have their turn.
const PURGE_CHUNK: usize = 256;

/// What is done between batches of writes, all by itself.
pub(super) enum Apart {
    Purge {
        selection: Selection,
        now: Time,
        reply: Reply<Purged>,
    },
    Restore {
        records: Vec<Record>,
        reply: Reply<u64>,
    },
    Index {
        records: Vec<Record>,
        reply: Reply<()>,
    },
    Forget {
        gone: Vec<PointId>,
        reply: Reply<()>,
    },
    Advance {
        reply: Reply<Stage>,
    },
}

/// What one chunk of a purge removed.
pub(super) struct Purged {
    /// Items that had not expired.
    pub(super) live: u64,
    /// Items that had.
    pub(super) expired: u64,
    /// Whether there may be more.
    pub(super) more: bool,
}

impl Apart {
    /// Does it, and tells the caller.
    pub(super) fn run(self, shared: &Shared) {
        // Nobody to tell: the caller has gone.
        match self {
            Self::Purge {
                selection,
                now,
                reply,
            } => drop(reply.send(purge(shared, &selection, now))),
            Self::Restore { records, reply } => drop(reply.send(restore(shared, records))),
            Self::Index { records, reply } => drop(reply.send(renewal::index(shared, records))),
            Self::Forget { gone, reply } => drop(reply.send(renewal::forget(shared, &gone))),
            Self::Advance { reply } => drop(reply.send(renewal::advance(shared))),
        }
    }
}

fn purge(shared: &Shared, selection: &Selection, now: Time) -> Result<Purged, StoreError> {
    let (found, next) = query::walk(&shared.shard(), selection, None, PURGE_CHUNK)?;
    let live = found
        .iter()
        .filter(|(_, head)| head.version.is_live(now))
        .count() as u64;
    let purged = Purged {
        live,
        expired: found.len() as u64 - live,
        more: next.is_some(),
    };
    if found.is_empty() {
        return Ok(purged);
    }
    shared.check_room(Growth::Little)?;
    let ids: Vec<_> = found.iter().map(|(id, _)| *id).collect();
    let points = ids.iter().map(|id| query::own_id(*id));
    let points: Vec<_> = points.collect::<Result<_, _>>()?;
    renewal::doubt(shared, &points);
    shared.update(delete_points(ids))?;
    shared.disk.count(found.len(), 0);
    renewal::remove(shared, &points);
    let mut registry = shared.registry_mut();
    for (_, head) in &found {
        registry.change(&head.tenant, &head.id, Some(&head.version), None);
    }
    drop(registry);
    shared.litter.add(found.len() as u64);
    shared.acknowledge()?;
    Ok(purged)
}
