//! Following runs.

use std::sync::Arc;

use async_trait::async_trait;
use weft_worker::{
    Context, Entrypoint, Failure, Json, RetryPolicy, Target, Task, TaskContext, Worker, json,
    protocol::{MessagePart, MessagePiece, Outcome},
};
use workflow_service::{
    domain::{Event, EventKind, RunState, TaskStep},
    engine::{CallTarget, TargetContext, Targets},
};

use crate::harness::{
    Count, Gate, all, engine, engine_with, follow, next, request, rest, start, tenant, two_steps,
};

/// What is stored of the run's events: the same for everyone, whenever they come.
fn durable(events: &[Arc<Event>]) -> Vec<(i64, String)> {
    let names = events.iter().filter_map(|event| {
        let name = match &event.kind {
            EventKind::Value(value) => format!("value {}", value.get()),
            EventKind::Update { task, result, .. } => format!("update {task} {}", result.get()),
            EventKind::Task {
                task,
                step: TaskStep::Succeeded(_),
                ..
            } => format!("done {task}"),
            EventKind::Task {
                task,
                step: TaskStep::Failed(_),
                ..
            } => format!("failed {task}"),
            EventKind::Checkpoint(checkpoint) => format!("checkpoint {}", checkpoint.id),
            EventKind::Run(run) => format!("state {:?}", run.state),
            EventKind::Interrupted(_) => "interrupted".to_owned(),
            EventKind::Task { .. }
            | EventKind::Message { .. }
            | EventKind::Custom { .. }
            | EventKind::Warning { .. }
            | EventKind::Gap { .. } => return None,
        };
        Some((event.sequence, name))
    });
    names.collect()
}

#[tokio::test]
async fn everyone_gets_every_durable_event_once_and_in_order_whenever_they_join() {
    let gate = Gate::closed();
    let (engine, _folder) =
        engine(Worker::new().entrypoint(two_steps("e", &Count::default(), &gate))).await;
    let run = start(&engine, "e", "t", 7).await;
    let from_start = follow(&engine, run.id, 0).await;
    gate.arrival().await;
    let from_middle = follow(&engine, run.id, 0).await;
    gate.let_through(1);
    rest(&engine, run.id).await;
    let from_start = all(from_start).await;
    let expected = durable(&from_start);
    let names: Vec<_> = expected
        .iter()
        .map(|(_, name)| name.split(' ').next().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "state",
            "state",
            "done",
            "update",
            "done",
            "update",
            "checkpoint",
            "update",
            "value",
            "state"
        ]
    );
    assert!(expected.is_sorted_by(|a, b| a.0 < b.0));
    assert_eq!(durable(&all(from_middle).await), expected);
    assert_eq!(
        durable(&all(follow(&engine, run.id, 0).await).await),
        expected
    );
    for place in 0..expected.len() {
        let events = all(follow(&engine, run.id, expected[place].0).await).await;
        assert_eq!(
            durable(&events),
            expected[place + 1..],
            "after {:?}",
            expected[place]
        );
    }
    engine.stop().await;
}

#[tokio::test]
async fn a_follower_of_a_queued_run_sees_it_from_its_start() {
    let gate = Gate::closed();
    let (engine, _folder) =
        engine(Worker::new().entrypoint(two_steps("e", &Count::default(), &gate))).await;
    let first = start(&engine, "e", "t", 1).await;
    gate.arrival().await;
    let second = start(&engine, "e", "t", 2).await;
    assert_eq!(second.state, RunState::Queued);
    assert_eq!(second.state_reason, "waits for its thread");
    let follower = follow(&engine, second.id, 0).await;
    gate.let_through(2);
    rest(&engine, first.id).await;
    let events = all(follower).await;
    assert_eq!(events[0].sequence, 1);
    assert!(matches!(&events.last().unwrap().kind,
        EventKind::Run(run) if run.state == RunState::Succeeded));
    engine.stop().await;
}

