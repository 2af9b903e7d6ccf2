//! Recording outcomes.

use std::time::Duration;

use weft_worker::{CallId, Failure};
use workflow_service::domain::RunState;

use super::{Store, claimed, failed, new_run, record, tenant};

pub(crate) async fn the_first_outcome_of_a_call_stands(store: Store) {
    let dispatch = claimed(&store, new_run("t")).await;
    store
        .append(dispatch.fence, vec![record(0, "1")])
        .await
        .unwrap();
    store
        .append(dispatch.fence, vec![record(0, "2"), record(1, "3")])
        .await
        .unwrap();
    let journal = store.journal(&tenant(), dispatch.run.id, 0).await.unwrap();
    let results: Vec<_> = journal
        .iter()
        .map(|call| call.entry.outcome.as_ref().unwrap().get())
        .collect();
    assert_eq!(results, ["1", "3"]);
}

pub(crate) async fn the_journal_comes_in_commit_order_and_after_a_sequence(store: Store) {
    let dispatch = claimed(&store, new_run("t")).await;
    // Text order of the call ids is another one: "10" comes before "2".
    let calls = (0..12)
        .map(|order| record(order, &order.to_string()))
        .collect();
    store.append(dispatch.fence, calls).await.unwrap();
    let journal = store.journal(&tenant(), dispatch.run.id, 0).await.unwrap();
    let orders: Vec<_> = journal.iter().map(|call| call.commit_sequence).collect();
    assert_eq!(orders, (0..12).collect::<Vec<_>>());
    // Record 3 has events 9 and 10: its second one is still to come.
    let journal = store.journal(&tenant(), dispatch.run.id, 9).await.unwrap();
    assert_eq!(journal[0].commit_sequence, 3);
}

pub(crate) async fn failures_are_recorded_whole(store: Store) {
    let dispatch = claimed(&store, new_run("t")).await;
    let failure = Failure::transient("AWAY", "it is away")
        .retry_after(Some(Duration::from_millis(1500)))
        .of_call(&CallId::new(None, 0), &"task".into())
        .with("host", "h");
    let mut call = record(0, "1");
    call.entry.outcome = Err(failure.clone());
    store.append(dispatch.fence, vec![call]).await.unwrap();
    let journal = store.journal(&tenant(), dispatch.run.id, 0).await.unwrap();
    assert_eq!(journal[0].entry.outcome.as_ref().unwrap_err(), &failure);
    let rested = store
        .rest_run(dispatch.fence, failed(), true)
        .await
        .unwrap();
    assert_eq!(rested.run.state, RunState::Failed);
    assert_eq!(rested.run.failure.unwrap().task(), Some("task"));
}
