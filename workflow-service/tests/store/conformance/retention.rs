//! What is deleted because it is old.

use std::time::Duration;

use weft_worker::{json, protocol::CacheEntry};
use workflow_service::{
    domain::{Origin, RunId, Timestamp, history::RecordedCall},
    store::{CacheScope, EntrypointVersion, Expired},
};

use super::{Store, claimed, failed, new_run, record, succeeded, tenant, thread};

/// Nothing expires but what has an expiry of its own.
fn nothing(now: Timestamp) -> Expired {
    Expired {
        threads: None,
        runs: None,
        journals: None,
        now,
    }
}

fn later() -> Timestamp {
    Timestamp::now().after(Duration::from_secs(3600))
}

async fn finished(store: &Store, thread: &str) -> RunId {
    let dispatch = claimed(store, new_run(thread)).await;
    let calls = vec![record(0, "1")];
    store.append(dispatch.fence, calls).await.unwrap();
    let rest = succeeded("1");
    store.rest_run(dispatch.fence, rest, true).await.unwrap();
    dispatch.run.id
}

pub(crate) async fn what_has_expired_is_deleted_and_the_rest_is_kept(store: Store) {
    let old = finished(&store, "old").await;
    let middle = later();
    let mut recent = claimed(&store, new_run("recent")).await;
    let mut rest = succeeded("2");
    rest.now = middle.after(Duration::from_secs(1));
    recent.run = store.rest_run(recent.fence, rest, true).await.unwrap().run;

    let runs = Expired {
        runs: Some(middle),
        ..nothing(middle)
    };
    let swept = store.sweep(runs, 10).await.unwrap();
    assert_eq!((swept.runs, swept.threads), (1, 0));
    assert!(store.run(&tenant(), old).await.unwrap().is_none());
    assert!(store.run(&tenant(), recent.run.id).await.unwrap().is_some());
    // What the run left on its thread is the thread's.
    let kept = store.thread(&tenant(), &thread("old")).await.unwrap();
    assert!(kept.unwrap().checkpoint.is_some());

    let threads = Expired {
        threads: Some(middle),
        ..nothing(middle)
    };
    let swept = store.sweep(threads, 10).await.unwrap();
    assert_eq!((swept.runs, swept.threads), (0, 1));
    for (name, is_kept) in [("old", false), ("recent", true)] {
        let found = store.thread(&tenant(), &thread(name)).await.unwrap();
        assert_eq!(found.is_some(), is_kept, "{name}");
    }
    assert_eq!(store.sweep(threads, 10).await.unwrap().most(), 0);
}

pub(crate) async fn a_thread_with_an_unfinished_run_does_not_expire(store: Store) {
    let unfinished = claimed(&store, new_run("t")).await;
    let now = later();
    let all = Expired {
        threads: Some(now),
        runs: Some(now),
        journals: Some(now),
        now,
    };
    assert_eq!(store.sweep(all, 10).await.unwrap().most(), 0);
    let run = store.run(&tenant(), unfinished.run.id).await.unwrap();
    assert!(run.is_some());
}

pub(crate) async fn a_journal_is_kept_for_as_long_as_its_run_can_be_retried(store: Store) {
    let succeeded = finished(&store, "one").await;
    let broken = claimed(&store, new_run("two")).await;
    let calls = vec![record(0, "1")];
    store.append(broken.fence, calls).await.unwrap();
    store.rest_run(broken.fence, failed(), true).await.unwrap();
    let now = later();
    let journals = Expired {
        journals: Some(now),
        ..nothing(now)
    };
    assert_eq!(store.sweep(journals, 10).await.unwrap().journals, 1);
    for (run, count) in [(succeeded, 0), (broken.run.id, 1)] {
        let journal = store.journal(&tenant(), run, 0).await.unwrap();
        assert_eq!(journal.len(), count);
        assert!(store.run(&tenant(), run).await.unwrap().is_some());
    }
    assert_eq!(store.sweep(journals, 10).await.unwrap().journals, 0);
}

pub(crate) async fn cached_results_expire_and_the_newest_one_stands(store: Store) {
    let dispatch = claimed(&store, new_run("t")).await;
    let now = Timestamp::now();
    let kept = |order, result: &str| RecordedCall {
        origin: Origin::Executed(Some(CacheEntry {
            key: "key".to_owned(),
            ttl: Duration::from_secs(60),
        })),
        time: now,
        ..record(order, result)
    };
    for (order, result) in [(0, "1"), (1, "2")] {
        let calls = vec![kept(order, result)];
        store.append(dispatch.fence, calls).await.unwrap();
    }
    let scope = CacheScope {
        entrypoint: EntrypointVersion {
            name: "test".into(),
            version: "1".into(),
        },
        task: Some("task".into()),
    };
    let found = |at| {
        let (store, scope) = (&store, &scope);
        async move {
            let found = store.cached(&tenant(), scope, "key", at).await.unwrap();
            found.map(|found| found.value.get().to_owned())
        }
    };
    assert_eq!(found(now).await.as_deref(), Some("2"));
    let expired = now.after(Duration::from_secs(60));
    assert_eq!(found(expired).await, None);
    assert_eq!(store.sweep(nothing(expired), 10).await.unwrap().cached, 1);
    assert_eq!(found(now).await, None);
    // What is cached is a copy: the journal keeps its own.
    let journal = store.journal(&tenant(), dispatch.run.id, 0).await.unwrap();
    let first = journal[0].entry.outcome.as_ref().unwrap();
    assert_eq!(first.get(), json::from_text("1").unwrap().get());
}
