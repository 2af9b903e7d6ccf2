//! Ending dispatches: how runs leave RUNNING.

use std::sync::Arc;

use rusqlite::{Connection, params};
use service_runtime::Tenant;
use weft_worker::{Failure, protocol::Question};

use super::{
    Fence, Rest, RestedRun, StoreError, blobs, cache, claim, journal,
    rows::{self, typed},
    runs, threads,
};
use crate::{
    domain::{
        Checkpoint, CheckpointId, CheckpointSource, Interrupt, Origin, Run, RunId, RunState,
        Timestamp, Transition, history::SEQUENCES_PER_DISPATCH,
    },
    store::RunEnd,
};

pub(super) fn rest(
    db: &Connection,
    fence: Fence,
    rest: Rest,
    claim_next: bool,
) -> Result<RestedRun, StoreError> {
    let (mut run, tenant, parent) = runs::running(db, fence)?.ok_or(StoreError::Fenced)?;
    run.state = run
        .state
        .apply(rest.end.transition())
        .map_err(|_| StoreError::Fenced)?;
    run.last_sequence = rest.last_sequence;
    run.update_time = rest.now;
    run.end_time = run.state.is_final().then_some(rest.now);
    let checkpoint = end(db, &tenant, &mut run, parent, &rest)?;
    let retries = i32::from(matches!(rest.end, RunEnd::Retrying { .. }));
    let output = run.output.as_ref().map(|output| output.get());
    let output = output.map(|output| blobs::keep(db, output)).transpose()?;
    db.prepare_cached(
        "UPDATE runs SET state = ?2, output = ?3, failure = ?4, checkpoint_id = ?5, \
         last_sequence = ?6, end_time = ?7, update_time = ?8, wake_time = ?9, \
         executed = executed + ?10, retries = retries + ?11, cached = ?12 WHERE run_id = ?1",
    )?
    .execute(params![
        run.id,
        run.state,
        output,
        run.failure.as_ref().map(typed).transpose()?,
        run.checkpoint_id,
        run.last_sequence,
        run.end_time,
        run.update_time,
        run.wake_time,
        runs::micros(rest.executed),
        retries,
        run.is_cached,
    ])?;
    let next = match claim_next && run.state.is_final() {
        true => claim::next_of_thread(db, &tenant, &run.thread_id, rest.now)?,
        false => None,
    };
    Ok(RestedRun {
        run,
        checkpoint,
        next: next.map(Box::new),
    })
}

/// Notes in the run how its dispatch ended, and on its thread: the checkpoint, if there is one.
fn end(
    db: &Connection,
    tenant: &Tenant,
    run: &mut Run,
    parent: Option<CheckpointId>,
    rest: &Rest,
) -> Result<Option<Checkpoint>, StoreError> {
    match &rest.end {
        RunEnd::Succeeded { values, origin } => {
            if let Origin::Executed(Some(entry)) = origin {
                let saved = Some(&values.saved);
                cache::put(db, run.id, None, entry, &values.value, saved, rest.now)?;
            }
            let checkpoint = Checkpoint {
                id: CheckpointId::new(),
                thread_id: run.thread_id.clone(),
                parent_id: parent,
                run_id: Some(run.id),
                value: Arc::clone(&values.value),
                saved: Arc::clone(&values.saved),
                source: CheckpointSource::Run,
                create_time: rest.now,
            };
            let checkpoint = threads::add_checkpoint(db, tenant, checkpoint)?;
            run.output = Some(Arc::clone(&values.value));
            run.is_cached = *origin == Origin::Cache;
            run.checkpoint_id = Some(checkpoint.id);
            return Ok(Some(checkpoint));
        }
        RunEnd::Failed(failure) | RunEnd::Cancelled(failure) | RunEnd::Paused(failure) => {
            run.failure = Some(failure.clone());
        }
        RunEnd::Interrupted {
            questions,
            wake_time,
        } => {
            run.interrupts = ask(db, run.id, questions)?;
            run.wake_time = *wake_time;
        }
        RunEnd::Waiting { wake_time } => run.wake_time = Some(*wake_time),
        RunEnd::Retrying { failure, wake_time } => {
            journal::forget_failures(db, run.id, failure)?;
            run.failure = Some(failure.clone());
            run.wake_time = Some(*wake_time);
        }
    }
    threads::touch(db, tenant, &run.thread_id, rest.now)?;
    Ok(None)
}

