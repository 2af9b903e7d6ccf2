//! Starting runs, and how they end.

use std::time::Duration;

use futures::FutureExt as _;
use weft_worker::{Context, Entrypoint, Failure, RetryPolicy, Task, TaskContext, Worker};
use workflow_service::{
    domain::{RunState, ThreadId, Timestamp},
    engine::StartError,
    store::{RequestKey, StoreError},
};

use crate::harness::{
    Count, Gate, PATIENCE, engine, engine_in, request, rest, start, tenant, two_steps,
};

#[tokio::test]
async fn a_run_returns_what_its_entrypoint_returns() {
    let gate = Gate::closed();
    gate.let_through(1);
    let (engine, _folder) =
        engine(Worker::new().entrypoint(two_steps("e", &Count::default(), &gate))).await;
    let run = rest(&engine, start(&engine, "e", "t", 7).await.id).await;
    assert_eq!(run.state, RunState::Succeeded);
    assert_eq!(run.output.unwrap().get(), "7");
    assert!(run.start_time <= run.end_time && run.end_time.is_some());
    engine.stop().await;
}

#[tokio::test]
async fn runs_of_one_thread_go_one_after_the_other_with_what_the_last_one_saved() {
    let sum = Entrypoint::new("sum", "1", |context: Context, add: u32| async move {
        let add_up = Task::new("add_up", |_: TaskContext, (a, b): (u32, u32)| async move {
            Ok(a + b)
        });
        let previous: u32 = context.previous()?.unwrap_or_default();
        context.call(&add_up, (previous, add)).await
    });
    let (engine, _folder) = engine(Worker::new().entrypoint(sum)).await;
    let mut last = None;
    for number in 1..=20 {
        last = Some(start(&engine, "sum", "t", number).await.id);
    }
    let run = rest(&engine, last.unwrap()).await;
    assert_eq!(run.output.unwrap().get(), "210");
    engine.stop().await;
}

#[tokio::test]
async fn runs_of_different_threads_do_not_wait_for_each_other() {
    let gate = Gate::closed();
    let (engine, _folder) =
        engine(Worker::new().entrypoint(two_steps("e", &Count::default(), &gate))).await;
    let held = start(&engine, "e", "t", 1).await;
    gate.arrival().await;
    let other = start(&engine, "e", "u", 2).await;
    gate.arrival().await;
    gate.let_through(2);
    for run in [held, other] {
        assert_eq!(rest(&engine, run.id).await.state, RunState::Succeeded);
    }
    engine.stop().await;
}

#[tokio::test]
async fn a_run_without_a_slot_waits_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let gate = Gate::closed();
    let worker = Worker::new().entrypoint(two_steps("e", &Count::default(), &gate));
    let engine = engine_in(folder.path(), worker, 1).await;
    let first = start(&engine, "e", "t", 1).await;
    gate.arrival().await;
    let second = start(&engine, "e", "u", 2).await;
    assert_eq!(second.state, RunState::Queued);
    assert_eq!(second.state_reason, "all slots are in use");
    let behind = start(&engine, "e", "t", 3).await;
    gate.let_through(3);
    for run in [first, second, behind] {
        assert_eq!(rest(&engine, run.id).await.state, RunState::Succeeded);
    }
    engine.stop().await;
}

#[tokio::test]
async fn a_failure_ends_the_run_with_its_reason_and_task() {
    let failing = Entrypoint::new("failing", "1", |context: Context, _: u32| async move {
        let task = Task::new("pay", |_: TaskContext, ()| async move {
            Err::<(), _>(Failure::new("CARD_DECLINED", "the card was declined"))
        });
        context.call(&task, ()).await
    });
    let (engine, _folder) = engine(Worker::new().entrypoint(failing)).await;
    let run = rest(&engine, start(&engine, "failing", "t", 0).await.id).await;
    assert_eq!(run.state, RunState::Failed);
    let failure = run.failure.unwrap();
    assert_eq!(
        (failure.reason.as_str(), failure.task()),
        ("CARD_DECLINED", Some("pay"))
    );
    engine.stop().await;
}

#[tokio::test]
async fn a_retryable_failure_is_tried_again_as_often_as_the_policy_says() {
    let runs = Count::default();
    let counted = runs.clone();
    let flaky = Entrypoint::new("flaky", "1", move |context: Context, succeed_at: u32| {
        let counted = counted.clone();
        async move {
            let task = Task::new("try", move |_: TaskContext, succeed_at: u32| {
                let attempt = counted.up();
                async move {
                    match attempt < succeed_at {
                        true => Err(Failure::transient("AWAY", "away")),
                        false => Ok(attempt),
                    }
                }
            })
            .retry(RetryPolicy::exponential(
                3,
                Duration::from_millis(1),
                Duration::from_millis(2),
            ));
            context.call(&task, succeed_at).await
        }
    });
    let (engine, _folder) = engine(Worker::new().entrypoint(flaky)).await;
    let run = rest(&engine, start(&engine, "flaky", "t", 3).await.id).await;
    assert_eq!(run.output.unwrap().get(), "3");
    let run = rest(&engine, start(&engine, "flaky", "t", 100).await.id).await;
    assert_eq!(run.failure.unwrap().reason, "AWAY");
    assert_eq!(runs.get(), 6);
    engine.stop().await;
}

