//! The worker in Rust that `worker-conformance` checks: `conformance-worker URL [--no-tasks]`. What it
//! does is described there; `--no-tasks` lets it offer none.

use std::{env, future::pending, time::Duration};

use anyhow::{Context as _, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::select;
use weft_worker::{Context, Entrypoint, Failure, Final, RetryPolicy, Task, TaskContext, Worker};

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Step {
    Echo(Value),
    Retry(u32),
    Catch(String),
    Both(Value, Value),
    Ask(Value),
}

fn echo() -> Task<Value, Value> {
    Task::new(
        "echo",
        |_: TaskContext, value: Value| async move { Ok(value) },
    )
}

const DELAY: Duration = Duration::from_millis(10);
const RETRY: RetryPolicy = RetryPolicy::exponential(5, DELAY, DELAY);

fn unsteady() -> Task<u32, u32> {
    Task::new("unsteady", |task: TaskContext, attempts: u32| async move {
        match task.attempt() {
            attempt if attempt < attempts => Err(Failure::transient("UNSTEADY", "not yet")),
            attempt => Ok(attempt),
        }
    })
    .retry(RETRY)
}

fn refuse() -> Task<String, ()> {
    Task::new("refuse", |_: TaskContext, reason: String| async move {
        Err(Failure::new(reason, "it was asked to refuse"))
    })
}

#[derive(Serialize, Deserialize, JsonSchema)]
struct Tell {
    value: Value,
    writes: String,
}

#[derive(Serialize, Deserialize, JsonSchema)]
struct Falter {
    attempts: u32,
}

#[derive(Serialize, Deserialize, JsonSchema)]
struct Hang {}

fn tell() -> Task<Tell, (Value, String)> {
    let tell = Task::new("tell", |task: TaskContext, tell: Tell| async move {
        if !tell.writes.is_empty() {
            task.write(&tell.writes)?;
        }
        Ok((tell.value, task.idempotency_key()))
    });
    tell.description("Tells what it is told, and its key.")
        .typed()
}

fn falter() -> Task<Falter, u32> {
    let falter = Task::new("falter", |task: TaskContext, falter: Falter| async move {
        match task.attempt() {
            attempt if attempt < falter.attempts => Err(Failure::transient("UNSTEADY", "not yet")),
            attempt => Ok(attempt),
        }
    });
    falter
        .description("Fails until an attempt.")
        .typed()
        .retry(RETRY)
}

fn hang() -> Task<Hang, ()> {
    let hang = Task::new("hang", |_: TaskContext, _: Hang| pending());
    hang.description("Never ends.").typed()
}

async fn execute(context: &Context, step: Step) -> Result<Value, Failure> {
    match step {
        Step::Echo(value) => context.call(&echo(), value).await,
        Step::Retry(attempts) => context.call(&unsteady(), attempts).await.map(Value::from),
        Step::Catch(reason) => match context.call(&refuse(), reason).await {
            Ok(()) => Ok(Value::Null),
            Err(failure) => Ok(failure.reason.into()),
        },
        Step::Both(a, b) => {
            let (mut a, mut b) = (context.call(&echo(), a), context.call(&echo(), b));
            select! {
                first = &mut a => Ok(json!([first?, b.await?])),
                first = &mut b => Ok(json!([first?, a.await?])),
            }
        }
        Step::Ask(question) => context.interrupt(&question).await,
    }
}

async fn conformance(
    context: Context,
    steps: Vec<Step>,
) -> Result<Final<Vec<Value>, usize>, Failure> {
    let saved = context.previous::<usize>()?.unwrap_or(0) + steps.len();
    let mut value = Vec::new();
    for step in steps {
        value.push(execute(&context, step).await?);
    }
    Ok(Final { value, saved })
}

#[tokio::main]
async fn main() -> Result<()> {
    let url = env::args()
        .nth(1)
        .context("usage: conformance-worker URL [--no-tasks]")?;
    let mut worker = Worker::new().entrypoint(Entrypoint::new("conformance", "1", conformance));
    if env::args().nth(2).as_deref() != Some("--no-tasks") {
        worker = worker.task(tell()).task(falter()).task(hang());
    }
    worker.connect(url).serve(pending()).await?;
    Ok(())
}