/// Replaces the open questions of a run: as they are read.
fn ask(db: &Connection, run: RunId, questions: &[Question]) -> Result<Vec<Interrupt>, StoreError> {
    db.prepare_cached("DELETE FROM interrupts WHERE run_id = ?1")?
        .execute([run])?;
    let mut insert = db.prepare_cached(
        "INSERT INTO interrupts (run_id, call_id, task, asked_by, input_hash, value) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    for Question {
        call,
        asked_by,
        value,
    } in questions
    {
        insert.execute(params![
            run,
            call.id.as_str(),
            &*call.task,
            asked_by.as_deref(),
            call.input_hash,
            blobs::keep(db, value.get())?,
        ])?;
    }
    runs::interrupts(db, run)
}

pub(super) fn requeue(db: &Connection, fence: Fence) -> Result<(), StoreError> {
    journal::require_running(db, fence)?;
    db.execute(
        &requeue_sql("run_id = ?4"),
        params![
            RunState::Queued,
            SEQUENCES_PER_DISPATCH,
            Timestamp::now(),
            fence.run_id
        ],
    )?;
    Ok(())
}

/// Brings the runs on that were under way when the last process ended: those that were to stop are
/// CANCELLED, the others are queued again.
pub(super) fn settle_orphans(db: &Connection) -> Result<(), StoreError> {
    let now = Timestamp::now();
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
        let tenant = runs::tenant_of(db, id)?;
        let failure = Failure::new(Failure::CANCELLED, reason);
        cancel(db, &tenant, id, &failure, now)?;
    }
    Ok(())
}

pub(super) fn note_cancel(
    db: &Connection,
    tenant: &Tenant,
    id: RunId,
    reason: &str,
) -> Result<(), StoreError> {
    db.prepare_cached(
        "UPDATE runs SET cancel_reason = ?3 WHERE run_id = ?1 AND tenant = ?2 AND state = ?4",
    )?
    .execute(params![id, tenant.as_str(), reason, RunState::Running])?;
    Ok(())
}

fn requeue_sql(condition: &str) -> String {
    format!(
        "UPDATE runs SET state = ?1, update_time = ?3, last_sequence = max(last_sequence, \
         coalesce((SELECT max(sequence) + 1 FROM journal WHERE run_id = runs.run_id), 0)) + ?2 \
         WHERE {condition}"
    )
}

pub(super) fn cancel(
    db: &Connection,
    tenant: &Tenant,
    id: RunId,
    failure: &Failure,
    now: Timestamp,
) -> Result<Run, StoreError> {
    let run = runs::get(db, tenant, id)?.ok_or(StoreError::NoSuchRun(id))?;
    let state = match run.state {
        // Its worker has to be told first.
        RunState::Running => None,
        state => state.apply(Transition::Cancel).ok(),
    };
    let required = "queued, running, waiting, interrupted or paused";
    let state = state.ok_or(StoreError::WrongState {
        id,
        state: run.state,
        required,
    })?;
    db.prepare_cached("DELETE FROM interrupts WHERE run_id = ?1")?
        .execute([id])?;
    let (next_sequence, _) = journal::next_numbers(db, id)?;
    db.prepare_cached(
        "UPDATE runs SET state = ?2, failure = ?3, end_time = ?4, update_time = ?4, \
         wake_time = iif(attempt = 0, wake_time, NULL), \
         last_sequence = max(last_sequence + 1, ?5) WHERE run_id = ?1",
    )?
    .execute(params![id, state, typed(failure)?, now, next_sequence])?;
    threads::touch(db, tenant, &run.thread_id, now)?;
    runs::get_stored(db, id)
}

pub(super) fn delete(db: &Connection, tenant: &Tenant, id: RunId) -> Result<(), StoreError> {
    let run = runs::get(db, tenant, id)?.ok_or(StoreError::NoSuchRun(id))?;
    if !run.state.is_final() {
        let required = "succeeded, failed or cancelled";
        return Err(StoreError::WrongState {
            id,
            state: run.state,
            required,
        });
    }
    db.prepare_cached(
        "DELETE FROM checkpoints WHERE tenant = ?1 AND thread_id = ?2 AND run_id = ?3",
    )?
    .execute(params![tenant.as_str(), run.thread_id, id])?;
    threads::find_newest(db, tenant, &run.thread_id)?;
    remove(db, id)
}

/// Removes a run's row and its journal.
pub(super) fn remove(db: &Connection, id: RunId) -> Result<(), StoreError> {
    for table in ["interrupts", "journal", "runs"] {
        db.prepare_cached(&format!("DELETE FROM {table} WHERE run_id = ?1"))?
            .execute([id])?;
    }
    Ok(())
}
