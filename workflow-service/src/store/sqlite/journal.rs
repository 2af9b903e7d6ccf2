//! Statements on `journal`.

use rusqlite::{Connection, OptionalExtension as _, Row, params};
use service_runtime::Tenant;
use weft_worker::{Call, CallId, protocol::JournalEntry};

use super::{
    Fence, StoreError,
    rows::{JsonText, Typed, typed},
};
use crate::domain::{RunId, RunState, history::RecordedCall};

const COLUMNS: &str =
    "call_id, commit_sequence, sequence, task, input_hash, succeeded, outcome, attempt, time";

pub(super) fn append(
    db: &Connection,
    fence: Fence,
    calls: &[RecordedCall],
) -> Result<(), StoreError> {
    require_running(db, fence)?;
    let mut insert = db.prepare_cached(
        "INSERT INTO journal (run_id, call_id, commit_sequence, sequence, task, input_hash, \
         succeeded, outcome, attempt, time) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) ON CONFLICT DO NOTHING",
    )?;
    for recorded in calls {
        let call = &recorded.entry.call;
        let failure;
        let (succeeded, outcome) = match &recorded.entry.outcome {
            Ok(result) => (true, result.get()),
            Err(error) => {
                failure = typed(error)?;
                (false, failure.as_str())
            }
        };
        insert.execute(params![
            fence.run_id,
            call.id.as_str(),
            recorded.commit_sequence,
            recorded.sequence,
            &*call.task,
            call.input_hash,
            succeeded,
            outcome,
            recorded.attempt,
            recorded.time,
        ])?;
    }
    Ok(())
}

/// Checks that the run still belongs to this dispatch.
pub(super) fn require_running(db: &Connection, fence: Fence) -> Result<(), StoreError> {
    let holds = db
        .prepare_cached("SELECT 1 FROM runs WHERE run_id = ?1 AND epoch = ?2 AND state = ?3")?
        .exists(params![fence.run_id, fence.epoch, RunState::Running])?;
    if holds {
        Ok(())
    } else {
        Err(StoreError::Fenced)
    }
}

/// All of a run, in commit order.
pub(super) fn of_run(db: &Connection, run: RunId) -> Result<Vec<RecordedCall>, StoreError> {
    select(db, run, i64::MIN)
}

/// Those of a tenant's run whose events are newer than `after_sequence`, in commit order.
pub(super) fn of_tenant(
    db: &Connection,
    tenant: &Tenant,
    run: RunId,
    after_sequence: i64,
) -> Result<Vec<RecordedCall>, StoreError> {
    let owner: Option<String> = db
        .prepare_cached("SELECT tenant FROM runs WHERE run_id = ?1")?
        .query_row([run], |row| row.get(0))
        .optional()?;
    if owner.as_deref() != Some(tenant.as_str()) {
        return Ok(Vec::new());
    }
    select(db, run, after_sequence)
}

fn select(db: &Connection, run: RunId, after: i64) -> Result<Vec<RecordedCall>, StoreError> {
    // The last event of a record has a number one above its first at most.
    let mut calls = db
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM journal WHERE run_id = ?1 AND sequence + 1 > ?2"
        ))?
        .query_map(params![run, after], recorded_call)?
        .collect::<Result<Vec<_>, _>>()?;
    calls.sort_unstable_by_key(|call| call.commit_sequence);
    Ok(calls)
}

fn recorded_call(row: &Row<'_>) -> rusqlite::Result<RecordedCall> {
    let outcome = if row.get(5)? {
        Ok(row.get::<_, JsonText>(6)?.0)
    } else {
        Err(row.get::<_, Typed<_>>(6)?.0)
    };
    let call = Call {
        id: CallId::from_recorded(row.get_ref(0)?.as_str()?),
        task: row.get(3)?,
        input_hash: row.get(4)?,
    };
    Ok(RecordedCall {
        entry: JournalEntry { call, outcome },
        commit_sequence: row.get(1)?,
        sequence: row.get(2)?,
        attempt: row.get(7)?,
        time: row.get(8)?,
    })
}
