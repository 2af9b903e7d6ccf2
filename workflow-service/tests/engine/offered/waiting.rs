//! Calls of tasks on offer that wait for a worker.

use std::time::Duration;

use futures::future::join_all;
use serde_json::{Value, json};
use service_runtime::Tenant;
use tempfile::TempDir;
use weft_worker::{
    Context, Entrypoint, Failure, Target, Task, TaskContext, Worker,
    protocol::{ToWorker, in_memory_link},
};
use workflow_service::domain::RunState;

use super::{Played, caller, number, waits};
use crate::harness::{Hosted, engine, rest, start, tenant};

#[tokio::test]
async fn calls_wait_for_room_and_runs_take_turns() {
    let (engine, _folder) = engine(Worker::new().entrypoint(caller("t", |target| target))).await;
    let mut worker = Played::offer(&engine, tenant(), &["t"], 1);
    let many = start(&engine, "e", "many", 3).await;
    let mut begun = worker.task().await;
    waits(&engine, &many).await;
    let one = start(&engine, "e", "one", 1).await;
    let why = waits(&engine, &one).await;
    assert!(why.contains("room") && why.contains("`t`"), "{why}");
    let mut order = vec![begun.run_id];
    for _ in 0..3 {
        worker.done(begun.execution, number(0)).await;
        worker.fenced().await;
        begun = worker.task().await;
        order.push(begun.run_id);
    }
    worker.done(begun.execution, number(0)).await;
    assert_eq!(order, [many.id.0, many.id.0, one.id.0, many.id.0]);
    for run in [many, one] {
        assert_eq!(rest(&engine, run.id).await.state, RunState::Succeeded);
    }
    engine.stop().await;
}

#[tokio::test]
async fn workers_and_their_tasks_take_turns() {
    let both = Entrypoint::new("e", "1", |context: Context, times: u32| async move {
        let (a, b) = (Target::<u32, u32>::new("task/a"), Target::new("task/b"));
        let calls = (0..times)
            .flat_map(|number| [&a, &b].map(|target| context.call_target(target, &number)));
        let results: Result<Vec<u32>, Failure> = join_all(calls).await.into_iter().collect();
        results
    });
    let (engine, _folder) = engine(Worker::new().entrypoint(both)).await;
    let mut workers = [0, 1].map(|_| Played::offer(&engine, tenant(), &["a", "b"], 2));
    let run = start(&engine, "e", "t", 3).await;
    waits(&engine, &run).await;
    let mut tasks = Vec::new();
    for worker in &mut workers {
        for _ in 0..2 {
            let begun = worker.task().await;
            tasks.push(begun.task.to_string());
            worker.done(begun.execution, number(0)).await;
        }
    }
    // Each worker has two of the first four calls.
    let [one, other] = &mut workers;
    let mut left = 2;
    while left > 0 {
        let heard = tokio::select! {
            heard = one.hear() => (heard, &mut *one),
            heard = other.hear() => (heard, &mut *other),
        };
        if let (ToWorker::RunTask(begun), worker) = heard {
            tasks.push(begun.task.to_string());
            worker.done(begun.execution, number(0)).await;
            left -= 1;
        }
    }
    tasks.sort();
    assert_eq!(tasks, ["a", "a", "a", "b", "b", "b"]);
    assert_eq!(rest(&engine, run.id).await.state, RunState::Succeeded);
    engine.stop().await;
}

/// A call that waits for its worker for a moment only.
fn impatient(target: Target<u32, u32>) -> Target<u32, u32> {
    target.timeout(Duration::from_millis(20))
}

#[tokio::test]
async fn a_task_that_nobody_offers_fails_by_name_when_its_time_is_over() {
    let (engine, _folder) = engine(Worker::new().entrypoint(caller("lookup", impatient))).await;
    let run = start(&engine, "e", "t", 1).await;
    let failure = rest(&engine, run.id).await.failure.unwrap();
    assert_eq!(failure.reason, "TASK_NOT_HOSTED");
    assert!(
        failure.message.contains("`lookup`") && failure.retryable,
        "{failure:?}"
    );

    // One of another tenant is nobody.
    let other = Tenant::try_new("other").unwrap();
    let _worker = Played::offer(&engine, other.clone(), &["lookup"], 1);
    let run = start(&engine, "e", "t", 1).await;
    let failure = rest(&engine, run.id).await.failure.unwrap();
    assert_eq!(failure.reason, "TASK_NOT_HOSTED");
    assert_eq!(engine.tasks(&other).len(), 1);
    assert!(engine.tasks(&tenant()).is_empty());
    engine.stop().await;
}

