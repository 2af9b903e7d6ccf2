//! Rows to domain types.

use rusqlite::{
    Row,
    types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef},
};
use uuid::Uuid;
use weft_worker::{Json, Usage, json};

use super::{StoreError, blobs::text_of};
use crate::domain::{
    Checkpoint, CheckpointId, CheckpointSource, Durability, Run, RunId, RunState, StopRequest,
    ThreadId, Timestamp, Transition,
};

/// The sum of a column of token counts, whatever is stored there: of one call, at most a million
/// million count, so that adding up cannot overflow.
macro_rules! sum_of {
    ($column:literal) => {
        concat!("sum(max(0, min(", $column, ", 1000000000000)))")
    };
}

/// Columns that [`run`] reads, in its order.
pub(super) const RUN: &str = concat!(
    "run_id, thread_id, entrypoint, version, state, ",
    text_of!("input"),
    ", ",
    text_of!("config"),
    ", ",
    text_of!("output"),
    ", failure, checkpoint_id, attempt, last_sequence, create_time, start_time, end_time, \
     update_time, labels, wake_time, start_sequence, cached, cancel_reason, cancel_time, rolls_back, ",
    "(SELECT json_object(
        'model_calls', min(sum(model_calls), 4294967295), 'input_tokens', ",
    sum_of!("input_tokens"),
    ", 'output_tokens', ",
    sum_of!("output_tokens"),
    ", 'cache_read_tokens', ",
    sum_of!("cache_read_tokens"),
    ", 'cache_write_tokens', ",
    sum_of!("cache_write_tokens"),
    ", 'reasoning_tokens', ",
    sum_of!("reasoning_tokens"),
    ") FROM usage WHERE usage.run_id = runs.run_id HAVING count(*) > 0)",
);

/// Columns that [`checkpoint`] reads, in its order.
pub(super) const CHECKPOINT: &str = concat!(
    "checkpoint_id, thread_id, parent_id, run_id, ",
    text_of!("value"),
    ", ",
    text_of!("saved"),
    ", source, create_time",
);

/// Reads a run, without its interrupts, from the columns of [`RUN`].
pub(super) fn run(row: &Row<'_>) -> rusqlite::Result<Run> {
    let state = row.get(4)?;
    let stop = (state == RunState::Running).then(|| stop(row));
    Ok(Run {
        id: row.get(0)?,
        thread_id: row.get(1)?,
        entrypoint: row.get(2)?,
        version: row.get(3)?,
        state,
        state_reason: String::new(),
        input: row.get::<_, JsonText>(5)?.0,
        config: row.get::<_, JsonText>(6)?.0,
        output: row.get::<_, Option<JsonText>>(7)?.map(|text| text.0),
        failure: row.get::<_, Option<Typed<_>>>(8)?.map(|failure| failure.0),
        checkpoint_id: row.get(9)?,
        attempt: row.get(10)?,
        last_sequence: row.get(11)?,
        create_time: row.get(12)?,
        start_time: row.get(13)?,
        end_time: row.get(14)?,
        update_time: row.get(15)?,
        labels: row.get::<_, Typed<_>>(16)?.0,
        wake_time: row.get(17)?,
        start_sequence: row.get(18)?,
        is_cached: row.get(19)?,
        usage: row
            .get::<_, Option<Typed<_>>>(23)?
            .map_or_else(Usage::default, |usage| usage.0),
        stop: stop.transpose()?.flatten(),
        interrupts: Vec::new(),
    })
}

fn stop(row: &Row<'_>) -> rusqlite::Result<Option<StopRequest>> {
    let (reason, time): (Option<String>, Option<Timestamp>) = (row.get(20)?, row.get(21)?);
    let rolls_back = row.get(22)?;
    Ok(reason.zip(time).map(|(reason, time)| StopRequest {
        reason,
        time,
        rolls_back,
    }))
}

/// Reads a checkpoint from the columns of [`CHECKPOINT`].
pub(super) fn checkpoint(row: &Row<'_>) -> rusqlite::Result<Checkpoint> {
    Ok(Checkpoint {
        id: row.get(0)?,
        thread_id: row.get(1)?,
        parent_id: row.get(2)?,
        run_id: row.get(3)?,
        value: row.get::<_, JsonText>(4)?.0,
        saved: row.get::<_, JsonText>(5)?.0,
        source: row.get(6)?,
        create_time: row.get(7)?,
    })
}

/// JSON kept as the text it was given as.
pub(super) struct JsonText(pub(super) Json);

impl FromSql for JsonText {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        json::from_text(value.as_str()?)
            .map(Self)
            .map_err(FromSqlError::other)
    }
}

/// A value kept as the JSON that serde makes of it.
pub(super) struct Typed<T>(pub(super) T);

impl<T: serde::de::DeserializeOwned> FromSql for Typed<T> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        serde_json::from_str(value.as_str()?)
            .map(Self)
            .map_err(FromSqlError::other)
    }
}

/// Text of a value for a column that [`Typed`] reads.
pub(super) fn typed(value: &impl serde::Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Corrupt(error.to_string().into()))
}

macro_rules! uuid_column {
    ($($id:ident),*) => {$(
        impl FromSql for $id {
            fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
                Uuid::from_slice(value.as_blob()?).map(Self).map_err(FromSqlError::other)
            }
        }

        impl ToSql for $id {
            fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                Ok(ToSqlOutput::Borrowed(ValueRef::Blob(self.0.as_bytes())))
            }
        }
    )*};
}

uuid_column!(RunId, CheckpointId);

impl FromSql for Timestamp {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value.as_i64().map(Self::from_micros)
    }
}

impl ToSql for Timestamp {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.micros().into())
    }
}

impl FromSql for ThreadId {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value.as_str().map(Self::from_stored)
    }
}

impl ToSql for ThreadId {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        self.as_str().to_sql()
    }
}

impl FromSql for RunState {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let number = i32::column_result(value)?;
        Self::from_number(number).ok_or(FromSqlError::OutOfRange(number.into()))
    }
}

impl ToSql for RunState {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.number().into())
    }
}

impl FromSql for Durability {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let number = i32::column_result(value)?;
        Self::from_number(number).ok_or(FromSqlError::OutOfRange(number.into()))
    }
}

impl FromSql for CheckpointSource {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        Self::from_name(value.as_str()?).ok_or(FromSqlError::InvalidType)
    }
}

/// The condition that a run's state allows a transition.
pub(super) fn in_states_that(transition: Transition) -> String {
    let states: Vec<String> = RunState::ALL
        .into_iter()
        .filter(|state| state.apply(transition).is_ok())
        .map(|state| format!("state = {}", state.number()))
        .collect();
    // For a list of more than two, SQLite would build a table, each time.
    format!("({})", states.join(" OR "))
}
