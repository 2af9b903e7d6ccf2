//! Statements on `entrypoints`: what workers have hosted.

use rusqlite::{Connection, params};

use super::{StoreError, rows::JsonText};
use crate::{domain::Timestamp, store::KnownEntrypoint};

/// Most versions of entrypoints that are remembered.
const MAX_KNOWN: u32 = 10_000;

pub(super) fn remember(
    db: &Connection,
    entrypoints: &[KnownEntrypoint],
    now: Timestamp,
) -> Result<(), StoreError> {
    // What is known as it is changes no page, so that workers may connect as often as they like.
    let mut remember = db.prepare_cached(
        "INSERT INTO entrypoints (name, version, description, input_schema, time) \
         VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO UPDATE SET \
         description = excluded.description, input_schema = excluded.input_schema, \
         time = excluded.time \
         WHERE (description, input_schema) IS NOT (excluded.description, excluded.input_schema)",
    )?;
    let mut changed = 0;
    for known in entrypoints {
        changed += remember.execute(params![
            known.name,
            known.version,
            known.description,
            known.input_schema.as_ref().map(|schema| schema.get()),
            now,
        ])?;
    }
    if changed > 0 {
        db.prepare_cached(
            "DELETE FROM entrypoints WHERE (name, version) IN \
             (SELECT name, version FROM entrypoints ORDER BY time DESC LIMIT -1 OFFSET ?1)",
        )?
        .execute([MAX_KNOWN])?;
    }
    Ok(())
}

pub(super) fn all(db: &Connection) -> Result<Vec<KnownEntrypoint>, StoreError> {
    let all = db
        .prepare_cached(
            "SELECT name, version, description, input_schema FROM entrypoints ORDER BY name, version",
        )?
        .query_map([], |row| {
            Ok(KnownEntrypoint {
                name: row.get(0)?,
                version: row.get(1)?,
                description: row.get(2)?,
                input_schema: row.get::<_, Option<JsonText>>(3)?.map(|schema| schema.0),
            })
        })?
        .collect::<Result<_, _>>()?;
    Ok(all)
}
