//! Editing threads: by hand, by copying them, and by deleting what is on them.

use rusqlite::{Connection, OptionalExtension as _, params};
use service_runtime::Tenant;

use super::{StoreError, parent, queue, settle, threads};
use crate::{
    domain::{
        Checkpoint, CheckpointId, CheckpointSource, RunId, Thread, ThreadId, Timestamp,
        checkpoint::CheckpointValues,
    },
    store::Pruned,
};

pub(super) fn update(
    db: &Connection,
    tenant: &Tenant,
    id: &ThreadId,
    parent: Option<CheckpointId>,
    values: CheckpointValues,
    now: Timestamp,
) -> Result<Checkpoint, StoreError> {
    let parent_id = match parent {
        Some(parent) => {
            let found = threads::checkpoint(db, tenant, id, parent)?;
            found.ok_or(StoreError::NoSuchCheckpoint(parent))?;
            Some(parent)
        }
        None => threads::get(db, tenant, id)?
            .and_then(|thread| thread.checkpoint)
            .map(|newest| newest.id),
    };
    parent::require_unused(db, tenant, id, None)?;
    threads::ensure(db, tenant, id, now)?;
    let checkpoint = Checkpoint {
        id: CheckpointId::new(),
        thread_id: id.clone(),
        parent_id,
        run_id: None,
        value: values.value,
        saved: values.saved,
        source: CheckpointSource::Update,
        create_time: now,
    };
    threads::add_checkpoint(db, tenant, checkpoint)
}

pub(super) fn fork(
    db: &Connection,
    tenant: &Tenant,
    id: &ThreadId,
    last: Option<CheckpointId>,
    copy: &ThreadId,
    now: Timestamp,
) -> Result<Thread, StoreError> {
    let original =
        threads::get(db, tenant, id)?.ok_or_else(|| StoreError::NoSuchThread(id.clone()))?;
    if threads::get(db, tenant, copy)?.is_some() {
        return Err(StoreError::ThreadExists(copy.clone()));
    }
    if let Some(last) = last {
        let found = threads::checkpoint(db, tenant, id, last)?;
        found.ok_or(StoreError::NoSuchCheckpoint(last))?;
    }
    let last = last.or(original.checkpoint.map(|newest| newest.id));
    threads::ensure(db, tenant, copy, now)?;
    let line = db
        .prepare_cached(
            "WITH RECURSIVE line (id) AS (VALUES (?3) UNION \
               SELECT parent_id FROM checkpoints, line \
               WHERE tenant = ?1 AND thread_id = ?2 AND checkpoint_id = line.id) \
             SELECT id FROM line WHERE id IS NOT NULL",
        )?
        .query_map(params![tenant.as_str(), id, last], |row| row.get(0))?
        .collect::<Result<Vec<CheckpointId>, _>>()?;
    for of_line in line {
        // The oldest may have been pruned.
        if let Some(original) = threads::checkpoint(db, tenant, id, of_line)? {
            let copied = Checkpoint {
                thread_id: copy.clone(),
                source: CheckpointSource::Fork,
                ..original
            };
            threads::insert_checkpoint(db, tenant, &copied)?;
        }
    }
    threads::find_newest(db, tenant, copy)?;
    threads::get(db, tenant, copy)?.ok_or_else(|| StoreError::NoSuchThread(copy.clone()))
}

pub(super) fn prune(
    db: &Connection,
    tenant: &Tenant,
    id: &ThreadId,
    keep_checkpoints: u32,
) -> Result<Pruned, StoreError> {
    threads::get(db, tenant, id)?.ok_or_else(|| StoreError::NoSuchThread(id.clone()))?;
    let oldest = oldest_kept(db, tenant, id, keep_checkpoints)?;
    let checkpoints = db
        .prepare_cached(
            "DELETE FROM checkpoints WHERE tenant = ?1 AND thread_id = ?2 \
             AND checkpoint_id NOT IN (SELECT checkpoint_id FROM checkpoints \
               WHERE tenant = ?1 AND thread_id = ?2 ORDER BY checkpoint_id DESC LIMIT ?3) \
             AND checkpoint_id NOT IN (SELECT parent_id FROM runs \
               WHERE tenant = ?1 AND thread_id = ?2 AND state IN (1, 2, 3, 4, 5) \
               AND parent_id IS NOT NULL)",
        )?
        .execute(params![tenant.as_str(), id, keep_checkpoints])?;
    db.prepare_cached(
        "UPDATE checkpoints SET parent_id = NULL WHERE tenant = ?1 AND thread_id = ?2 \
         AND parent_id NOT IN (SELECT checkpoint_id FROM checkpoints \
           WHERE tenant = ?1 AND thread_id = ?2)",
    )?
    .execute(params![tenant.as_str(), id])?;
    // A run is as old as what it builds on; one that never began, as its end.
    let runs = db
        .prepare_cached(
            "SELECT run_id FROM runs WHERE tenant = ?1 AND thread_id = ?2 AND state IN (6, 7, 8) \
             AND run_id NOT IN (SELECT run_id FROM checkpoints \
               WHERE tenant = ?1 AND thread_id = ?2 AND run_id IS NOT NULL) \
             AND iif(parent_by = 0, end_time < ?4, parent_id IS NULL OR parent_id < ?3)",
        )?
        .query_map(
            params![
                tenant.as_str(),
                id,
                oldest.map(|(oldest, _)| oldest),
                oldest.map(|(_, time)| time)
            ],
            |row| row.get(0),
        )?
        .collect::<Result<Vec<RunId>, _>>()?;
    runs.iter().try_for_each(|run| settle::remove(db, *run))?;
    Ok(Pruned {
        checkpoints,
        runs: runs.len(),
    })
}

/// The oldest of the newest checkpoints of a thread, and when it was written.
fn oldest_kept(
    db: &Connection,
    tenant: &Tenant,
    id: &ThreadId,
    keep_checkpoints: u32,
) -> Result<Option<(CheckpointId, Timestamp)>, StoreError> {
    Ok(db
        .prepare_cached(
            "SELECT checkpoint_id, create_time FROM (SELECT checkpoint_id, create_time \
               FROM checkpoints WHERE tenant = ?1 AND thread_id = ?2 \
               ORDER BY checkpoint_id DESC LIMIT ?3) ORDER BY checkpoint_id LIMIT 1",
        )?
        .query_row(params![tenant.as_str(), id, keep_checkpoints], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()?)
}

pub(super) fn delete(db: &Connection, tenant: &Tenant, id: &ThreadId) -> Result<(), StoreError> {
    threads::get(db, tenant, id)?.ok_or_else(|| StoreError::NoSuchThread(id.clone()))?;
    if let Some(run) = queue::holder(db, tenant, id)? {
        let thread = id.clone();
        return Err(StoreError::ThreadBusy { thread, run });
    }
    let runs = db
        .prepare_cached("SELECT run_id FROM runs WHERE tenant = ?1 AND thread_id = ?2")?
        .query_map(params![tenant.as_str(), id], |row| row.get(0))?
        .collect::<Result<Vec<RunId>, _>>()?;
    runs.iter().try_for_each(|run| settle::remove(db, *run))?;
    for table in ["checkpoints", "threads"] {
        db.prepare_cached(&format!(
            "DELETE FROM {table} WHERE tenant = ?1 AND thread_id = ?2"
        ))?
        .execute(params![tenant.as_str(), id])?;
    }
    Ok(())
}
