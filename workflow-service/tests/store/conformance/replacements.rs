//! Runs that take the place of others.

use std::time::Duration;

use weft_worker::{Failure, json};
use workflow_service::{
    domain::{Concurrency, Run, RunId, RunState, Timestamp},
    store::{NewRun, RecordedRun, RequestKey, Rest, Retry, RunEnd, StartedRun, StoreError},
};

use super::{Store, claimed, claims, failed, new_run, queued, succeeded, tenant, thread};

const MODES: [Concurrency; 2] = [Concurrency::Interrupt, Concurrency::Rollback];

fn replacing(mode: Concurrency) -> NewRun {
    NewRun {
        concurrency: mode,
        ..new_run("t")
    }
}

async fn start(store: &Store, run: NewRun) -> RecordedRun {
    store.start_run(&tenant(), run).await.unwrap()
}

async fn found(store: &Store, id: RunId) -> Option<Run> {
    store.run(&tenant(), id).await.unwrap()
}

/// Checks what is left of a run that was replaced.
async fn assert_left(store: &Store, id: RunId, mode: Concurrency) {
    let left = found(store, id).await.map(|run| run.state);
    let expected = (mode == Concurrency::Interrupt).then_some(RunState::Cancelled);
    assert_eq!(left, expected, "{mode:?}");
}

pub(crate) async fn a_new_run_is_recorded_with_the_cancel_of_all_unfinished_ones(store: Store) {
    for mode in MODES {
        let first = claimed(&store, new_run("t")).await;
        let second = queued(&store, new_run("t")).await;
        let new = replacing(mode);
        let recorded = start(&store, new.clone()).await;
        assert!(matches!(&recorded.started, StartedRun::Queued(run) if run.id == new.id));
        let replaced: Vec<_> = recorded
            .replaced
            .iter()
            .map(|run| (run.id, run.state))
            .collect();
        assert_eq!(
            replaced,
            [
                (first.run.id, RunState::Running),
                (second, RunState::Cancelled)
            ]
        );
        let stopping = found(&store, first.run.id).await.unwrap();
        assert_eq!(stopping.state, RunState::Running);
        assert!(stopping.stop.unwrap().reason.contains(&new.id.to_string()));
        assert_left(&store, second, mode).await;
        // It has the thread until it has stopped.
        assert!(claims(&store, 10).await.is_empty());
        let deleted = store.delete_thread(&tenant(), &thread("t")).await;
        let error = deleted.unwrap_err();
        assert!(matches!(error, StoreError::ThreadBusy { run, .. } if run == first.run.id));

        let rested = store
            .rest_run(first.fence, succeeded("1"), true)
            .await
            .unwrap();
        assert_eq!(rested.run.state, RunState::Cancelled);
        assert_left(&store, first.run.id, mode).await;
        let next = rested.next.unwrap();
        assert_eq!(next.run.id, new.id);
        assert!(next.previous.is_none(), "a cancelled run leaves nothing");
        store.rest_run(next.fence, failed(), true).await.unwrap();
    }
}

pub(crate) async fn runs_without_a_worker_make_way_at_once(store: Store) {
    let failure = || Failure::new("BROKEN", "broken");
    let wake_time = Timestamp::now().after(Duration::from_secs(3600));
    let interrupted = RunEnd::Interrupted {
        questions: Vec::new(),
        wake_time: Some(wake_time),
    };
    for mode in MODES {
        for end in [
            RunEnd::Waiting { wake_time },
            interrupted.clone(),
            RunEnd::Paused(failure()),
        ] {
            let first = claimed(&store, new_run("t")).await;
            let rest = Rest { end, ..failed() };
            store.rest_run(first.fence, rest, true).await.unwrap();
            let next = claimed(&store, replacing(mode)).await;
            assert_left(&store, first.run.id, mode).await;
            store.rest_run(next.fence, failed(), true).await.unwrap();
        }
        // Nor does one stand in the way that has ended.
        let ended = claimed(&store, new_run("t")).await;
        store.rest_run(ended.fence, failed(), true).await.unwrap();
        let next = claimed(&store, replacing(mode)).await;
        let ended = found(&store, ended.run.id).await.unwrap();
        assert_eq!(ended.state, RunState::Failed);
        store.rest_run(next.fence, failed(), true).await.unwrap();
    }
}

