//! The suite on SQLite, and what is SQLite's own.

use std::{
    fs,
    io::{Seek as _, SeekFrom, Write as _},
    sync::Arc,
};

use futures::future::join_all;
use rusqlite::Connection;
use tempfile::TempDir;
use weft_worker::json;
use workflow_service::{
    domain::{CheckpointId, Concurrency, RunState, Timestamp},
    store::{
        CheckpointStore as _, Expired, NewRun, StoreError,
        sqlite::{OpenError, SqliteStore},
    },
};

use crate::conformance::{
    Store, claimed, claims, conformance, new_run, queued, record, succeeded, tenant, thread,
};

fn open() -> (Store, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    (Arc::new(SqliteStore::open(folder.path()).unwrap()), folder)
}

conformance!(open() =>
    runs:
        a_run_comes_back_exactly_as_it_was_recorded,
        one_tenant_never_sees_anothers_runs_threads_or_checkpoints,
        a_repeated_request_returns_the_first_run, a_request_whose_run_was_deleted_starts_no_other,
        listings_filter_and_page_newest_first,
        many_writers_at_once_all_get_their_own_answer,
    ;
    dispatches:
        one_run_of_a_thread_is_under_way_and_the_others_follow_in_order,
        queued_runs_are_claimed_oldest_first_and_one_of_a_thread,
        a_busy_thread_refuses_a_run_that_is_not_to_wait,
        a_fenced_dispatch_writes_nothing,
        a_new_dispatch_has_the_journal_and_higher_sequences,
        a_paused_run_keeps_its_thread,
    ;
    stops:
        a_run_that_was_asked_to_stop_is_cancelled_however_it_ends,
        a_run_that_was_asked_to_stop_is_handed_to_no_other_worker,
        the_first_cancel_counts_and_one_after_the_end_is_refused,
    ;
    entrypoints: what_workers_hosted_is_known_as_they_described_it_last;
    questions:
        a_question_is_open_until_it_is_answered_also_while_its_run_goes_on,
        an_accepted_answer_is_kept_whatever_becomes_of_the_dispatch,
        a_question_that_is_not_asked_again_is_open_no_more,
    ;
    replacements:
        a_new_run_is_recorded_with_the_cancel_of_all_unfinished_ones,
        runs_without_a_worker_make_way_at_once,
        a_run_that_takes_a_place_goes_before_all_that_come_later,
        a_run_that_lost_the_place_it_took_waits_for_its_turn,
        a_rollback_holds_whoever_else_wants_the_run_to_stop,
        a_run_that_is_rolled_back_goes_with_its_worker,
        a_repeated_request_takes_no_place_again,
    ;
    journal:
        the_first_outcome_of_a_call_stands,
        the_journal_comes_in_commit_order_and_after_a_sequence,
        failures_are_recorded_whole,
    ;
    retries:
        a_run_without_results_builds_on_what_its_thread_came_to_meanwhile,
        a_run_with_results_builds_on_what_they_follow_from_or_is_refused,
        a_branch_goes_on_from_its_checkpoint_whatever_its_thread_came_to,
        while_another_run_has_a_thread_one_with_results_is_not_retried,
    ;
    retention:
        what_has_expired_is_deleted_and_the_rest_is_kept,
        a_thread_with_an_unfinished_run_does_not_expire,
        a_journal_is_kept_for_as_long_as_its_run_can_be_retried,
        cached_results_expire_and_the_newest_one_stands,
    ;
    pruning:
        pruning_keeps_the_newest_checkpoints_and_their_runs,
        what_unfinished_runs_build_on_is_not_pruned,
    ;
    threads:
        a_successful_run_leaves_a_checkpoint_that_names_its_parent,
        a_run_can_branch_from_an_older_checkpoint,
        the_state_of_a_thread_follows_from_its_runs,
        a_checkpoint_written_by_hand_is_the_next_runs_previous,
        a_fork_copies_the_line_up_to_a_checkpoint_and_goes_its_own_way,
        a_thread_is_deleted_whole_unless_a_run_is_unfinished,
        threads_are_listed_by_state_and_page_last_updated_first,
    ;
);

