//! Statements on `runs`: every change of a run's state is here.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _, ToSql, params};
use service_runtime::Tenant;

use super::{
    Dispatch, EntrypointVersion, Fence, NewRun, Rest, RestedRun, RunFilter, StartedRun, StoreError,
    journal,
    rows::{self, json_text, typed},
    threads,
};
use crate::{
    domain::{
        Checkpoint, CheckpointId, CheckpointSource, Concurrency, Run, RunId, RunState, ThreadId,
        Timestamp,
        history::{QUEUED_SEQUENCE, SEQUENCES_PER_DISPATCH, STARTED_SEQUENCE},
    },
    store::{RequestKey, RunEnd},
};

pub(super) fn start(
    db: &Connection,
    tenant: &Tenant,
    new: NewRun,
) -> Result<StartedRun, StoreError> {
    if let Some(request) = &new.request
        && let Some(run) = repeated(db, tenant, request, new.now)?
    {
        return Ok(StartedRun::Repeated(run));
    }
    if let Some(id) = new.branch_from
        && threads::checkpoint(db, tenant, &new.thread_id, id)?.is_none()
    {
        return Err(StoreError::NoSuchCheckpoint(id));
    }
    let is_free = is_thread_free(db, tenant, &new.thread_id)?;
    if !is_free && new.concurrency == Concurrency::Reject {
        return Err(StoreError::ThreadBusy(new.thread_id));
    }
    threads::ensure(db, tenant, &new.thread_id, new.now)?;
    insert(db, tenant, &new)?;
    if let Some(request) = &new.request {
        remember_request(db, tenant, request, new.id, new.now)?;
    }
    if new.claim && is_free {
        return Ok(StartedRun::Claimed(Box::new(claim_one(
            db, new.id, new.now,
        )?)));
    }
    Ok(StartedRun::Queued(get_stored(db, new.id)?))
}

fn insert(db: &Connection, tenant: &Tenant, new: &NewRun) -> Result<(), StoreError> {
    db.prepare_cached(
        "INSERT INTO runs (run_id, tenant, thread_id, entrypoint, version, state, epoch, attempt, \
         branch_from, input, config, last_sequence, labels, create_time, update_time) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0, 0, ?7, ?8, ?9, ?10, ?11, ?12, ?12)",
    )?
    .execute(params![
        new.id,
        tenant.as_str(),
        new.thread_id,
        &*new.entrypoint,
        &*new.version,
        RunState::Queued,
        new.branch_from,
        json_text(&new.input),
        json_text(&new.config),
        QUEUED_SEQUENCE,
        typed(&new.labels)?,
        new.now,
    ])?;
    Ok(())
}

