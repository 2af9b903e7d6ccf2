//! What is checked of tasks on offer.

use anyhow::{Context as _, Result, bail, ensure};
use e2e::payload;
use serde_json::{Value, json};
use uuid::Uuid;
use weft_proto::workflow::v1::{
    Done, Emit, Failure, Fenced, Hello, RunTask, connect_request::Message as Heard,
    connect_response::Message as Say, emit::Kind as Emitted, outcome,
};

use crate::{
    service::{Connection, Service},
    told,
};

/// The worker offers no tasks, which it need not.
#[derive(Debug, thiserror::Error)]
#[error("it offers no tasks")]
pub(crate) struct NoTasks;

/// A worker that offers tasks, made welcome in a new session.
async fn offering(service: &mut Service) -> Result<(Connection, Hello)> {
    let (mut worker, hello) = service.hello().await?;
    if hello.tasks.is_empty() {
        return Err(NoTasks.into());
    }
    ensure!(hello.max_tasks > 0, "it offers tasks and takes none");
    worker.greet(false).await?;
    Ok((worker, hello))
}

fn task(name: &str, attempt: i32, input: &Value) -> RunTask {
    RunTask {
        run_id: Uuid::now_v7().to_string(),
        thread_id: "conformance".to_owned(),
        call_id: "3/1".to_owned(),
        task: name.to_owned(),
        attempt,
        input: Some(payload::json(input)),
        config: Some(payload::text("{}")),
        timeout: None,
    }
}

/// The end of a task, which is confirmed.
async fn end(worker: &mut Connection, execution: i64) -> Result<Done> {
    let done = match worker.next_of(execution).await? {
        Heard::Done(done) => done,
        other => bail!("not a Done: {}", told::message(Some(&other))),
    };
    worker
        .say(execution, Say::Fenced(Fenced::default()))
        .await?;
    Ok(done)
}

fn returned(done: Done) -> Result<Value> {
    let outcome = done.outcome;
    match outcome.as_ref().and_then(|outcome| outcome.result.as_ref()) {
        Some(outcome::Result::Value(value)) => payload::read(Some(value)),
        _ => bail!("it did not return: {}", told::outcome_of(outcome.as_ref())),
    }
}

fn failure(done: &Done) -> Result<&Failure> {
    let outcome = done.outcome.as_ref();
    match outcome.and_then(|outcome| outcome.result.as_ref()) {
        Some(outcome::Result::Failure(failure)) => Ok(failure),
        _ => bail!("it did not fail: {}", told::outcome_of(outcome)),
    }
}

pub(crate) async fn done(service: &mut Service) -> Result<()> {
    let (mut worker, hello) = offering(service).await?;
    for name in ["tell", "falter", "hang"] {
        let offered = hello.tasks.iter().find(|task| task.name == name);
        let offered = offered.with_context(|| format!("it does not offer `{name}`"))?;
        ensure!(!offered.description.is_empty(), "`{name}` is not described");
        let schema = payload::read(offered.input_schema.as_ref())?;
        ensure!(schema["type"] == "object", "`{name}` takes {schema}");
    }
    let run = task(
        "tell",
        1,
        &json!({"value": {"a": [1, null]}, "writes": "hello"}),
    );
    let key = format!("{}/3/1", run.run_id);
    worker.say(1, Say::RunTask(run)).await?;
    let Emit { kind, .. } = worker.next_emitted(1).await?;
    let Some(Emitted::Custom(written)) = kind else {
        bail!("it did not write: {kind:?}");
    };
    let written = payload::read(Some(&written))?;
    ensure!(written == json!("hello"), "it wrote {written}");
    let output = returned(end(&mut worker, 1).await?)?;
    let expected = json!([{"a": [1, null]}, key]);
    ensure!(output == expected, "it returned {output}, not {expected}");

    // Several at once.
    let tell = |text: &str| Say::RunTask(task("tell", 1, &json!({"value": text, "writes": ""})));
    worker.say(2, tell("second")).await?;
    worker.say(3, tell("third")).await?;
    let mut told = Vec::new();
    for _ in 0..2 {
        let heard = worker.next().await?;
        let Some(Heard::Done(done)) = heard.message else {
            bail!("not a Done: {}", told::message(heard.message.as_ref()));
        };
        told.push((heard.execution_id, returned(done)?[0].clone()));
    }
    told.sort_by_key(|(execution, _)| *execution);
    let expected = [(2, json!("second")), (3, json!("third"))];
    ensure!(told == expected, "it told {told:?}");
    Ok(())
}

pub(crate) async fn fails(service: &mut Service) -> Result<()> {
    let (mut worker, _) = offering(service).await?;
    let falter = |attempt| Say::RunTask(task("falter", attempt, &json!({"attempts": 2})));
    worker.say(1, falter(1)).await?;
    let done = end(&mut worker, 1).await?;
    let failed = failure(&done)?;
    ensure!(
        failed.retryable && failed.reason == "UNSTEADY",
        "it failed with {}",
        told::failure(failed)
    );
    let policy = done.retry.context("the Done has no retry policy")?;
    ensure!(
        policy.max_attempts == 5,
        "the policy is {}",
        told::policy(&policy)
    );
    worker.say(2, falter(2)).await?;
    let output = returned(end(&mut worker, 2).await?)?;
    ensure!(output == json!(2), "it returned {output}");

    let nowhere = Say::RunTask(task("nowhere", 1, &json!({})));
    worker.say(3, nowhere).await?;
    let done = end(&mut worker, 3).await?;
    let failed = failure(&done)?;
    ensure!(
        failed.message.contains("nowhere"),
        "it does not name the task that it does not offer: {}",
        told::failure(failed)
    );
    Ok(())
}

pub(crate) async fn fenced(service: &mut Service) -> Result<()> {
    let (mut worker, _) = offering(service).await?;
    worker
        .say(1, Say::RunTask(task("hang", 1, &json!({}))))
        .await?;
    let at_work = worker.heartbeat().await?;
    ensure!(at_work == [1], "it works at task 1, not at {at_work:?}");
    let reason = "for the scenario".to_owned();
    worker.say(1, Say::Fenced(Fenced { reason })).await?;
    let at_work = worker.heartbeat().await?;
    ensure!(at_work.is_empty(), "it still works at {at_work:?}");
    worker.silence().await?;
    let tell = task("tell", 1, &json!({"value": 1, "writes": ""}));
    worker.say(2, Say::RunTask(tell)).await?;
    end(&mut worker, 2).await.map(drop)
}

pub(crate) async fn resumes(service: &mut Service) -> Result<()> {
    let (mut worker, hello) = offering(service).await?;
    if hello.session_id.is_empty() {
        return Ok(());
    }
    let tell = task("tell", 1, &json!({"value": 1, "writes": ""}));
    worker.say(1, Say::RunTask(tell)).await?;
    let told = worker.next_of(1).await?;
    // It gets lost, as far as the service says.
    let sent = worker.sent;
    drop(worker);
    let (mut worker, again) = service.hello().await?;
    ensure!(
        again.tasks == hello.tasks && again.max_tasks == hello.max_tasks,
        "it offers something else: {again:?}"
    );
    worker.sent = sent;
    worker.greet(true).await?;
    let told_again = worker.next_of(1).await?;
    ensure!(told == told_again, "{told:?} became {told_again:?}");
    worker.say(1, Say::Fenced(Fenced::default())).await
}
