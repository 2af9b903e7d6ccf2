//! Checkpoints, and editing threads.

use weft_worker::json;
use workflow_service::{
    domain::{CheckpointId, ThreadState, Timestamp, checkpoint::CheckpointValues},
    store::{NewRun, StoreError, ThreadPosition},
};

use super::{Store, claimed, claims, failed, new_run, queued, record, succeeded, tenant, thread};

pub(crate) async fn a_successful_run_leaves_a_checkpoint_that_names_its_parent(store: Store) {
    let first = claimed(&store, new_run("t")).await;
    let first = store
        .rest_run(first.fence, succeeded("1"), true)
        .await
        .unwrap();
    let second = claimed(&store, new_run("t")).await;
    let second = store
        .rest_run(second.fence, succeeded("2"), true)
        .await
        .unwrap();
    let (older, newer) = (first.checkpoint.unwrap(), second.checkpoint.unwrap());
    assert_eq!(second.run.checkpoint_id, Some(newer.id));
    assert_eq!(newer.parent_id, Some(older.id));
    assert_eq!(newer.run_id, Some(second.run.id));
    let thread_now = store
        .thread(&tenant(), &thread("t"))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(thread_now.checkpoint.unwrap().id, newer.id);
    let listed = store
        .list_checkpoints(&tenant(), &thread("t"), None, 10)
        .await
        .unwrap();
    let ids: Vec<_> = listed.iter().map(|checkpoint| checkpoint.id).collect();
    assert_eq!(ids, [newer.id, older.id]);
    let page = store
        .list_checkpoints(&tenant(), &thread("t"), Some(newer.id), 10)
        .await
        .unwrap();
    assert_eq!(page.len(), 1);
}

pub(crate) async fn a_run_can_branch_from_an_older_checkpoint(store: Store) {
    let first = claimed(&store, new_run("t")).await;
    let older = store
        .rest_run(first.fence, succeeded("1"), true)
        .await
        .unwrap()
        .checkpoint;
    let second = claimed(&store, new_run("t")).await;
    store
        .rest_run(second.fence, succeeded("2"), true)
        .await
        .unwrap();
    let older = older.unwrap().id;
    let branch = NewRun {
        branch_from: Some(older),
        ..new_run("t")
    };
    let dispatch = claimed(&store, branch).await;
    assert_eq!(dispatch.previous.unwrap().get(), "1");
    let rested = store
        .rest_run(dispatch.fence, succeeded("3"), true)
        .await
        .unwrap();
    assert_eq!(rested.checkpoint.unwrap().parent_id, Some(older));
    let nowhere = NewRun {
        branch_from: Some(CheckpointId::new()),
        ..new_run("t")
    };
    let error = store.start_run(&tenant(), nowhere).await.unwrap_err();
    assert!(matches!(error, StoreError::NoSuchCheckpoint(_)));
}

pub(crate) async fn the_state_of_a_thread_follows_from_its_runs(store: Store) {
    let state = async || {
        store
            .thread(&tenant(), &thread("t"))
            .await
            .unwrap()
            .map(|thread| thread.state)
    };
    assert_eq!(state().await, None);
    let dispatch = claimed(&store, new_run("t")).await;
    assert_eq!(state().await, Some(ThreadState::Busy));
    store
        .rest_run(dispatch.fence, failed(), true)
        .await
        .unwrap();
    assert_eq!(state().await, Some(ThreadState::Error));
    let dispatch = claimed(&store, new_run("t")).await;
    store
        .rest_run(dispatch.fence, succeeded("1"), true)
        .await
        .unwrap();
    assert_eq!(state().await, Some(ThreadState::Idle));
}

pub(crate) async fn a_checkpoint_written_by_hand_is_the_next_runs_previous(store: Store) {
    let values = |saved: &str| {
        let value = json::from_text("0").unwrap();
        CheckpointValues::new(&value, &json::from_text(saved).unwrap())
    };
    let now = Timestamp::now();
    let by_hand = store
        .update_thread(&tenant(), &thread("t"), None, values("1"), now)
        .await;
    let by_hand = by_hand.unwrap();
    assert_eq!((by_hand.parent_id, by_hand.source.name()), (None, "update"));
    let dispatch = claimed(&store, new_run("t")).await;
    assert_eq!(dispatch.previous.as_ref().unwrap().get(), "1");
    // The run would put its own checkpoint over what it has not seen, also if its worker was lost.
    let refused = async || {
        let written = store
            .update_thread(&tenant(), &thread("t"), None, values("2"), now)
            .await;
        let error = written.unwrap_err();
        assert!(
            matches!(error, StoreError::ThreadInUse { run, .. } if run == dispatch.run.id),
            "{error}"
        );
    };
    refused().await;
    store.requeue_run(dispatch.fence).await.unwrap();
    refused().await;
    let again = claims(&store, 1).await.remove(0);
    assert_eq!(again.previous.unwrap().get(), "1");
    let rested = store
        .rest_run(again.fence, succeeded("3"), true)
        .await
        .unwrap();
    assert_eq!(rested.checkpoint.unwrap().parent_id, Some(by_hand.id));
    // One that waits for its turn is given what is written meanwhile.
    let waits = NewRun {
        claim: false,
        ..new_run("t")
    };
    queued(&store, waits).await;
    let written = store
        .update_thread(&tenant(), &thread("t"), None, values("4"), now)
        .await;
    written.unwrap();
    let next = claims(&store, 1).await.remove(0);
    assert_eq!(next.previous.unwrap().get(), "4");
    let nowhere = Some(CheckpointId::new());
    let error = store
        .update_thread(&tenant(), &thread("t"), nowhere, values("4"), now)
        .await;
    assert!(matches!(
        error.unwrap_err(),
        StoreError::NoSuchCheckpoint(_)
    ));
}

