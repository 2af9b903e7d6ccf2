//! Claiming runs: what makes them RUNNING.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, params};
use service_runtime::Tenant;
use weft_worker::Failure;

use super::{
    Dispatch, EntrypointVersion, Fence, StoreError, journal, parent, questions,
    queue::{ORDER, QUEUED_OF_THREAD},
    rows::{self, typed},
    runs, threads,
    writer::in_savepoint,
};
use crate::{
    domain::{CheckpointId, Durability, RunId, RunState, ThreadId, Timestamp, Transition},
    store::Claimed,
};

/// Hands a run to a worker.
pub(super) fn one(db: &Connection, id: RunId, now: Timestamp) -> Result<Dispatch, StoreError> {
    questions::record_answers(db, id, now)?;
    let (next_sequence, _) = journal::next_numbers(db, id)?;
    let claimed = db
        .prepare_cached(&format!(
            "UPDATE runs SET state = ?2, epoch = epoch + 1, attempt = attempt + 1, \
             start_time = coalesce(start_time, ?3), update_time = ?3, wake_time = NULL, \
             cancel_reason = NULL, cancel_time = NULL, \
             failure = NULL, last_sequence = max(last_sequence + 1, ?4), \
             start_sequence = coalesce(start_sequence, max(last_sequence + 1, ?4)), \
             {} WHERE run_id = ?1 AND {} \
             RETURNING epoch, parent_id, timeout, executed, retries, durability",
            parent::SETTLE,
            rows::in_states_that(Transition::Start)
        ))?
        .query_row(params![id, RunState::Running, now, next_sequence], |row| {
            Ok((
                row.get::<_, i64>(0)?,
                row.get::<_, Option<CheckpointId>>(1)?,
                row.get::<_, Option<i64>>(2)?,
                row.get::<_, i64>(3)?,
                row.get::<_, u32>(4)?,
                row.get::<_, Durability>(5)?,
            ))
        })
        .optional()?;
    let (epoch, parent, timeout, executed, retries, durability) =
        claimed.ok_or(StoreError::Fenced)?;
    let tenant = runs::tenant_of(db, id)?;
    let run = runs::get_stored(db, id)?;
    let previous = match parent {
        Some(parent) => Some(threads::saved(db, &tenant, &run.thread_id, parent)?),
        None => None,
    };
    let journal = if run.attempt > 1 {
        journal::of_run(db, id)?
    } else {
        Vec::new()
    };
    let micros = |micros: i64| Duration::from_micros(u64::try_from(micros).unwrap_or_default());
    Ok(Dispatch {
        tenant,
        fence: Fence { run_id: id, epoch },
        previous,
        journal,
        timeout: timeout.map(micros),
        remaining: timeout.map(|timeout| micros(timeout - executed)),
        retries,
        durability,
        run,
    })
}

pub(super) fn many(
    db: &Connection,
    hosted: &[EntrypointVersion],
    limit: u32,
    now: Timestamp,
) -> Result<Claimed, StoreError> {
    let hosted: Vec<(&str, &str)> = hosted
        .iter()
        .map(|entrypoint| (&*entrypoint.name, &*entrypoint.version))
        .collect();
    // Runs that wait for a timer hold their threads; queued ones must find theirs free.
    let ids = db
        .prepare_cached(&format!(
            "WITH hosted AS (SELECT value ->> 0 AS name, value ->> 1 AS version \
                             FROM json_each(?1)) \
             SELECT run_id FROM runs WHERE wake_time <= ?2 AND state IN (3, 4) \
             AND (entrypoint, version) IN hosted \
             UNION ALL \
             SELECT run_id FROM runs AS queued WHERE state = 1 \
             AND (wake_time IS NULL OR wake_time <= ?2) AND (entrypoint, version) IN hosted \
             AND NOT EXISTS (SELECT 1 FROM runs WHERE tenant = queued.tenant \
                             AND thread_id = queued.thread_id AND state BETWEEN 2 AND 5) \
             AND NOT EXISTS (SELECT 1 FROM runs WHERE tenant = queued.tenant \
                             AND thread_id = queued.thread_id AND state = 1 \
                             AND ({ORDER}) < (queued.attempt = 0 OR queued.parent_by = 0, \
                                              queued.goes_first = 0, queued.run_id)) \
             ORDER BY run_id LIMIT ?3"
        ))?
        .query_map(params![typed(&hosted)?, now, limit], |row| row.get(0))?
        .collect::<Result<Vec<RunId>, _>>()?;
    let mut dispatches = Vec::with_capacity(ids.len());
    for id in ids {
        dispatches.extend(one_if_readable(db, id, now)?);
    }
    let next_wake = db
        .prepare_cached(
            "SELECT min(wake_time) FROM runs WHERE wake_time > ?1 AND state IN (1, 3, 4)",
        )?
        .query_row([now], |row| row.get(0))?;
    Ok(Claimed {
        dispatches,
        next_wake,
    })
}

/// Hands a run to a worker. One that cannot be read is paused, so that it does not stand in the way
/// of the others.
fn one_if_readable(
    db: &Connection,
    id: RunId,
    now: Timestamp,
) -> Result<Option<Dispatch>, StoreError> {
    match in_savepoint(db, |db| one(db, id, now)) {
        Err(StoreError::Corrupt(cause)) => {
            pause_unreadable(db, id, &cause, now)?;
            Ok(None)
        }
        claimed => claimed.map(Some),
    }
}

/// Pauses a run that cannot be handed to a worker because of what is stored of it.
fn pause_unreadable(
    db: &Connection,
    id: RunId,
    cause: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    tracing::error!(run_id = %id, %cause, "what is stored of a run cannot be read; it is paused");
    let paused = RunState::Running.apply(Transition::Pause);
    let paused = paused.map_err(|error| StoreError::Corrupt(error.to_string().into()))?;
    let failure = Failure::new(
        "STORED_DATA_CORRUPT",
        "what is stored of the run cannot be read; the service's log says what",
    );
    db.prepare_cached(
        "UPDATE runs SET state = ?2, failure = ?3, wake_time = NULL, update_time = ?4, \
         last_sequence = last_sequence + 1 WHERE run_id = ?1",
    )?
    .execute(params![id, paused, typed(&failure)?, now])?;
    Ok(())
}

/// Claims the run that has a thread next, if the thread is free and the run is due.
pub(super) fn next_of_thread(
    db: &Connection,
    tenant: &Tenant,
    thread: &ThreadId,
    now: Timestamp,
) -> Result<Option<Dispatch>, StoreError> {
    // Most runs are the only ones of their threads: this is cheap, and what follows is not.
    let is_some_queued = db
        .prepare_cached(QUEUED_OF_THREAD)?
        .exists(params![tenant.as_str(), thread])?;
    if !is_some_queued {
        return Ok(None);
    }
    let next: Option<(RunId, Option<Timestamp>)> = db
        .prepare_cached(&format!(
            "SELECT run_id, wake_time FROM runs WHERE tenant = ?1 AND thread_id = ?2 AND state = 1 \
             AND NOT EXISTS (SELECT 1 FROM runs WHERE tenant = ?1 AND thread_id = ?2 \
                             AND state BETWEEN 2 AND 5) \
             ORDER BY {ORDER} LIMIT 1"
        ))?
        .query_row(params![tenant.as_str(), thread], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()?;
    match next {
        Some((id, wake_time)) if wake_time.is_none_or(|time| time <= now) => {
            one_if_readable(db, id, now)
        }
        Some(_) | None => Ok(None),
    }
}