fn repeated(
    db: &Connection,
    tenant: &Tenant,
    request: &RequestKey,
    now: Timestamp,
) -> Result<Option<Run>, StoreError> {
    let row: Option<([u8; 32], RunId)> = db
        .prepare_cached(
            "SELECT hash, run_id FROM requests \
             WHERE tenant = ?1 AND request_id = ?2 AND expire_time > ?3",
        )?
        .query_row(params![tenant.as_str(), request.id, now], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()?;
    match row {
        None => Ok(None),
        Some((hash, _)) if hash != request.hash => {
            Err(StoreError::RequestIdReused(request.id.clone()))
        }
        Some((_, run)) => get(db, tenant, run),
    }
}

fn remember_request(
    db: &Connection,
    tenant: &Tenant,
    request: &RequestKey,
    run: RunId,
    now: Timestamp,
) -> Result<(), StoreError> {
    // Each request forgets two expired ones, so that they cannot pile up.
    db.prepare_cached(
        "DELETE FROM requests WHERE (tenant, request_id) IN \
         (SELECT tenant, request_id FROM requests WHERE expire_time <= ?1 LIMIT 2)",
    )?
    .execute([now])?;
    db.prepare_cached(
        "INSERT OR REPLACE INTO requests (tenant, request_id, hash, run_id, expire_time) \
         VALUES (?1, ?2, ?3, ?4, ?5)",
    )?
    .execute(params![
        tenant.as_str(),
        request.id,
        request.hash,
        run,
        request.expire_time
    ])?;
    Ok(())
}

/// Whether a thread has neither a run under way nor one that waits.
fn is_thread_free(db: &Connection, tenant: &Tenant, thread: &ThreadId) -> Result<bool, StoreError> {
    let in_use = db
        .prepare_cached(
            "SELECT 1 FROM runs WHERE tenant = ?1 AND thread_id = ?2 AND state IN (2, 3, 4, 5) \
             UNION ALL \
             SELECT 1 FROM runs WHERE tenant = ?1 AND thread_id = ?2 AND state = 1 LIMIT 1",
        )?
        .exists(params![tenant.as_str(), thread])?;
    Ok(!in_use)
}

/// Hands a queued run to a worker.
fn claim_one(db: &Connection, id: RunId, now: Timestamp) -> Result<Dispatch, StoreError> {
    let newest_recorded: Option<i64> = db
        .prepare_cached("SELECT max(sequence) FROM journal WHERE run_id = ?1")?
        .query_row([id], |row| row.get(0))?;
    let claimed = db
        .prepare_cached(
            "UPDATE runs SET state = ?2, epoch = epoch + 1, attempt = attempt + 1, \
             start_time = coalesce(start_time, ?3), update_time = ?3, \
             last_sequence = iif(attempt = 0, ?4, max(last_sequence, ?5) + ?6) \
             WHERE run_id = ?1 AND state = ?7 RETURNING tenant, epoch, branch_from",
        )?
        .query_row(
            params![
                id,
                RunState::Running,
                now,
                STARTED_SEQUENCE,
                newest_recorded.unwrap_or_default() + 1,
                SEQUENCES_PER_DISPATCH,
                RunState::Queued,
            ],
            |row| {
                let tenant: String = row.get(0)?;
                Ok((
                    tenant,
                    row.get::<_, i64>(1)?,
                    row.get::<_, Option<CheckpointId>>(2)?,
                ))
            },
        )
        .optional()?;
    let (tenant, epoch, branch_from) = claimed.ok_or(StoreError::Fenced)?;
    let tenant = Tenant::try_new(&tenant)
        .map_err(|_| StoreError::Corrupt(format!("run {id} has the tenant `{tenant}`").into()))?;
    let run = get_stored(db, id)?;
    let parent = match branch_from {
        Some(branch_from) => threads::checkpoint(db, &tenant, &run.thread_id, branch_from)?,
        None => threads::get(db, &tenant, &run.thread_id)?.and_then(|thread| thread.checkpoint),
    };
    let journal = if run.attempt > 1 {
        journal::of_run(db, id)?
    } else {
        Vec::new()
    };
    Ok(Dispatch {
        tenant,
        fence: Fence { run_id: id, epoch },
        parent: parent.as_ref().map(|checkpoint| checkpoint.id),
        previous: parent.map(|checkpoint| checkpoint.saved),
        journal,
        run,
    })
}

pub(super) fn claim(
    db: &Connection,
    hosted: &[EntrypointVersion],
    limit: u32,
) -> Result<Vec<Dispatch>, StoreError> {
    let hosted: Vec<(&str, &str)> = hosted
        .iter()
        .map(|entrypoint| (&*entrypoint.name, &*entrypoint.version))
        .collect();
    let ids = db
        .prepare_cached(
            "SELECT run_id FROM runs AS queued WHERE state = 1 \
             AND EXISTS (SELECT 1 FROM json_each(?1) WHERE value ->> 0 = queued.entrypoint \
                         AND value ->> 1 = queued.version) \
             AND NOT EXISTS (SELECT 1 FROM runs WHERE tenant = queued.tenant \
                             AND thread_id = queued.thread_id AND state IN (2, 3, 4, 5)) \
             AND NOT EXISTS (SELECT 1 FROM runs WHERE tenant = queued.tenant \
                             AND thread_id = queued.thread_id AND state = 1 \
                             AND run_id < queued.run_id) \
             ORDER BY run_id LIMIT ?2",
        )?
        .query_map(params![typed(&hosted)?, limit], |row| row.get(0))?
        .collect::<Result<Vec<RunId>, _>>()?;
    let now = Timestamp::now();
    ids.into_iter().map(|id| claim_one(db, id, now)).collect()
}

pub(super) fn rest(
    db: &Connection,
    fence: Fence,
    rest: Rest,
    claim_next: bool,
) -> Result<RestedRun, StoreError> {
    journal::require_running(db, fence)?;
    let tenant = tenant_of(db, fence.run_id)?;
    let running = get_stored(db, fence.run_id)?;
    let state = running
        .state
        .apply(rest.end.transition())
        .map_err(|_| StoreError::Fenced)?;
    let checkpoint = match &rest.end {
        RunEnd::Succeeded(values) => {
            let parent = parent_of(db, &tenant, &running)?;
            let checkpoint = Checkpoint {
                id: CheckpointId::new(),
                thread_id: running.thread_id.clone(),
                parent_id: parent,
                run_id: Some(running.id),
                value: Arc::clone(&values.value),
                saved: Arc::clone(&values.saved),
                source: CheckpointSource::Run,
                create_time: rest.now,
            };
            threads::add_checkpoint(db, &tenant, &checkpoint)?;
            Some(checkpoint)
        }
        RunEnd::Failed(_) | RunEnd::Paused(_) => None,
    };
    let (output, failure) = match &rest.end {
        RunEnd::Succeeded(values) => (Some(values.value.get()), None),
        RunEnd::Failed(failure) | RunEnd::Paused(failure) => (None, Some(typed(failure)?)),
    };
    db.prepare_cached(
        "UPDATE runs SET state = ?2, output = ?3, failure = ?4, \
         checkpoint_id = coalesce(?5, checkpoint_id), last_sequence = ?6, end_time = ?7, \
         update_time = ?8 WHERE run_id = ?1",
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
    ])?;
    threads::touch(db, &tenant, &running.thread_id, rest.now)?;
    let next = match claim_next && state.is_final() {
        true => claim_next_of_thread(db, &tenant, &running.thread_id, rest.now)?,
        false => None,
    };
    Ok(RestedRun {
        run: get_stored(db, running.id)?,
        checkpoint,
        next: next.map(Box::new),
    })
}

