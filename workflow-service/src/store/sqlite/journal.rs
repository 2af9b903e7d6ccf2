//! Statements on `journal`.

use rusqlite::{
    Connection, OptionalExtension as _, Row, params,
    types::{FromSqlError, FromSqlResult},
};
use service_runtime::Tenant;
use weft_worker::{Call, CallId, CallKind, Failure, Usage, protocol::JournalEntry, wire::decode};

use super::{
    Fence, StoreError,
    blobs::{self, text_of},
    cache,
    rows::{JsonText, Typed, typed},
};
use crate::domain::{Origin, RunId, RunState, history::RecordedCall};

const COLUMNS: &str = concat!(
    "call_id, commit_sequence, sequence, kind, task, input_hash, succeeded, ",
    text_of!("outcome"),
    ", attempt, time, cached, model_calls, input_tokens, output_tokens, cache_read_tokens, \
     cache_write_tokens, reasoning_tokens"
);

pub(super) fn append(
    db: &Connection,
    fence: Fence,
    calls: &[RecordedCall],
) -> Result<(), StoreError> {
    require_running(db, fence)?;
    insert(db, fence.run_id, calls)
}

/// Adds calls to a run's journal. One that is there stays as it is.
pub(super) fn insert(
    db: &Connection,
    run: RunId,
    calls: &[RecordedCall],
) -> Result<(), StoreError> {
    let mut insert = db.prepare_cached(
        "INSERT INTO journal (run_id, call_id, commit_sequence, sequence, kind, task, input_hash, \
         succeeded, outcome, attempt, time, cached) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12) ON CONFLICT DO NOTHING",
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
        let outcome = blobs::keep(db, outcome)?;
        let inserted = insert.execute(params![
            run,
            call.id.as_str(),
            recorded.commit_sequence,
            recorded.sequence,
            kind_name(call.kind),
            &*call.task,
            call.input_hash,
            succeeded,
            outcome,
            recorded.attempt,
            recorded.time,
            recorded.origin == Origin::Cache,
        ])?;
        if inserted == 0 {
            blobs::drop_unused(db, outcome)?;
            continue;
        }
        note_usage(db, run, &call.id, recorded.usage)?;
        if let (Origin::Executed(Some(entry)), Ok(result)) =
            (&recorded.origin, &recorded.entry.outcome)
        {
            let task = Some(&*call.task);
            cache::put(db, run, task, entry, result, None, recorded.time)?;
        }
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
            "SELECT {COLUMNS} FROM journal LEFT JOIN usage USING (run_id, call_id) \
             WHERE run_id = ?1 AND sequence + 1 > ?2"
        ))?
        .query_map(params![run, after], recorded_call)?
        .collect::<Result<Vec<_>, _>>()?;
    calls.sort_unstable_by_key(|call| call.commit_sequence);
    Ok(calls)
}

fn recorded_call(row: &Row<'_>) -> rusqlite::Result<RecordedCall> {
    let outcome = if row.get(6)? {
        Ok(row.get::<_, JsonText>(7)?.0)
    } else {
        Err(row.get::<_, Typed<_>>(7)?.0)
    };
    let call = Call {
        id: CallId::from_recorded(row.get_ref(0)?.as_str()?),
        kind: kind_of_name(row.get_ref(3)?.as_str()?)?,
        task: row.get(4)?,
        input_hash: row.get(5)?,
    };
    Ok(RecordedCall {
        entry: JournalEntry { call, outcome },
        commit_sequence: row.get(1)?,
        sequence: row.get(2)?,
        attempt: row.get(8)?,
        time: row.get(9)?,
        origin: match row.get(10)? {
            true => Origin::Cache,
            false => Origin::Executed(None),
        },
        usage: match row.get(11)? {
            None => Usage::default(),
            Some(model_calls) => Usage {
                model_calls,
                input_tokens: count(row, 12)?,
                output_tokens: count(row, 13)?,
                cache_read_tokens: count(row, 14)?,
                cache_write_tokens: count(row, 15)?,
                reasoning_tokens: count(row, 16)?,
            },
        },
    })
}

