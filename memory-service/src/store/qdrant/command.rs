//! What the writer is asked to do, and whom it tells.

use service_runtime::Tenant;
use tokio::sync::oneshot;

use super::swap::Lost;
use crate::{
    domain::{Etag, ItemId, Precondition, Time, Version},
    store::{
        Put, StoreError, WriteError,
        index::{Index, Stage},
        plan::Plan,
        point::point_id,
    },
};

/// A write of one caller.
pub(super) enum Command {
    Put(Box<Asked<Put, Version, WriteError>>),
    Delete(Asked<Delete, (), WriteError>),
    Refresh(Asked<Refresh, Vec<Option<Version>>, StoreError>),
}

/// What is asked for, and the answer as far as it is known.
pub(super) struct Asked<R, T, E> {
    pub(super) tenant: Tenant,
    pub(super) request: R,
    decision: Option<Result<T, E>>,
    reply: oneshot::Sender<Result<T, E>>,
}

/// A delete of one item.
pub(super) struct Delete {
    pub(super) id: ItemId,
    pub(super) precondition: Precondition,
    /// The version that it makes of what is left.
    pub(super) etag: Etag,
    pub(super) now: Time,
}

/// A restart of lifetimes.
pub(super) struct Refresh {
    pub(super) ids: Vec<ItemId>,
    pub(super) now: Time,
}

impl<R, T, E: From<StoreError>> Asked<R, T, E> {
    pub(super) fn new(tenant: Tenant, request: R, reply: oneshot::Sender<Result<T, E>>) -> Self {
        Self {
            tenant,
            request,
            decision: None,
            reply,
        }
    }

    fn answer(self, outcome: Result<(), &StoreError>) {
        let undecided = || StoreError::Internal("a write was not decided".into());
        let answer = match outcome {
            Ok(()) => self.decision.unwrap_or_else(|| Err(undecided().into())),
            Err(error) => Err(error.clone().into()),
        };
        // Nobody to tell: the caller has gone.
        drop(self.reply.send(answer));
    }
}

impl Command {
    /// The items that it names.
    pub(super) fn ids(&self) -> (&Tenant, &[ItemId]) {
        match self {
            Self::Put(put) => (&put.tenant, std::slice::from_ref(&put.request.id)),
            Self::Delete(delete) => (&delete.tenant, std::slice::from_ref(&delete.request.id)),
            Self::Refresh(refresh) => (&refresh.tenant, &refresh.request.ids),
        }
    }

    /// Whether it names an item among the lost ones.
    pub(super) fn names(&self, lost: &Lost) -> bool {
        let (tenant, ids) = self.ids();
        ids.iter()
            .any(|id| lost.contains_key(&point_id(tenant, id)))
    }

    /// About how many bytes it sends.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Put(put) => put.request.bytes(),
            Self::Delete(_) | Self::Refresh(_) => 0,
        }
    }

    /// Whether nobody waits for it any more.
    pub(super) fn is_abandoned(&self) -> bool {
        match self {
            Self::Put(put) => put.reply.is_closed(),
            Self::Delete(delete) => delete.reply.is_closed(),
            Self::Refresh(refresh) => refresh.reply.is_closed(),
        }
    }

    /// Decides on the outcome of the commands before.
    pub(super) fn decide(&mut self, plan: &mut Plan) {
        match self {
            Self::Put(put) => {
                let point = point_id(&put.tenant, &put.request.id);
                put.decision = Some(plan.put(point, put.request.clone()));
            }
            Self::Delete(delete) => {
                let Delete {
                    id,
                    precondition,
                    etag: _,
                    now,
                } = &delete.request;
                let point = point_id(&delete.tenant, id);
                delete.decision = Some(plan.delete(point, precondition, *now));
            }
            Self::Refresh(refresh) => {
                let Refresh { ids, now } = &refresh.request;
                let points = ids.iter().map(|id| point_id(&refresh.tenant, id));
                let refreshed = points.map(|point| plan.refresh(point, *now));
                refresh.decision = Some(refreshed.collect());
            }
        }
    }

    /// The moment at which it was asked for.
    pub(super) fn now(&self) -> Time {
        match self {
            Self::Put(put) => put.request.now,
            Self::Delete(delete) => delete.request.now,
            Self::Refresh(refresh) => refresh.request.now,
        }
    }

    /// Whether it lacks the vectors of an index that it must be in.
    pub(super) fn is_outdated(&self, stage: Stage) -> bool {
        let Self::Put(put) = self else {
            return false;
        };
        let lacks = |index| stage.needs(index) && put.request.vectors.get(index).is_none();
        Index::ALL.into_iter().any(lacks)
    }

    /// Tells the caller of a put that it lacks vectors.
    pub(super) fn refuse_outdated(self) {
        if let Self::Put(put) = self {
            // Nobody to tell: the caller has gone.
            let Asked { reply, .. } = *put;
            drop(reply.send(Err(WriteError::Outdated)));
        }
    }

    /// Tells the caller: what was decided, or why it did not happen.
    pub(super) fn answer(self, outcome: Result<(), &StoreError>) {
        match self {
            Self::Put(put) => put.answer(outcome),
            Self::Delete(delete) => delete.answer(outcome),
            Self::Refresh(refresh) => refresh.answer(outcome),
        }
    }
}
