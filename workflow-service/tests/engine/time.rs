//! Timers, timeouts and start times.

use std::{sync::Arc, time::Duration};

use weft_worker::{
    Context, Entrypoint, Worker,
    protocol::{FromWorker, Suspend, ToWorker, WorkerLink, WorkerMessage, in_memory_link},
};
use workflow_service::{
    domain::{EventKind, RunState, Timestamp},
    engine::{Engine, EngineSettings, Retention, Targets},
    store::sqlite::SqliteStore,
};

use crate::harness::{
    Count, Gate, PATIENCE, all, engine, engine_in, follow, next, request, rest, start, tenant,
    two_steps,
};

/// Longer than what a worker waits for itself, so that the run is WAITING meanwhile.
const LONG: Duration = Duration::from_secs(6);

fn sleeper() -> Worker {
    Worker::new().entrypoint(Entrypoint::new(
        "sleep",
        "1",
        |context: Context, _: u32| async move {
            context.sleep(LONG).await?;
            Ok("awake")
        },
    ))
}

#[tokio::test]
async fn a_long_sleep_holds_no_slot_and_ends_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let engine = engine_in(folder.path(), sleeper(), 1).await;
    let first = start(&engine, "sleep", "t", 0).await;
    let second = start(&engine, "sleep", "u", 0).await;
    let events = all(follow(&engine, first.id, 0).await).await;
    let states: Vec<_> = events
        .iter()
        .filter_map(|event| match &event.kind {
            EventKind::Run(run) => Some(run.state),
            _ => None,
        })
        .collect();
    let expected = [
        RunState::Queued,
        RunState::Running,
        RunState::Waiting,
        RunState::Running,
        RunState::Succeeded,
    ];
    assert_eq!(states, expected);
    // With one slot, both slept at the same time.
    let (first, second) = (
        rest(&engine, first.id).await,
        rest(&engine, second.id).await,
    );
    let between = second.end_time.unwrap().since(first.end_time.unwrap());
    assert!(
        between < LONG,
        "the second run slept after the first: {between:?}"
    );
    engine.stop().await;
}

#[tokio::test]
async fn a_timer_goes_on_while_the_service_is_down() {
    let folder = tempfile::tempdir().unwrap();
    let engine = engine_in(folder.path(), sleeper(), 1).await;
    let run = start(&engine, "sleep", "t", 0).await;
    let until_waiting = async {
        while engine.run(&tenant(), run.id).await.unwrap().unwrap().state != RunState::Waiting {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, until_waiting).await.unwrap();
    let due = engine
        .run(&tenant(), run.id)
        .await
        .unwrap()
        .unwrap()
        .wake_time
        .unwrap();
    engine.stop().await;
    drop(engine);

    let engine = engine_in(folder.path(), sleeper(), 1).await;
    let run = rest(&engine, run.id).await;
    assert_eq!(run.output.unwrap().get(), r#""awake""#);
    assert!(run.end_time.unwrap() >= due);
    engine.stop().await;
}

#[tokio::test]
async fn a_run_that_takes_longer_than_its_timeout_fails() {
    let gate = Gate::closed();
    let worker = Worker::new().entrypoint(two_steps("e", &Count::default(), &gate));
    let (engine, _folder) = engine(worker).await;
    let mut hasty = request("e", "t", 0);
    hasty.run.timeout = Some(Duration::from_millis(50));
    let run = engine.start_run(&tenant(), hasty).await.unwrap();
    let run = rest(&engine, run.id).await;
    assert_eq!(run.state, RunState::Failed);
    let failure = run.failure.unwrap();
    assert_eq!(failure.reason, "RUN_TIMEOUT");
    assert!(failure.message.ends_with("its timeout, 50ms"), "{failure}");
    engine.stop().await;
}

#[tokio::test]
async fn a_run_does_not_start_before_its_time_and_keeps_its_place() {
    let gate = Gate::closed();
    let worker = Worker::new().entrypoint(two_steps("e", &Count::default(), &gate));
    let (engine, _folder) = engine(worker).await;
    gate.let_through(2);
    let due = Timestamp::now().after(Duration::from_millis(300));
    let mut later = request("e", "t", 1);
    later.run.start_after = Some(due);
    let later = engine.start_run(&tenant(), later).await.unwrap();
    assert_eq!(
        (later.state, later.state_reason.as_str()),
        (RunState::Queued, "waits for its start time")
    );
    let behind = start(&engine, "e", "t", 2).await;
    let (later, behind) = (
        rest(&engine, later.id).await,
        rest(&engine, behind.id).await,
    );
    assert!(later.start_time.unwrap() >= due);
    assert!(behind.start_time >= later.end_time);
    engine.stop().await;
}

/// Its clock is behind, or it does not tell the truth.
#[tokio::test]
async fn a_worker_that_waits_for_what_is_long_past_is_not_asked_again_and_again() {
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::new(
        Arc::new(SqliteStore::open(folder.path()).unwrap()),
        Targets::default(),
        EngineSettings {
            max_runs: 1,
            cancel_grace: PATIENCE,
            task_wait: PATIENCE,
            retention: Retention::default(),
        },
    );
    let (worker, link) = in_memory_link();
    engine.connect(&sleeper(), link);
    engine.start();
    let run = start(&engine, "sleep", "t", 0).await;
    let WorkerLink { mut inbox, outbox } = worker;
    let begun = tokio::time::timeout(PATIENCE, inbox.recv()).await;
    let Some(ToWorker::StartRun(begun)) = begun.unwrap() else {
        panic!("no run was handed out")
    };
    let long_past = Timestamp::now().before(Duration::from_secs(3600));
    let suspend = Suspend {
        interrupts: Vec::new(),
        wake_time: Some(long_past.micros()),
    };
    let said = FromWorker {
        execution: begun.execution,
        message: WorkerMessage::Suspend(Box::new(suspend)),
    };
    outbox.send(said).await.unwrap();
    let mut follower = follow(&engine, run.id, 0).await;
    loop {
        let event = next(&mut follower).await.unwrap();
        if matches!(&event.kind, EventKind::Run(run) if run.state == RunState::Waiting) {
            break;
        }
    }
    let run = engine
        .store()
        .run(&tenant(), run.id)
        .await
        .unwrap()
        .unwrap();
    let pause = run.wake_time.unwrap().since(run.update_time);
    assert_eq!(pause, Duration::from_secs(60));
    engine.stop().await;
}
