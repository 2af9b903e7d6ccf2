//! Statements on `threads` and `checkpoints`.

use rusqlite::{Connection, OptionalExtension as _, params};
use service_runtime::Tenant;

use super::{StoreError, rows};
use crate::domain::{Checkpoint, CheckpointId, RunState, Thread, ThreadId, ThreadState, Timestamp};

pub(super) fn get(
    db: &Connection,
    tenant: &Tenant,
    id: &ThreadId,
) -> Result<Option<Thread>, StoreError> {
    let row: Option<(Option<CheckpointId>, Timestamp, Timestamp)> = db
        .prepare_cached(
            "SELECT checkpoint_id, create_time, update_time FROM threads \
             WHERE tenant = ?1 AND thread_id = ?2",
        )?
        .query_row(params![tenant.as_str(), id], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .optional()?;
    let Some((newest, create_time, update_time)) = row else {
        return Ok(None);
    };
    let checkpoint = match newest {
        Some(newest) => checkpoint(db, tenant, id, newest)?,
        None => None,
    };
    let state = state(db, tenant, id)?;
    Ok(Some(Thread {
        id: id.clone(),
        state,
        checkpoint,
        create_time,
        update_time,
    }))
}

/// The state of a thread follows from its unfinished runs, else from its last one.
fn state(db: &Connection, tenant: &Tenant, id: &ThreadId) -> Result<ThreadState, StoreError> {
    let mut select = db.prepare_cached(
        "SELECT coalesce( \
           (SELECT state FROM runs \
            WHERE tenant = ?1 AND thread_id = ?2 AND state IN (2, 3, 4, 5)), \
           (SELECT state FROM runs WHERE tenant = ?1 AND thread_id = ?2 AND state = 1 LIMIT 1), \
           (SELECT state FROM runs WHERE tenant = ?1 AND thread_id = ?2 \
            ORDER BY run_id DESC LIMIT 1))",
    )?;
    let state: Option<RunState> =
        select.query_row(params![tenant.as_str(), id], |row| row.get(0))?;
    Ok(match state {
        Some(RunState::Queued | RunState::Running | RunState::Waiting) => ThreadState::Busy,
        Some(RunState::Interrupted) => ThreadState::Interrupted,
        Some(RunState::Failed | RunState::Paused) => ThreadState::Error,
        Some(RunState::Succeeded | RunState::Cancelled) | None => ThreadState::Idle,
    })
}

pub(super) fn checkpoint(
    db: &Connection,
    tenant: &Tenant,
    thread: &ThreadId,
    id: CheckpointId,
) -> Result<Option<Checkpoint>, StoreError> {
    let columns = rows::CHECKPOINT;
    Ok(db
        .prepare_cached(&format!(
            "SELECT {columns} FROM checkpoints \
             WHERE tenant = ?1 AND thread_id = ?2 AND checkpoint_id = ?3"
        ))?
        .query_row(params![tenant.as_str(), thread, id], rows::checkpoint)
        .optional()?)
}

pub(super) fn list_checkpoints(
    db: &Connection,
    tenant: &Tenant,
    thread: &ThreadId,
    before: Option<CheckpointId>,
    limit: u32,
) -> Result<Vec<Checkpoint>, StoreError> {
    let columns = rows::CHECKPOINT;
    let checkpoints = db
        .prepare_cached(&format!(
            "SELECT {columns} FROM checkpoints WHERE tenant = ?1 AND thread_id = ?2 \
             AND (?3 IS NULL OR checkpoint_id < ?3) ORDER BY checkpoint_id DESC LIMIT ?4"
        ))?
        .query_map(
            params![tenant.as_str(), thread, before, limit],
            rows::checkpoint,
        )?
        .collect::<Result<_, _>>()?;
    Ok(checkpoints)
}

/// Makes sure that a thread exists.
pub(super) fn ensure(
    db: &Connection,
    tenant: &Tenant,
    id: &ThreadId,
    now: Timestamp,
) -> Result<(), StoreError> {
    db.prepare_cached(
        "INSERT INTO threads (tenant, thread_id, create_time, update_time) \
         VALUES (?1, ?2, ?3, ?3) ON CONFLICT DO UPDATE SET update_time = ?3",
    )?
    .execute(params![tenant.as_str(), id, now])?;
    Ok(())
}

/// Adds a checkpoint as the newest one of its thread.
pub(super) fn add_checkpoint(
    db: &Connection,
    tenant: &Tenant,
    checkpoint: &Checkpoint,
) -> Result<(), StoreError> {
    db.prepare_cached(
        "INSERT INTO checkpoints (tenant, thread_id, checkpoint_id, parent_id, run_id, value, \
         saved, source, create_time) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?
    .execute(params![
        tenant.as_str(),
        checkpoint.thread_id,
        checkpoint.id,
        checkpoint.parent_id,
        checkpoint.run_id,
        checkpoint.value.get(),
        checkpoint.saved.get(),
        checkpoint.source.name(),
        checkpoint.create_time,
    ])?;
    db.prepare_cached(
        "UPDATE threads SET checkpoint_id = ?3 WHERE tenant = ?1 AND thread_id = ?2",
    )?
    .execute(params![
        tenant.as_str(),
        checkpoint.thread_id,
        checkpoint.id
    ])?;
    Ok(())
}

/// Notes that the state of a thread changed.
pub(super) fn touch(
    db: &Connection,
    tenant: &Tenant,
    id: &ThreadId,
    now: Timestamp,
) -> Result<(), StoreError> {
    db.prepare_cached("UPDATE threads SET update_time = ?3 WHERE tenant = ?1 AND thread_id = ?2")?
        .execute(params![tenant.as_str(), id, now])?;
    Ok(())
}
