//! Questions, and answers to them at any moment.

use std::collections::BTreeMap;

use weft_worker::{Call, CallId, CallKind, Json, json, protocol::Question};
use workflow_service::{
    domain::{RunState, Timestamp},
    store::{Answers, Dispatch, Rest, Retry, RunEnd, StartedRun, StoreError},
};

use super::{Store, claimed, claims, failed, new_run, tenant};

fn question(order: u32) -> Question {
    Question {
        call: Call {
            id: CallId::new(None, order),
            kind: CallKind::Interrupt,
            task: "interrupt".into(),
            input_hash: [7; 32],
        },
        asked_by: None,
        value: json::null(),
    }
}

fn asks(orders: &[u32]) -> Rest {
    let end = RunEnd::Interrupted {
        questions: orders.iter().copied().map(question).collect(),
        wake_time: None,
    };
    Rest { end, ..failed() }
}

async fn answer(
    store: &Store,
    dispatch: &Dispatch,
    order: u32,
    answer: &Json,
) -> Result<StartedRun, StoreError> {
    let answers = BTreeMap::from([(CallId::new(None, order), answer.clone())]);
    let (tenant, answers) = (tenant(), Answers::ById(answers));
    let id = dispatch.run.id;
    let answered = store.answer_run(&tenant, id, answers, true, Timestamp::now());
    answered.await
}

/// A run that goes on after the first of its two questions was answered.
async fn half_answered(store: &Store) -> Dispatch {
    let dispatch = claimed(store, new_run("t")).await;
    store
        .rest_run(dispatch.fence, asks(&[0, 1]), true)
        .await
        .unwrap();
    match answer(store, &dispatch, 0, &json::null()).await.unwrap() {
        StartedRun::Claimed(dispatch) => *dispatch,
        other => panic!("it does not go on: {other:?}"),
    }
}

/// Tries a run again that failed.
async fn retried(store: &Store, dispatch: &Dispatch) -> Dispatch {
    let (tenant, now) = (tenant(), Timestamp::now());
    let retried = store.retry_run(&tenant, dispatch.run.id, Retry::default(), true, now);
    match retried.await.unwrap() {
        StartedRun::Claimed(dispatch) => *dispatch,
        other => panic!("it is not tried again: {other:?}"),
    }
}

/// What the worker is handed: the ids and answers.
fn handed(dispatch: &Dispatch) -> Vec<(&str, &str)> {
    let entries = dispatch.journal.iter().map(|call| &call.entry);
    entries
        .map(|entry| {
            (
                entry.call.id.as_str(),
                entry.outcome.as_ref().unwrap().get(),
            )
        })
        .collect()
}

pub(crate) async fn a_question_is_open_until_it_is_answered_also_while_its_run_goes_on(
    store: Store,
) {
    let dispatch = half_answered(&store).await;
    assert_eq!(handed(&dispatch), [("0", "null")]);
    let under_way = store
        .run(&tenant(), dispatch.run.id)
        .await
        .unwrap()
        .unwrap();
    let open: Vec<_> = under_way
        .interrupts
        .iter()
        .map(|each| each.id.as_str())
        .collect();
    assert_eq!((under_way.state, open), (RunState::Running, vec!["1"]));
    let thread = store.thread(&tenant(), &dispatch.run.thread_id).await;
    assert_eq!(thread.unwrap().unwrap().interrupts.len(), 1);

    for (order, said) in [(0, "was answered"), (2, "is not open; open are `1`")] {
        let refused = answer(&store, &dispatch, order, &json::null()).await;
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains(said), "{refused}");
    }

    // Large enough to be kept apart from its row.
    let long = json::from_text(format!("\"{}\"", "x".repeat(300_000))).unwrap();
    let answered = answer(&store, &dispatch, 1, &long).await.unwrap();
    let StartedRun::Queued(run) = answered else {
        panic!("it is handed out twice: {answered:?}")
    };
    assert_eq!((run.state, run.interrupts.len()), (RunState::Running, 0));
    for (order, was) in [(0, true), (1, true), (2, false)] {
        let refused = answer(&store, &dispatch, order, &json::null()).await;
        assert!(
            matches!(refused, Err(StoreError::NoSuchInterrupt { was_answered, .. }) if was_answered == was),
            "{order}: {refused:?}"
        );
    }

    let rested = store
        .rest_run(dispatch.fence, asks(&[1]), true)
        .await
        .unwrap();
    assert_eq!(rested.run.state, RunState::Queued, "nothing is asked");
    let next = rested.next.unwrap();
    assert_eq!(next.run.id, dispatch.run.id);
    assert_eq!(handed(&next), [("0", "null"), ("1", long.get())]);
}

pub(crate) async fn an_accepted_answer_is_kept_whatever_becomes_of_the_dispatch(store: Store) {
    let yes = json::from_text("true").unwrap();
    let both = [("0", "null"), ("1", "true")];

    let lost = half_answered(&store).await;
    answer(&store, &lost, 1, &yes).await.unwrap();
    store.requeue_run(lost.fence).await.unwrap();
    let [dispatch] = &*claims(&store, 1).await else {
        panic!("it is claimed again")
    };
    assert_eq!(handed(dispatch), both);
    store
        .rest_run(dispatch.fence, failed(), true)
        .await
        .unwrap();

    let broken = half_answered(&store).await;
    answer(&store, &broken, 1, &yes).await.unwrap();
    store.rest_run(broken.fence, failed(), true).await.unwrap();
    let dispatch = retried(&store, &broken).await;
    assert_eq!(handed(&dispatch), both);
}

pub(crate) async fn a_question_that_is_not_asked_again_is_open_no_more(store: Store) {
    let dispatch = half_answered(&store).await;
    store
        .rest_run(dispatch.fence, failed(), true)
        .await
        .unwrap();
    let run = store
        .run(&tenant(), dispatch.run.id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!((run.state, run.interrupts.len()), (RunState::Failed, 0));
    let refused = answer(&store, &dispatch, 1, &json::null()).await;
    assert!(
        matches!(refused, Err(StoreError::WrongState { .. })),
        "{refused:?}"
    );
    let dispatch = retried(&store, &dispatch).await;
    let refused = answer(&store, &dispatch, 1, &json::null()).await;
    assert!(
        matches!(
            refused,
            Err(StoreError::NoSuchInterrupt {
                was_answered: false,
                ..
            })
        ),
        "{refused:?}"
    );
}
