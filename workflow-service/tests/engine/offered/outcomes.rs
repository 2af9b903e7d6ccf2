//! What becomes of calls of tasks on offer.

use std::time::Duration;

use serde_json::{Value, json};
use weft_worker::{
    Context, Entrypoint, Failure, RetryPolicy, Target, Task, TaskContext, Worker, json,
    protocol::{Event as Said, WorkerMessage},
};
use workflow_service::domain::RunState;

use super::{Following, Played, caller, number, shown, written};
use crate::harness::{Count, engine, engine_in, follow, rest, start, tenant};

const AT_ONCE: RetryPolicy = RetryPolicy::exponential(3, Duration::ZERO, Duration::ZERO);

#[tokio::test]
async fn a_task_on_offer_is_recorded_and_streamed_like_any_other() {
    let runs = Count::default();
    let counted = runs.clone();
    let double = Task::new("double", move |task: TaskContext, number: u32| {
        let attempt = counted.up();
        async move {
            assert_eq!(task.idempotency_key(), format!("{}/0", task.run_id()));
            assert_eq!((task.attempt(), task.thread_id()), (attempt, "t"));
            assert_eq!(task.config::<Value>()?, json!({}));
            task.write("began")?;
            task.write_message_piece(written("doubling"));
            match attempt {
                1 => Err(Failure::transient("AWAY", "away")),
                _ => Ok(2 * number),
            }
        }
    })
    .retry(AT_ONCE);
    let worker = Worker::new().task(double).entrypoint(Entrypoint::new(
        "e",
        "1",
        |context: Context, input: u32| async move {
            let double = Target::<u32, u32>::new("task/double");
            context.call_target(&double, &input).await
        },
    ));
    let (engine, _folder) = engine(worker).await;
    let run = start(&engine, "e", "t", 21).await;
    assert_eq!(rest(&engine, run.id).await.output.unwrap().get(), "42");
    assert_eq!(runs.get(), 2);
    let late = shown(follow(&engine, run.id, 0).await).await;
    assert_eq!(late, ["2 gave 42"], "what is recorded");
    engine.stop().await;
}

#[tokio::test]
async fn what_a_task_on_offer_streams_is_shown_under_its_call() {
    let (engine, _folder) = engine(Worker::new().entrypoint(caller("t", |target| target))).await;
    let mut worker = Played::offer(&engine, tenant(), &["t"], 1);
    let run = start(&engine, "e", "t", 1).await;
    let begun = worker.task().await;
    let following = Following::begin(&engine, &run).await;
    for said in [
        Said::TaskStarted {
            call: begun.call.clone(),
            task: "t".into(),
            attempt: 1,
            input: json::null(),
        },
        Said::Custom {
            call: None,
            task: "whatever".into(),
            value: json::null(),
        },
        Said::Message {
            call: weft_worker::CallId::new(None, 7),
            task: "whatever".into(),
            piece: written("hello"),
        },
    ] {
        worker
            .say(begun.execution, WorkerMessage::Event(said))
            .await;
    }
    worker.done(begun.execution, number(7)).await;
    assert_eq!(worker.fenced().await, begun.execution);
    let expected = ["1 started task/t 0", "null", "hello", "1 gave 7"];
    assert_eq!(following.end().await, expected);
    engine.stop().await;
}

#[tokio::test]
async fn a_recorded_task_on_offer_is_not_done_again_after_a_restart() {
    let runs = Count::default();
    let worker = || {
        let runs = runs.clone();
        let count = Task::new("count", move |_: TaskContext, _: u32| {
            let run = runs.up();
            async move { Ok(run) }
        });
        Worker::new().task(count).entrypoint(Entrypoint::new(
            "e",
            "1",
            |context: Context, _: u32| async move {
                let count = Target::<u32, u32>::new("task/count");
                let first = context.call_target(&count, &0).await?;
                let _: bool = context.interrupt("go on?").await?;
                Ok((first, context.call_target(&count, &0).await?))
            },
        ))
    };
    let folder = tempfile::tempdir().unwrap();
    let first = engine_in(folder.path(), worker(), 10).await;
    let run = start(&first, "e", "t", 0).await;
    assert_eq!(rest(&first, run.id).await.state, RunState::Interrupted);
    first.stop().await;
    drop(first);

    let second = engine_in(folder.path(), worker(), 10).await;
    let yes = workflow_service::store::Answers::Only(json::from_text("true").unwrap());
    second.answer_run(&tenant(), run.id, yes).await.unwrap();
    assert_eq!(rest(&second, run.id).await.output.unwrap().get(), "[1,2]");
    second.stop().await;
}

