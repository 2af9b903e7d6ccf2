//! Statements on `runs`: recording and reading them.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, ToSql, params};
use service_runtime::Tenant;

use super::{
    Dispatch, Fence, NewRun, RecordedRun, RunFilter, StartedRun, StoreError, blobs, parent,
    questions, queue, requests,
    rows::{self, typed},
    stop, threads,
};
use crate::domain::{CheckpointId, Concurrency, Run, RunId, RunState};

/// Records a run, claimed if it can be. Checks all before it changes anything, unless it takes the place
/// of others, which are cancelled first.
pub(super) fn start(
    db: &Connection,
    tenant: &Tenant,
    new: NewRun,
) -> Result<RecordedRun, StoreError> {
    if let Some(request) = &new.request
        && let Some(run) = requests::repeated(db, tenant, request, new.now)?
    {
        return Ok(RecordedRun {
            started: StartedRun::Repeated(run),
            replaced: Vec::new(),
        });
    }
    if let Some(id) = new.branch_from
        && threads::checkpoint(db, tenant, &new.thread_id, id)?.is_none()
    {
        return Err(StoreError::NoSuchCheckpoint(id));
    }
    let replaced = match new.concurrency.replaces() {
        true => stop::replaced(db, tenant, &new)?,
        false => Vec::new(),
    };
    let holder = queue::holder(db, tenant, &new.thread_id)?;
    if let (Some(run), Concurrency::Reject) = (holder, new.concurrency) {
        let thread = new.thread_id;
        return Err(StoreError::ThreadBusy { thread, run });
    }
    let started = record(db, tenant, new, holder.is_none())?;
    Ok(RecordedRun { started, replaced })
}

fn record(
    db: &Connection,
    tenant: &Tenant,
    new: NewRun,
    is_free: bool,
) -> Result<StartedRun, StoreError> {
    let is_due = new.start_after.is_none_or(|time| time <= new.now);
    let is_claimed = new.claim && is_free && is_due;
    let parent = match new.branch_from {
        None if is_claimed => threads::newest(db, tenant, &new.thread_id)?,
        branch_from => branch_from,
    };
    // Read before anything is changed: it may be unreadable.
    let previous = match parent {
        Some(parent) if is_claimed => Some(threads::saved(db, tenant, &new.thread_id, parent)?),
        _ => None,
    };
    threads::ensure(db, tenant, &new.thread_id, new.now)?;
    if let Some(request) = &new.request {
        requests::remember(db, tenant, request, new.id, new.now)?;
    }
    if !is_claimed {
        let run = new.queued();
        insert(db, tenant, &new, &run, parent)?;
        return Ok(StartedRun::Queued(run));
    }
    let run = new.started();
    insert(db, tenant, &new, &run, parent)?;
    Ok(StartedRun::Claimed(Box::new(Dispatch {
        tenant: tenant.clone(),
        fence: Fence {
            run_id: run.id,
            epoch: i64::from(run.attempt),
        },
        previous,
        journal: Vec::new(),
        timeout: new.timeout,
        remaining: new.timeout,
        durability: new.durability,
        retries: 0,
        run,
    })))
}

/// Records a run; its epoch is the number of its attempts.
fn insert(
    db: &Connection,
    tenant: &Tenant,
    new: &NewRun,
    run: &Run,
    parent: Option<CheckpointId>,
) -> Result<(), StoreError> {
    let input = blobs::keep(db, run.input.get())?;
    let config = blobs::keep(db, run.config.get())?;
    db.prepare_cached(
        "INSERT INTO runs (run_id, tenant, thread_id, entrypoint, version, state, epoch, attempt, \
         parent_id, wake_time, timeout, input, config, start_sequence, last_sequence, labels, \
         create_time, start_time, update_time, durability, parent_by, goes_first) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, \
         ?16, ?18, ?19, ?20)",
    )?
    .execute(params![
        run.id,
        tenant.as_str(),
        run.thread_id,
        &*run.entrypoint,
        &*run.version,
        run.state,
        run.attempt,
        parent,
        run.wake_time,
        new.timeout.map(micros),
        input,
        config,
        run.start_sequence,
        run.last_sequence,
        typed(&run.labels)?,
        run.create_time,
        run.start_time,
        new.durability as i32,
        parent::of_new(new.branch_from, run.state),
        new.concurrency.replaces(),
    ])?;
    Ok(())
}

/// A duration as it is stored.
pub(super) fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

pub(super) fn get(db: &Connection, tenant: &Tenant, id: RunId) -> Result<Option<Run>, StoreError> {
    let columns = rows::RUN;
    let run = db
        .prepare_cached(&format!(
            "SELECT {columns} FROM runs WHERE run_id = ?1 AND tenant = ?2"
        ))?
        .query_row(params![id, tenant.as_str()], rows::run)
        .optional()?;
    run.map(|run| with_interrupts(db, run)).transpose()
}

pub(super) fn get_stored(db: &Connection, id: RunId) -> Result<Run, StoreError> {
    let columns = rows::RUN;
    let run = db
        .prepare_cached(&format!("SELECT {columns} FROM runs WHERE run_id = ?1"))?
        .query_row([id], rows::run)?;
    with_interrupts(db, run)
}

/// The run of a dispatch that still has it, its tenant, and the checkpoint that it builds on.
pub(super) fn running(
    db: &Connection,
    fence: Fence,
) -> Result<Option<(Run, Tenant, Option<CheckpointId>)>, StoreError> {
    let columns = rows::RUN;
    let found = db
        .prepare_cached(&format!(
            "SELECT {columns}, tenant, parent_id FROM runs \
             WHERE run_id = ?1 AND epoch = ?2 AND state = ?3"
        ))?
        .query_row(
            params![fence.run_id, fence.epoch, RunState::Running],
            |row| {
                Ok((
                    rows::run(row)?,
                    row.get::<_, String>("tenant")?,
                    row.get("parent_id")?,
                ))
            },
        )
        .optional()?;
    let Some((run, tenant, parent)) = found else {
        return Ok(None);
    };
    Ok(Some((run, known_tenant(fence.run_id, &tenant)?, parent)))
}

fn known_tenant(id: RunId, tenant: &str) -> Result<Tenant, StoreError> {
    Tenant::try_new(tenant)
        .map_err(|_| StoreError::Corrupt(format!("run {id} has the tenant `{tenant}`").into()))
}

fn with_interrupts(db: &Connection, mut run: Run) -> Result<Run, StoreError> {
    if questions::may_be_open(run.state, run.attempt) {
        run.interrupts = questions::open(db, run.id)?;
    }
    Ok(run)
}

/// Whose run it is.
pub(super) fn tenant_of(db: &Connection, id: RunId) -> Result<Tenant, StoreError> {
    let tenant: String = db
        .prepare_cached("SELECT tenant FROM runs WHERE run_id = ?1")?
        .query_row([id], |row| row.get(0))?;
    known_tenant(id, &tenant)
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