#[tokio::test]
async fn tasks_run_in_parallel_by_the_hundred() {
    let wide = Entrypoint::new("wide", "1", |context: Context, width: u32| async move {
        let double = Task::new("double", |_: TaskContext, number: u32| async move {
            Ok(2 * number)
        });
        let calls = (0..width).map(|number| context.call(&double, number));
        let doubled = futures::future::try_join_all(calls).await?;
        Ok(doubled.iter().sum::<u32>())
    });
    let (engine, _folder) = engine(Worker::new().entrypoint(wide)).await;
    let run = rest(&engine, start(&engine, "wide", "t", 1000).await.id).await;
    assert_eq!(run.output.unwrap().get(), "999000");
    let journal = engine.store().journal(&tenant(), run.id, 0).await.unwrap();
    assert_eq!(journal.len(), 1000);
    engine.stop().await;
}

#[tokio::test]
async fn a_value_that_is_too_large_is_refused_by_name() {
    const MIB: usize = 1024 * 1024;
    let bulky = Entrypoint::new(
        "bulky",
        "1",
        |context: Context, mebibytes: usize| async move {
            let write = Task::new("write", |_: TaskContext, mebibytes: usize| async move {
                Ok("x".repeat(mebibytes * MIB))
            });
            if mebibytes > 9 {
                return Ok("x".repeat(mebibytes * MIB));
            }
            context
                .call(&write, mebibytes)
                .await
                .map(|written| written.len().to_string())
        },
    );
    let (engine, _folder) = engine(Worker::new().entrypoint(bulky)).await;
    for (mebibytes, task) in [(9, Some("write")), (10, None)] {
        let run = rest(&engine, start(&engine, "bulky", "t", mebibytes).await.id).await;
        let failure = run.failure.unwrap();
        assert_eq!(
            (failure.reason.as_str(), failure.task()),
            ("PAYLOAD_TOO_LARGE", task)
        );
        assert!(failure.message.contains("8388608"), "{failure}");
    }
    let run = rest(&engine, start(&engine, "bulky", "t", 7).await.id).await;
    assert_eq!(run.state, RunState::Succeeded);
    engine.stop().await;
}

#[tokio::test]
async fn a_run_is_executed_also_if_its_caller_goes_away_while_it_is_recorded() {
    let (runs, gate) = (Count::default(), Gate::closed());
    gate.let_through(1);
    let worker = Worker::new().entrypoint(two_steps("e", &runs, &gate));
    let (engine, _folder) = engine(worker).await;
    let request = request("e", "t", 5);
    let id = request.run.id;
    let answered = engine.start_run(&tenant(), request).now_or_never();
    assert!(answered.is_none(), "the store takes longer than one poll");
    gate.arrival().await;
    assert_eq!(rest(&engine, id).await.state, RunState::Succeeded);
    engine.stop().await;
}

#[tokio::test]
async fn a_repeated_request_is_answered_whoever_hosts_the_entrypoint_now() {
    let gate = Gate::closed();
    gate.let_through(1);
    let folder = tempfile::tempdir().unwrap();
    let keyed = |hash| {
        let mut keyed = request("e", "t", 7);
        keyed.run.request = Some(RequestKey {
            id: "r".to_owned(),
            hash: [hash; 32],
            former_hash: None,
            expire_time: Timestamp::now().after(PATIENCE),
        });
        keyed
    };
    let worker = Worker::new().entrypoint(two_steps("e", &Count::default(), &gate));
    let before = engine_in(folder.path(), worker, 10).await;
    let first = before.start_run(&tenant(), keyed(1)).await.unwrap();
    rest(&before, first.id).await;
    before.stop().await;
    drop(before);

    // Nobody hosts it, and somebody whose entrypoint takes other arguments does.
    let another = Entrypoint::new("e", "2", |_: Context, text: String| async move { Ok(text) });
    for worker in [Worker::new(), Worker::new().entrypoint(another)] {
        let after = engine_in(folder.path(), worker, 10).await;
        let repeated = after.start_run(&tenant(), keyed(1)).await.unwrap();
        assert_eq!(repeated.id, first.id);
        let watched = after.start_and_watch(&tenant(), keyed(1)).await.unwrap();
        let watched = watched.rest(PATIENCE).await.unwrap().unwrap();
        assert_eq!(watched.output.unwrap().get(), "7");
        let other = after.start_run(&tenant(), keyed(2)).await.unwrap_err();
        assert!(
            matches!(&other, StartError::Store(StoreError::RequestIdReused { run, .. }) if *run == first.id),
            "{other:?}"
        );
        after.stop().await;
    }

    let after = engine_in(folder.path(), Worker::new(), 10).await;
    let new = after.start_run(&tenant(), request("e", "t", 7)).await;
    assert!(matches!(new, Err(StartError::NoSuchEntrypoint { .. })));
    let thread = ThreadId::parse("t").unwrap();
    after
        .store()
        .delete_thread(&tenant(), &thread)
        .await
        .unwrap();
    let deleted = after.start_run(&tenant(), keyed(1)).await.unwrap_err();
    assert!(
        matches!(&deleted, StartError::Store(StoreError::RunDeleted { run, .. }) if *run == first.id),
        "{deleted:?}"
    );
    after.stop().await;
}
