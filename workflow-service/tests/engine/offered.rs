//! Tasks that workers offer to the runs of others.
//!
//! # Layout
//! - [`outcomes`]: what becomes of calls
//! - [`waiting`]: calls that wait for a worker

mod outcomes;
mod waiting;

use futures::future::join_all;
use service_runtime::Tenant;
use tokio::{task::JoinSet, time::timeout};
use weft_worker::{
    Context, Entrypoint, Failure, RetryPolicy, Target, TaskDescription, Usage, json,
    protocol::{
        Done, ExecutionId, FromWorker, MessagePart, MessagePiece, Outcome, RunTask, ToWorker,
        WorkerLink, WorkerMessage, in_memory_link,
    },
};
use workflow_service::{
    domain::{EventKind, Run, TaskStep},
    engine::{Engine, Follower, Hosting, NewWorker},
};

use crate::harness::{PATIENCE, all, follow, next};

/// Calls `task/NAME` as often as its input says, at once, and returns the results.
fn caller(name: &'static str, change: fn(Target<u32, u32>) -> Target<u32, u32>) -> Entrypoint {
    Entrypoint::new("e", "1", move |context: Context, times: u32| async move {
        let target = change(Target::new(&format!("task/{name}")));
        let calls = (0..times).map(|number| context.call_target(&target, &number));
        let results: Result<Vec<u32>, Failure> = join_all(calls).await.into_iter().collect();
        results
    })
}

/// A worker that a test plays itself.
struct Played {
    link: WorkerLink,
    hosting: Hosting,
}

impl Played {
    fn offer(engine: &Engine, tenant: Tenant, tasks: &[&str], max_tasks: u32) -> Self {
        let (link, engine_link) = in_memory_link();
        let worker = NewWorker {
            name: "played".into(),
            tenant,
            hosted: Vec::new(),
            max_runs: 0,
            offered: tasks
                .iter()
                .map(|name| TaskDescription::new(*name))
                .collect(),
            max_tasks,
        };
        let hosting = engine.attach(worker, engine_link);
        Self { link, hosting }
    }

    async fn hear(&mut self) -> ToWorker {
        let heard = timeout(PATIENCE, self.link.inbox.recv()).await;
        heard.unwrap().unwrap()
    }

    async fn task(&mut self) -> RunTask {
        let task = match self.hear().await {
            ToWorker::RunTask(run) => Ok(*run),
            other => Err(other),
        };
        task.unwrap()
    }

    async fn fenced(&mut self) -> ExecutionId {
        let fenced = match self.hear().await {
            ToWorker::Fenced { execution } => Ok(execution),
            other => Err(other),
        };
        fenced.unwrap()
    }

    async fn say(&self, execution: ExecutionId, message: WorkerMessage) {
        let said = FromWorker { execution, message };
        self.link.outbox.send(said).await.unwrap();
    }

    async fn done(&self, execution: ExecutionId, outcome: Outcome) {
        let done = Done {
            outcome,
            retry: RetryPolicy::NEVER,
            usage: Usage::default(),
        };
        self.say(execution, WorkerMessage::Done(Box::new(done)))
            .await;
    }
}

fn number(number: u32) -> Outcome {
    Ok(json::from_text(number.to_string()).unwrap())
}

fn written(text: &str) -> MessagePiece {
    MessagePiece {
        message_id: "m".into(),
        part: MessagePart::Text,
        text: text.to_owned(),
        model: "test:model".into(),
    }
}

/// What those who follow the run are shown of its first call.
async fn shown(follower: Follower) -> Vec<String> {
    let events = all(follower).await;
    let of_call = events.iter().filter_map(|event| match &event.kind {
        EventKind::Task {
            call,
            task,
            attempt,
            step,
            ..
        } if call.as_str() == "0" => Some(match step {
            TaskStep::Started(input) => format!("{attempt} started {task} {}", input.get()),
            TaskStep::Retrying { failure, .. } => format!("{attempt} {}", failure.reason),
            TaskStep::Succeeded(result) => format!("{attempt} gave {}", result.get()),
            TaskStep::Failed(failure) => format!("{attempt} failed {}", failure.reason),
        }),
        EventKind::Message {
            call, piece, reset, ..
        } if call.as_str() == "0" => Some(match reset {
            true => "reset".to_owned(),
            false => piece.text.clone(),
        }),
        EventKind::Custom {
            call: Some(call),
            value,
            ..
        } if call.as_str() == "0" => Some(value.get().to_owned()),
        _ => None,
    });
    of_call.collect()
}

/// Follows a run from here to its end.
struct Following(JoinSet<Vec<String>>);

impl Following {
    async fn begin(engine: &Engine, run: &Run) -> Self {
        let mut following = JoinSet::new();
        following.spawn(shown(follow(engine, run.id, 0).await));
        Self(following)
    }

    /// What was shown of the first call.
    async fn end(mut self) -> Vec<String> {
        let ended = timeout(PATIENCE, self.0.join_next()).await;
        ended.unwrap().unwrap().unwrap()
    }
}

/// Waits until a call of the run waits for a worker.
async fn waits(engine: &Engine, run: &Run) -> String {
    let mut follower = follow(engine, run.id, 0).await;
    loop {
        let event = next(&mut follower).await.unwrap();
        if let EventKind::Warning { warning, .. } = &event.kind
            && warning.reason == "WAITS"
        {
            return warning.message.clone();
        }
    }
}