#[tokio::test]
async fn runs_that_were_under_way_are_queued_again_when_the_store_is_opened() {
    let (store, folder) = open();
    let dispatch = claimed(&store, new_run("t")).await;
    store
        .append(dispatch.fence, vec![record(0, "1")])
        .await
        .unwrap();
    store.close().await;
    drop(store);
    let store = SqliteStore::open(folder.path()).unwrap();
    let run = store
        .run(&tenant(), dispatch.run.id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(run.state, RunState::Queued);
    assert_eq!(store.journal(&tenant(), run.id, 0).await.unwrap().len(), 1);
}

#[tokio::test]
async fn runs_that_were_to_stop_are_cancelled_when_the_store_is_opened() {
    let (store, folder) = open();
    let dispatch = claimed(&store, new_run("t")).await;
    let (tenant, id) = (tenant(), dispatch.run.id);
    let cancelled = store.cancel_run(&tenant, id, "enough", Timestamp::now());
    cancelled.await.unwrap();
    store.close().await;
    drop(store);
    let store = SqliteStore::open(folder.path()).unwrap();
    let run = store.run(&tenant, id).await.unwrap().unwrap();
    assert_eq!(run.state, RunState::Cancelled);
    assert_eq!(run.failure.unwrap().message, "enough");
}

#[tokio::test]
async fn a_run_that_was_to_be_rolled_back_is_gone_when_the_store_is_opened() {
    let (store, folder) = open();
    let first = claimed(&store, new_run("t")).await;
    let replacing = NewRun {
        concurrency: Concurrency::Rollback,
        ..new_run("t")
    };
    let next = queued(&store, replacing).await;
    store.close().await;
    drop(store);
    let store: Store = Arc::new(SqliteStore::open(folder.path()).unwrap());
    assert!(store.run(&tenant(), first.run.id).await.unwrap().is_none());
    assert_eq!(claims(&store, 10).await[0].run.id, next);
}

#[tokio::test]
async fn a_folder_in_use_is_refused_by_name() {
    let (_store, folder) = open();
    let error = SqliteStore::open(folder.path()).unwrap_err();
    assert!(matches!(error, OpenError::InUse(_)));
    assert!(
        error.to_string().contains(folder.path().to_str().unwrap()),
        "{error}"
    );
}

#[tokio::test]
async fn a_closed_store_refuses_writes() {
    let (store, _folder) = open();
    store.close().await;
    let error = store.start_run(&tenant(), new_run("t")).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)));
}

#[tokio::test]
async fn all_that_a_closed_store_kept_is_in_its_file() {
    let (store, folder) = open();
    let id = claimed(&store, new_run("t")).await.run.id;
    let tenant = tenant();
    // One that is under way must not keep the log either.
    let reads = join_all((0..100).map(|_| store.run(&tenant, id)));
    tokio::join!(reads, store.close());
    let files = fs::read_dir(folder.path()).unwrap();
    let mut files: Vec<_> = files.map(|file| file.unwrap().file_name()).collect();
    files.sort_unstable();
    assert_eq!(files, ["lock", "workflow.db"]);

    let elsewhere = tempfile::tempdir().unwrap();
    let copy = elsewhere.path().join("workflow.db");
    fs::copy(folder.path().join("workflow.db"), copy).unwrap();
    let store = SqliteStore::open(elsewhere.path()).unwrap();
    assert!(store.run(&tenant, id).await.unwrap().is_some());
}

#[test]
fn a_folder_that_cannot_be_made_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "in the way").unwrap();
    let error = SqliteStore::open(&file.join("data")).unwrap_err();
    assert!(matches!(error, OpenError::Folder { .. }), "{error}");
    assert!(error.to_string().contains("--data-dir"));
}

#[test]
fn a_newer_schema_is_refused_with_both_versions() {
    let folder = tempfile::tempdir().unwrap();
    drop(SqliteStore::open(folder.path()).unwrap());
    let file = folder.path().join("workflow.db");
    Connection::open(&file)
        .unwrap()
        .pragma_update(None, "user_version", 99)
        .unwrap();
    let error = SqliteStore::open(folder.path()).unwrap_err();
    assert!(
        matches!(error, OpenError::Newer { found: 99, .. }),
        "{error}"
    );
    assert!(error.to_string().contains("99"));
}

