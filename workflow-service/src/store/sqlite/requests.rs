//! Statements on `requests`: what makes a repeat of a request return what the first one made.

use rusqlite::{Connection, OptionalExtension as _, params};
use service_runtime::Tenant;

use super::{RequestKey, StoreError, runs};
use crate::domain::{Run, RunId, Timestamp};

pub(super) fn repeated(
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
        Some((hash, run)) if hash != request.hash && Some(hash) != request.former_hash => {
            Err(StoreError::RequestIdReused {
                request: request.id.clone(),
                run,
            })
        }
        // To start it once more would be to do twice what was asked for once.
        Some((_, run)) => match runs::get(db, tenant, run)? {
            None => Err(StoreError::RunDeleted {
                request: request.id.clone(),
                run,
            }),
            found => Ok(found),
        },
    }
}

pub(super) fn remember(
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
