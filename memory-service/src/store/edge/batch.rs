//! A batch of writes: each is decided by what is stored and by those before it, all are done as one,
//! and then answered.

use std::panic::{AssertUnwindSafe, catch_unwind};

use service_runtime::Tenant;

use super::{
    operations::operations,
    query, renewal,
    shared::{Growth, Shared},
    writer::{Command, Delete, Reply},
};
use crate::{
    domain::ItemId,
    store::{PointId, StoreError, WriteError, index::Index, plan::Plan, point::point_id},
};

/// Decides and does a batch of writes, then answers them.
pub(super) fn write(shared: &Shared, commands: Vec<Command>) {
    let commands = with_room(shared, commands);
    let commands = up_to_date(shared, commands);
    if commands.is_empty() {
        return;
    }
    let mut plan = match load(shared, &commands) {
        Ok(plan) => plan,
        Err(error) => {
            return commands
                .into_iter()
                .for_each(|command| fail(command, &error));
        }
    };
    let answers: Vec<_> = commands
        .into_iter()
        .map(|command| decide(&mut plan, command))
        .collect();
    let outcome = catch_unwind(AssertUnwindSafe(|| apply(shared, &plan))).unwrap_or_else(|_| {
        Err(StoreError::Internal(
            "the engine panicked in a write".into(),
        ))
    });
    match &outcome {
        Ok(()) => {
            let mut registry = shared.registry_mut();
            let mut removed = 0;
            for change in plan.changes() {
                registry.change(change.tenant, change.id, change.before, change.after);
                removed += u64::from(change.after.is_none());
            }
            drop(registry);
            shared.litter.add(removed);
        }
        Err(error) => {
            tracing::error!(%error, "a write failed");
            shared.seal.doubt();
            if let Err(error) = reconcile(shared, &plan) {
                tracing::error!(%error, "counts of namespaces may be wrong until the next start");
            }
        }
    }
    for answer in answers {
        answer(outcome.clone());
    }
}

/// Those of the commands that there is room for on the disk; the others are refused.
fn with_room(shared: &Shared, commands: Vec<Command>) -> Vec<Command> {
    let Err(full) = shared.check_room(Growth::Much) else {
        return commands;
    };
    let for_others = shared.check_room(Growth::Little);
    let mut others = Vec::new();
    for command in commands {
        match (&command, &for_others) {
            (Command::Put { .. }, _) => fail(command, &full),
            (_, Err(full)) => fail(command, full),
            (_, Ok(())) => others.push(command),
        }
    }
    others
}

/// Those of the commands that can be in all indexes that they must be in; the others are refused.
fn up_to_date(shared: &Shared, mut commands: Vec<Command>) -> Vec<Command> {
    let stage = shared.engines().stage;
    let lacks = |command: &mut Command| match command {
        Command::Put { put, .. } => Index::ALL
            .into_iter()
            .any(|index| stage.needs(index) && put.vectors.get(index).is_none()),
        _ => false,
    };
    for command in commands.extract_if(.., lacks) {
        if let Command::Put { reply, .. } = command {
            let _ = reply.send(Err(WriteError::Outdated));
        }
    }
    commands
}

/// An answer that waits for the outcome of its batch.
type Pending = Box<dyn FnOnce(Result<(), StoreError>)>;

fn decide(plan: &mut Plan, command: Command) -> Pending {
    match command {
        Command::Put { tenant, put, reply } => {
            let decision = plan.put(point_id(&tenant, &put.id), *put);
            pending(reply, decision)
        }
        Command::Delete {
            tenant,
            delete:
                Delete {
                    id,
                    precondition,
                    now,
                },
            reply,
        } => pending(
            reply,
            plan.delete(point_id(&tenant, &id), &precondition, now),
        ),
        Command::Refresh {
            tenant,
            ids,
            now,
            reply,
        } => {
            let refreshed = ids
                .iter()
                .map(|id| plan.refresh(point_id(&tenant, id), now));
            pending(reply, refreshed.collect())
        }
        // It is not part of batches; without an answer, its caller sees a broken store.
        Command::Apart(_) => Box::new(|_| ()),
    }
}

fn pending<T: 'static, E: From<StoreError> + 'static>(
    reply: Reply<T, E>,
    decision: Result<T, E>,
) -> Pending {
    Box::new(move |outcome| {
        let _ = reply.send(match (decision, outcome) {
            (Ok(value), Ok(())) => Ok(value),
            (Ok(_), Err(error)) => Err(error.into()),
            (Err(error), _) => Err(error),
        });
    })
}

fn fail(command: Command, error: &StoreError) {
    match command {
        Command::Put { reply, .. } => drop(reply.send(Err(error.clone().into()))),
        Command::Delete { reply, .. } => drop(reply.send(Err(error.clone().into()))),
        Command::Refresh { reply, .. } => drop(reply.send(Err(error.clone()))),
        Command::Apart(_) => {}
    }
}

/// A plan that knows what is stored of every item that the commands name.
fn load(shared: &Shared, commands: &[Command]) -> Result<Plan, StoreError> {
    let named: Vec<(PointId, &Tenant, &ItemId)> = commands
        .iter()
        .flat_map(|command| {
            let (tenant, ids) = match command {
                Command::Put { tenant, put, .. } => (tenant, std::slice::from_ref(&put.id)),
                Command::Delete { tenant, delete, .. } => {
                    (tenant, std::slice::from_ref(&delete.id))
                }
                Command::Refresh { tenant, ids, .. } => (tenant, ids.as_slice()),
                Command::Apart(_) => return Vec::new(),
            };
            ids.iter()
                .map(|id| (point_id(tenant, id), tenant, id))
                .collect()
        })
        .collect();
    let points: Vec<_> = named.iter().map(|(point, ..)| *point).collect();
    let heads = query::heads(&shared.shard(), &points)?;
    let mut plan = Plan::default();
    for (point, tenant, id) in named {
        plan.admit(point, tenant, id, heads.get(&point));
    }
    Ok(plan)
}

fn apply(shared: &Shared, plan: &Plan) -> Result<(), StoreError> {
    let engines = shared.engines();
    for operation in operations(plan, engines.stage.searched()) {
        shared.update(operation)?;
    }
    renewal::follow(shared, &engines, plan);
    shared.acknowledge()
}

/// Brings the registry in line with what a failed write left behind.
fn reconcile(shared: &Shared, plan: &Plan) -> Result<(), StoreError> {
    let points: Vec<_> = plan.points().into_iter().collect();
    renewal::doubt(shared, &points);
    let heads = query::heads(&shared.shard(), &points)?;
    let mut registry = shared.registry_mut();
    for change in plan.changes() {
        let found = match heads.get(&change.point) {
            Some(head) => Some(&head.as_ref().map_err(Clone::clone)?.version),
            None => None,
        };
        registry.change(change.tenant, change.id, change.before, found);
    }
    Ok(())
}
