//! What makes a run go on that is at rest: answers, and another try.

use rusqlite::{Connection, params};
use service_runtime::Tenant;
use weft_worker::Failure;

use super::{Retry, StartedRun, StoreError, claim, journal, parent, questions, runs};
use crate::{
    domain::{Run, RunId, RunState, Timestamp, Transition},
    store::Answers,
};

pub(super) fn answer(
    db: &Connection,
    tenant: &Tenant,
    id: RunId,
    answers: Answers,
    is_room: bool,
    now: Timestamp,
) -> Result<StartedRun, StoreError> {
    let (run, state) = changed(db, tenant, id, Transition::Answer, "INTERRUPTED")?;
    questions::answer(db, &run, answers)?;
    if run.state == state {
        // It goes on anyway, and is given the answer when it asks.
        return Ok(StartedRun::Queued(runs::get_stored(db, id)?));
    }
    queue(db, id, state, now)?;
    go_on(db, &run, is_room, now)
}

pub(super) fn retry(
    db: &Connection,
    tenant: &Tenant,
    id: RunId,
    retry: Retry,
    is_room: bool,
    now: Timestamp,
) -> Result<StartedRun, StoreError> {
    let (run, state) = changed(
        db,
        tenant,
        id,
        Transition::Retry,
        "FAILED, CANCELLED or PAUSED",
    )?;
    let ended_by = run.failure.clone().unwrap_or_else(Failure::cancelled);
    journal::forget_failures(db, id, &ended_by)?;
    parent::choose_again(db, tenant, &run, retry.is_branch)?;
    db.prepare_cached(
        "UPDATE runs SET failure = NULL, end_time = NULL, executed = 0, retries = 0, goes_first = 0, \
         version = coalesce(?2, version) WHERE run_id = ?1",
    )?
    .execute(params![id, retry.version.as_deref()])?;
    queue(db, id, state, now)?;
    go_on(db, &run, is_room, now)
}

/// A run, and the state that a transition leads it to; `required` names the states that have one.
fn changed(
    db: &Connection,
    tenant: &Tenant,
    id: RunId,
    transition: Transition,
    required: &'static str,
) -> Result<(Run, RunState), StoreError> {
    let run = runs::get(db, tenant, id)?.ok_or(StoreError::NoSuchRun(id))?;
    match run.state.apply(transition) {
        Ok(state) => Ok((run, state)),
        Err(_) => Err(StoreError::WrongState {
            id,
            state: run.state,
            required,
        }),
    }
}

fn queue(db: &Connection, id: RunId, state: RunState, now: Timestamp) -> Result<(), StoreError> {
    db.prepare_cached(
        "UPDATE runs SET state = ?2, wake_time = iif(attempt = 0, wake_time, NULL), \
         update_time = ?3 WHERE run_id = ?1",
    )?
    .execute(params![id, state, now])?;
    Ok(())
}

/// Claims a run that was just queued, if there is room and it is the first of a free thread.
fn go_on(
    db: &Connection,
    run: &Run,
    is_room: bool,
    now: Timestamp,
) -> Result<StartedRun, StoreError> {
    let is_blocked = db
        .prepare_cached(
            "SELECT 1 FROM runs AS other, runs AS this WHERE this.run_id = ?1 \
             AND other.tenant = this.tenant AND other.thread_id = this.thread_id \
             AND (other.state BETWEEN 2 AND 5 \
                  OR (other.state = 1 \
                      AND (other.attempt = 0 OR other.parent_by = 0, other.goes_first = 0, \
                           other.run_id) \
                          < (this.attempt = 0 OR this.parent_by = 0, this.goes_first = 0, \
                             this.run_id))) LIMIT 1",
        )?
        .exists([run.id])?;
    let queued = runs::get_stored(db, run.id)?;
    let is_due = queued.wake_time.is_none_or(|time| time <= now);
    if is_room && !is_blocked && is_due {
        return Ok(StartedRun::Claimed(Box::new(claim::one(db, run.id, now)?)));
    }
    Ok(StartedRun::Queued(queued))
}
