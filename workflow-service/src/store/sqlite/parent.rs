//! Which checkpoint a run builds on. Code that ran with one `previous` is never given another one,
//! and nothing that a thread holds is put aside by a run that did not see it, unless someone says so.
//!
//! `runs.parent_by` says whose choice `runs.parent_id` is:
//!
//! | | |
//! |---|---|
//! | 0 | nobody's yet: the next claim takes the newest checkpoint of the thread |
//! | 1 | that of the first claim |
//! | 2 | that of the caller: a branch |

use rusqlite::{Connection, OptionalExtension as _, params};
use service_runtime::Tenant;

use super::StoreError;
use crate::domain::{CheckpointId, Run, RunId, RunState, ThreadId};

const OPEN: u8 = 0;
const FOUND: u8 = 1;
const NAMED: u8 = 2;

/// Assignments of a claim: settles what the run builds on, if that is open.
pub(super) const SETTLE: &str = "parent_id = iif(parent_by = 0, \
      (SELECT checkpoint_id FROM threads \
       WHERE tenant = runs.tenant AND thread_id = runs.thread_id), parent_id), \
    parent_by = max(parent_by, 1)";

/// Whose choice the parent of a new run is.
pub(super) fn of_new(branch_from: Option<CheckpointId>, state: RunState) -> u8 {
    match branch_from {
        Some(_) => NAMED,
        None if state == RunState::Queued => OPEN,
        None => FOUND,
    }
}

/// Settles what a run that is tried again builds on.
///
/// # Errors
/// [`StoreError::ThreadInUse`], [`StoreError::ThreadMovedOn`].
pub(super) fn choose_again(
    db: &Connection,
    tenant: &Tenant,
    run: &Run,
    is_branch: bool,
) -> Result<(), StoreError> {
    let (parent_by, began_with, newest, has_results) = db
        .prepare_cached(
            "SELECT parent_by, parent_id, \
               (SELECT checkpoint_id FROM threads \
                WHERE tenant = runs.tenant AND thread_id = runs.thread_id), \
               EXISTS (SELECT 1 FROM journal WHERE run_id = runs.run_id) \
             FROM runs WHERE run_id = ?1",
        )?
        .query_row([run.id], |row| {
            Ok((
                row.get::<_, u8>(0)?,
                row.get::<_, Option<CheckpointId>>(1)?,
                row.get::<_, Option<CheckpointId>>(2)?,
                row.get::<_, bool>(3)?,
            ))
        })?;
    let parent_by = match (parent_by, has_results) {
        (NAMED, _) => NAMED,
        (FOUND, _) if is_branch => NAMED,
        (FOUND, true) => FOUND,
        (_, _) => OPEN,
    };
    if has_results {
        // What it leaves would stand beside what that one leaves.
        require_unused(db, tenant, &run.thread_id, Some(run.id))?;
    }
    if parent_by == FOUND
        && let Some(newest) = newest.filter(|newest| Some(*newest) != began_with)
    {
        return Err(StoreError::ThreadMovedOn {
            run: run.id,
            began_with,
            newest,
        });
    }
    db.prepare_cached("UPDATE runs SET parent_by = ?2 WHERE run_id = ?1")?
        .execute(params![run.id, parent_by])?;
    Ok(())
}

/// Checks that no run of a thread, other than `except`, has begun and is unfinished.
///
/// # Errors
/// [`StoreError::ThreadInUse`].
pub(super) fn require_unused(
    db: &Connection,
    tenant: &Tenant,
    thread: &ThreadId,
    except: Option<RunId>,
) -> Result<(), StoreError> {
    let in_use: Option<RunId> = db
        .prepare_cached(
            "SELECT run_id FROM runs WHERE tenant = ?1 AND thread_id = ?2 \
             AND (state BETWEEN 2 AND 5 OR (state = 1 AND attempt > 0 AND parent_by > 0)) \
             AND run_id IS NOT ?3 LIMIT 1",
        )?
        .query_row(params![tenant.as_str(), thread, except], |row| row.get(0))
        .optional()?;
    match in_use {
        None => Ok(()),
        Some(run) => Err(StoreError::ThreadInUse {
            thread: thread.clone(),
            run,
        }),
    }
}
