//! Opening a data folder: exclusive use, pragmas, schema version.

use std::{
    fs::{self, File, TryLockError},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use rusqlite::Connection;

use super::{
    SqliteStore, StoreError,
    condition::Condition,
    readers::Readers,
    schema::{APPLICATION_ID, MIGRATIONS, VERSION},
    stop,
    writer::Writer,
};

/// Statements that each connection keeps prepared: all of them.
const STATEMENT_CACHE: usize = 256;
/// Pages that the writer keeps in memory, in KiB: those that runs under way change again and again,
/// also while many others wait. SQLite's own 2 MiB hold the pages of a few hundred runs.
const WRITER_CACHE_KIB: i64 = 16 * 1024;
/// How long a statement waits for another connection. Only the writer writes, so that this is met
/// by nothing but a checkpoint of the write-ahead log.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// OpenError says why a data folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder cannot be made or written.
    #[error("cannot use the data folder `{}`: {cause}; choose another one with --data-dir", folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// Another process has it.
    #[error("the data folder `{}` is in use by another workflow-service; stop it, or choose another folder with --data-dir", .0.display())]
    InUse(PathBuf),
    /// The file is not ours.
    #[error("`{}` is not a database of workflow-service; choose another folder with --data-dir", .0.display())]
    Foreign(PathBuf),
    /// The file was written by a later release.
    #[error("`{}` has schema version {found}, this release knows versions up to {VERSION}; use a newer release", file.display())]
    Newer {
        /// The database file.
        file: PathBuf,
        /// Its version.
        found: u32,
    },
    /// The file cannot be read or written, or what is in it makes no sense.
    #[error("cannot open `{}`: {cause}", file.display())]
    Unusable {
        /// The database file.
        file: PathBuf,
        /// Why.
        cause: StoreError,
    },
}

impl SqliteStore {
    /// Opens the store in `folder`, made if it is absent. Runs that were under way when the last
    /// process ended are queued again, or CANCELLED if they were to stop. Blocks.
    ///
    /// # Errors
    /// [`OpenError`], each with what to do about it.
    pub fn open(folder: &Path) -> Result<Self, OpenError> {
        let unusable = |cause| OpenError::Folder {
            folder: folder.to_owned(),
            cause,
        };
        fs::create_dir_all(folder).map_err(unusable)?;
        let lock = File::create(folder.join("lock")).map_err(unusable)?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => OpenError::InUse(folder.to_owned()),
            TryLockError::Error(cause) => unusable(cause),
        })?;

        let file = folder.join("workflow.db");
        let database = |cause: rusqlite::Error| OpenError::Unusable {
            file: file.clone(),
            cause: cause.into(),
        };
        let mut connection = Connection::open(&file).map_err(database)?;
        configure(&connection).map_err(database)?;
        connection
            .pragma_update(None, "cache_size", -WRITER_CACHE_KIB)
            .map_err(database)?;
        migrate(&mut connection, &file)?;
        stop::settle_orphans(&connection).map_err(|cause| OpenError::Unusable {
            file: file.clone(),
            cause,
        })?;
        let secret = connection
            .query_row("SELECT secret FROM secrets", [], |row| row.get(0))
            .map_err(database)?;
        let condition = Arc::<Condition>::default();
        let readers = Readers::open(&file, Arc::clone(&condition)).map_err(database)?;
        let writer = Writer::start(connection, condition).map_err(unusable)?;
        Ok(Self {
            writer,
            readers,
            secret,
            _lock: lock,
        })
    }
}

/// Settings of every connection. FULL makes a commit wait for the disk in WAL mode too.
pub(super) fn configure(connection: &Connection) -> Result<(), rusqlite::Error> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENT_CACHE);
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", "ON")?;
    connection.pragma_update(None, "trusted_schema", "OFF")
}

fn migrate(connection: &mut Connection, file: &Path) -> Result<(), OpenError> {
    let database = |cause: rusqlite::Error| OpenError::Unusable {
        file: file.to_owned(),
        cause: cause.into(),
    };
    let number = |name: &str| -> Result<i64, OpenError> {
        connection
            .pragma_query_value(None, name, |row| row.get(0))
            .map_err(database)
    };
    let found = u32::try_from(number("user_version")?).unwrap_or(u32::MAX);
    let application_id = number("application_id")?;
    let is_empty = number("schema_version")? == 0;
    if !is_empty && application_id != i64::from(APPLICATION_ID) {
        return Err(OpenError::Foreign(file.to_owned()));
    }
    if found > VERSION {
        return Err(OpenError::Newer {
            file: file.to_owned(),
            found,
        });
    }
    if is_empty {
        // Stays with the file. Lets the room of deleted rows be given back bit by bit.
        connection
            .pragma_update(None, "auto_vacuum", "INCREMENTAL")
            .map_err(database)?;
    }
    // Cannot be changed inside of a transaction, and stays with the file.
    connection
        .pragma_update(None, "journal_mode", "WAL")
        .map_err(database)?;
    let transaction = connection.transaction().map_err(database)?;
    for migration in MIGRATIONS.iter().skip(found as usize) {
        transaction.execute_batch(migration).map_err(database)?;
    }
    transaction
        .pragma_update(None, "application_id", APPLICATION_ID)
        .map_err(database)?;
    transaction
        .pragma_update(None, "user_version", VERSION)
        .map_err(database)?;
    transaction.commit().map_err(database)
}
