//! Cancelling runs, and runs whose workers are gone.

use rusqlite::{Connection, params};
use service_runtime::Tenant;
use weft_worker::Failure;

use super::{
    Fence, StoreError, journal,
    rows::{self, typed},
    runs, threads,
};
use crate::domain::{Run, RunId, RunState, Timestamp, Transition, history::SEQUENCES_PER_DISPATCH};

pub(super) fn cancel(
    db: &Connection,
    tenant: &Tenant,
    id: RunId,
    reason: &str,
    now: Timestamp,
) -> Result<Run, StoreError> {
    let run = runs::get(db, tenant, id)?.ok_or(StoreError::NoSuchRun(id))?;
    let Ok(cancelled) = run.state.apply(Transition::Cancel) else {
        return Err(StoreError::WrongState {
            id,
            state: run.state,
            required: "queued, running, waiting, interrupted or paused",
        });
    };
    match run.state {
        RunState::Running => ask_to_stop(db, id, reason, now)?,
        _ => end(db, tenant, &run, cancelled, reason, now)?,
    }
    runs::get_stored(db, id)
}

/// Notes that the dispatch under way can only end CANCELLED. The first reason stands.
fn ask_to_stop(db: &Connection, id: RunId, reason: &str, now: Timestamp) -> Result<(), StoreError> {
    db.prepare_cached(
        "UPDATE runs SET cancel_reason = ?2, cancel_time = ?3 \
         WHERE run_id = ?1 AND cancel_reason IS NULL",
    )?
    .execute(params![id, reason, now])?;
    Ok(())
}

/// Ends a run that no worker executes.
fn end(
    db: &Connection,
    tenant: &Tenant,
    run: &Run,
    cancelled: RunState,
    reason: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    db.prepare_cached("DELETE FROM interrupts WHERE run_id = ?1")?
        .execute([run.id])?;
    let (next_sequence, _) = journal::next_numbers(db, run.id)?;
    let failure = Failure::new(Failure::CANCELLED, reason);
    db.prepare_cached(
        "UPDATE runs SET state = ?2, failure = ?3, end_time = ?4, update_time = ?4, \
         wake_time = iif(attempt = 0, wake_time, NULL), \
         last_sequence = max(last_sequence + 1, ?5) WHERE run_id = ?1",
    )?
    .execute(params![
        run.id,
        cancelled,
        typed(&failure)?,
        now,
        next_sequence
    ])?;
    threads::touch(db, tenant, &run.thread_id, now)
}

pub(super) fn requeue(db: &Connection, fence: Fence) -> Result<Run, StoreError> {
    let (run, tenant, _) = runs::running(db, fence)?.ok_or(StoreError::Fenced)?;
    let now = Timestamp::now();
    db.execute(
        &requeue_sql("run_id = ?4"),
        params![RunState::Queued, SEQUENCES_PER_DISPATCH, now, run.id],
    )?;
    match run.stop {
        Some(stop) => cancel(db, &tenant, run.id, &stop.reason, now),
        None => runs::get_stored(db, run.id),
    }
}

/// Brings the runs on that were under way when the last process ended: those that were to stop are
/// CANCELLED, the others are queued again.
pub(super) fn settle_orphans(db: &Connection) -> Result<(), StoreError> {
    let now = Timestamp::now();
    let transaction = db.unchecked_transaction()?;
    let stopping = db
        .prepare_cached(
            "SELECT run_id, cancel_reason FROM runs WHERE state = ?1 AND cancel_reason IS NOT NULL",
        )?
        .query_map([RunState::Running], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<Vec<(RunId, String)>, _>>()?;
    db.execute(
        &requeue_sql(&rows::in_states_that(Transition::Requeue)),
        params![RunState::Queued, SEQUENCES_PER_DISPATCH, now],
    )?;
    for (id, reason) in stopping {
        cancel(db, &runs::tenant_of(db, id)?, id, &reason, now)?;
    }
    Ok(transaction.commit()?)
}

fn requeue_sql(condition: &str) -> String {
    format!(
        "UPDATE runs SET state = ?1, update_time = ?3, last_sequence = max(last_sequence, \
         coalesce((SELECT max(sequence) + 1 FROM journal WHERE run_id = runs.run_id), 0)) + ?2 \
         WHERE {condition}"
    )
}