/// A thread whose runs saved these, oldest first.
pub(super) async fn thread_of(store: &Store, name: &str, saved: &[&str]) -> Vec<CheckpointId> {
    let mut checkpoints = Vec::new();
    for saved in saved {
        let dispatch = claimed(store, new_run(name)).await;
        let rested = store
            .rest_run(dispatch.fence, succeeded(saved), true)
            .await
            .unwrap();
        checkpoints.push(rested.checkpoint.unwrap().id);
    }
    checkpoints
}

pub(crate) async fn a_fork_copies_the_line_up_to_a_checkpoint_and_goes_its_own_way(store: Store) {
    let ids = thread_of(&store, "t", &["1", "2", "3"]).await;
    let now = Timestamp::now();
    let copy = thread("copy");
    let forked = store
        .fork_thread(&tenant(), &thread("t"), Some(ids[1]), &copy, now)
        .await;
    let newest = forked.unwrap().checkpoint.unwrap();
    assert_eq!((newest.saved.get(), newest.source.name()), ("2", "fork"));
    let copied = store
        .list_checkpoints(&tenant(), &copy, None, 10)
        .await
        .unwrap();
    assert_eq!(copied.len(), 2);
    thread_of(&store, "copy", &["4"]).await;
    let original = store
        .thread(&tenant(), &thread("t"))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(original.checkpoint.unwrap().saved.get(), "3");

    let error = store
        .fork_thread(&tenant(), &thread("t"), None, &copy, now)
        .await
        .unwrap_err();
    assert!(matches!(error, StoreError::ThreadExists(_)));
    let (nobody, other) = (thread("nobody"), thread("other"));
    let error = store
        .fork_thread(&tenant(), &nobody, None, &other, now)
        .await
        .unwrap_err();
    assert!(matches!(error, StoreError::NoSuchThread(_)));
}

pub(crate) async fn a_thread_is_deleted_whole_unless_a_run_is_unfinished(store: Store) {
    thread_of(&store, "t", &["1"]).await;
    let dispatch = claimed(&store, new_run("t")).await;
    let error = store
        .delete_thread(&tenant(), &thread("t"))
        .await
        .unwrap_err();
    assert!(matches!(error, StoreError::ThreadBusy { run, .. } if run == dispatch.run.id));
    store
        .append(dispatch.fence, vec![record(0, "1")])
        .await
        .unwrap();
    store
        .rest_run(dispatch.fence, succeeded("2"), true)
        .await
        .unwrap();
    store.delete_thread(&tenant(), &thread("t")).await.unwrap();
    assert!(
        store
            .thread(&tenant(), &thread("t"))
            .await
            .unwrap()
            .is_none()
    );
    assert!(
        store
            .run(&tenant(), dispatch.run.id)
            .await
            .unwrap()
            .is_none()
    );
    let error = store
        .delete_thread(&tenant(), &thread("t"))
        .await
        .unwrap_err();
    assert!(matches!(error, StoreError::NoSuchThread(_)));
    assert!(claimed(&store, new_run("t")).await.previous.is_none());
}

pub(crate) async fn threads_are_listed_by_state_and_page_last_updated_first(store: Store) {
    for name in ["a", "b", "c"] {
        thread_of(&store, name, &["1"]).await;
    }
    claimed(&store, new_run("b")).await;
    let list = async |states: Vec<ThreadState>, before, limit| {
        let threads = store
            .list_threads(&tenant(), states, before, limit)
            .await
            .unwrap();
        threads
            .into_iter()
            .map(|thread| (thread.id.to_string(), thread))
            .collect::<Vec<_>>()
    };
    let names = |threads: &[(String, workflow_service::domain::Thread)]| {
        threads
            .iter()
            .map(|(name, _)| name.clone())
            .collect::<Vec<_>>()
    };
    let all = list(vec![], None, 10).await;
    assert_eq!(names(&all), ["b", "c", "a"]);
    let last = &all[0].1;
    let position = ThreadPosition {
        update_time: last.update_time,
        id: last.id.clone(),
    };
    assert_eq!(names(&list(vec![], Some(position), 1).await), ["c"]);
    assert_eq!(names(&list(vec![ThreadState::Busy], None, 10).await), ["b"]);
    assert_eq!(
        names(&list(vec![ThreadState::Idle], None, 10).await),
        ["c", "a"]
    );
    assert!(list(vec![ThreadState::Error], None, 10).await.is_empty());
}
