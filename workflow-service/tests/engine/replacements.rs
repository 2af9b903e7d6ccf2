//! Runs that take the place of others on their thread.

use std::time::Duration;

use weft_worker::Worker;
use workflow_service::domain::{Concurrency, EventKind, RunState};

use crate::harness::{
    Count, Gate, PATIENCE, all, engine, engine_in, follow, patient_engine, request, rest, start,
    tenant, two_steps,
};

#[tokio::test]
async fn a_new_run_takes_the_place_of_one_that_does_not_stop_after_the_grace() {
    for concurrency in [Concurrency::Interrupt, Concurrency::Rollback] {
        let gate = Gate::closed();
        let worker = Worker::new().entrypoint(two_steps("e", &Count::default(), &gate));
        let (engine, _folder) = engine(worker).await;
        let first = start(&engine, "e", "t", 1).await;
        let second = start(&engine, "e", "t", 2).await;
        gate.arrival().await;
        let mut replacing = request("e", "t", 3);
        replacing.run.concurrency = concurrency;
        let third = engine.start_run(&tenant(), replacing).await.unwrap();
        // It begins once the first one, which does not stop, has had its time.
        gate.arrival().await;
        gate.let_through(2);
        assert_eq!(rest(&engine, third.id).await.output.unwrap().get(), "3");
        for id in [first.id, second.id] {
            let old = engine.run(&tenant(), id).await.unwrap();
            match concurrency {
                Concurrency::Rollback => assert!(old.is_none()),
                _ => assert_eq!(old.unwrap().state, RunState::Cancelled),
            }
        }
        engine.stop().await;
    }
}

#[tokio::test]
async fn a_new_run_is_recorded_at_once_and_starts_when_the_one_before_it_has_stopped() {
    for concurrency in [Concurrency::Interrupt, Concurrency::Rollback] {
        let gate = Gate::closed();
        let worker = Worker::new().entrypoint(two_steps("e", &Count::default(), &gate));
        let (engine, _folder) = patient_engine(worker).await;
        let first = start(&engine, "e", "t", 1).await;
        gate.arrival().await;
        let replacing = async |input| {
            let mut replacing = request("e", "t", input);
            replacing.run.concurrency = concurrency;
            engine.start_and_watch(&tenant(), replacing).await.unwrap()
        };
        // The first one does not stop before its gate is open, and each of these replaces the one
        // before it. Nobody waits for that.
        let (second, third) = (replacing(2).await, replacing(3).await);
        let later = start(&engine, "e", "t", 4).await;
        let (second_id, third_id) = (second.id(), third.id());
        let second = second.rest(PATIENCE).await.unwrap().unwrap();
        assert_eq!(second.state, RunState::Cancelled);
        let third = third.rest(Duration::ZERO).await.unwrap().unwrap();
        assert_eq!(third.state, RunState::Queued);
        assert_eq!(third.state_reason, "waits for its thread");
        let stopping = engine.run(&tenant(), first.id).await.unwrap().unwrap();
        assert!(stopping.state_reason.contains(&second_id.to_string()));

        gate.let_through(3);
        for (id, output) in [(third_id, "3"), (later.id, "4")] {
            assert_eq!(rest(&engine, id).await.output.unwrap().get(), output);
        }
        let third = engine.run(&tenant(), third_id).await.unwrap().unwrap();
        let later = engine.run(&tenant(), later.id).await.unwrap().unwrap();
        assert!(third.end_time <= later.start_time, "one after the other");
        for id in [first.id, second_id] {
            let left = engine.run(&tenant(), id).await.unwrap();
            let expected = (concurrency == Concurrency::Interrupt).then_some(RunState::Cancelled);
            assert_eq!(left.map(|run| run.state), expected);
        }
        engine.stop().await;
    }
}

#[tokio::test]
async fn whoever_waits_for_a_run_that_is_rolled_back_is_told() {
    let gate = Gate::closed();
    let worker = Worker::new().entrypoint(two_steps("e", &Count::default(), &gate));
    let (engine, _folder) = engine(worker).await;
    let first = start(&engine, "e", "t", 1).await;
    gate.arrival().await;
    let watch = engine.watch(&tenant(), first.id).await.unwrap().unwrap();
    let events = follow(&engine, first.id, 0).await;
    let mut replacing = request("e", "t", 2);
    replacing.run.concurrency = Concurrency::Rollback;
    engine.start_run(&tenant(), replacing).await.unwrap();
    let rested = watch.rest(PATIENCE).await.unwrap().unwrap();
    assert_eq!(rested.state, RunState::Cancelled);
    let last = all(events).await.pop().unwrap();
    assert!(matches!(&last.kind, EventKind::Run(run) if run.state == RunState::Cancelled));
    assert!(engine.run(&tenant(), first.id).await.unwrap().is_none());
    engine.stop().await;
}

#[tokio::test]
async fn a_run_takes_the_place_of_another_also_if_the_service_ends_before_that_has_stopped() {
    let gate = Gate::closed();
    let folder = tempfile::tempdir().unwrap();
    let worker = || Worker::new().entrypoint(two_steps("e", &Count::default(), &gate));
    let before = engine_in(folder.path(), worker(), 10).await;
    let first = start(&before, "e", "t", 1).await;
    gate.arrival().await;
    let mut replacing = request("e", "t", 2);
    replacing.run.concurrency = Concurrency::Rollback;
    let second = before.start_run(&tenant(), replacing).await.unwrap();
    assert_eq!(second.state, RunState::Queued);
    before.stop().await;
    drop(before);

    gate.let_through(1);
    let after = engine_in(folder.path(), worker(), 10).await;
    assert!(after.run(&tenant(), first.id).await.unwrap().is_none());
    assert_eq!(rest(&after, second.id).await.output.unwrap().get(), "2");
    after.stop().await;
}
