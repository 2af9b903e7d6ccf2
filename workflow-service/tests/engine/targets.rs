//! Calls of what the service does itself.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use weft_worker::{
    Context, Entrypoint, Failure, Json, RetryPolicy, Target, Worker, json,
    protocol::{MessagePart, MessagePiece, Outcome},
};
use workflow_service::{
    domain::{EventKind, RunState, TaskStep},
    engine::{CallTarget, TargetContext, Targets},
};

use crate::harness::{Count, Gate, Hosted, all, engine_with, follow, rest, start, tenant};

/// Doubles a number; fails the first time if it is told to.
struct Double {
    runs: Count,
    fails_first: bool,
}

#[async_trait]
impl CallTarget for Double {
    async fn call(&self, context: TargetContext, input: Json) -> Outcome {
        let piece = |text: &str| MessagePiece {
            message_id: "m".into(),
            part: MessagePart::Text,
            text: text.to_owned(),
            model: "test:model".into(),
        };
        context.write_message_piece(piece("dou"));
        context.write_message_piece(piece("ble"));
        if self.runs.up() == 1 && self.fails_first {
            return Err(Failure::transient("AWAY", "away"));
        }
        let number: u32 = json::decode("the input", &input)?;
        json::encode("the output", &(2 * number))
    }
}

/// Waits at a gate.
struct Wait(Gate);

#[async_trait]
impl CallTarget for Wait {
    async fn call(&self, _: TargetContext, _: Json) -> Outcome {
        self.0.pass().await;
        Ok(json::null())
    }
}

/// Calls the target `name` twice.
fn twice(name: &'static str, retry: RetryPolicy) -> Worker {
    Worker::new().entrypoint(Entrypoint::new(
        "e",
        "1",
        move |context: Context, input: u32| async move {
            let target = Target::<u32, u32>::new(name).retry(retry);
            let once = context.call_target(&target, &input).await?;
            context.call_target(&target, &once).await
        },
    ))
}

async fn engine(worker: Worker, targets: Targets) -> (Hosted, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    (
        engine_with(folder.path(), worker, targets, 10).await,
        folder,
    )
}

#[tokio::test]
async fn a_call_of_a_target_is_recorded_and_streamed_like_a_task() {
    let runs = Count::default();
    let double = Double {
        runs: runs.clone(),
        fails_first: true,
    };
    let retry = RetryPolicy::exponential(3, Duration::ZERO, Duration::ZERO);
    let (engine, _folder) = engine(
        twice("math/double", retry),
        Targets::default().with("math/double", double),
    )
    .await;
    let run = start(&engine, "e", "t", 5).await;
    let events = all(follow(&engine, run.id, 0).await).await;
    let mut of_first: Vec<_> = events
        .iter()
        .filter_map(|event| match &event.kind {
            EventKind::Task {
                call,
                attempt,
                step,
                ..
            } if call.as_str() == "0" => Some(match step {
                TaskStep::Started(input) => format!("{attempt} started {}", input.get()),
                TaskStep::Retrying { failure, .. } => format!("{attempt} {}", failure.reason),
                TaskStep::Succeeded(result) => format!("{attempt} gave {}", result.get()),
                TaskStep::Failed(_) => "failed".to_owned(),
            }),
            EventKind::Message {
                call, piece, reset, ..
            } if call.as_str() == "0" => Some(match reset {
                true => "reset".to_owned(),
                false => piece.text.clone(),
            }),
            _ => None,
        })
        .collect();
    // A reader that is behind gets both pieces at once.
    of_first.dedup_by(|next, before| {
        let are_pieces = before == "dou" && next == "ble";
        if are_pieces {
            before.push_str(next);
        }
        are_pieces
    });
    let expected = [
        "1 started 5",
        "double",
        "reset",
        "1 AWAY",
        "2 started 5",
        "double",
        "2 gave 10",
    ];
    assert_eq!(of_first, expected);
    assert_eq!(rest(&engine, run.id).await.output.unwrap().get(), "20");
    assert_eq!(runs.get(), 3);
    engine.stop().await;
}

#[tokio::test]
async fn a_recorded_call_of_a_target_is_not_made_again_after_a_restart() {
    let (runs, gate) = (Count::default(), Gate::closed());
    let worker = || {
        Worker::new().entrypoint(Entrypoint::new(
            "e",
            "1",
            |context: Context, input: u32| async move {
                let double = Target::<u32, u32>::new("double");
                let doubled = context.call_target(&double, &input).await?;
                let wait = Target::<(), ()>::new("wait");
                context.call_target(&wait, &()).await?;
                Ok(doubled)
            },
        ))
    };
    let targets = || {
        let double = Double {
            runs: runs.clone(),
            fails_first: false,
        };
        Targets::default()
            .with("double", double)
            .with("wait", Wait(gate.clone()))
    };
    let folder = tempfile::tempdir().unwrap();
    let first = engine_with(folder.path(), worker(), targets(), 10).await;
    let run = start(&first, "e", "t", 4).await;
    gate.arrival().await;
    first.stop().await;
    drop(first);

    let second = engine_with(folder.path(), worker(), targets(), 10).await;
    gate.arrival().await;
    gate.let_through(1);
    assert_eq!(rest(&second, run.id).await.output.unwrap().get(), "8");
    assert_eq!(runs.get(), 1);
    second.stop().await;
}

#[tokio::test]
async fn a_target_that_does_not_exist_fails_by_name() {
    let gate = Gate::closed();
    let (engine, _folder) = engine(
        twice("llm/cat", RetryPolicy::NEVER),
        Targets::default().with("llm/chat", Wait(gate)),
    )
    .await;
    let run = start(&engine, "e", "t", 1).await;
    let failure = rest(&engine, run.id).await.failure.unwrap();
    assert_eq!(failure.reason, "NO_SUCH_TARGET");
    assert!(failure.message.contains("llm/cat") && failure.message.contains("llm/chat"));
    engine.stop().await;
}

#[tokio::test]
async fn a_target_that_takes_too_long_fails_and_a_cancel_drops_it() {
    let gate = Gate::closed();
    let (timing_out, held) = (Arc::new(Duration::from_millis(1)), gate.clone());
    let entrypoint = Entrypoint::new("e", "1", move |context: Context, input: u32| {
        let limit = Arc::clone(&timing_out);
        async move {
            let wait = Target::<u32, ()>::new("wait");
            let wait = if input == 0 {
                wait.timeout(*limit)
            } else {
                wait
            };
            context.call_target(&wait, &input).await
        }
    });
    let (engine, _folder) = engine(
        Worker::new().entrypoint(entrypoint),
        Targets::default().with("wait", Wait(gate.clone())),
    )
    .await;
    let run = start(&engine, "e", "short", 0).await;
    let failure = rest(&engine, run.id).await.failure.unwrap();
    assert_eq!(failure.reason, "TASK_TIMEOUT");
    held.arrival().await;

    let run = start(&engine, "e", "long", 1).await;
    held.arrival().await;
    engine
        .cancel_run(&tenant(), run.id, "enough")
        .await
        .unwrap();
    assert_eq!(rest(&engine, run.id).await.state, RunState::Cancelled);
    engine.stop().await;
}
