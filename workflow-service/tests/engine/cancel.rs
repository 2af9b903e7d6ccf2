//! Cancelling runs.

use std::time::Duration;

use weft_worker::{Context, Entrypoint, Json, Task, TaskContext, Worker};
use workflow_service::{
    domain::{EventKind, RunId, RunState, ThreadId, Timestamp},
    engine::Engine,
    store::{Retry, StoreError},
};

use crate::harness::{
    Count, Gate, all, engine, engine_in, follow, patient_engine, request, rest, start, tenant,
    two_steps,
};

async fn cancel(engine: &Engine, id: RunId) -> Result<(), StoreError> {
    engine.cancel_run(&tenant(), id, "enough").await.map(drop)
}

/// Waits until it is cancelled, then says so and calls another task.
fn cooperative(gate: &Gate) -> Worker {
    let gate = gate.clone();
    Worker::new().entrypoint(Entrypoint::new(
        "e",
        "1",
        move |context: Context, _: u32| {
            let gate = gate.clone();
            async move {
                let wait = Task::new("wait", move |task: TaskContext, ()| {
                    let gate = gate.clone();
                    async move {
                        gate.pass().await;
                        task.cancelled().await;
                        Ok(())
                    }
                });
                context.call(&wait, ()).await?;
                context.call(&wait, ()).await
            }
        },
    ))
}

#[tokio::test]
async fn a_running_task_can_stop_early_and_the_next_call_fails() {
    let gate = Gate::closed();
    let (engine, _folder) = engine(cooperative(&gate)).await;
    let run = start(&engine, "e", "t", 0).await;
    gate.let_through(1);
    gate.arrival().await;
    cancel(&engine, run.id).await.unwrap();
    let run = rest(&engine, run.id).await;
    assert_eq!(run.state, RunState::Cancelled);
    let failure = run.failure.unwrap();
    assert_eq!(
        (failure.reason.as_str(), failure.message.as_str()),
        ("CANCELLED", "enough")
    );
    let journal = engine.store().journal(&tenant(), run.id, 0).await.unwrap();
    assert_eq!(journal.len(), 1, "what was done is recorded");
    cancel(&engine, run.id).await.unwrap();
    engine.stop().await;
}

#[tokio::test]
async fn code_that_catches_a_cancel_and_returns_is_cancelled_all_the_same() {
    let gate = Gate::closed();
    let inner = gate.clone();
    let catching = Entrypoint::new("e", "1", move |context: Context, input: u32| {
        let gate = inner.clone();
        async move {
            let wait = Task::new("wait", move |task: TaskContext, ()| {
                let gate = gate.clone();
                async move {
                    gate.pass().await;
                    // Lets whoever asks see that it still runs.
                    gate.pass().await;
                    Ok(task.is_cancelled())
                }
            });
            let waited = context.call(&wait, ()).await;
            Ok(waited.map_or(input, u32::from))
        }
    });
    let (engine, _folder) = patient_engine(Worker::new().entrypoint(catching)).await;
    let run = start(&engine, "e", "t", 7).await;
    gate.let_through(1);
    gate.arrival().await;
    gate.arrival().await;
    let asked = engine.cancel_run(&tenant(), run.id, "enough").await;
    let asked = asked.unwrap();
    assert_eq!(asked.state, RunState::Running);
    let seen = engine.run(&tenant(), run.id).await.unwrap().unwrap();
    for reason in [asked.state_reason, seen.state_reason] {
        assert!(
            reason.starts_with("was asked to stop at ") && reason.ends_with(": enough"),
            "{reason}"
        );
    }
    gate.let_through(1);
    let run = rest(&engine, run.id).await;
    assert_eq!(run.state, RunState::Cancelled);
    assert!(run.output.is_none() && run.state_reason.is_empty());
    let thread = ThreadId::parse("t").unwrap();
    let thread = engine.store().thread(&tenant(), &thread).await.unwrap();
    assert!(thread.unwrap().checkpoint.is_none());

    // It is tried again as if nobody had wanted it to stop.
    gate.let_through(2);
    let retried = engine.retry_run(&tenant(), run.id, Retry::default()).await;
    retried.unwrap();
    assert_eq!(rest(&engine, run.id).await.state, RunState::Succeeded);
    engine.stop().await;
}

#[tokio::test]
async fn code_that_does_not_stop_is_stopped_after_the_grace() {
    let gate = Gate::closed();
    let worker = Worker::new().entrypoint(two_steps("e", &Count::default(), &gate));
    let (engine, _folder) = engine(worker).await;
    let run = start(&engine, "e", "t", 0).await;
    gate.arrival().await;
    cancel(&engine, run.id).await.unwrap();
    assert_eq!(rest(&engine, run.id).await.state, RunState::Cancelled);
    engine.stop().await;
}

