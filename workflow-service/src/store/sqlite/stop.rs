//! Cancelling runs, and runs whose workers are gone.

use rusqlite::{Connection, params};
use service_runtime::Tenant;
use weft_worker::Failure;

use super::{
    Fence, NewRun, StoreError, journal, questions, queue,
    rows::{self, typed},
    runs, settle, threads,
};
use crate::domain::{
    Concurrency, Run, RunId, RunState, StopRequest, Timestamp, Transition,
    history::SEQUENCES_PER_DISPATCH,
};

/// Cancel says that runs are to stop.
pub(super) struct Cancel {
    /// Sentence for people.
    pub(super) reason: String,
    /// Whether they are deleted, too.
    pub(super) rolls_back: bool,
}

/// Cancels the unfinished runs of the thread that `new` takes the place of, and returns them as they
/// are then.
pub(super) fn replaced(
    db: &Connection,
    tenant: &Tenant,
    new: &NewRun,
) -> Result<Vec<Run>, StoreError> {
    let to_stop = Cancel {
        reason: format!("run `{}` takes its place", new.id),
        rolls_back: new.concurrency == Concurrency::Rollback,
    };
    queue::unfinished(db, tenant, &new.thread_id)?
        .into_iter()
        .map(|id| cancel(db, tenant, id, &to_stop, new.now))
        .collect()
}

/// Cancels a run, and returns it as it is then, also if it is deleted.
pub(super) fn cancel(
    db: &Connection,
    tenant: &Tenant,
    id: RunId,
    cancel: &Cancel,
    now: Timestamp,
) -> Result<Run, StoreError> {
    let run = runs::get(db, tenant, id)?.ok_or(StoreError::NoSuchRun(id))?;
    let Ok(cancelled) = run.state.apply(Transition::Cancel) else {
        return Err(StoreError::WrongState {
            id,
            state: run.state,
            required: "QUEUED, RUNNING, WAITING, INTERRUPTED or PAUSED",
        });
    };
    if run.state == RunState::Running {
        ask_to_stop(db, id, cancel, now)?;
        return runs::get_stored(db, id);
    }
    end(db, tenant, &run, cancelled, &cancel.reason, now)?;
    let run = runs::get_stored(db, id)?;
    if cancel.rolls_back {
        settle::remove(db, id)?;
    }
    Ok(run)
}

/// Notes that the dispatch under way can only end CANCELLED. The first reason stands, and so does
/// that the run is to be deleted.
fn ask_to_stop(
    db: &Connection,
    id: RunId,
    cancel: &Cancel,
    now: Timestamp,
) -> Result<(), StoreError> {
    db.prepare_cached(
        "UPDATE runs SET cancel_reason = coalesce(cancel_reason, ?2), \
         cancel_time = coalesce(cancel_time, ?3), rolls_back = max(rolls_back, ?4) \
         WHERE run_id = ?1",
    )?
    .execute(params![id, cancel.reason, now, cancel.rolls_back])?;
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
    questions::forget_open(db, run.id)?;
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
        Some(StopRequest {
            reason, rolls_back, ..
        }) => {
            let to_stop = Cancel { reason, rolls_back };
            cancel(db, &tenant, run.id, &to_stop, now)
        }
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
            "SELECT run_id, cancel_reason, rolls_back FROM runs \
             WHERE state = ?1 AND cancel_reason IS NOT NULL",
        )?
        .query_map([RunState::Running], |row| {
            let (reason, rolls_back) = (row.get(1)?, row.get(2)?);
            Ok((row.get(0)?, Cancel { reason, rolls_back }))
        })?
        .collect::<Result<Vec<(RunId, Cancel)>, _>>()?;
    db.execute(
        &requeue_sql(&rows::in_states_that(Transition::Requeue)),
        params![RunState::Queued, SEQUENCES_PER_DISPATCH, now],
    )?;
    for (id, to_stop) in stopping {
        cancel(db, &runs::tenant_of(db, id)?, id, &to_stop, now)?;
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