/// Undoes what later schemas brought.
const TO_FIRST_SCHEMA: &str = "
DROP INDEX thread_in_use;
CREATE UNIQUE INDEX thread_in_use ON runs (tenant, thread_id) WHERE state IN (2, 3, 4, 5);
DROP INDEX runs_queued_of_thread;
ALTER TABLE runs DROP COLUMN parent_by;
DROP TRIGGER blobs_of_interrupts;
ALTER TABLE runs DROP COLUMN cancel_time;
ALTER TABLE runs DROP COLUMN rolls_back;
ALTER TABLE runs DROP COLUMN goes_first;
CREATE INDEX runs_queued_of_thread ON runs (tenant, thread_id, attempt = 0, run_id) WHERE state = 1;
ALTER TABLE interrupts DROP COLUMN answer;
CREATE TRIGGER blobs_of_interrupts AFTER DELETE ON interrupts
WHEN typeof(old.value) = 'integer' BEGIN
    DELETE FROM blobs WHERE blob_id IN (old.value);
END;
DROP TABLE entrypoints;
DROP TABLE secrets;
DROP TABLE probe;
PRAGMA user_version = 1;
";

#[tokio::test]
async fn a_file_of_the_first_schema_becomes_a_current_one_and_keeps_its_runs() {
    let (store, folder) = open();
    let run = claimed(&store, new_run("t")).await.run;
    store.close().await;
    drop(store);
    let file = folder.path().join("workflow.db");
    let index = |db: &Connection| -> String {
        let sql = "SELECT sql FROM sqlite_schema WHERE name = 'thread_in_use'";
        db.query_row(sql, [], |row| row.get(0)).unwrap()
    };
    let db = Connection::open(&file).unwrap();
    let current = index(&db);
    db.execute_batch(TO_FIRST_SCHEMA).unwrap();
    drop(db);

    let store = SqliteStore::open(folder.path()).unwrap();
    assert_eq!(index(&Connection::open(&file).unwrap()), current);
    assert!(store.run(&tenant(), run.id).await.unwrap().is_some());
}

#[test]
fn a_file_of_something_else_is_refused_and_left_alone() {
    let elsewhere = tempfile::tempdir().unwrap();
    let foreign = elsewhere.path().join("other.db");
    Connection::open(&foreign)
        .unwrap()
        .execute_batch("CREATE TABLE theirs (a)")
        .unwrap();
    for content in [
        b"no database at all ".repeat(100),
        fs::read(&foreign).unwrap(),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("workflow.db");
        fs::write(&file, &content).unwrap();
        let error = SqliteStore::open(folder.path()).unwrap_err();
        assert!(error.to_string().contains("workflow.db"), "{error}");
        assert_eq!(fs::read(&file).unwrap(), content);
    }
}

/// JSON text of this many bytes.
fn text_of(bytes: usize) -> String {
    format!("\"{}\"", "x".repeat(bytes - 2))
}

fn count(folder: &TempDir, sql: &str) -> i64 {
    let db = Connection::open(folder.path().join("workflow.db")).unwrap();
    db.query_row(sql, [], |row| row.get(0)).unwrap()
}

