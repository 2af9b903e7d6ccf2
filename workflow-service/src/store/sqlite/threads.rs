//! Statements on `threads` and `checkpoints`.

use rusqlite::{Connection, OptionalExtension as _, Row, params};
use service_runtime::Tenant;
use weft_worker::Json;

use super::{
    StoreError,
    blobs::{self, text_of},
    questions,
    rows::{self, JsonText, typed},
};
use crate::{
    domain::{Checkpoint, CheckpointId, Thread, ThreadId, ThreadState, Timestamp},
    store::ThreadPosition,
};

/// State of the thread `t`: that of its run under way or waiting, else that of its last one.
const STATE: &str = "CASE coalesce( \
      (SELECT state FROM runs WHERE tenant = t.tenant AND thread_id = t.thread_id \
       AND state BETWEEN 2 AND 5), \
      (SELECT state FROM runs WHERE tenant = t.tenant AND thread_id = t.thread_id \
       AND state = 1 LIMIT 1), \
      (SELECT state FROM runs WHERE tenant = t.tenant AND thread_id = t.thread_id \
       ORDER BY run_id DESC LIMIT 1)) \
    WHEN 1 THEN 2 WHEN 2 THEN 2 WHEN 3 THEN 2 WHEN 4 THEN 3 WHEN 5 THEN 4 WHEN 7 THEN 4 \
    ELSE 1 END";

pub(super) fn get(
    db: &Connection,
    tenant: &Tenant,
    id: &ThreadId,
) -> Result<Option<Thread>, StoreError> {
    let row = db
        .prepare_cached(&format!(
            "SELECT thread_id, {STATE}, create_time, update_time, checkpoint_id FROM threads AS t \
             WHERE tenant = ?1 AND thread_id = ?2"
        ))?
        .query_row(params![tenant.as_str(), id], |row| {
            Ok((thread(row)?, row.get::<_, Option<CheckpointId>>(4)?))
        })
        .optional()?;
    let Some((mut thread, newest)) = row else {
        return Ok(None);
    };
    if let Some(newest) = newest {
        thread.checkpoint = checkpoint(db, tenant, id, newest)?;
    }
    if matches!(thread.state, ThreadState::Interrupted | ThreadState::Busy) {
        thread.interrupts = questions::of_thread(db, tenant, id)?;
    }
    Ok(Some(thread))
}

/// Reads a thread, without payloads, from its id, state and times.
fn thread(row: &Row<'_>) -> rusqlite::Result<Thread> {
    let number: i32 = row.get(1)?;
    let state = ThreadState::from_number(number);
    Ok(Thread {
        id: row.get(0)?,
        state: state.ok_or(rusqlite::Error::IntegralValueOutOfRange(1, number.into()))?,
        checkpoint: None,
        interrupts: Vec::new(),
        create_time: row.get(2)?,
        update_time: row.get(3)?,
    })
}

pub(super) fn list(
    db: &Connection,
    tenant: &Tenant,
    states: &[ThreadState],
    before: Option<&ThreadPosition>,
    limit: u32,
) -> Result<Vec<Thread>, StoreError> {
    let numbers: Vec<i32> = states.iter().map(|state| *state as i32).collect();
    let threads = db
        .prepare_cached(&format!(
            "SELECT thread_id, {STATE} AS thread_state, create_time, update_time \
             FROM threads AS t WHERE tenant = ?1 \
             AND (?2 IS NULL OR (update_time, thread_id) < (?2, ?3)) \
             AND (?4 = '[]' OR thread_state IN (SELECT value FROM json_each(?4))) \
             ORDER BY update_time DESC, thread_id DESC LIMIT ?5"
        ))?
        .query_map(
            params![
                tenant.as_str(),
                before.map(|position| position.update_time),
                before.map(|position| position.id.as_str()),
                typed(&numbers)?,
                limit
            ],
            thread,
        )?
        .collect::<Result<_, _>>()?;
    Ok(threads)
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

/// The newest checkpoint of a thread, if it has one.
pub(super) fn newest(
    db: &Connection,
    tenant: &Tenant,
    id: &ThreadId,
) -> Result<Option<CheckpointId>, StoreError> {
    let newest: Option<Option<CheckpointId>> = db
        .prepare_cached("SELECT checkpoint_id FROM threads WHERE tenant = ?1 AND thread_id = ?2")?
        .query_row(params![tenant.as_str(), id], |row| row.get(0))
        .optional()?;
    Ok(newest.flatten())
}

/// Makes sure that a thread exists, and notes that something happens on it.
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

/// What a checkpoint gives to the run that builds on it.
pub(super) fn saved(
    db: &Connection,
    tenant: &Tenant,
    thread: &ThreadId,
    id: CheckpointId,
) -> Result<Json, StoreError> {
    let saved = db
        .prepare_cached(concat!(
            "SELECT ",
            text_of!("saved"),
            " FROM checkpoints WHERE tenant = ?1 AND thread_id = ?2 AND checkpoint_id = ?3"
        ))?
        .query_row(params![tenant.as_str(), thread, id], |row| {
            Ok(row.get::<_, JsonText>(0)?.0)
        })
        .optional()?;
    // A run would take it for a first one.
    saved.ok_or_else(|| StoreError::Corrupt(format!("thread {thread} has lost {id}").into()))
}

/// Adds a checkpoint as the newest one of its thread, and returns it. It is given another id if its
/// own is not the greatest there: the clock may have been set back since the last one was written.
pub(super) fn add_checkpoint(
    db: &Connection,
    tenant: &Tenant,
    mut checkpoint: Checkpoint,
) -> Result<Checkpoint, StoreError> {
    let mut become_newest = db.prepare_cached(
        "UPDATE threads SET checkpoint_id = ?3, update_time = ?4 \
         WHERE tenant = ?1 AND thread_id = ?2 AND (checkpoint_id IS NULL OR checkpoint_id < ?3)",
    )?;
    let mut is_newest = |id| {
        become_newest.execute(params![
            tenant.as_str(),
            checkpoint.thread_id,
            id,
            checkpoint.create_time
        ])
    };
    if is_newest(checkpoint.id)? == 0 {
        let newest: CheckpointId = db
            .prepare_cached(
                "SELECT checkpoint_id FROM threads WHERE tenant = ?1 AND thread_id = ?2",
            )?
            .query_row(params![tenant.as_str(), checkpoint.thread_id], |row| {
                row.get(0)
            })?;
        let next = newest.next();
        is_newest(next)?;
        checkpoint.id = next;
    }
    insert_checkpoint(db, tenant, &checkpoint)?;
    Ok(checkpoint)
}

pub(super) fn insert_checkpoint(
    db: &Connection,
    tenant: &Tenant,
    checkpoint: &Checkpoint,
) -> Result<(), StoreError> {
    let value = blobs::keep(db, checkpoint.value.get())?;
    let saved = blobs::keep(db, checkpoint.saved.get())?;
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
        value,
        saved,
        checkpoint.source.name(),
        checkpoint.create_time,
    ])?;
    Ok(())
}

/// Makes the newest checkpoint that is left the newest one of its thread.
pub(super) fn find_newest(
    db: &Connection,
    tenant: &Tenant,
    id: &ThreadId,
) -> Result<(), StoreError> {
    db.prepare_cached(
        "UPDATE threads SET checkpoint_id = (SELECT max(checkpoint_id) FROM checkpoints \
         WHERE tenant = ?1 AND thread_id = ?2) WHERE tenant = ?1 AND thread_id = ?2",
    )?
    .execute(params![tenant.as_str(), id])?;
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