#[tokio::test]
async fn a_follower_that_leaves_does_not_stop_the_run() {
    let gate = Gate::closed();
    let (engine, _folder) =
        engine(Worker::new().entrypoint(two_steps("e", &Count::default(), &gate))).await;
    let run = start(&engine, "e", "t", 1).await;
    let mut follower = follow(&engine, run.id, 0).await;
    next(&mut follower).await;
    drop(follower);
    gate.let_through(1);
    assert_eq!(rest(&engine, run.id).await.state, RunState::Succeeded);
    engine.stop().await;
}

/// An entrypoint whose task writes `pieces` pieces of a kibibyte each, and fails `failures` times.
fn writer(failures: u32, gate: &Gate) -> Entrypoint {
    let gate = gate.clone();
    Entrypoint::new("writer", "1", move |context: Context, pieces: u32| {
        let gate = gate.clone();
        async move {
            let write = Task::new("write", move |task: TaskContext, pieces: u32| {
                let gate = gate.clone();
                async move {
                    for _ in 0..pieces {
                        task.write_message_piece(MessagePiece {
                            message_id: "m".into(),
                            part: MessagePart::Text,
                            text: "x".repeat(1024),
                            model: "test:test".into(),
                        });
                        // Lets the engine read: nothing is joined for want of room.
                        tokio::task::yield_now().await;
                    }
                    if task.attempt() <= failures {
                        return Err(Failure::transient("CUT_OFF", "cut off"));
                    }
                    gate.pass().await;
                    Ok(())
                }
            })
            .retry(RetryPolicy::exponential(
                9,
                Default::default(),
                Default::default(),
            ));
            context.call(&write, pieces).await
        }
    })
}

#[tokio::test]
async fn a_task_that_is_tried_again_resets_the_message_it_wrote() {
    let gate = Gate::closed();
    gate.let_through(1);
    let (engine, _folder) = engine(Worker::new().entrypoint(writer(1, &gate))).await;
    let started = engine
        .start_and_follow(&tenant(), request("writer", "t", 2), 0)
        .await;
    let events = all(started.unwrap()).await;
    let mut steps: Vec<_> = events
        .iter()
        .filter_map(|event| match &event.kind {
            EventKind::Message { reset: false, .. } => Some("pieces"),
            EventKind::Message { reset: true, .. } => Some("reset"),
            EventKind::Task {
                step: TaskStep::Retrying { .. },
                ..
            } => Some("retrying"),
            EventKind::Task {
                step: TaskStep::Succeeded(_),
                ..
            } => Some("done"),
            _ => None,
        })
        .collect();
    steps.dedup();
    assert_eq!(steps, ["pieces", "reset", "retrying", "pieces", "done"]);
    engine.stop().await;
}

#[tokio::test]
async fn a_reader_that_stops_reading_learns_how_much_it_missed_and_loses_no_durable_event() {
    let gate = Gate::closed();
    let (engine, _folder) = engine(Worker::new().entrypoint(writer(0, &gate))).await;
    let run = start(&engine, "writer", "t", 8 * 1024).await;
    let mut idle = follow(&engine, run.id, 0).await;
    next(&mut idle).await;
    gate.arrival().await;
    gate.let_through(1);
    rest(&engine, run.id).await;
    let events = all(idle).await;
    let dropped: i64 = events
        .iter()
        .filter_map(|event| match event.kind {
            EventKind::Gap { dropped } => Some(dropped),
            _ => None,
        })
        .sum();
    assert!(
        dropped > 0,
        "the log holds at most 4 MiB of the 8 MiB written"
    );
    assert!(matches!(&events.last().unwrap().kind, EventKind::Run(_)));
    let expected = durable(&all(follow(&engine, run.id, 1).await).await);
    assert_eq!(durable(&events), expected);
    engine.stop().await;
}

/// The text of the pieces in these events, up to the call's outcome.
fn text(events: &[Arc<Event>]) -> String {
    let before = events.iter().take_while(|event| {
        let is_outcome = |step: &TaskStep| !matches!(step, TaskStep::Started(_));
        !matches!(&event.kind, EventKind::Task { step, .. } if is_outcome(step))
    });
    let texts = before.filter_map(|event| match &event.kind {
        EventKind::Message { piece, .. } => Some(piece.text.as_str()),
        EventKind::Gap { .. } => Some("GAP"),
        _ => None,
    });
    texts.collect()
}

