//! Ending dispatches: how runs leave RUNNING.

use std::sync::Arc;

use rusqlite::{Connection, params};
use service_runtime::Tenant;
use weft_worker::Failure;

use super::{
    Fence, Rest, RestedRun, StoreError, blobs, cache, claim, journal, questions, rows::typed, runs,
    threads,
};
use crate::{
    domain::{
        Checkpoint, CheckpointId, CheckpointSource, Origin, Run, RunId, RunState, Transition,
    },
    store::RunEnd,
};

pub(super) fn rest(
    db: &Connection,
    fence: Fence,
    mut rest: Rest,
    claim_next: bool,
) -> Result<RestedRun, StoreError> {
    let (mut run, tenant, parent) = runs::running(db, fence)?.ok_or(StoreError::Fenced)?;
    let stop = run.stop.take();
    if let Some(stop) = &stop {
        // Whoever asked was told that it stops.
        rest.end = RunEnd::Cancelled(Failure::new(Failure::CANCELLED, &stop.reason));
    }
    run.state = run
        .state
        .apply(rest.end.transition())
        .map_err(|_| StoreError::Fenced)?;
    run.last_sequence = rest.last_sequence;
    run.update_time = rest.now;
    run.end_time = run.state.is_final().then_some(rest.now);
    let checkpoint = end(db, &tenant, &mut run, parent, &rest)?;
    questions::settled(db, &run)?;
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
    if stop.is_some_and(|stop| stop.rolls_back) {
        remove(db, run.id)?;
    }
    let is_queue_open = run.state.is_final() || run.state == RunState::Queued;
    let next = match claim_next && is_queue_open {
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
            if questions::ask(db, run.id, questions)? {
                run.state = run
                    .state
                    .apply(Transition::Answer)
                    .map_err(|_| StoreError::Fenced)?;
            } else {
                run.wake_time = *wake_time;
            }
            run.interrupts = questions::open(db, run.id)?;
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

/// Removes a run's row and its journal.
pub(super) fn remove(db: &Connection, id: RunId) -> Result<(), StoreError> {
    for table in ["interrupts", "journal", "runs"] {
        db.prepare_cached(&format!("DELETE FROM {table} WHERE run_id = ?1"))?
            .execute([id])?;
    }
    Ok(())
}