#[tokio::test]
async fn a_call_waits_until_somebody_offers_its_task() {
    let (engine, _folder) = engine(Worker::new().entrypoint(caller("late", |target| target))).await;
    let run = start(&engine, "e", "t", 1).await;
    let why = waits(&engine, &run).await;
    assert!(why.contains("offers") && why.contains("`late`"), "{why}");
    let mut worker = Played::offer(&engine, tenant(), &["late"], 0);
    worker.hosting.set_max_tasks(1);
    let begun = worker.task().await;
    worker.done(begun.execution, number(3)).await;
    assert_eq!(rest(&engine, run.id).await.output.unwrap().get(), "[3]");
    engine.stop().await;
}

#[tokio::test]
async fn a_worker_that_has_room_for_no_task_is_waited_for_until_the_call_times_out() {
    let (engine, _folder) = engine(Worker::new().entrypoint(caller("t", impatient))).await;
    let mut worker = Played::offer(&engine, tenant(), &["t"], 1);
    let run = start(&engine, "e", "t", 2).await;
    let begun = worker.task().await;
    let left = begun.timeout.unwrap();
    assert!(left <= Duration::from_millis(20), "{left:?}");
    let failure = rest(&engine, run.id).await.failure.unwrap();
    assert_eq!(
        (&*failure.reason, failure.task()),
        ("TASK_TIMEOUT", Some("task/t"))
    );
    // The one that took too long is taken back. Nobody waits any more.
    assert_eq!(worker.fenced().await, begun.execution);
    engine.stop().await;
}

#[tokio::test]
async fn a_cancel_takes_a_task_back() {
    let (engine, _folder) = engine(Worker::new().entrypoint(caller("t", |target| target))).await;
    let mut worker = Played::offer(&engine, tenant(), &["t"], 1);
    let run = start(&engine, "e", "t", 1).await;
    let begun = worker.task().await;
    engine
        .cancel_run(&tenant(), run.id, "enough")
        .await
        .unwrap();
    assert_eq!(worker.fenced().await, begun.execution);
    assert_eq!(rest(&engine, run.id).await.state, RunState::Cancelled);
    // What it says then does not count, and it has room again.
    worker.done(begun.execution, number(1)).await;
    start(&engine, "e", "next", 1).await;
    worker.task().await;
    engine.stop().await;
}

/// Asks what these tasks are.
async fn describing(tasks: &'static [&'static str]) -> (Hosted, TempDir) {
    engine(Worker::new().entrypoint(Entrypoint::new(
        "e",
        "1",
        move |context: Context, _: u32| async move {
            let describe = Target::<Value, Value>::new("tasks/describe");
            let describe = describe.timeout(Duration::from_millis(20));
            context
                .call_target(&describe, &json!({ "tasks": tasks }))
                .await
        },
    )))
    .await
}

#[tokio::test]
async fn tasks_on_offer_are_described_in_the_order_they_are_asked_for() {
    let (engine, _folder) = describing(&["b", "a"]).await;
    let b = Task::new("b", |_: TaskContext, number: u32| async move { Ok(number) });
    let b = b.description("Does b.").typed();
    let (_link, engine_link) = in_memory_link();
    let offering = Worker::new().task(b);
    engine.connect(&offering, engine_link);
    let run = start(&engine, "e", "t", 0).await;
    let failure = rest(&engine, run.id).await.failure.unwrap();
    assert_eq!(failure.reason, "TASK_NOT_HOSTED");
    assert!(
        failure.message.contains("`a`") && !failure.message.contains("`b`"),
        "{failure:?}"
    );

    let _a = Played::offer(&engine, tenant(), &["a"], 1);
    let run = start(&engine, "e", "t", 0).await;
    let output = rest(&engine, run.id).await.output.unwrap();
    let described: Value = serde_json::from_str(output.get()).unwrap();
    assert_eq!(
        (&described[0]["name"], &described[0]["description"]),
        (&json!("b"), &json!("Does b."))
    );
    assert_eq!(described[0]["input_schema"]["type"], "integer");
    assert_eq!(described[1], json!({ "name": "a", "description": "" }));
    let names: Vec<_> = engine
        .tasks(&tenant())
        .iter()
        .map(|task| (task.description.name.to_string(), task.workers))
        .collect();
    assert_eq!(names, [("a".to_owned(), 1), ("b".to_owned(), 1)]);
    engine.stop().await;
}

/// Nothing else keeps a queue from growing for ever: what is not waited for any more is forgotten.
#[tokio::test]
async fn a_worker_that_comes_late_is_given_nothing_that_was_given_up() {
    let (engine, _folder) = engine(Worker::new().entrypoint(caller("t", impatient))).await;
    let given_up = start(&engine, "e", "t", 3).await;
    assert_eq!(rest(&engine, given_up.id).await.state, RunState::Failed);
    let mut worker = Played::offer(&engine, tenant(), &["t"], 10);
    let run = start(&engine, "e", "t", 1).await;
    assert_eq!(worker.task().await.run_id, run.id.0);
    engine.stop().await;
}