#[tokio::test]
async fn large_values_are_kept_apart_come_back_whole_and_go_with_their_rows() {
    let (store, folder) = open();
    let (large, small) = (text_of(256 * 1024 + 1), text_of(256 * 1024));
    let mut run = new_run("t");
    run.input = json::from_text(large.clone()).unwrap();
    let dispatch = claimed(&store, run).await;
    let calls = vec![record(0, &large), record(1, &small)];
    store.append(dispatch.fence, calls.clone()).await.unwrap();
    // Said again, as a worker does that did not hear the answer.
    store.append(dispatch.fence, calls).await.unwrap();
    let rest = succeeded(&large);
    store.rest_run(dispatch.fence, rest, true).await.unwrap();
    let copy = store
        .fork_thread(
            &tenant(),
            &thread("t"),
            None,
            &thread("copy"),
            Timestamp::now(),
        )
        .await
        .unwrap();
    assert_eq!(copy.checkpoint.unwrap().saved.get(), large);
    // The input, one result, what was saved, and its copy.
    assert_eq!(count(&folder, "SELECT count(*) FROM blobs"), 4);

    let found = store
        .run(&tenant(), dispatch.run.id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(found.input.get(), large);
    let journal = store.journal(&tenant(), found.id, 0).await.unwrap();
    let results: Vec<_> = journal
        .iter()
        .map(|call| call.entry.outcome.as_ref().unwrap().get())
        .collect();
    assert_eq!(results, [large.as_str(), small.as_str()]);

    store.delete_thread(&tenant(), &thread("t")).await.unwrap();
    assert_eq!(count(&folder, "SELECT count(*) FROM blobs"), 1);
    let copy = store.thread(&tenant(), &thread("copy")).await.unwrap();
    assert_eq!(copy.unwrap().checkpoint.unwrap().saved.get(), large);
}

#[tokio::test]
async fn a_file_that_is_found_to_be_damaged_takes_no_more_writes() {
    let (store, folder) = open();
    let mut run = new_run("large");
    run.input = json::from_text(text_of(2 * 1024 * 1024)).unwrap();
    let damaged = claimed(&store, run).await.run.id;
    let whole = claimed(&store, new_run("small")).await.run.id;
    store.close().await;
    drop(store);
    let path = folder.path().join("workflow.db");
    let mut file = fs::File::options().write(true).open(path).unwrap();
    file.seek(SeekFrom::Start(1024 * 1024)).unwrap();
    file.write_all(&[0xff; 512 * 1024]).unwrap();

    let store: Store = Arc::new(SqliteStore::open(folder.path()).unwrap());
    store.check_writes().await.unwrap();
    let (tenant, now) = (tenant(), Timestamp::now());
    let read = store.run(&tenant, damaged).await.map(drop);
    let looked = store.check_writes().await;
    let wrote = store.cancel_run(&tenant, whole, "", now).await.map(drop);
    for result in [read, looked, wrote] {
        let error = result.unwrap_err();
        assert!(matches!(error, StoreError::Damaged(_)), "{error}");
        let said = error.to_string();
        assert!(
            said.contains("workflow.db") && said.contains("backup"),
            "{said}"
        );
    }
    let kept = store.run(&tenant, whole).await.unwrap().unwrap();
    assert_eq!(kept.state, RunState::Queued);
}

#[tokio::test]
async fn the_room_of_what_was_deleted_is_given_back() {
    let (store, folder) = open();
    for _ in 0..8 {
        let mut run = new_run("t");
        run.input = json::from_text(text_of(1024 * 1024)).unwrap();
        let dispatch = claimed(&store, run).await;
        let rest = succeeded("1");
        store.rest_run(dispatch.fence, rest, true).await.unwrap();
    }
    let pages = || count(&folder, "PRAGMA page_count");
    let full = pages();
    store.delete_thread(&tenant(), &thread("t")).await.unwrap();
    assert_eq!(pages(), full);
    let nothing = Expired {
        threads: None,
        runs: None,
        journals: None,
        now: Timestamp::now(),
    };
    store.sweep(nothing, 10).await.unwrap();
    assert!(pages() < full / 10, "{} of {full} pages", pages());
}

#[tokio::test]
async fn a_run_that_cannot_be_read_is_paused_and_holds_no_other_up() {
    let (store, folder) = open();
    let damaged = claimed(&store, new_run("damaged")).await;
    let calls = vec![record(0, "1")];
    store.append(damaged.fence, calls).await.unwrap();
    claimed(&store, new_run("whole")).await;
    store.close().await;
    drop(store);
    let db = Connection::open(folder.path().join("workflow.db")).unwrap();
    let changed = db.execute("UPDATE journal SET outcome = '{\"cut'", []);
    assert_eq!(changed.unwrap(), 1);
    drop(db);

    let store: Store = Arc::new(SqliteStore::open(folder.path()).unwrap());
    let claimed = claims(&store, 10).await;
    let threads: Vec<_> = claimed
        .iter()
        .map(|one| one.run.thread_id.as_str())
        .collect();
    assert_eq!(threads, ["whole"]);
    let run = store.run(&tenant(), damaged.run.id).await.unwrap().unwrap();
    assert_eq!(run.state, RunState::Paused);
    assert_eq!(run.failure.unwrap().reason, "STORED_DATA_CORRUPT");
}

#[tokio::test]
async fn a_run_that_cannot_be_read_does_not_keep_the_one_before_it_from_its_end() {
    let (store, folder) = open();
    let first = claimed(&store, new_run("t")).await;
    let second = NewRun {
        claim: false,
        ..new_run("t")
    };
    let second = queued(&store, second).await;
    let db = Connection::open(folder.path().join("workflow.db")).unwrap();
    let changed = db.execute("UPDATE runs SET input = '{\"cut' WHERE attempt = 0", []);
    assert_eq!(changed.unwrap(), 1);
    let rested = store.rest_run(first.fence, succeeded("1"), true).await;
    assert!(rested.unwrap().next.is_none());
    let ended = store.run(&tenant(), first.run.id).await.unwrap().unwrap();
    assert_eq!(ended.state, RunState::Succeeded);
    let sql = "SELECT state FROM runs WHERE attempt = 0";
    let state = count(&folder, sql);
    assert_eq!(state, i64::from(RunState::Paused.number()), "{second}");
}

#[tokio::test]
async fn a_checkpoint_is_the_newest_of_its_thread_also_after_the_clock_was_set_back() {
    let (store, folder) = open();
    let dispatch = claimed(&store, new_run("t")).await;
    let rested = store.rest_run(dispatch.fence, succeeded("1"), true).await;
    let first = rested.unwrap().checkpoint.unwrap();
    // As if the clock had been ahead: the id of the first one is from the year 2500.
    let ahead = CheckpointId("0f3a1b2c-3d4e-7000-8000-000000000000".parse().unwrap());
    assert!(ahead > CheckpointId::new());
    let db = Connection::open(folder.path().join("workflow.db")).unwrap();
    for table in ["checkpoints", "threads"] {
        let sql = format!("UPDATE {table} SET checkpoint_id = ?1 WHERE checkpoint_id = ?2");
        let changed = db.execute(&sql, [ahead.0.as_bytes(), first.id.0.as_bytes()]);
        assert_eq!(changed.unwrap(), 1);
    }
    let dispatch = claimed(&store, new_run("t")).await;
    assert_eq!(dispatch.previous.as_ref().unwrap().get(), "1");
    let rested = store.rest_run(dispatch.fence, succeeded("2"), true).await;
    let second = rested.unwrap().checkpoint.unwrap();
    assert_eq!(second.parent_id, Some(ahead));
    store
        .prune_thread(&tenant(), &thread("t"), 1)
        .await
        .unwrap();
    let left = store.thread(&tenant(), &thread("t")).await.unwrap();
    assert_eq!(left.unwrap().checkpoint.unwrap().id, second.id);
}

#[tokio::test]
async fn runs_of_the_first_schema_build_on_what_they_built_on_then() {
    let (store, folder) = open();
    let first = claimed(&store, new_run("t")).await;
    let later = NewRun {
        claim: false,
        ..new_run("t")
    };
    let later = queued(&store, later).await;
    store.close().await;
    drop(store);
    let db = Connection::open(folder.path().join("workflow.db")).unwrap();
    db.execute_batch(TO_FIRST_SCHEMA).unwrap();
    drop(db);

    let store: Store = Arc::new(SqliteStore::open(folder.path()).unwrap());
    let again = claims(&store, 1).await.remove(0);
    assert_eq!(again.run.id, first.run.id);
    let rested = store.rest_run(again.fence, succeeded("1"), true).await;
    let next = rested.unwrap().next.unwrap();
    assert_eq!((next.run.id, next.previous.unwrap().get()), (later, "1"));
}
