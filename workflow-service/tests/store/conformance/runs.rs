//! Recording and reading runs.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use service_runtime::Tenant;
use workflow_service::{
    domain::{RunId, RunState, Timestamp},
    store::{NewRun, RequestKey, RunFilter, StartedRun, StoreError},
};

use super::{Store, claimed, failed, new_run, record, succeeded, tenant, thread};

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
    let StartedRun::Claimed(dispatch) = started.started else {
        panic!("{started:?}")
    };
    assert!(dispatch.previous.is_none());
}

pub(crate) async fn a_repeated_request_returns_the_first_run(store: Store) {
    let request = |hash: u8, expires: Timestamp| {
        Some(RequestKey {
            id: "r".into(),
            hash: [hash; 32],
            former_hash: None,
            expire_time: expires,
        })
    };
    let later = Timestamp::now().after(Duration::from_secs(60));
    let first = NewRun {
        request: request(1, later),
        ..new_run("t")
    };
    let asked = async |request: Option<RequestKey>, now| {
        let (tenant, request) = (tenant(), request.unwrap());
        let found = store.repeated_run(&tenant, &request, now).await;
        found.map(|run| run.map(|run| run.id))
    };
    assert!(
        asked(first.request.clone(), first.now)
            .await
            .unwrap()
            .is_none()
    );
    claimed(&store, first.clone()).await;
    let again = NewRun {
        request: request(1, later),
        ..new_run("t")
    };
    let repeated = store.start_run(&tenant(), again.clone()).await.unwrap();
    let StartedRun::Repeated(run) = repeated.started else {
        panic!("not repeated")
    };
    assert_eq!(run.id, first.id);
    let found = asked(again.request, again.now).await.unwrap();
    assert_eq!(found, Some(first.id));
    assert!(store.run(&tenant(), again.id).await.unwrap().is_none());

    // As an earlier release remembered it.
    let updated = RequestKey {
        former_hash: Some([1; 32]),
        ..request(2, later).unwrap()
    };
    let found = asked(Some(updated), first.now).await.unwrap();
    assert_eq!(found, Some(first.id));

    let other = NewRun {
        request: request(2, later),
        ..new_run("t")
    };
    let error = store.start_run(&tenant(), other.clone()).await.unwrap_err();
    assert!(matches!(error, StoreError::RequestIdReused { run, .. } if run == first.id));
    let error = asked(other.request.clone(), other.now).await.unwrap_err();
    assert!(matches!(error, StoreError::RequestIdReused { run, .. } if run == first.id));
    // Another tenant's request ids are its own, and an expired one is forgotten.
    let foreign = Tenant::try_new("other").unwrap();
    assert!(store.start_run(&foreign, other.clone()).await.is_ok());
    assert!(asked(other.request.clone(), later).await.unwrap().is_none());
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

pub(crate) async fn a_request_whose_run_was_deleted_starts_no_other(store: Store) {
    let request = RequestKey {
        id: "r".into(),
        hash: [1; 32],
        former_hash: None,
        expire_time: Timestamp::now().after(Duration::from_secs(60)),
    };
    let run = || NewRun {
        request: Some(request.clone()),
        ..new_run("t")
    };
    let dispatch = claimed(&store, run()).await;
    let first = dispatch.run.id;
    store
        .rest_run(dispatch.fence, succeeded("null"), false)
        .await
        .unwrap();
    store.delete_thread(&tenant(), &thread("t")).await.unwrap();

    let started = store.start_run(&tenant(), run()).await.map(drop);
    let now = Timestamp::now();
    let repeated = store.repeated_run(&tenant(), &request, now).await;
    for answer in [started, repeated.map(drop)] {
        let error = answer.unwrap_err();
        assert!(
            matches!(&error, StoreError::RunDeleted { request, run } if request == "r" && *run == first),
            "{error:?}"
        );
    }
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
