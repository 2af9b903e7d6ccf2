//! What survives the end of the process. Stopping an engine drops what is under way without a
//! word, as a crash does; the end-to-end tests kill real processes.

use weft_worker::{Context, Entrypoint, Task, TaskContext, Worker};
use workflow_service::domain::{Durability, RunState};

use crate::harness::{
    Count, Gate, all, engine, engine_in, follow, request, rest, start, tenant, two_steps,
};

#[tokio::test]
async fn a_run_goes_on_after_a_restart_without_running_recorded_tasks_again() {
    let folder = tempfile::tempdir().unwrap();
    let (first_runs, gate) = (Count::default(), Gate::closed());
    let worker = || Worker::new().entrypoint(two_steps("e", &first_runs, &gate));
    let engine = engine_in(folder.path(), worker(), 10).await;
    let run = start(&engine, "e", "t", 5).await;
    // The second task runs, so the first one is recorded.
    gate.arrival().await;
    engine.stop().await;
    drop(engine);

    let engine = engine_in(folder.path(), worker(), 10).await;
    gate.arrival().await;
    gate.let_through(1);
    let run = rest(&engine, run.id).await;
    assert_eq!((run.state, run.attempt), (RunState::Succeeded, 2));
    assert_eq!(run.output.unwrap().get(), "5");
    assert_eq!(first_runs.get(), 1);
    engine.stop().await;
}

#[tokio::test]
async fn queued_runs_start_after_a_restart_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let (runs, gate) = (Count::default(), Gate::closed());
    let worker = || Worker::new().entrypoint(two_steps("e", &runs, &gate));
    let engine = engine_in(folder.path(), worker(), 10).await;
    let mut ids = Vec::new();
    for number in 0..5 {
        ids.push(start(&engine, "e", "t", number).await.id);
    }
    gate.arrival().await;
    engine.stop().await;
    drop(engine);

    let engine = engine_in(folder.path(), worker(), 10).await;
    gate.let_through(5);
    let mut checkpoints = Vec::new();
    for id in ids {
        checkpoints.push(rest(&engine, id).await.checkpoint_id.unwrap());
    }
    assert!(checkpoints.is_sorted());
    engine.stop().await;
}

#[tokio::test]
async fn a_run_whose_code_changed_is_paused_with_a_readable_difference() {
    let folder = tempfile::tempdir().unwrap();
    let (runs, gate) = (Count::default(), Gate::closed());
    let before = Worker::new().entrypoint(two_steps("e", &runs, &gate));
    let engine = engine_in(folder.path(), before, 10).await;
    let run = start(&engine, "e", "t", 5).await;
    gate.arrival().await;
    engine.stop().await;
    drop(engine);

    let changed = Entrypoint::new("e", "1", |context: Context, _: u32| async move {
        let other = Task::new("other", |_: TaskContext, ()| async move { Ok(()) });
        context.call(&other, ()).await
    });
    let engine = engine_in(folder.path(), Worker::new().entrypoint(changed), 10).await;
    let run = rest(&engine, run.id).await;
    assert_eq!(run.state, RunState::Paused);
    let failure = run.failure.unwrap();
    assert_eq!(failure.reason, "NON_DETERMINISTIC");
    assert!(failure.message.contains("`first`") && failure.message.contains("`other`"));
    engine.stop().await;
}

#[tokio::test]
async fn a_run_whose_entrypoint_nobody_hosts_waits_and_says_for_what() {
    let folder = tempfile::tempdir().unwrap();
    let (runs, gate) = (Count::default(), Gate::closed());
    let worker = || Worker::new().entrypoint(two_steps("e", &runs, &gate));
    let engine = engine_in(folder.path(), worker(), 10).await;
    let run = start(&engine, "e", "t", 5).await;
    gate.arrival().await;
    engine.stop().await;
    drop(engine);

    let engine = engine_in(folder.path(), Worker::new(), 10).await;
    let waiting = engine.run(&tenant(), run.id).await.unwrap().unwrap();
    assert_eq!(waiting.state, RunState::Queued);
    assert_eq!(waiting.state_reason, "no worker hosts e@1");
    engine.host(worker());
    gate.let_through(1);
    assert_eq!(rest(&engine, run.id).await.state, RunState::Succeeded);
    engine.stop().await;
}

#[tokio::test]
async fn numbers_of_events_never_come_back_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let (runs, gate) = (Count::default(), Gate::closed());
    let worker = || Worker::new().entrypoint(two_steps("e", &runs, &gate));
    let engine = engine_in(folder.path(), worker(), 10).await;
    let run = start(&engine, "e", "t", 5).await;
    gate.arrival().await;
    let mut follower = follow(&engine, run.id, 0).await;
    let mut seen = 0;
    // The passing event that says that `second` has started is the last one before the gate.
    while seen
        < engine
            .run(&tenant(), run.id)
            .await
            .unwrap()
            .unwrap()
            .last_sequence
    {
        seen = crate::harness::next(&mut follower).await.unwrap().sequence;
    }
    drop(follower);
    engine.stop().await;
    drop(engine);

    let engine = engine_in(folder.path(), worker(), 10).await;
    gate.let_through(1);
    let events = all(follow(&engine, run.id, seen).await).await;
    assert!(events.iter().all(|event| event.sequence > seen));
    assert!(events.is_sorted_by(|a, b| a.sequence < b.sequence));
    let last = events.last().unwrap();
    assert_eq!(last.sequence, rest(&engine, run.id).await.last_sequence);
    engine.stop().await;
}

#[tokio::test]
async fn durability_says_what_a_crash_can_undo() {
    for (durability, first_runs_in_all) in [(Durability::Sync, 1), (Durability::Exit, 2)] {
        let folder = tempfile::tempdir().unwrap();
        let (runs, gate) = (Count::default(), Gate::closed());
        let worker = || Worker::new().entrypoint(two_steps("e", &runs, &gate));
        let engine = engine_in(folder.path(), worker(), 10).await;
        let mut request = request("e", "t", 5);
        request.run.durability = durability;
        let run = engine.start_run(&tenant(), request).await.unwrap();
        gate.arrival().await;
        engine.stop().await;
        drop(engine);

        let engine = engine_in(folder.path(), worker(), 10).await;
        gate.let_through(1);
        assert_eq!(rest(&engine, run.id).await.state, RunState::Succeeded);
        assert_eq!(runs.get(), first_runs_in_all, "{durability:?}");
        let journal = engine.store().journal(&tenant(), run.id, 0).await.unwrap();
        assert_eq!(journal.len(), 2, "all is recorded in the end");
        engine.stop().await;
    }
}

#[tokio::test]
async fn every_durability_shows_the_same_durable_events_in_the_end() {
    for durability in [Durability::Sync, Durability::Async, Durability::Exit] {
        let (runs, gate) = (Count::default(), Gate::closed());
        gate.let_through(1);
        let worker = Worker::new().entrypoint(two_steps("e", &runs, &gate));
        let (engine, _folder) = engine(worker).await;
        let mut request = request("e", "t", 5);
        request.run.durability = durability;
        let live = engine
            .start_and_follow(&tenant(), request, 0)
            .await
            .unwrap();
        let live = all(live).await;
        let id = live[0].run_id;
        assert!(
            live.is_sorted_by(|a, b| a.sequence < b.sequence),
            "{durability:?}"
        );
        let durable = all(follow(&engine, id, 0).await).await;
        for event in &durable {
            assert!(
                live.iter().any(|shown| shown.sequence == event.sequence),
                "{durability:?}"
            );
        }
        assert_eq!(durable.len(), 10);
        engine.stop().await;
    }
}
