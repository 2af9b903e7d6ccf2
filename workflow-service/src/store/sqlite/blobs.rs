//! Large values, kept apart so that the rows that are read and written all the time stay small.
//!
//! A column of JSON holds either the text itself or, as an integer, the id of a blob. A blob
//! belongs to one column of one row; triggers of the schema delete it with that.

use rusqlite::{
    Connection, ToSql,
    types::{ToSqlOutput, ValueRef},
};

use super::StoreError;

/// Longest text, in bytes, that is kept in its row. Beyond it a row would fill dozens of pages.
const MAX_INLINE_BYTES: usize = 256 * 1024;

/// SQL that reads the text of a column, wherever it is kept.
macro_rules! text_of {
    ($column:literal) => {
        concat!(
            "iif(typeof(",
            $column,
            ") = 'integer', (SELECT text FROM blobs WHERE blob_id = ",
            $column,
            "), ",
            $column,
            ")"
        )
    };
}
pub(super) use text_of;

/// KeptText is what a column of JSON holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeptText<'a> {
    Inline(&'a str),
    Blob(i64),
}

impl ToSql for KeptText<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self {
            Self::Inline(text) => ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes())),
            Self::Blob(id) => ToSqlOutput::from(*id),
        })
    }
}

/// What to put into a column for this text. A row that takes it must be written.
pub(super) fn keep<'a>(db: &Connection, text: &'a str) -> Result<KeptText<'a>, StoreError> {
    if text.len() <= MAX_INLINE_BYTES {
        return Ok(KeptText::Inline(text));
    }
    db.prepare_cached("INSERT INTO blobs (text) VALUES (?1)")?
        .execute([text])?;
    Ok(KeptText::Blob(db.last_insert_rowid()))
}

/// Takes back what [`keep`] put aside for a row that was not written.
pub(super) fn drop_unused(db: &Connection, text: KeptText<'_>) -> Result<(), StoreError> {
    if let KeptText::Blob(id) = text {
        db.prepare_cached("DELETE FROM blobs WHERE blob_id = ?1")?
            .execute([id])?;
    }
    Ok(())
}