/// The checkpoint that a run that is under way builds on: nothing else writes to its thread.
fn parent_of(
    db: &Connection,
    tenant: &Tenant,
    run: &Run,
) -> Result<Option<CheckpointId>, StoreError> {
    let parent = db
        .prepare_cached(
            "SELECT coalesce(branch_from, (SELECT checkpoint_id FROM threads \
             WHERE tenant = ?2 AND thread_id = ?3)) FROM runs WHERE run_id = ?1",
        )?
        .query_row(params![run.id, tenant.as_str(), run.thread_id], |row| {
            row.get(0)
        })?;
    Ok(parent)
}

fn claim_next_of_thread(
    db: &Connection,
    tenant: &Tenant,
    thread: &ThreadId,
    now: Timestamp,
) -> Result<Option<Dispatch>, StoreError> {
    let next: Option<RunId> = db
        .prepare_cached(
            "SELECT run_id FROM runs WHERE tenant = ?1 AND thread_id = ?2 AND state = 1 \
             ORDER BY run_id LIMIT 1",
        )?
        .query_row(params![tenant.as_str(), thread], |row| row.get(0))
        .optional()?;
    next.map(|id| claim_one(db, id, now)).transpose()
}

pub(super) fn requeue(db: &Connection, fence: Fence) -> Result<(), StoreError> {
    journal::require_running(db, fence)?;
    db.prepare_cached("UPDATE runs SET state = ?2, update_time = ?3 WHERE run_id = ?1")?
        .execute(params![fence.run_id, RunState::Queued, Timestamp::now()])?;
    Ok(())
}

/// Queues the runs again that were under way when the last process ended.
pub(super) fn requeue_orphans(db: &Connection) -> rusqlite::Result<usize> {
    db.execute(
        "UPDATE runs SET state = ?1 WHERE state = ?2",
        params![RunState::Queued, RunState::Running],
    )
}

pub(super) fn get(db: &Connection, tenant: &Tenant, id: RunId) -> Result<Option<Run>, StoreError> {
    let columns = rows::RUN;
    Ok(db
        .prepare_cached(&format!(
            "SELECT {columns} FROM runs WHERE run_id = ?1 AND tenant = ?2"
        ))?
        .query_row(params![id, tenant.as_str()], rows::run)
        .optional()?)
}

fn get_stored(db: &Connection, id: RunId) -> Result<Run, StoreError> {
    let columns = rows::RUN;
    Ok(db
        .prepare_cached(&format!("SELECT {columns} FROM runs WHERE run_id = ?1"))?
        .query_row([id], rows::run)?)
}

fn tenant_of(db: &Connection, id: RunId) -> Result<Tenant, StoreError> {
    let tenant: String = db
        .prepare_cached("SELECT tenant FROM runs WHERE run_id = ?1")?
        .query_row([id], |row| row.get(0))?;
    Tenant::try_new(&tenant)
        .map_err(|_| StoreError::Corrupt(format!("run {id} has the tenant `{tenant}`").into()))
}

pub(super) fn list(
    db: &Connection,
    tenant: &Tenant,
    filter: &RunFilter,
    before: Option<RunId>,
    limit: u32,
) -> Result<Vec<Run>, StoreError> {
    let mut conditions = vec!["tenant = ?".to_owned()];
    let mut values: Vec<Box<dyn ToSql>> = vec![Box::new(tenant.as_str().to_owned())];
    let mut add = |condition: String, value: Box<dyn ToSql>| {
        conditions.push(condition);
        values.push(value);
    };
    if let Some(before) = before {
        add("run_id < ?".to_owned(), Box::new(before));
    }
    if let Some(thread) = &filter.thread_id {
        add("thread_id = ?".to_owned(), Box::new(thread.clone()));
    }
    if let Some(entrypoint) = &filter.entrypoint {
        add("entrypoint = ?".to_owned(), Box::new(entrypoint.clone()));
    }
    if !filter.states.is_empty() {
        let numbers: Vec<i32> = filter.states.iter().map(|state| state.number()).collect();
        add(
            "state IN (SELECT value FROM json_each(?))".to_owned(),
            Box::new(typed(&numbers)?),
        );
    }
    for label in &filter.labels {
        add(
            "EXISTS (SELECT 1 FROM json_each(runs.labels) AS label, json_each(?) AS wanted \
             WHERE label.key = wanted.key AND label.value = wanted.value)"
                .to_owned(),
            Box::new(typed(&std::collections::BTreeMap::from([label]))?),
        );
    }
    values.push(Box::new(limit));
    let columns = rows::RUN;
    let conditions = conditions.join(" AND ");
    let runs = db
        .prepare_cached(&format!(
            "SELECT {columns} FROM runs WHERE {conditions} ORDER BY run_id DESC LIMIT ?"
        ))?
        .query_map(rusqlite::params_from_iter(values), rows::run)?
        .collect::<Result<_, _>>()?;
    Ok(runs)
}
