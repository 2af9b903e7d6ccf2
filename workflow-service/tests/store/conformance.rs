//! The suite. Each test is given an empty store.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use service_runtime::Tenant;
use weft_worker::{Call, CallId, CallKind, Failure, json, protocol::JournalEntry};
use workflow_service::{
    domain::{
        CheckpointId, Concurrency, Durability, RunId, RunState, ThreadId, ThreadState, Timestamp,
        checkpoint::CheckpointValues, history::RecordedCall,
    },
    store::{
        CheckpointStore, Dispatch, EntrypointVersion, Fence, NewRun, RequestKey, Rest, RunEnd,
        RunFilter, StartedRun, StoreError, ThreadPosition,
    },
};

pub(crate) type Store = Arc<dyn CheckpointStore>;

/// Makes a test of each function of the suite, for a store that `$open` opens.
macro_rules! conformance {
    ($open:expr => $($name:ident),* $(,)?) => {$(
        #[tokio::test]
        async fn $name() {
            let (store, _keep) = $open;
            crate::conformance::$name(store).await;
        }
    )*};
}
pub(crate) use conformance;

pub(crate) fn tenant() -> Tenant {
    Tenant::default()
}

pub(crate) fn thread(name: &str) -> ThreadId {
    ThreadId::parse(name).unwrap()
}

