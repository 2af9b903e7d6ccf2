//! Pruning threads.

use workflow_service::{
    domain::{RunId, Timestamp},
    store::{NewRun, Retry, StartedRun},
};

use super::{
    Store, claimed, claims, failed, new_run, queued, record, tenant, thread, threads::thread_of,
};

/// A run of `t` that fails, and its id.
async fn fails(store: &Store, run: NewRun) -> RunId {
    let dispatch = claimed(store, run).await;
    store
        .append(dispatch.fence, vec![record(0, "1")])
        .await
        .unwrap();
    let rested = store.rest_run(dispatch.fence, failed(), true).await;
    rested.unwrap().run.id
}

/// A run of `t` that is cancelled before it began, and its id.
async fn cancelled(store: &Store) -> RunId {
    let waiting = NewRun {
        claim: false,
        ..new_run("t")
    };
    let id = queued(store, waiting).await;
    let now = Timestamp::now();
    store
        .cancel_run(&tenant(), id, "enough", now)
        .await
        .unwrap();
    id
}

pub(crate) async fn pruning_keeps_the_newest_checkpoints_and_their_runs(store: Store) {
    let oldest = [fails(&store, new_run("t")).await, cancelled(&store).await];
    let first = thread_of(&store, "t", &["1"]).await[0];
    let older = fails(&store, new_run("t")).await;
    let ids = thread_of(&store, "t", &["2", "3"]).await;
    let newer = [fails(&store, new_run("t")).await, cancelled(&store).await];
    let branch = NewRun {
        branch_from: Some(first),
        ..new_run("t")
    };
    // What it follows from goes.
    let branch = fails(&store, branch).await;
    let under_way = claimed(&store, new_run("t")).await;
    let pruned = store
        .prune_thread(&tenant(), &thread("t"), 1)
        .await
        .unwrap();
    // The runs that wrote the first two checkpoints, two before them, one between, and the branch.
    assert_eq!((pruned.checkpoints, pruned.runs), (2, 6));
    let left = store
        .list_checkpoints(&tenant(), &thread("t"), None, 10)
        .await
        .unwrap();
    assert_eq!(
        (left.len(), left[0].id, left[0].parent_id),
        (1, ids[1], None)
    );
    for (gone, id) in oldest
        .into_iter()
        .chain([older, branch])
        .map(|id| (true, id))
        .chain(newer.map(|id| (false, id)))
    {
        let found = store.run(&tenant(), id).await.unwrap();
        assert_eq!(found.is_none(), gone, "{found:?}");
    }
    store
        .rest_run(under_way.fence, failed(), true)
        .await
        .unwrap();
    // What failed since then can be tried again.
    let retried = store
        .retry_run(
            &tenant(),
            newer[0],
            Retry::default(),
            true,
            Timestamp::now(),
        )
        .await
        .unwrap();
    let StartedRun::Claimed(dispatch) = retried else {
        panic!("{retried:?}")
    };
    assert_eq!(dispatch.previous.unwrap().get(), "3");
}

pub(crate) async fn what_unfinished_runs_build_on_is_not_pruned(store: Store) {
    let ids = thread_of(&store, "t", &["1", "2", "3"]).await;
    let branch = NewRun {
        branch_from: Some(ids[0]),
        claim: false,
        ..new_run("t")
    };
    queued(&store, branch).await;
    let pruned = store.prune_thread(&tenant(), &thread("t"), 1).await;
    assert_eq!(pruned.unwrap().checkpoints, 1);
    let dispatch = claims(&store, 1).await.remove(0);
    assert_eq!(dispatch.previous.unwrap().get(), "1");
}
