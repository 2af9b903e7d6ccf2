//! What runs build on that are retried after their thread went on.

use workflow_service::{
    domain::{CheckpointId, RunId, RunState, Timestamp},
    store::{NewRun, Retry, StartedRun, StoreError},
};

use super::{Store, claimed, claims, failed, new_run, queued, record, succeeded, tenant, thread};

/// A run that failed; `results` says whether something is recorded of it.
async fn failed_run(store: &Store, run: NewRun, results: bool) -> RunId {
    let dispatch = claimed(store, run).await;
    if results {
        let calls = vec![record(0, "1")];
        store.append(dispatch.fence, calls).await.unwrap();
    }
    let rested = store.rest_run(dispatch.fence, failed(), false).await;
    rested.unwrap().run.id
}

/// The checkpoint of a run that saved this.
async fn saved(store: &Store, text: &str) -> CheckpointId {
    let dispatch = claimed(store, new_run("t")).await;
    let rested = store.rest_run(dispatch.fence, succeeded(text), false).await;
    rested.unwrap().checkpoint.unwrap().id
}

async fn retry(store: &Store, id: RunId, is_branch: bool) -> Result<StartedRun, StoreError> {
    let retry = Retry {
        is_branch,
        ..Retry::default()
    };
    let now = Timestamp::now();
    store.retry_run(&tenant(), id, retry, true, now).await
}

/// What the run that was retried is given, and the parent of what it leaves.
async fn built_on(
    store: &Store,
    retried: Result<StartedRun, StoreError>,
) -> (String, Option<CheckpointId>) {
    let StartedRun::Claimed(dispatch) = retried.unwrap() else {
        panic!("not claimed")
    };
    let previous = dispatch.previous.as_ref();
    let previous = previous.map_or("nothing", |previous| previous.get());
    let rested = store.rest_run(dispatch.fence, succeeded("4"), false).await;
    let parent = rested.unwrap().checkpoint.unwrap().parent_id;
    (previous.to_owned(), parent)
}

pub(crate) async fn a_run_without_results_builds_on_what_its_thread_came_to_meanwhile(
    store: Store,
) {
    let first = saved(&store, "1").await;
    let run = failed_run(&store, new_run("t"), false).await;
    let second = saved(&store, "2").await;
    assert_ne!(first, second);
    let retried = retry(&store, run, false).await;
    let expected = ("2".to_owned(), Some(second));
    assert_eq!(built_on(&store, retried).await, expected);
    // Also if it has to wait, and the thread goes on before its turn.
    let run = failed_run(&store, new_run("t"), false).await;
    let other = claimed(&store, new_run("t")).await;
    let retried = retry(&store, run, false).await.unwrap();
    assert!(matches!(retried, StartedRun::Queued(_)), "{retried:?}");
    // The other one, which builds on what the thread was, goes on first when it loses its worker.
    store.requeue_run(other.fence).await.unwrap();
    let again = claims(&store, 10).await.remove(0);
    assert_eq!(again.run.id, other.run.id);
    let rested = store.rest_run(again.fence, succeeded("5"), true).await;
    let next = rested.unwrap().next.unwrap();
    assert_eq!((next.run.id, next.previous.unwrap().get()), (run, "5"));
}

pub(crate) async fn a_run_with_results_builds_on_what_they_follow_from_or_is_refused(store: Store) {
    let first = saved(&store, "1").await;
    let run = failed_run(&store, new_run("t"), true).await;
    let retried = retry(&store, run, false).await;
    let StartedRun::Claimed(dispatch) = retried.unwrap() else {
        panic!("not claimed")
    };
    assert_eq!(dispatch.previous.unwrap().get(), "1");
    store
        .rest_run(dispatch.fence, failed(), false)
        .await
        .unwrap();
    let second = saved(&store, "2").await;
    let error = retry(&store, run, false).await.unwrap_err();
    let StoreError::ThreadMovedOn {
        began_with, newest, ..
    } = error
    else {
        panic!("{error}")
    };
    assert_eq!((began_with, newest), (Some(first), second));
    let left = store.run(&tenant(), run).await.unwrap().unwrap();
    assert_eq!(left.state, RunState::Failed, "nothing changed");

    let retried = retry(&store, run, true).await;
    let expected = ("1".to_owned(), Some(first));
    assert_eq!(built_on(&store, retried).await, expected);
    let kept = store.checkpoint(&tenant(), &thread("t"), second).await;
    assert_eq!(kept.unwrap().unwrap().saved.get(), "2");
}

pub(crate) async fn a_branch_goes_on_from_its_checkpoint_whatever_its_thread_came_to(store: Store) {
    let first = saved(&store, "1").await;
    saved(&store, "2").await;
    for results in [false, true] {
        let branch = NewRun {
            branch_from: Some(first),
            ..new_run("t")
        };
        let run = failed_run(&store, branch, results).await;
        saved(&store, "3").await;
        let retried = retry(&store, run, false).await;
        let expected = ("1".to_owned(), Some(first));
        assert_eq!(built_on(&store, retried).await, expected);
    }
}

pub(crate) async fn while_another_run_has_a_thread_one_with_results_is_not_retried(store: Store) {
    let run = failed_run(&store, new_run("t"), true).await;
    let other = claimed(&store, new_run("t")).await;
    for is_branch in [false, true] {
        let error = retry(&store, run, is_branch).await.unwrap_err();
        assert!(
            matches!(error, StoreError::ThreadInUse { run, .. } if run == other.run.id),
            "{error}"
        );
    }
    // One that has not begun waits for it.
    store.rest_run(other.fence, failed(), false).await.unwrap();
    let later = NewRun {
        claim: false,
        ..new_run("t")
    };
    let later = queued(&store, later).await;
    let retried = retry(&store, run, false).await.unwrap();
    let StartedRun::Claimed(dispatch) = retried else {
        panic!("{retried:?}")
    };
    assert!(claims(&store, 10).await.is_empty());
    let rested = store.rest_run(dispatch.fence, succeeded("1"), true).await;
    let next = rested.unwrap().next.unwrap();
    assert_eq!((next.run.id, next.previous.unwrap().get()), (later, "1"));
}