/// What is stored of a count: no sum of them overflows, as [`super::rows::RUN`] also sees to.
fn tokens(count: u64) -> i64 {
    count.min(decode::MAX_TOKENS).cast_signed()
}

fn count(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(column).map(i64::cast_unsigned)
}

/// Notes what language models took for a call. It was paid for, whatever becomes of the record.
fn note_usage(db: &Connection, run: RunId, call: &CallId, usage: Usage) -> Result<(), StoreError> {
    if usage.is_zero() {
        return Ok(());
    }
    db.prepare_cached(
        "INSERT INTO usage (run_id, call_id, model_calls, input_tokens, output_tokens, \
         cache_read_tokens, cache_write_tokens, reasoning_tokens) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT DO UPDATE SET \
         model_calls = min(model_calls + excluded.model_calls, 4294967295), \
         input_tokens = min(input_tokens, 1000000000000) + excluded.input_tokens, \
         output_tokens = min(output_tokens, 1000000000000) + excluded.output_tokens, \
         cache_read_tokens = min(cache_read_tokens, 1000000000000) + excluded.cache_read_tokens, \
         cache_write_tokens = min(cache_write_tokens, 1000000000000) + excluded.cache_write_tokens, \
         reasoning_tokens = min(reasoning_tokens, 1000000000000) + excluded.reasoning_tokens",
    )?
    .execute(params![
        run,
        call.as_str(),
        usage.model_calls,
        tokens(usage.input_tokens),
        tokens(usage.output_tokens),
        tokens(usage.cache_read_tokens),
        tokens(usage.cache_write_tokens),
        tokens(usage.reasoning_tokens),
    ])?;
    Ok(())
}

pub(super) fn kind_name(kind: CallKind) -> &'static str {
    match kind {
        CallKind::Task => "task",
        CallKind::Target => "target",
        CallKind::Interrupt => "interrupt",
        CallKind::Side => "side",
    }
}

fn kind_of_name(name: &str) -> FromSqlResult<CallKind> {
    let kinds = [
        CallKind::Task,
        CallKind::Target,
        CallKind::Interrupt,
        CallKind::Side,
    ];
    kinds
        .into_iter()
        .find(|kind| kind_name(*kind) == name)
        .ok_or(FromSqlError::InvalidType)
}

/// Number above all that the journal of a run has given to events, and the next commit.
pub(super) fn next_numbers(db: &Connection, run: RunId) -> Result<(i64, u32), StoreError> {
    Ok(db
        .prepare_cached(
            "SELECT coalesce(max(sequence) + 2, 0), coalesce(max(commit_sequence) + 1, 0) \
             FROM journal WHERE run_id = ?1",
        )?
        .query_row([run], |row| Ok((row.get(0)?, row.get(1)?)))?)
}

/// Forgets the failures that a new attempt is to mend: the one that ended the run, and all that
/// were recorded after the last success. Nothing that succeeded can have followed from those.
pub(super) fn forget_failures(
    db: &Connection,
    run: RunId,
    ended_by: &Failure,
) -> Result<(), StoreError> {
    let calls = of_run(db, run)?;
    let last_success = calls
        .iter()
        .rposition(|call| call.entry.outcome.is_ok())
        .map_or(0, |at| at + 1);
    let origin = ended_by.call.as_ref().map(|call| &call.id);
    let mut delete = db.prepare_cached("DELETE FROM journal WHERE run_id = ?1 AND call_id = ?2")?;
    for (at, call) in calls.iter().enumerate() {
        let Err(failure) = &call.entry.outcome else {
            continue;
        };
        let is_origin = origin.is_some() && failure.call.as_ref().map(|call| &call.id) == origin;
        if at >= last_success || is_origin {
            delete.execute(params![run, call.entry.call.id.as_str()])?;
        }
    }
    Ok(())
}
