//! What the writer does between batches, all by itself.

use super::{
    archive::restore,
    purge::{self, Gone, Removed},
    renewal,
    shared::Shared,
    writer::Reply,
};
use crate::{
    domain::Time,
    store::{PointId, archive::Record, index::Stage},
};

/// What is done between batches of writes, all by itself.
pub(super) enum Apart {
    Purge {
        points: Vec<PointId>,
        gone: Gone,
        now: Time,
        reply: Reply<Removed>,
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

impl Apart {
    /// Does it, and tells the caller.
    pub(super) fn run(self, shared: &Shared) {
        // Nobody to tell: the caller has gone.
        match self {
            Self::Purge {
                points,
                gone,
                now,
                reply,
            } => drop(reply.send(purge::remove(shared, &points, gone, now))),
            Self::Restore { records, reply } => drop(reply.send(restore(shared, records))),
            Self::Index { records, reply } => drop(reply.send(renewal::index(shared, records))),
            Self::Forget { gone, reply } => drop(reply.send(renewal::forget(shared, &gone))),
            Self::Advance { reply } => drop(reply.send(renewal::advance(shared))),
        }
    }
}