pub(crate) async fn a_run_that_takes_a_place_goes_before_all_that_come_later(store: Store) {
    let first = claimed(&store, new_run("t")).await;
    // Its id is less, and yet it is recorded later.
    let later = new_run("t");
    let replacing = queued(&store, replacing(Concurrency::Interrupt)).await;
    let later = queued(&store, later).await;
    let next = store.rest_run(first.fence, failed(), true).await.unwrap();
    let next = next.next.unwrap();
    assert_eq!(next.run.id, replacing);
    store.requeue_run(next.fence).await.unwrap();
    let again = claims(&store, 10).await;
    let ids: Vec<_> = again.iter().map(|dispatch| dispatch.run.id).collect();
    assert_eq!(ids, [replacing]);
    let rested = store.rest_run(again[0].fence, failed(), true).await;
    assert_eq!(rested.unwrap().next.unwrap().run.id, later);
}

pub(crate) async fn a_run_that_lost_the_place_it_took_waits_for_its_turn(store: Store) {
    let first = claimed(&store, new_run("t")).await;
    let waiting = queued(&store, replacing(Concurrency::Interrupt)).await;
    let now = Timestamp::now();
    let cancelled = store.cancel_run(&tenant(), waiting, "enough", now).await;
    assert_eq!(cancelled.unwrap().state, RunState::Cancelled);
    let next = queued(&store, replacing(Concurrency::Interrupt)).await;
    store
        .retry_run(&tenant(), waiting, Retry::default(), true, now)
        .await
        .unwrap();
    let rested = store.rest_run(first.fence, failed(), true).await.unwrap();
    assert_eq!(rested.next.unwrap().run.id, next);
}

pub(crate) async fn a_rollback_holds_whoever_else_wants_the_run_to_stop(store: Store) {
    let now = Timestamp::now();
    for before in [true, false] {
        let first = claimed(&store, new_run("t")).await;
        let id = first.run.id;
        let cancel = async |reason: &str| {
            let cancelled = store.cancel_run(&tenant(), id, reason, now).await;
            assert_eq!(cancelled.unwrap().state, RunState::Running);
        };
        if before {
            cancel("enough").await;
        }
        let rollback = queued(&store, replacing(Concurrency::Rollback)).await;
        if !before {
            cancel("enough").await;
        }
        let interrupt = queued(&store, replacing(Concurrency::Interrupt)).await;
        // The second one did not want it gone, and the first one was replaced by the second.
        let replaced = found(&store, rollback).await.unwrap();
        assert_eq!(replaced.state, RunState::Cancelled);
        let rested = store.rest_run(first.fence, failed(), true).await.unwrap();
        assert!(found(&store, id).await.is_none());
        let next = rested.next.unwrap();
        assert_eq!(next.run.id, interrupt);
        store.rest_run(next.fence, failed(), true).await.unwrap();
    }
}

pub(crate) async fn a_run_that_is_rolled_back_goes_with_its_worker(store: Store) {
    let first = claimed(&store, new_run("t")).await;
    let next = queued(&store, replacing(Concurrency::Rollback)).await;
    let given_back = store.requeue_run(first.fence).await.unwrap();
    assert_eq!(given_back.state, RunState::Cancelled);
    assert!(found(&store, first.run.id).await.is_none());
    assert_eq!(claims(&store, 10).await[0].run.id, next);
}

pub(crate) async fn a_repeated_request_takes_no_place_again(store: Store) {
    let request = RequestKey {
        id: "r".into(),
        hash: [1; 32],
        former_hash: None,
        expire_time: Timestamp::now().after(Duration::from_secs(60)),
    };
    let run = || NewRun {
        request: Some(request.clone()),
        input: json::null(),
        ..replacing(Concurrency::Rollback)
    };
    let first = claimed(&store, run()).await;
    let behind = queued(&store, new_run("t")).await;
    let repeated = start(&store, run()).await;
    assert!(matches!(&repeated.started, StartedRun::Repeated(run) if run.id == first.run.id));
    assert!(repeated.replaced.is_empty());
    let left = found(&store, first.run.id).await.unwrap();
    assert!(left.stop.is_none());
    let left = found(&store, behind).await.unwrap();
    assert_eq!(left.state, RunState::Queued);
}