#[tokio::test]
async fn runs_without_a_worker_are_cancelled_at_once_and_free_their_thread() {
    let gate = Gate::closed();
    let waiting = Entrypoint::new("waiting", "1", |context: Context, _: u32| async move {
        context.sleep(Duration::from_secs(3600)).await
    });
    let asking = Entrypoint::new("asking", "1", |context: Context, _: u32| async move {
        context.interrupt::<_, Json>("well?").await
    });
    let worker = Worker::new()
        .entrypoint(two_steps("e", &Count::default(), &gate))
        .entrypoint(waiting)
        .entrypoint(asking);
    let (engine, _folder) = engine(worker).await;

    let asked = rest(&engine, start(&engine, "asking", "t", 0).await.id).await;
    let queued = start(&engine, "waiting", "t", 0).await;
    assert_eq!(queued.state, RunState::Queued);
    let behind = start(&engine, "e", "t", 7).await;
    for id in [queued.id, asked.id] {
        cancel(&engine, id).await.unwrap();
        assert_eq!(rest(&engine, id).await.state, RunState::Cancelled);
    }
    gate.let_through(1);
    assert_eq!(rest(&engine, behind.id).await.state, RunState::Succeeded);

    let sleeping = start(&engine, "waiting", "u", 0).await;
    let until_waiting = async {
        while engine
            .run(&tenant(), sleeping.id)
            .await
            .unwrap()
            .unwrap()
            .state
            != RunState::Waiting
        {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(crate::harness::PATIENCE, until_waiting)
        .await
        .unwrap();
    cancel(&engine, sleeping.id).await.unwrap();
    assert_eq!(rest(&engine, sleeping.id).await.state, RunState::Cancelled);
    engine.stop().await;
}

#[tokio::test]
async fn a_finished_or_unknown_run_cannot_be_cancelled() {
    let gate = Gate::closed();
    gate.let_through(1);
    let worker = Worker::new().entrypoint(two_steps("e", &Count::default(), &gate));
    let (engine, _folder) = engine(worker).await;
    let run = rest(&engine, start(&engine, "e", "t", 0).await.id).await;
    let error = cancel(&engine, run.id).await.unwrap_err();
    assert!(matches!(
        error,
        StoreError::WrongState {
            state: RunState::Succeeded,
            ..
        }
    ));
    let error = cancel(&engine, RunId::new()).await.unwrap_err();
    assert!(matches!(error, StoreError::NoSuchRun(_)));
    engine.stop().await;
}

#[tokio::test]
async fn a_run_that_is_cancelled_before_it_starts_keeps_its_start_time_and_its_events() {
    let gate = Gate::closed();
    gate.let_through(1);
    let worker = Worker::new().entrypoint(two_steps("e", &Count::default(), &gate));
    let (engine, _folder) = engine(worker).await;
    let due = Timestamp::now().after(Duration::from_millis(300));
    let mut later = request("e", "t", 7);
    later.run.start_after = Some(due);
    let run = engine.start_run(&tenant(), later).await.unwrap();
    cancel(&engine, run.id).await.unwrap();
    let cancelled = all(follow(&engine, run.id, 0).await).await;
    engine
        .retry_run(&tenant(), run.id, Retry::default())
        .await
        .unwrap();
    let done = rest(&engine, run.id).await;
    assert!(done.start_time.unwrap() >= due);
    // No later event has the number of the cancel.
    let last = cancelled.last().unwrap().sequence;
    let after = all(follow(&engine, run.id, last).await).await;
    let states = after
        .iter()
        .filter(|event| matches!(event.kind, EventKind::Run(_)))
        .count();
    assert_eq!(states, 2, "RUNNING and SUCCEEDED");
    engine.stop().await;
}

#[tokio::test]
async fn a_cancel_that_was_accepted_holds_after_a_crash() {
    let gate = Gate::closed();
    let folder = tempfile::tempdir().unwrap();
    let first = engine_in(folder.path(), cooperative(&gate), 10).await;
    let run = start(&first, "e", "t", 0).await;
    gate.arrival().await;
    cancel(&first, run.id).await.unwrap();
    first.stop().await;
    drop(first);

    let second = engine_in(folder.path(), cooperative(&gate), 10).await;
    let cancelled = rest(&second, run.id).await;
    assert_eq!(cancelled.state, RunState::Cancelled);
    assert_eq!(cancelled.failure.unwrap().message, "enough");
    // A retry takes it back.
    second
        .retry_run(&tenant(), run.id, Retry::default())
        .await
        .unwrap();
    gate.arrival().await;
    second.stop().await;
    drop(second);
    let third = engine_in(folder.path(), cooperative(&gate), 10).await;
    gate.arrival().await;
    third.stop().await;
}
