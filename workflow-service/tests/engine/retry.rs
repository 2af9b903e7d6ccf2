//! Running runs again, by request or by policy.

use std::time::Duration;

use weft_worker::{Context, Entrypoint, Failure, RetryPolicy, Task, TaskContext, Worker};
use workflow_service::{
    domain::RunState,
    engine::StartError,
    store::{Retry, StoreError},
};

use crate::harness::{Count, engine, engine_in, rest, start, tenant};

/// Calls `good`, then `bad`, which fails the first `failures` times it runs.
fn failing(good_runs: &Count, bad_runs: &Count, failures: u32) -> Entrypoint {
    let (good_runs, bad_runs) = (good_runs.clone(), bad_runs.clone());
    Entrypoint::new("e", "1", move |context: Context, input: u32| {
        let (good_runs, bad_runs) = (good_runs.clone(), bad_runs.clone());
        async move {
            let good = Task::new("good", move |_: TaskContext, ()| {
                let run = good_runs.up();
                async move { Ok(run) }
            });
            let bad = Task::new("bad", move |_: TaskContext, ()| {
                let run = bad_runs.up();
                async move {
                    match run <= failures {
                        true => Err(Failure::transient("BAD", "not yet")),
                        false => Ok(run),
                    }
                }
            });
            context.call(&good, ()).await?;
            context.call(&bad, ()).await?;
            Ok(input)
        }
    })
}

#[tokio::test]
async fn a_retried_run_reuses_what_succeeded_and_runs_again_what_failed() {
    let (good, bad) = (Count::default(), Count::default());
    let (engine, _folder) = engine(Worker::new().entrypoint(failing(&good, &bad, 2))).await;
    let run = rest(&engine, start(&engine, "e", "t", 7).await.id).await;
    assert_eq!(run.state, RunState::Failed);
    engine
        .retry_run(&tenant(), run.id, Retry::default())
        .await
        .unwrap();
    assert_eq!(rest(&engine, run.id).await.state, RunState::Failed);
    engine
        .retry_run(&tenant(), run.id, Retry::default())
        .await
        .unwrap();
    let run = rest(&engine, run.id).await;
    assert_eq!(run.output.unwrap().get(), "7");
    assert_eq!((good.get(), bad.get()), (1, 3));
    let error = engine
        .retry_run(&tenant(), run.id, Retry::default())
        .await
        .unwrap_err();
    assert!(
        matches!(error, StartError::Store(StoreError::WrongState { .. })),
        "{error}"
    );
    engine.stop().await;
}

#[tokio::test]
async fn a_retry_with_a_version_that_nobody_hosts_is_refused_and_changes_nothing() {
    let failing = Entrypoint::new("e", "1", |_: Context, _: u32| async {
        Err::<u32, _>(Failure::new("BROKEN", "broken"))
    });
    let (engine, _folder) = engine(Worker::new().entrypoint(failing)).await;
    let failed = rest(&engine, start(&engine, "e", "t", 7).await.id).await;
    let unknown = Retry {
        version: Some("9".into()),
        ..Retry::default()
    };
    let error = engine
        .retry_run(&tenant(), failed.id, unknown)
        .await
        .unwrap_err();
    assert!(matches!(error, StartError::NoSuchEntrypoint { name } if name == "e@9"));
    let run = rest(&engine, failed.id).await;
    assert_eq!((run.state, run.attempt), (RunState::Failed, 1));
    assert_eq!(run.failure.unwrap().reason, "BROKEN");
    engine.stop().await;
}

/// LangGraph runs finished tasks again when the entrypoint is retried.
#[tokio::test]
async fn an_entrypoints_own_retries_reuse_what_succeeded() {
    let (good, bad) = (Count::default(), Count::default());
    let policy = RetryPolicy::exponential(5, Duration::from_millis(1), Duration::from_millis(2));
    let entrypoint = failing(&good, &bad, 2).retry(policy);
    let (engine, _folder) = engine(Worker::new().entrypoint(entrypoint)).await;
    let run = rest(&engine, start(&engine, "e", "t", 7).await.id).await;
    assert_eq!((run.state, run.attempt), (RunState::Succeeded, 3));
    assert_eq!((good.get(), bad.get()), (1, 3));
    engine.stop().await;
}

#[tokio::test]
async fn an_entrypoints_retries_end_with_its_policy() {
    let (good, bad) = (Count::default(), Count::default());
    let policy = RetryPolicy::exponential(3, Duration::from_millis(1), Duration::from_millis(2));
    let entrypoint = failing(&good, &bad, 100).retry(policy);
    let (engine, _folder) = engine(Worker::new().entrypoint(entrypoint)).await;
    let run = rest(&engine, start(&engine, "e", "t", 7).await.id).await;
    assert_eq!(run.failure.unwrap().reason, "BAD");
    assert_eq!((good.get(), bad.get()), (1, 3));
    engine.stop().await;
}

#[tokio::test]
async fn siblings_of_a_failed_task_are_not_run_again() {
    let runs = Count::default();
    let counted = runs.clone();
    let entrypoint = Entrypoint::new("e", "1", move |context: Context, _: u32| {
        let counted = counted.clone();
        async move {
            let lucky = counted.clone();
            let good = Task::new("good", move |_: TaskContext, number: u32| {
                lucky.up();
                async move { Ok(number) }
            });
            let bad = Task::new("bad", move |_: TaskContext, ()| {
                let run = counted.up();
                async move {
                    match run {
                        1..=4 => Err(Failure::new("BAD", "not yet")),
                        run => Ok(run),
                    }
                }
            });
            let all = futures::future::join(
                futures::future::try_join_all((0..3).map(|number| context.call(&good, number))),
                context.call(&bad, ()),
            )
            .await;
            all.0?;
            all.1
        }
    });
    let (engine, _folder) = engine(Worker::new().entrypoint(entrypoint)).await;
    let run = rest(&engine, start(&engine, "e", "t", 0).await.id).await;
    assert_eq!(run.state, RunState::Failed);
    engine
        .retry_run(&tenant(), run.id, Retry::default())
        .await
        .unwrap();
    assert_eq!(rest(&engine, run.id).await.state, RunState::Succeeded);
    assert_eq!(runs.get(), 5, "three siblings once, the failing one twice");
    engine.stop().await;
}

#[tokio::test]
async fn a_paused_run_goes_on_when_its_code_is_restored() {
    let folder = tempfile::tempdir().unwrap();
    let (good, bad) = (Count::default(), Count::default());
    let worker = || Worker::new().entrypoint(failing(&good, &bad, 1));
    let changed = || {
        Worker::new().entrypoint(Entrypoint::new(
            "e",
            "1",
            |context: Context, _: u32| async move {
                let other = Task::new("other", |_: TaskContext, ()| async move { Ok(()) });
                context.call(&other, ()).await
            },
        ))
    };
    let engine = engine_in(folder.path(), worker(), 10).await;
    let run = rest(&engine, start(&engine, "e", "t", 7).await.id).await;
    engine.stop().await;
    drop(engine);

    let engine = engine_in(folder.path(), changed(), 10).await;
    engine
        .retry_run(&tenant(), run.id, Retry::default())
        .await
        .unwrap();
    assert_eq!(rest(&engine, run.id).await.state, RunState::Paused);
    engine.stop().await;
    drop(engine);

    let engine = engine_in(folder.path(), worker(), 10).await;
    engine
        .retry_run(&tenant(), run.id, Retry::default())
        .await
        .unwrap();
    assert_eq!(rest(&engine, run.id).await.state, RunState::Succeeded);
    assert_eq!(good.get(), 1);
    engine.stop().await;
}
