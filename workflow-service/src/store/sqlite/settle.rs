//! Ending dispatches: how runs leave RUNNING.

use std::sync::Arc;

use rusqlite::{Connection, params};
use service_runtime::Tenant;
use weft_worker::{Failure, Json, protocol::Question};

use super::{
    Fence, Rest, RestedRun, StoreError, blobs, cache, claim, journal, rows::typed, runs, threads,
};
use crate::{
    domain::{
        Checkpoint, CheckpointId, CheckpointSource, Origin, Run, RunId, RunState, Timestamp,
        Transition, checkpoint::CheckpointValues, history::SEQUENCES_PER_DISPATCH,
    },
    store::RunEnd,
};

pub(super) fn rest(
    db: &Connection,
    fence: Fence,
    rest: Rest,
    claim_next: bool,
) -> Result<RestedRun, StoreError> {
    journal::require_running(db, fence)?;
    let tenant = runs::tenant_of(db, fence.run_id)?;
    let running = runs::get_stored(db, fence.run_id)?;
    let state = running
        .state
        .apply(rest.end.transition())
        .map_err(|_| StoreError::Fenced)?;
    let Ended {
        output,
        is_cached,
        failure,
        wake_time,
        checkpoint,
    } = end(db, &tenant, &running, &rest)?;
    let output = output.as_ref().map(|output| output.get());
    let output = output.map(|output| blobs::keep(db, output)).transpose()?;
    let retries = i32::from(matches!(rest.end, RunEnd::Retrying { .. }));
    db.prepare_cached(
        "UPDATE runs SET state = ?2, output = ?3, failure = ?4, \
         checkpoint_id = coalesce(?5, checkpoint_id), last_sequence = ?6, end_time = ?7, \
         update_time = ?8, wake_time = ?9, executed = executed + ?10, retries = retries + ?11, \
         cached = ?12 \
         WHERE run_id = ?1",
    )?
    .execute(params![
        running.id,
        state,
        output,
        failure,
        checkpoint.as_ref().map(|checkpoint| checkpoint.id),
        rest.last_sequence,
        state.is_final().then_some(rest.now),
        rest.now,
        wake_time,
        runs::micros(rest.executed),
        retries,
        is_cached,
    ])?;
    threads::touch(db, &tenant, &running.thread_id, rest.now)?;
    let next = match claim_next && state.is_final() {
        true => claim::next_of_thread(db, &tenant, &running.thread_id, rest.now)?,
        false => None,
    };
    Ok(RestedRun {
        run: runs::get_stored(db, running.id)?,
        checkpoint,
        next: next.map(Box::new),
    })
}

/// What the end of a dispatch leaves in the run's row, beside the state.
#[derive(Default)]
struct Ended {
    output: Option<Json>,
    is_cached: bool,
    failure: Option<String>,
    wake_time: Option<Timestamp>,
    checkpoint: Option<Checkpoint>,
}

fn end(db: &Connection, tenant: &Tenant, run: &Run, rest: &Rest) -> Result<Ended, StoreError> {
    Ok(match &rest.end {
        RunEnd::Succeeded { values, origin } => {
            if let Origin::Executed(Some(entry)) = origin {
                let saved = Some(&values.saved);
                cache::put(db, run.id, None, entry, &values.value, saved, rest.now)?;
            }
            Ended {
                output: Some(Arc::clone(&values.value)),
                is_cached: *origin == Origin::Cache,
                checkpoint: Some(add_checkpoint(db, tenant, run, values, rest.now)?),
                ..Ended::default()
            }
        }
        RunEnd::Failed(failure) | RunEnd::Cancelled(failure) | RunEnd::Paused(failure) => Ended {
            failure: Some(typed(failure)?),
            ..Ended::default()
        },
        RunEnd::Interrupted {
            questions,
            wake_time,
        } => {
            ask(db, run.id, questions)?;
            Ended {
                wake_time: *wake_time,
                ..Ended::default()
            }
        }
        RunEnd::Waiting { wake_time } => Ended {
            wake_time: Some(*wake_time),
            ..Ended::default()
        },
        RunEnd::Retrying { failure, wake_time } => {
            journal::forget_failures(db, run.id, failure)?;
            Ended {
                failure: Some(typed(failure)?),
                wake_time: Some(*wake_time),
                ..Ended::default()
            }
        }
    })
}

fn add_checkpoint(
    db: &Connection,
    tenant: &Tenant,
    run: &Run,
    values: &CheckpointValues,
    now: Timestamp,
) -> Result<Checkpoint, StoreError> {
    let parent_id: Option<CheckpointId> = db
        .prepare_cached("SELECT parent_id FROM runs WHERE run_id = ?1")?
        .query_row([run.id], |row| row.get(0))?;
    let checkpoint = Checkpoint {
        id: CheckpointId::new(),
        thread_id: run.thread_id.clone(),
        parent_id,
        run_id: Some(run.id),
        value: Arc::clone(&values.value),
        saved: Arc::clone(&values.saved),
        source: CheckpointSource::Run,
        create_time: now,
    };
    threads::add_checkpoint(db, tenant, &checkpoint)?;
    Ok(checkpoint)
}

/// Replaces the open questions of a run.
fn ask(db: &Connection, run: RunId, questions: &[Question]) -> Result<(), StoreError> {
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
    Ok(())
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

/// Queues the runs again that were under way when the last process ended.
pub(super) fn requeue_orphans(db: &Connection) -> rusqlite::Result<usize> {
    db.execute(
        &requeue_sql("state = ?4"),
        params![
            RunState::Queued,
            SEQUENCES_PER_DISPATCH,
            Timestamp::now(),
            RunState::Running
        ],
    )
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
    let required = "queued, waiting, interrupted or paused";
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