#[tokio::test]
async fn a_reader_that_is_behind_gets_what_is_there_of_a_message_at_once() {
    let gate = Gate::closed();
    let (engine, _folder) = engine(Worker::new().entrypoint(writer(0, &gate))).await;
    let run = start(&engine, "writer", "t", 3).await;
    gate.arrival().await;
    gate.let_through(1);
    rest(&engine, run.id).await;
    let gone = all(follow(&engine, run.id, 0).await).await;
    assert_eq!(text(&gone), "", "what is over has no pieces any more");

    let run = start(&engine, "writer", "t", 3).await;
    let mut reader = follow(&engine, run.id, 0).await;
    gate.arrival().await;
    let mut pieces = Vec::new();
    while pieces.iter().map(|(_, length)| length).sum::<usize>() < 3 * 1024 {
        let event = next(&mut reader).await.unwrap();
        if let EventKind::Message { piece, .. } = &event.kind {
            pieces.push((event.sequence, piece.text.len()));
        }
    }
    let (last, _) = *pieces.last().unwrap();
    // All three, and those after the first.
    for (after, length) in [(0, 3), (last - 2, 2)] {
        let mut late = follow(&engine, run.id, after).await;
        let piece = loop {
            let event = next(&mut late).await.unwrap();
            if let EventKind::Message { piece, .. } = &event.kind {
                assert_eq!(event.sequence, last);
                break piece.text.clone();
            }
        };
        assert_eq!(piece.len(), length * 1024);
    }
    gate.let_through(1);
    rest(&engine, run.id).await;
    engine.stop().await;
}

/// More than all queues on the way hold.
const MANY: u32 = 10_000;

fn numbered(number: u32) -> MessagePiece {
    MessagePiece {
        message_id: "m".into(),
        part: MessagePart::Text,
        text: format!("{number} "),
        model: "test:test".into(),
    }
}

/// Writes as many pieces at once as it is told.
struct Flood;

#[async_trait]
impl CallTarget for Flood {
    async fn call(&self, context: TargetContext, input: Json) -> Outcome {
        (0..json::decode("the input", &input)?)
            .for_each(|number| context.write_message_piece(numbered(number)));
        Ok(json::null())
    }
}

#[tokio::test]
async fn a_reader_that_keeps_up_gets_every_piece_before_the_outcome_however_fast_they_are_written()
{
    let entrypoint = Entrypoint::new(
        "flood",
        "1",
        |context: Context, by_target: u32| async move {
            let task = Task::new("write", |task: TaskContext, pieces: u32| async move {
                (0..pieces).for_each(|number| task.write_message_piece(numbered(number)));
                Ok(())
            });
            match by_target {
                0 => context.call(&task, MANY).await,
                _ => {
                    let target = Target::<u32, ()>::new("flood");
                    context.call_target(&target, &MANY).await
                }
            }
        },
    );
    let folder = tempfile::tempdir().unwrap();
    let (worker, targets) = (
        Worker::new().entrypoint(entrypoint),
        Targets::default().with("flood", Flood),
    );
    let engine = engine_with(folder.path(), worker, targets, 10).await;
    let expected: String = (0..MANY).map(|number| format!("{number} ")).collect();
    for by_target in [0, 1] {
        let request = request("flood", "t", by_target);
        let reader = engine.start_and_follow(&tenant(), request, 0).await;
        let events = all(reader.unwrap()).await;
        assert!(text(&events) == expected, "by_target {by_target}");
    }
    engine.stop().await;
}

#[tokio::test]
async fn a_thousand_followers_of_one_run_all_see_its_end() {
    let gate = Gate::closed();
    let (engine, _folder) =
        engine(Worker::new().entrypoint(two_steps("e", &Count::default(), &gate))).await;
    let run = start(&engine, "e", "t", 1).await;
    gate.arrival().await;
    let mut followers = Vec::new();
    for _ in 0..1000 {
        followers.push(follow(&engine, run.id, 0).await);
    }
    gate.let_through(1);
    for events in futures::future::join_all(followers.into_iter().map(all)).await {
        assert!(matches!(&events.last().unwrap().kind, EventKind::Run(_)));
    }
    engine.stop().await;
}
