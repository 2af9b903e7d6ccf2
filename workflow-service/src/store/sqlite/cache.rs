//! Statements on `cache`: results that are kept for other calls and runs.

use rusqlite::{Connection, OptionalExtension as _, params};
use service_runtime::Tenant;
use sha2::{Digest as _, Sha256};
use weft_worker::{Json, protocol::CacheEntry};

use super::{
    StoreError,
    blobs::{self, text_of},
    rows::JsonText,
};
use crate::{
    domain::{RunId, Timestamp},
    store::{CacheScope, CachedResult},
};

pub(super) fn get(
    db: &Connection,
    tenant: &Tenant,
    scope: &CacheScope,
    key: &str,
    now: Timestamp,
) -> Result<Option<CachedResult>, StoreError> {
    let found = db
        .prepare_cached(concat!(
            "SELECT ",
            text_of!("value"),
            ", ",
            text_of!("saved"),
            " FROM cache WHERE tenant = ?1 AND entrypoint = ?2 \
             AND version = ?3 AND task = ?4 AND key = ?5 AND expire_time > ?6"
        ))?
        .query_row(
            params![
                tenant.as_str(),
                &*scope.entrypoint.name,
                &*scope.entrypoint.version,
                task_column(scope.task.as_deref()),
                hash(key),
                now
            ],
            |row| {
                Ok(CachedResult {
                    value: row.get::<_, JsonText>(0)?.0,
                    saved: row.get::<_, Option<JsonText>>(1)?.map(|text| text.0),
                })
            },
        )
        .optional()?;
    Ok(found)
}

/// Keeps what a run, or a task of it, returned.
pub(super) fn put(
    db: &Connection,
    run: RunId,
    task: Option<&str>,
    entry: &CacheEntry,
    value: &Json,
    saved: Option<&Json>,
    now: Timestamp,
) -> Result<(), StoreError> {
    // Not REPLACE, which would leave the blobs of the old row behind.
    db.prepare_cached(
        "DELETE FROM cache WHERE (tenant, entrypoint, version) = \
           (SELECT tenant, entrypoint, version FROM runs WHERE run_id = ?1) \
         AND task = ?2 AND key = ?3",
    )?
    .execute(params![run, task_column(task), hash(&entry.key)])?;
    let value = blobs::keep(db, value.get())?;
    let saved = saved
        .map(|saved| blobs::keep(db, saved.get()))
        .transpose()?;
    db.prepare_cached(
        "INSERT INTO cache \
         (tenant, entrypoint, version, task, key, value, saved, expire_time) \
         SELECT tenant, entrypoint, version, ?2, ?3, ?4, ?5, ?6 FROM runs WHERE run_id = ?1",
    )?
    .execute(params![
        run,
        task_column(task),
        hash(&entry.key),
        value,
        saved,
        now.after(entry.ttl),
    ])?;
    Ok(())
}

/// No task has an empty name.
fn task_column(task: Option<&str>) -> &str {
    task.unwrap_or_default()
}

/// Keys have any length; their hashes do not.
fn hash(key: &str) -> [u8; 32] {
    Sha256::digest(key).into()
}