#[tokio::test]
async fn the_policy_of_a_call_goes_before_that_of_its_task() {
    let runs = Count::default();
    let counted = runs.clone();
    let fails = Task::new("fails", move |_: TaskContext, _: u32| {
        counted.up();
        async move { Err::<u32, _>(Failure::transient("AWAY", "away")) }
    })
    .retry(AT_ONCE);
    let twice = |target: Target<u32, u32>| {
        target.retry(RetryPolicy::exponential(2, Duration::ZERO, Duration::ZERO))
    };
    let worker = Worker::new().task(fails).entrypoint(caller("fails", twice));
    let (engine, _folder) = engine(worker).await;
    let run = start(&engine, "e", "t", 1).await;
    let failure = rest(&engine, run.id).await.failure.unwrap();
    assert_eq!(
        (&*failure.reason, failure.task()),
        ("AWAY", Some("task/fails"))
    );
    assert_eq!(runs.get(), 2);
    engine.stop().await;
}

#[tokio::test]
async fn a_task_whose_worker_is_lost_is_done_by_another_one_and_recorded_once() {
    let (engine, _folder) = engine(Worker::new().entrypoint(caller("t", |target| target))).await;
    let mut lost = Played::offer(&engine, tenant(), &["t"], 1);
    let run = start(&engine, "e", "t", 1).await;
    let first = lost.task().await;
    let following = Following::begin(&engine, &run).await;
    let piece = Said::Message {
        call: first.call.clone(),
        task: "t".into(),
        piece: written("half"),
    };
    lost.say(first.execution, WorkerMessage::Event(piece)).await;
    let mut other = Played::offer(&engine, tenant(), &["t"], 1);
    lost.hosting.leaves("it was killed");
    drop(lost.link);

    let second = other.task().await;
    assert_eq!((&second.call, second.run_id), (&first.call, first.run_id));
    assert_eq!((first.attempt, second.attempt), (1, 2));
    other.done(second.execution, number(5)).await;
    assert_eq!(rest(&engine, run.id).await.output.unwrap().get(), "[5]");
    let expected = [
        "1 started task/t 0",
        "half",
        "reset",
        "1 WORKER_LOST",
        "2 started task/t 0",
        "2 gave 5",
    ];
    assert_eq!(following.end().await, expected);
    engine.stop().await;
}

#[tokio::test]
async fn a_task_that_costs_one_worker_after_the_other_fails_in_the_end() {
    let (engine, _folder) = engine(Worker::new().entrypoint(caller("t", |target| target))).await;
    let run = start(&engine, "e", "t", 1).await;
    let mut attempts = 0;
    let failure = loop {
        let mut worker = Played::offer(&engine, tenant(), &["t"], 1);
        tokio::select! {
            begun = worker.task() => attempts = begun.attempt,
            run = rest(&engine, run.id) => break run.failure.unwrap(),
        }
    };
    assert_eq!((&*failure.reason, attempts), ("WORKER_LOST", 10));
    engine.stop().await;
}

#[tokio::test]
async fn a_worker_that_says_something_else_about_a_task_is_taken_for_lost() {
    let (engine, _folder) = engine(Worker::new().entrypoint(caller("t", |target| target))).await;
    let mut worker = Played::offer(&engine, tenant(), &["t"], 1);
    let run = start(&engine, "e", "t", 1).await;
    let begun = worker.task().await;
    let lookup = WorkerMessage::Lookup(Box::new(weft_worker::protocol::Lookup {
        call: weft_worker::Call {
            id: begun.call,
            kind: weft_worker::CallKind::Task,
            task: begun.task,
            input_hash: [0; 32],
        },
        key: "k".to_owned(),
    }));
    worker.say(begun.execution, lookup).await;
    assert_eq!(worker.fenced().await, begun.execution);
    let again = worker.task().await;
    assert_eq!(again.attempt, 2);
    worker.done(again.execution, number(7)).await;
    let output = rest(&engine, run.id).await.output.unwrap();
    assert_eq!(output.get(), "[7]");
    engine.stop().await;
}

#[tokio::test]
async fn a_task_on_offer_has_nothing_to_record_calls_in() {
    let inner = Task::new("inner", |_: TaskContext, ()| async { Ok(()) });
    let outer = Task::new("outer", move |task: TaskContext, number: u32| {
        let inner = inner.clone();
        async move {
            match number {
                0 => task.call(&inner, ()).await?,
                1 => {
                    task.call_target(&Target::<(), ()>::new("llm/chat"), &())
                        .await?
                }
                2 => task.interrupt("well?").await?,
                3 => task.sleep(Duration::ZERO).await?,
                _ => drop(task.now().await?),
            }
            Ok(number)
        }
    });
    let each = Entrypoint::new("e", "1", |context: Context, _: u32| async move {
        let outer = Target::<u32, u32>::new("task/outer");
        let mut reasons = Vec::new();
        for number in 0..5 {
            let failure = context.call_target(&outer, &number).await.unwrap_err();
            reasons.push(failure.reason);
        }
        Ok(reasons)
    });
    let (engine, _folder) = engine(Worker::new().task(outer).entrypoint(each)).await;
    let run = start(&engine, "e", "t", 0).await;
    let output = rest(&engine, run.id).await.output.unwrap();
    let reasons: Vec<String> = serde_json::from_str(output.get()).unwrap();
    assert_eq!(reasons, ["NOTHING_TO_RECORD_IN"; 5]);
    engine.stop().await;
}
