//! The tables, and how an older file becomes a current one.

/// Version of the schema, kept in the file's `user_version`.
pub(super) const VERSION: u32 = 8;

/// Marks the file as ours: "Weft" in ASCII.
pub(super) const APPLICATION_ID: i32 = 0x5765_6674;

/// What leads from each version to the next one. Never edited once released, only added to.
///
/// Times are microseconds since the Unix epoch. Ids are 16 bytes. JSON, in columns of type ANY, is
/// text as it was given, or the integer id of a row of `blobs`, which belongs to that column alone.
/// - `runs`: written when a run starts, is claimed and rests, never in between. `epoch` is the
///   fence: it grows with every claim. `parent_id` is the checkpoint that the run builds on, and
///   `parent_by` says whose choice it is: see [`super::parent`]. `has_journal` is 0 once retention
///   has deleted it.
///   `cancel_reason` and `cancel_time` are those of a cancel of the last dispatch: while they are set, it
///   ends CANCELLED, and if `rolls_back` is 1 the run is deleted then. `goes_first` is 1 for a run that
///   takes the place of others, until it is retried. `timeout` and `executed` are microseconds.
/// - `journal`: one row for each recorded call; rows are never changed.
/// - `usage`: what language models took for a call; stays for as long as its run, whatever becomes
///   of the journal.
/// - `interrupts`: the questions of unfinished runs. One with an `answer` is open no more; its answer is
///   recorded in the journal when the run is claimed next.
/// - `entrypoints`: what workers have hosted, as they described it last, and since when.
/// - `cache`: results of tasks, and of entrypoints, whose `task` is empty then. `key` is a hash.
/// - `secrets`: one row, what page tokens are sealed with.
/// - `probe`: one row, which is written to see whether the disk takes writes.
/// - `runs_queued_of_thread`: the order in which a thread's queued runs go on: see
///   [`super::queue::ORDER`].
/// - `thread_in_use`: at most one run of a thread is under way, whatever else goes wrong. Its condition
///   is a range, since for a list SQLite builds a table with each row that it writes.
pub(super) const MIGRATIONS: [&str; VERSION as usize] = ["
CREATE TABLE threads (
    tenant         TEXT    NOT NULL,
    thread_id      TEXT    NOT NULL,
    checkpoint_id  BLOB,
    create_time    INTEGER NOT NULL,
    update_time    INTEGER NOT NULL,
    PRIMARY KEY (tenant, thread_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX threads_by_update_time ON threads (tenant, update_time, thread_id);
CREATE INDEX threads_by_age ON threads (update_time);

CREATE TABLE runs (
    run_id         BLOB    NOT NULL PRIMARY KEY,
    tenant         TEXT    NOT NULL,
    thread_id      TEXT    NOT NULL,
    entrypoint     TEXT    NOT NULL,
    version        TEXT    NOT NULL,
    state          INTEGER NOT NULL,
    epoch          INTEGER NOT NULL,
    attempt        INTEGER NOT NULL,
    retries        INTEGER NOT NULL DEFAULT 0,
    parent_id      BLOB,
    wake_time      INTEGER,
    timeout        INTEGER,
    executed       INTEGER NOT NULL DEFAULT 0,
    durability     INTEGER NOT NULL,
    input          ANY     NOT NULL,
    config         ANY     NOT NULL,
    output         ANY,
    failure        TEXT,
    checkpoint_id  BLOB,
    start_sequence INTEGER,
    last_sequence  INTEGER NOT NULL,
    labels         TEXT    NOT NULL,
    cached         INTEGER NOT NULL DEFAULT 0,
    has_journal    INTEGER NOT NULL DEFAULT 1,
    cancel_reason  TEXT,
    create_time    INTEGER NOT NULL,
    start_time     INTEGER,
    end_time       INTEGER,
    update_time    INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX thread_in_use ON runs (tenant, thread_id) WHERE state IN (2, 3, 4, 5);
CREATE INDEX runs_by_wake_time ON runs (wake_time) WHERE wake_time IS NOT NULL;
CREATE INDEX runs_queued ON runs (run_id) WHERE state = 1;
CREATE INDEX runs_queued_of_thread ON runs (tenant, thread_id, attempt = 0, run_id) WHERE state = 1;
CREATE INDEX runs_of_thread ON runs (tenant, thread_id, run_id);
CREATE INDEX runs_of_tenant ON runs (tenant, run_id);
CREATE INDEX runs_by_end_time ON runs (end_time) WHERE end_time IS NOT NULL;
CREATE INDEX runs_with_journal ON runs (end_time) WHERE state = 6 AND has_journal;

CREATE TABLE journal (
    run_id           BLOB    NOT NULL,
    call_id          TEXT    NOT NULL,
    commit_sequence  INTEGER NOT NULL,
    sequence         INTEGER NOT NULL,
    kind             TEXT    NOT NULL,
    task             TEXT    NOT NULL,
    input_hash       BLOB    NOT NULL,
    succeeded        INTEGER NOT NULL,
    outcome          ANY     NOT NULL,
    attempt          INTEGER NOT NULL,
    time             INTEGER NOT NULL,
    cached           INTEGER NOT NULL,
    PRIMARY KEY (run_id, call_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE usage (
    run_id             BLOB    NOT NULL,
    call_id            TEXT    NOT NULL,
    model_calls        INTEGER NOT NULL,
    input_tokens       INTEGER NOT NULL,
    output_tokens      INTEGER NOT NULL,
    cache_read_tokens  INTEGER NOT NULL,
    cache_write_tokens INTEGER NOT NULL,
    reasoning_tokens   INTEGER NOT NULL,
    PRIMARY KEY (run_id, call_id)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER usage_of_runs AFTER DELETE ON runs BEGIN
    DELETE FROM usage WHERE run_id = old.run_id;
END;

CREATE TABLE interrupts (
    run_id         BLOB    NOT NULL,
    call_id        TEXT    NOT NULL,
    task           TEXT    NOT NULL,
    asked_by       TEXT,
    input_hash     BLOB    NOT NULL,
    value          ANY     NOT NULL,
    PRIMARY KEY (run_id, call_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE checkpoints (
    tenant         TEXT    NOT NULL,
    thread_id      TEXT    NOT NULL,
    checkpoint_id  BLOB    NOT NULL,
    parent_id      BLOB,
    run_id         BLOB,
    value          ANY     NOT NULL,
    saved          ANY     NOT NULL,
    source         TEXT    NOT NULL,
    create_time    INTEGER NOT NULL,
    PRIMARY KEY (tenant, thread_id, checkpoint_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE cache (
    tenant         TEXT    NOT NULL,
    entrypoint     TEXT    NOT NULL,
    version        TEXT    NOT NULL,
    task           TEXT    NOT NULL,
    key            BLOB    NOT NULL,
    value          ANY     NOT NULL,
    saved          ANY,
    expire_time    INTEGER NOT NULL,
    PRIMARY KEY (tenant, entrypoint, version, task, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX cache_by_expire_time ON cache (expire_time);

CREATE TABLE requests (
    tenant         TEXT    NOT NULL,
    request_id     TEXT    NOT NULL,
    hash           BLOB    NOT NULL,
    run_id         BLOB    NOT NULL,
    expire_time    INTEGER NOT NULL,
    PRIMARY KEY (tenant, request_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX requests_by_expire_time ON requests (expire_time);

CREATE TABLE blobs (
    blob_id        INTEGER PRIMARY KEY,
    text           TEXT    NOT NULL
) STRICT;
CREATE TRIGGER blobs_of_runs AFTER DELETE ON runs
WHEN typeof(old.input) = 'integer' OR typeof(old.config) = 'integer' OR typeof(old.output) = 'integer' BEGIN
    DELETE FROM blobs WHERE blob_id IN (iif(typeof(old.input) = 'integer', old.input, NULL), iif(typeof(old.config) = 'integer', old.config, NULL), iif(typeof(old.output) = 'integer', old.output, NULL));
END;
CREATE TRIGGER blobs_of_journal AFTER DELETE ON journal
WHEN typeof(old.outcome) = 'integer' BEGIN
    DELETE FROM blobs WHERE blob_id IN (old.outcome);
END;
CREATE TRIGGER blobs_of_interrupts AFTER DELETE ON interrupts
WHEN typeof(old.value) = 'integer' BEGIN
    DELETE FROM blobs WHERE blob_id IN (old.value);
END;
CREATE TRIGGER blobs_of_checkpoints AFTER DELETE ON checkpoints
WHEN typeof(old.value) = 'integer' OR typeof(old.saved) = 'integer' BEGIN
    DELETE FROM blobs WHERE blob_id IN (iif(typeof(old.value) = 'integer', old.value, NULL), iif(typeof(old.saved) = 'integer', old.saved, NULL));
END;
CREATE TRIGGER blobs_of_cache AFTER DELETE ON cache
WHEN typeof(old.value) = 'integer' OR typeof(old.saved) = 'integer' BEGIN
    DELETE FROM blobs WHERE blob_id IN (iif(typeof(old.value) = 'integer', old.value, NULL), iif(typeof(old.saved) = 'integer', old.saved, NULL));
END;
", "
DROP INDEX thread_in_use;
CREATE UNIQUE INDEX thread_in_use ON runs (tenant, thread_id) WHERE state BETWEEN 2 AND 5;
", "
CREATE TABLE secrets (
    secret         BLOB    NOT NULL
) STRICT;
INSERT INTO secrets (secret) VALUES (randomblob(32));

CREATE TABLE probe (
    bytes          BLOB    NOT NULL
) STRICT;
INSERT INTO probe (bytes) VALUES (x'');
", "
ALTER TABLE runs ADD COLUMN parent_by INTEGER NOT NULL DEFAULT 0;
DROP INDEX runs_queued_of_thread;
CREATE INDEX runs_queued_of_thread
    ON runs (tenant, thread_id, attempt = 0 OR parent_by = 0, run_id) WHERE state = 1;
UPDATE runs SET parent_by = CASE WHEN attempt > 0 THEN 1 WHEN parent_id IS NULL THEN 0 ELSE 2 END;
", "
ALTER TABLE runs ADD COLUMN cancel_time INTEGER;
", "
ALTER TABLE runs ADD COLUMN rolls_back INTEGER NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN goes_first INTEGER NOT NULL DEFAULT 0;
DROP INDEX runs_queued_of_thread;
CREATE INDEX runs_queued_of_thread
    ON runs (tenant, thread_id, attempt = 0 OR parent_by = 0, goes_first = 0, run_id) WHERE state = 1;
", "
ALTER TABLE interrupts ADD COLUMN answer ANY;
DROP TRIGGER blobs_of_interrupts;
CREATE TRIGGER blobs_of_interrupts AFTER DELETE ON interrupts
WHEN typeof(old.value) = 'integer' OR typeof(old.answer) = 'integer' BEGIN
    DELETE FROM blobs WHERE blob_id IN (iif(typeof(old.value) = 'integer', old.value, NULL), iif(typeof(old.answer) = 'integer', old.answer, NULL));
END;
", "
CREATE TABLE entrypoints (
    name           TEXT    NOT NULL,
    version        TEXT    NOT NULL,
    description    TEXT    NOT NULL,
    input_schema   TEXT,
    time           INTEGER NOT NULL,
    PRIMARY KEY (name, version)
) STRICT, WITHOUT ROWID;
CREATE INDEX entrypoints_by_time ON entrypoints (time);
"];
