//! Handing runs to workers, and fencing them.

use std::time::Duration;

use weft_worker::Failure;
use workflow_service::{
    domain::{Concurrency, RunId, RunState, Timestamp},
    store::{Fence, NewRun, Rest, RunEnd, StoreError},
};

use super::{Store, claimed, claims, failed, new_run, queued, record, succeeded, tenant};

pub(crate) async fn one_run_of_a_thread_is_under_way_and_the_others_follow_in_order(store: Store) {
    let first = claimed(&store, new_run("t")).await;
    let second = queued(&store, new_run("t")).await;
    let third = queued(&store, new_run("t")).await;
    let elsewhere = claimed(&store, new_run("u")).await;
    assert_eq!(elsewhere.run.state, RunState::Running);
    assert!(claims(&store, 10).await.is_empty());

    let next = store
        .rest_run(first.fence, succeeded("1"), true)
        .await
        .unwrap()
        .next
        .unwrap();
    assert_eq!(next.run.id, second);
    assert_eq!(next.previous.as_ref().unwrap().get(), "1");
    let next = store
        .rest_run(next.fence, failed(), true)
        .await
        .unwrap()
        .next
        .unwrap();
    assert_eq!(next.run.id, third);
    assert_eq!(
        next.previous.unwrap().get(),
        "1",
        "a failed run leaves no checkpoint"
    );
}

pub(crate) async fn queued_runs_are_claimed_oldest_first_and_one_of_a_thread(store: Store) {
    let waiting = |name: &str| NewRun {
        claim: false,
        ..new_run(name)
    };
    let first = queued(&store, waiting("t")).await;
    let _second_of_thread = queued(&store, waiting("t")).await;
    let other = queued(&store, waiting("u")).await;
    let unhosted = NewRun {
        version: "2".into(),
        ..waiting("v")
    };
    queued(&store, unhosted).await;
    let claimed = claims(&store, 10).await;
    let ids: Vec<_> = claimed.iter().map(|dispatch| dispatch.run.id).collect();
    assert_eq!(ids, [first, other]);
    assert!(claims(&store, 10).await.is_empty());
}

pub(crate) async fn a_busy_thread_refuses_a_run_that_is_not_to_wait(store: Store) {
    let busy = claimed(&store, new_run("t")).await.run.id;
    queued(&store, new_run("t")).await;
    let run = NewRun {
        concurrency: Concurrency::Reject,
        ..new_run("t")
    };
    let error = store.start_run(&tenant(), run.clone()).await.unwrap_err();
    assert!(
        matches!(&error, StoreError::ThreadBusy { run, .. } if *run == busy),
        "{error}"
    );
    assert!(store.run(&tenant(), run.id).await.unwrap().is_none());
}

pub(crate) async fn a_fenced_dispatch_writes_nothing(store: Store) {
    let dispatch = claimed(&store, new_run("t")).await;
    store.requeue_run(dispatch.fence).await.unwrap();
    let again = claims(&store, 1).await.remove(0);
    assert!(again.fence.epoch > dispatch.fence.epoch);
    assert_eq!(again.run.attempt, 2);
    let stale = dispatch.fence;
    let error = store.append(stale, vec![record(0, "1")]).await.unwrap_err();
    assert!(matches!(error, StoreError::Fenced));
    let error = store
        .rest_run(stale, succeeded("1"), true)
        .await
        .unwrap_err();
    assert!(matches!(error, StoreError::Fenced));
    assert!(matches!(
        store.requeue_run(stale).await.unwrap_err(),
        StoreError::Fenced
    ));
    assert!(
        store
            .journal(&tenant(), stale.run_id, 0)
            .await
            .unwrap()
            .is_empty()
    );

    store
        .rest_run(again.fence, succeeded("1"), true)
        .await
        .unwrap();
    let error = store
        .append(again.fence, vec![record(0, "1")])
        .await
        .unwrap_err();
    assert!(
        matches!(error, StoreError::Fenced),
        "a run at rest takes no more records"
    );
    let unknown = Fence {
        run_id: RunId::new(),
        epoch: 1,
    };
    assert!(matches!(
        store.append(unknown, vec![]).await.unwrap_err(),
        StoreError::Fenced
    ));
}

pub(crate) async fn a_new_dispatch_has_the_journal_and_higher_sequences(store: Store) {
    let dispatch = claimed(&store, new_run("t")).await;
    store
        .append(dispatch.fence, vec![record(0, "1"), record(1, "2")])
        .await
        .unwrap();
    store.requeue_run(dispatch.fence).await.unwrap();
    let again = claims(&store, 1).await.remove(0);
    assert_eq!(again.journal.len(), 2);
    // The first dispatch may have shown passing events up to a million past its last record.
    assert!(again.run.last_sequence > 6 + 999_999);
}

pub(crate) async fn a_paused_run_keeps_its_thread(store: Store) {
    let dispatch = claimed(&store, new_run("t")).await;
    let waiting = queued(&store, new_run("t")).await;
    let end = RunEnd::Paused(Failure::new("NON_DETERMINISTIC", "changed"));
    let rest = Rest {
        end,
        last_sequence: 9,
        executed: Duration::ZERO,
        now: Timestamp::now(),
    };
    let rested = store.rest_run(dispatch.fence, rest, true).await.unwrap();
    assert_eq!(rested.run.state, RunState::Paused);
    assert!(rested.run.end_time.is_none() && rested.next.is_none());
    assert!(claims(&store, 10).await.is_empty());
    let waiting = store.run(&tenant(), waiting).await.unwrap().unwrap();
    assert_eq!(waiting.state, RunState::Queued);
}
