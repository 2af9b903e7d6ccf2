//! Deleting what has been kept for long enough, and giving its room back.

use rusqlite::{Connection, params};
use service_runtime::Tenant;

use super::{StoreError, edit, settle};
use crate::{
    domain::{RunId, ThreadId, Timestamp},
    store::{Expired, Swept},
};

/// Pages given back to the file system at once: 16 MiB, a few milliseconds of work.
const VACUUM_PAGES: u32 = 4096;

/// Deletes at most `limit` things of each kind.
pub(super) fn sweep(db: &Connection, expired: &Expired, limit: u32) -> Result<Swept, StoreError> {
    let mut swept = Swept::default();
    if let Some(before) = expired.threads {
        for (tenant, thread) in expired_threads(db, before, limit)? {
            edit::delete(db, &tenant, &thread)?;
            swept.threads += 1;
        }
    }
    if let Some(before) = expired.runs {
        for run in expired_runs(db, "end_time < ?1", before, limit)? {
            settle::remove(db, run)?;
            swept.runs += 1;
        }
    }
    if let Some(before) = expired.journals {
        // Those that can be retried need theirs.
        let finished = "end_time < ?1 AND state = 6 AND has_journal";
        for run in expired_runs(db, finished, before, limit)? {
            db.prepare_cached("DELETE FROM journal WHERE run_id = ?1")?
                .execute([run])?;
            db.prepare_cached("UPDATE runs SET has_journal = 0 WHERE run_id = ?1")?
                .execute([run])?;
            swept.journals += 1;
        }
    }
    swept.cached = db
        .prepare_cached(
            "DELETE FROM cache WHERE (tenant, entrypoint, version, task, key) IN \
             (SELECT tenant, entrypoint, version, task, key FROM cache \
              WHERE expire_time <= ?1 LIMIT ?2)",
        )?
        .execute(params![expired.now, limit])?;
    swept.requests = db
        .prepare_cached(
            "DELETE FROM requests WHERE (tenant, request_id) IN \
             (SELECT tenant, request_id FROM requests WHERE expire_time <= ?1 LIMIT ?2)",
        )?
        .execute(params![expired.now, limit])?;
    give_back(db)?;
    Ok(swept)
}

/// Threads without unfinished runs on which nothing happened since `before`.
fn expired_threads(
    db: &Connection,
    before: Timestamp,
    limit: u32,
) -> Result<Vec<(Tenant, ThreadId)>, StoreError> {
    let rows = db
        .prepare_cached(
            "SELECT tenant, thread_id FROM threads AS t WHERE update_time < ?1 AND NOT EXISTS \
             (SELECT 1 FROM runs WHERE tenant = t.tenant AND thread_id = t.thread_id \
              AND state IN (1, 2, 3, 4, 5)) \
             ORDER BY update_time LIMIT ?2",
        )?
        .query_map(params![before, limit], |row| {
            Ok((row.get::<_, String>(0)?, row.get(1)?))
        })?
        .collect::<Result<Vec<_>, _>>()?;
    rows.into_iter()
        .map(|(tenant, thread)| match Tenant::try_new(&tenant) {
            Ok(tenant) => Ok((tenant, thread)),
            Err(_) => {
                let what = format!("thread {thread} has the tenant `{tenant}`");
                Err(StoreError::Corrupt(what.into()))
            }
        })
        .collect()
}

fn expired_runs(
    db: &Connection,
    condition: &str,
    before: Timestamp,
    limit: u32,
) -> Result<Vec<RunId>, StoreError> {
    let runs = db
        .prepare_cached(&format!(
            "SELECT run_id FROM runs WHERE {condition} ORDER BY end_time LIMIT ?2"
        ))?
        .query_map(params![before, limit], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    Ok(runs)
}

/// Gives pages that hold nothing any longer back to the file system.
fn give_back(db: &Connection) -> Result<(), StoreError> {
    let mut vacuum = db.prepare_cached(&format!("PRAGMA incremental_vacuum({VACUUM_PAGES})"))?;
    let mut steps = vacuum.query([])?;
    while steps.next()?.is_some() {}
    Ok(())
}
