//! Results that are kept for other calls and runs.

use std::time::Duration;

use weft_worker::{Context, Entrypoint, Failure, Task, TaskContext, Worker};
use workflow_service::domain::{EventKind, RunState};

use crate::harness::{Count, all, engine, engine_in, follow, rest, start};

const LONG: Duration = Duration::from_secs(3600);

/// Calls the counted task `double` with its input, kept for `ttl`.
fn doubling(name: &str, version: &str, runs: &Count, ttl: Duration) -> Entrypoint {
    let runs = runs.clone();
    Entrypoint::new(name, version, move |context: Context, input: u32| {
        let runs = runs.clone();
        async move {
            let double = Task::new("double", move |_: TaskContext, input: u32| {
                runs.up();
                async move { Ok(2 * input) }
            })
            .cache(ttl);
            context.call(&double, input).await
        }
    })
}

#[tokio::test]
async fn a_cached_result_serves_every_thread_also_after_a_restart() {
    let runs = Count::default();
    let folder = tempfile::tempdir().unwrap();
    let worker = || Worker::new().entrypoint(doubling("e", "1", &runs, LONG));
    let first = engine_in(folder.path(), worker(), 10).await;
    let run = start(&first, "e", "one", 21).await;
    assert_eq!(rest(&first, run.id).await.output.unwrap().get(), "42");
    first.stop().await;
    drop(first);

    let second = engine_in(folder.path(), worker(), 10).await;
    let run = start(&second, "e", "two", 21).await;
    let events = all(follow(&second, run.id, 0).await).await;
    let cached: Vec<_> = events
        .iter()
        .filter_map(|event| match &event.kind {
            EventKind::Update {
                task, is_cached, ..
            } => Some((&**task, *is_cached)),
            _ => None,
        })
        .collect();
    assert_eq!(cached, [("double", true), ("e", false)]);
    assert_eq!(runs.get(), 1);

    // Another argument is another result.
    let run = start(&second, "e", "two", 4).await;
    assert_eq!(rest(&second, run.id).await.output.unwrap().get(), "8");
    assert_eq!(runs.get(), 2);
    second.stop().await;
}

#[tokio::test]
async fn an_expired_result_and_that_of_another_version_are_not_served() {
    let runs = Count::default();
    let worker = Worker::new()
        .entrypoint(doubling("short", "1", &runs, Duration::ZERO))
        .entrypoint(doubling("e", "1", &runs, LONG));
    let (engine, folder) = engine(worker).await;
    for thread in ["one", "two"] {
        let run = start(&engine, "short", thread, 1).await;
        rest(&engine, run.id).await;
    }
    assert_eq!(runs.get(), 2);
    let run = start(&engine, "e", "one", 1).await;
    rest(&engine, run.id).await;
    assert_eq!(runs.get(), 3);
    engine.stop().await;
    drop(engine);

    let newer = Worker::new().entrypoint(doubling("e", "2", &runs, LONG));
    let engine = engine_in(folder.path(), newer, 10).await;
    let run = start(&engine, "e", "one", 1).await;
    rest(&engine, run.id).await;
    assert_eq!(runs.get(), 4);
    engine.stop().await;
}

#[tokio::test]
async fn a_failure_is_not_cached() {
    let runs = Count::default();
    let counted = runs.clone();
    let failing = Entrypoint::new("e", "1", move |context: Context, (): ()| {
        let counted = counted.clone();
        async move {
            let task = Task::new("task", move |_: TaskContext, (): ()| {
                let run = counted.up();
                async move {
                    match run {
                        1 => Err(Failure::new("BROKEN", "broken")),
                        run => Ok(run),
                    }
                }
            })
            .cache_by(LONG, |()| "the same for all".to_owned());
            context.call(&task, ()).await
        }
    });
    let (engine, _folder) = engine(Worker::new().entrypoint(failing)).await;
    let mut outputs = Vec::new();
    for thread in ["one", "two", "three"] {
        let mut request = crate::harness::request("e", thread, 0);
        request.run.input = weft_worker::json::null();
        let run = engine
            .start_run(&crate::harness::tenant(), request)
            .await
            .unwrap();
        let run = rest(&engine, run.id).await;
        outputs.push(run.output.map(|output| output.get().to_owned()));
    }
    assert_eq!(outputs, [None, Some("2".to_owned()), Some("2".to_owned())]);
    engine.stop().await;
}

#[tokio::test]
async fn a_cached_output_stands_for_a_run_with_the_same_input_config_and_previous() {
    let runs = Count::default();
    let counted = runs.clone();
    let entrypoint = Entrypoint::new("e", "1", move |_: Context, input: u32| {
        counted.up();
        async move { Ok(input + 1) }
    })
    .cache(LONG);
    let (engine, _folder) = engine(Worker::new().entrypoint(entrypoint)).await;
    let run = start(&engine, "e", "one", 1).await;
    rest(&engine, run.id).await;
    let run = start(&engine, "e", "two", 1).await;
    let served = rest(&engine, run.id).await;
    assert_eq!(served.state, RunState::Succeeded);
    assert!(served.is_cached);
    assert_eq!(served.output.unwrap().get(), "2");
    assert!(served.checkpoint_id.is_some());
    assert_eq!(runs.get(), 1);

    // The thread has a `previous` now.
    let run = start(&engine, "e", "two", 1).await;
    assert!(!rest(&engine, run.id).await.is_cached);
    // Another user's config may mean another answer.
    let mut request = crate::harness::request("e", "three", 1);
    request.run.config = weft_worker::json::from_text(r#"{"user_id":"2"}"#).unwrap();
    let run = engine
        .start_run(&crate::harness::tenant(), request)
        .await
        .unwrap();
    assert!(!rest(&engine, run.id).await.is_cached);
    assert_eq!(runs.get(), 3);
    engine.stop().await;
}
