//! The runs of a thread that are to go on, one after the other.

use rusqlite::{Connection, OptionalExtension as _, params};
use service_runtime::Tenant;

use super::StoreError;
use crate::domain::{RunId, ThreadId};

/// The order in which a thread's queued runs go on. Those that had begun, and build on what the
/// thread was then, come first; then one that takes the place of others; then the others by age.
pub(super) const ORDER: &str = "attempt = 0 OR parent_by = 0, goes_first = 0, run_id";

/// The queued runs of a thread. Left to itself, SQLite would walk all runs of the thread.
pub(super) const QUEUED_OF_THREAD: &str = "SELECT run_id FROM runs INDEXED BY runs_queued_of_thread \
    WHERE tenant = ?1 AND thread_id = ?2 AND state = 1";
/// The run that has a thread, likewise.
const UNDER_WAY_OF_THREAD: &str = "SELECT run_id FROM runs INDEXED BY thread_in_use \
    WHERE tenant = ?1 AND thread_id = ?2 AND state BETWEEN 2 AND 5";

/// The run that has a thread, or else one that waits for it; `None` if the thread is free.
pub(super) fn holder(
    db: &Connection,
    tenant: &Tenant,
    thread: &ThreadId,
) -> Result<Option<RunId>, StoreError> {
    for some in [UNDER_WAY_OF_THREAD, QUEUED_OF_THREAD] {
        let mut some = db.prepare_cached(some)?;
        let first = some.query_row(params![tenant.as_str(), thread], |row| row.get(0));
        if let Some(first) = first.optional()? {
            return Ok(Some(first));
        }
    }
    Ok(None)
}

/// The unfinished runs of a thread: the one that has it, and those that wait.
pub(super) fn unfinished(
    db: &Connection,
    tenant: &Tenant,
    thread: &ThreadId,
) -> Result<Vec<RunId>, StoreError> {
    all(db, tenant, thread, [UNDER_WAY_OF_THREAD, QUEUED_OF_THREAD])
}

/// Those of them that have begun: the one that has the thread, and those that have it next.
pub(super) fn begun(
    db: &Connection,
    tenant: &Tenant,
    thread: &ThreadId,
) -> Result<Vec<RunId>, StoreError> {
    let begun = format!("{QUEUED_OF_THREAD} AND (attempt = 0 OR parent_by = 0) = 0");
    all(db, tenant, thread, [UNDER_WAY_OF_THREAD, &begun])
}

fn all(
    db: &Connection,
    tenant: &Tenant,
    thread: &ThreadId,
    selects: [&str; 2],
) -> Result<Vec<RunId>, StoreError> {
    let mut found = Vec::new();
    for some in selects {
        let mut some = db.prepare_cached(some)?;
        for id in some.query_map(params![tenant.as_str(), thread], |row| row.get(0))? {
            found.push(id?);
        }
    }
    Ok(found)
}
