//! Cancels of runs that a worker executes.

use std::time::Duration;

use weft_worker::{Call, CallId, CallKind, Failure, json, protocol::Question};
use workflow_service::{
    domain::{RunState, Timestamp},
    store::{Dispatch, Rest, RunEnd, StoreError},
};

use super::{Store, claimed, claims, failed, new_run, queued, record, succeeded, tenant, thread};

async fn ask_to_stop(store: &Store, dispatch: &Dispatch, reason: &str) {
    let (tenant, now) = (tenant(), Timestamp::now());
    let cancelled = store.cancel_run(&tenant, dispatch.run.id, reason, now);
    assert_eq!(cancelled.await.unwrap().state, RunState::Running);
}

fn ends(end: RunEnd) -> Rest {
    Rest { end, ..failed() }
}

/// All ways in which a dispatch can end.
fn all_ends() -> Vec<Rest> {
    let failure = || Failure::new("BROKEN", "broken");
    let wake_time = Timestamp::now().after(Duration::from_secs(3600));
    let question = Question {
        call: Call {
            id: CallId::new(None, 1),
            kind: CallKind::Interrupt,
            task: "interrupt".into(),
            input_hash: [7; 32],
        },
        asked_by: None,
        value: json::null(),
    };
    vec![
        succeeded("1"),
        failed(),
        ends(RunEnd::Cancelled(failure())),
        ends(RunEnd::Paused(failure())),
        ends(RunEnd::Interrupted {
            questions: vec![question],
            wake_time: Some(wake_time),
        }),
        ends(RunEnd::Waiting { wake_time }),
        ends(RunEnd::Retrying {
            failure: failure(),
            wake_time,
        }),
    ]
}

pub(crate) async fn a_run_that_was_asked_to_stop_is_cancelled_however_it_ends(store: Store) {
    for end in all_ends() {
        let name = format!("{:?}", end.end);
        let dispatch = claimed(&store, new_run("t")).await;
        let behind = queued(&store, new_run("t")).await;
        store
            .append(dispatch.fence, vec![record(0, "1")])
            .await
            .unwrap();
        ask_to_stop(&store, &dispatch, "enough").await;
        let asked = store.run(&tenant(), dispatch.run.id).await.unwrap();
        assert_eq!(asked.unwrap().stop.unwrap().reason, "enough", "{name}");

        let rested = store.rest_run(dispatch.fence, end, true).await.unwrap();
        let run = store.run(&tenant(), rested.run.id).await.unwrap().unwrap();
        for run in [run, rested.run] {
            assert_eq!(run.state, RunState::Cancelled, "{name}");
            assert!(run.output.is_none() && run.interrupts.is_empty(), "{name}");
            assert!(run.wake_time.is_none() && run.end_time.is_some(), "{name}");
            let failure = run.failure.unwrap();
            assert_eq!(
                (failure.reason.as_str(), failure.message.as_str()),
                (Failure::CANCELLED, "enough"),
                "{name}"
            );
        }
        assert!(rested.checkpoint.is_none(), "{name}");
        let left = store.thread(&tenant(), &thread("t")).await.unwrap();
        assert!(left.unwrap().checkpoint.is_none(), "{name}");
        let next = rested.next.unwrap();
        assert_eq!(next.run.id, behind, "{name}");
        store.rest_run(next.fence, failed(), true).await.unwrap();
    }
}

pub(crate) async fn a_run_that_was_asked_to_stop_is_handed_to_no_other_worker(store: Store) {
    let dispatch = claimed(&store, new_run("t")).await;
    ask_to_stop(&store, &dispatch, "enough").await;
    let given_back = store.requeue_run(dispatch.fence).await.unwrap();
    assert_eq!(given_back.state, RunState::Cancelled);
    assert_eq!(given_back.failure.unwrap().message, "enough");
    assert!(claims(&store, 10).await.is_empty());
}

pub(crate) async fn the_first_cancel_counts_and_one_after_the_end_is_refused(store: Store) {
    let dispatch = claimed(&store, new_run("t")).await;
    ask_to_stop(&store, &dispatch, "first").await;
    ask_to_stop(&store, &dispatch, "second").await;
    let rested = store
        .rest_run(dispatch.fence, succeeded("1"), true)
        .await
        .unwrap();
    assert_eq!(rested.run.failure.unwrap().message, "first");

    let dispatch = claimed(&store, new_run("t")).await;
    store
        .rest_run(dispatch.fence, succeeded("1"), true)
        .await
        .unwrap();
    for (id, state) in [
        (rested.run.id, RunState::Cancelled),
        (dispatch.run.id, RunState::Succeeded),
    ] {
        let (tenant, now) = (tenant(), Timestamp::now());
        let late = store.cancel_run(&tenant, id, "late", now).await;
        let error = late.unwrap_err();
        assert!(
            matches!(error, StoreError::WrongState { state: found, .. } if found == state),
            "{error}"
        );
        let named = error.to_string().contains(&format!("is {state}, "));
        assert!(named, "{error}");
    }
}