pub(crate) fn new_run(thread_name: &str) -> NewRun {
    NewRun {
        id: RunId::new(),
        thread_id: thread(thread_name),
        entrypoint: "test".into(),
        version: "1".into(),
        input: json::from_text(r#"{"b":1.0,"a":12345678901234567890123}"#).unwrap(),
        config: json::from_text("{}").unwrap(),
        labels: BTreeMap::new(),
        branch_from: None,
        concurrency: Concurrency::Enqueue,
        durability: Durability::Sync,
        timeout: None,
        start_after: None,
        request: None,
        claim: true,
        now: Timestamp::now(),
    }
}

pub(crate) async fn claimed(store: &Store, run: NewRun) -> Dispatch {
    match store.start_run(&tenant(), run).await.unwrap() {
        StartedRun::Claimed(dispatch) => *dispatch,
        other => panic!("the run was not claimed: {other:?}"),
    }
}

async fn queued(store: &Store, run: NewRun) -> RunId {
    match store.start_run(&tenant(), run).await.unwrap() {
        StartedRun::Queued(run) => run.id,
        other => panic!("the run was not queued: {other:?}"),
    }
}

pub(crate) fn record(order: u32, result: &str) -> RecordedCall {
    let call = Call {
        id: CallId::new(None, order),
        kind: CallKind::Task,
        task: "task".into(),
        input_hash: [7; 32],
    };
    let outcome = Ok(json::from_text(result).unwrap());
    RecordedCall {
        entry: JournalEntry { call, outcome },
        commit_sequence: order,
        sequence: 3 + 2 * i64::from(order),
        attempt: 1,
        time: Timestamp::now(),
    }
}

fn succeeded(saved: &str) -> Rest {
    let value = json::from_text(r#""value""#).unwrap();
    let saved = json::from_text(saved).unwrap();
    let end = RunEnd::Succeeded(CheckpointValues::new(&value, &saved));
    Rest {
        end,
        last_sequence: 100,
        executed: Duration::ZERO,
        now: Timestamp::now(),
    }
}

fn failed() -> Rest {
    let end = RunEnd::Failed(
        Failure::new("BROKEN", "broken").of_call(&CallId::new(None, 0), &"task".into()),
    );
    Rest {
        end,
        last_sequence: 100,
        executed: Duration::ZERO,
        now: Timestamp::now(),
    }
}

async fn claims(store: &Store, limit: u32) -> Vec<Dispatch> {
    store
        .claim_runs(hosted(), limit, Timestamp::now())
        .await
        .unwrap()
        .dispatches
}

fn hosted() -> Vec<EntrypointVersion> {
    vec![EntrypointVersion {
        name: "test".into(),
        version: "1".into(),
    }]
}

pub(crate) async fn a_run_comes_back_exactly_as_it_was_recorded(store: Store) {
    let mut run = new_run("t");
    run.labels = BTreeMap::from([("team".to_owned(), "a \"quoted\" one".to_owned())]);
    let dispatch = claimed(&store, run.clone()).await;
    assert_eq!(dispatch.run.state, RunState::Running);
    assert_eq!(dispatch.run.attempt, 1);
    let stored = store.run(&tenant(), run.id).await.unwrap().unwrap();
    assert_eq!(stored.input.get(), run.input.get());
    assert_eq!(stored.labels, run.labels);
    assert_eq!(stored.create_time, run.now);
    assert_eq!(stored.start_time, Some(run.now));
}

pub(crate) async fn one_tenant_never_sees_anothers_runs_threads_or_checkpoints(store: Store) {
    let dispatch = claimed(&store, new_run("t")).await;
    store
        .append(dispatch.fence, vec![record(0, "1")])
        .await
        .unwrap();
    let rested = store
        .rest_run(dispatch.fence, succeeded("1"), true)
        .await
        .unwrap();
    let (run, checkpoint) = (rested.run.id, rested.checkpoint.unwrap().id);
    let other = Tenant::try_new("other").unwrap();
    assert!(store.run(&other, run).await.unwrap().is_none());
    assert!(store.journal(&other, run, 0).await.unwrap().is_empty());
    assert!(store.thread(&other, &thread("t")).await.unwrap().is_none());
    assert!(
        store
            .checkpoint(&other, &thread("t"), checkpoint)
            .await
            .unwrap()
            .is_none()
    );
    let checkpoints = store
        .list_checkpoints(&other, &thread("t"), None, 10)
        .await
        .unwrap();
    assert!(checkpoints.is_empty());
    let runs = store
        .list_runs(&other, RunFilter::default(), None, 10)
        .await
        .unwrap();
    assert!(runs.is_empty());
    // The same thread id is another thread.
    let started = store.start_run(&other, new_run("t")).await.unwrap();
    let StartedRun::Claimed(dispatch) = started else {
        panic!("{started:?}")
    };
    assert!(dispatch.previous.is_none());
}

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
    claimed(&store, new_run("t")).await;
    let run = NewRun {
        concurrency: Concurrency::Reject,
        ..new_run("t")
    };
    let error = store.start_run(&tenant(), run.clone()).await.unwrap_err();
    assert!(matches!(error, StoreError::ThreadBusy(_)), "{error}");
    assert!(store.run(&tenant(), run.id).await.unwrap().is_none());
}

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

pub(crate) async fn a_repeated_request_returns_the_first_run(store: Store) {
    let request = |hash: u8, expires: Timestamp| {
        Some(RequestKey {
            id: "r".into(),
            hash: [hash; 32],
            expire_time: expires,
        })
    };
    let later = Timestamp::now().after(Duration::from_secs(60));
    let first = NewRun {
        request: request(1, later),
        ..new_run("t")
    };
    claimed(&store, first.clone()).await;
    let again = NewRun {
        request: request(1, later),
        ..new_run("t")
    };
    let StartedRun::Repeated(run) = store.start_run(&tenant(), again.clone()).await.unwrap() else {
        panic!("not repeated")
    };
    assert_eq!(run.id, first.id);
    assert!(store.run(&tenant(), again.id).await.unwrap().is_none());

    let other = NewRun {
        request: request(2, later),
        ..new_run("t")
    };
    let error = store.start_run(&tenant(), other.clone()).await.unwrap_err();
    assert!(matches!(error, StoreError::RequestIdReused(_)));
    // Another tenant's request ids are its own, and an expired one is forgotten.
    let foreign = Tenant::try_new("other").unwrap();
    assert!(store.start_run(&foreign, other.clone()).await.is_ok());
    let after_expiry = NewRun {
        now: later,
        thread_id: thread("u"),
        ..other
    };
    let after_expiry = NewRun {
        id: RunId::new(),
        ..after_expiry
    };
    assert!(store.start_run(&tenant(), after_expiry).await.is_ok());
}

pub(crate) async fn listings_filter_and_page_newest_first(store: Store) {
    let mut ids = Vec::new();
    for index in 0..5 {
        let run = NewRun {
            labels: BTreeMap::from([("parity".to_owned(), (index % 2).to_string())]),
            ..new_run(&format!("t{index}"))
        };
        let dispatch = claimed(&store, run).await;
        if index < 2 {
            store
                .rest_run(dispatch.fence, failed(), true)
                .await
                .unwrap();
        }
        ids.insert(0, dispatch.run.id);
    }
    let list = async |filter: RunFilter, before, limit| {
        let runs = store
            .list_runs(&tenant(), filter, before, limit)
            .await
            .unwrap();
        runs.into_iter().map(|run| run.id).collect::<Vec<_>>()
    };
    assert_eq!(list(RunFilter::default(), None, 10).await, ids);
    assert_eq!(list(RunFilter::default(), None, 2).await, ids[..2]);
    assert_eq!(list(RunFilter::default(), Some(ids[1]), 2).await, ids[2..4]);
    let of_thread = RunFilter {
        thread_id: Some(thread("t3")),
        ..RunFilter::default()
    };
    assert_eq!(list(of_thread, None, 10).await, [ids[1]]);
    let in_state = RunFilter {
        states: vec![RunState::Failed],
        ..RunFilter::default()
    };
    assert_eq!(list(in_state, None, 10).await, ids[3..]);
    let labels = BTreeMap::from([("parity".to_owned(), "1".to_owned())]);
    let labelled = RunFilter {
        labels,
        ..RunFilter::default()
    };
    assert_eq!(list(labelled, None, 10).await, [ids[1], ids[3]]);
    let elsewhere = RunFilter {
        entrypoint: Some("else".into()),
        ..RunFilter::default()
    };
    assert!(list(elsewhere, None, 10).await.is_empty());
}

pub(crate) async fn many_writers_at_once_all_get_their_own_answer(store: Store) {
    let runs = (0..200).map(|index| {
        let store = Arc::clone(&store);
        async move {
            let dispatch = claimed(&store, new_run(&format!("t{index}"))).await;
            for order in 0..5 {
                store
                    .append(dispatch.fence, vec![record(order, "1")])
                    .await
                    .unwrap();
            }
            let saved = index.to_string();
            store
                .rest_run(dispatch.fence, succeeded(&saved), true)
                .await
                .unwrap();
            let stored = store
                .thread(&tenant(), &thread(&format!("t{index}")))
                .await
                .unwrap();
            assert_eq!(stored.unwrap().checkpoint.unwrap().saved.get(), saved);
        }
    });
    futures::future::join_all(runs).await;
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
    // While the run is under way; it still builds on what it was given, also after a crash.
    store
        .update_thread(&tenant(), &thread("t"), None, values("2"), now)
        .await
        .unwrap();
    store.requeue_run(dispatch.fence).await.unwrap();
    let again = claims(&store, 1).await.remove(0);
    assert_eq!(again.previous.unwrap().get(), "1");
    let rested = store
        .rest_run(again.fence, succeeded("3"), true)
        .await
        .unwrap();
    assert_eq!(rested.checkpoint.unwrap().parent_id, Some(by_hand.id));
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
async fn thread_of(store: &Store, name: &str, saved: &[&str]) -> Vec<CheckpointId> {
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

pub(crate) async fn pruning_keeps_the_newest_checkpoints_and_their_runs(store: Store) {
    let ids = thread_of(&store, "t", &["1", "2", "3"]).await;
    let dispatch = claimed(&store, new_run("t")).await;
    store
        .rest_run(dispatch.fence, failed(), true)
        .await
        .unwrap();
    let under_way = claimed(&store, new_run("t")).await;
    let pruned = store
        .prune_thread(&tenant(), &thread("t"), 1)
        .await
        .unwrap();
    assert_eq!((pruned.checkpoints, pruned.runs), (2, 3));
    let left = store
        .list_checkpoints(&tenant(), &thread("t"), None, 10)
        .await
        .unwrap();
    assert_eq!(
        (left.len(), left[0].id, left[0].parent_id),
        (1, ids[2], None)
    );
    store
        .rest_run(under_way.fence, succeeded("4"), true)
        .await
        .unwrap();
    assert!(
        store
            .run(&tenant(), dispatch.run.id)
            .await
            .unwrap()
            .is_none()
    );
}

pub(crate) async fn a_thread_is_deleted_whole_unless_a_run_is_unfinished(store: Store) {
    thread_of(&store, "t", &["1"]).await;
    let dispatch = claimed(&store, new_run("t")).await;
    let error = store
        .delete_thread(&tenant(), &thread("t"))
        .await
        .unwrap_err();
    assert!(matches!(error, StoreError::ThreadBusy(_)));
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
