//! The end of the database's use.

use rusqlite::Connection;

/// Puts what is in the write-ahead log into the file, so that this is all there is to copy. SQLite
/// removes the log with the last connection.
pub(super) fn complete_file(connection: Connection) {
    let checkpoint = "PRAGMA wal_checkpoint(TRUNCATE)";
    let is_incomplete = connection.query_row(checkpoint, [], |row| row.get(0));
    let closed = connection.close().map_err(|(_, error)| error);
    match is_incomplete.and_then(|is_incomplete| closed.map(|()| is_incomplete)) {
        Ok(false) => {}
        Ok(true) => tracing::warn!(
            "another process reads workflow.db: whoever copies it must copy workflow.db-wal, too"
        ),
        Err(error) => tracing::warn!(
            %error,
            "cannot complete workflow.db: whoever copies it must copy workflow.db-wal, too"
        ),
    }
}
