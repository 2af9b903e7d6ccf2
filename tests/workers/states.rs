//! Workers that are killed whatever they do: what was recorded is kept, and the run goes on elsewhere.
//! How soon is shown by [`crate::takeover`].

use anyhow::{Context as _, Result};
use e2e::{
    Cluster, Events, WorkerProcess,
    cable::Cable,
    events, payload,
    process::Signal,
    runs::{self, Workflows},
    worker::{begins, hosts, ledger, let_go},
};
use serde_json::json;
use weft_proto::workflow::v1::{
    CancelRunRequest, GetRunRequest, ResumeRunRequest, Run, StreamMode, resume_run_request::Resume,
    run::State, task_event::Step,
};

use crate::stage::{
    output, recorded, rested, service, start, steps, two_workers_and_a_run, worker,
};

/// The worker under test, behind a cable, and the only one there is.
async fn behind_a_cable(cluster: &Cluster) -> Result<(WorkerProcess, Cable)> {
    let cable = Cable::to(cluster.workflow()?.grpc()).await?;
    let near = WorkerProcess::start(cable.url(), cluster.folder(), &[])?;
    hosts(&mut cluster.workflow_client()?, "steps", 1).await?;
    Ok((near, cable))
}

/// Waits until the run's task has come to this step.
async fn comes_to(cluster: &Cluster, run: &Run, step: Step, count: usize) -> Result<()> {
    let mut client = cluster.workflow_client()?;
    let mut seen = Events::join(&mut client, &run.id, &[StreamMode::Tasks], 0).await?;
    for _ in 0..count {
        seen.find(|event| events::attempt(event, "step", step))
            .await?;
    }
    Ok(())
}

async fn get(client: &mut Workflows, run: &Run) -> Result<Run> {
    let request = GetRunRequest {
        run_id: run.id.clone(),
        ..GetRunRequest::default()
    };
    let response = client.get_run(request).await?.into_inner();
    response.run.context("a response without a run")
}

/// How often tasks of this name began.
fn count(cluster: &Cluster, name: &str) -> Result<usize> {
    let ledger = ledger(cluster.folder())?;
    Ok(ledger.iter().filter(|began| began.name == name).count())
}

#[tokio::test]
async fn a_worker_can_be_killed_while_it_is_idle() -> Result<()> {
    let cluster = service().await?;
    let (one, other) = (worker(&cluster, &[])?, worker(&cluster, &[])?);
    hosts(&mut cluster.workflow_client()?, "steps", 2).await?;
    one.kill().await?;
    // Whoever they are given to: the service may not know yet.
    let (first, second) = (
        steps(&cluster, &["first"]).await?,
        steps(&cluster, &["first"]).await?,
    );
    for run in [first, second] {
        assert_eq!(output(&cluster, &run).await?, json!([other.id()?]));
    }
    other.terminate().await?;
    cluster.finish().await
}

#[tokio::test]
async fn a_worker_can_be_killed_with_a_run_that_it_was_just_given() -> Result<()> {
    let cluster = service().await?;
    let one = worker(&cluster, &[])?;
    let mut client = cluster.workflow_client()?;
    hosts(&mut client, "steps", 1).await?;
    // It stands still, so that what it is given stays unread.
    one.signal(Signal::Stop).await?;
    let run = steps(&cluster, &["first"]).await?;
    assert_eq!(get(&mut client, &run).await?.state(), State::Running);
    let other = worker(&cluster, &[])?;
    one.kill().await?;
    assert_eq!(output(&cluster, &run).await?, json!([other.id()?]));
    assert_eq!(count(&cluster, "first")?, 1);
    other.terminate().await?;
    cluster.finish().await
}

#[tokio::test]
async fn a_worker_can_be_killed_in_the_middle_of_a_replay() -> Result<()> {
    let cluster = service().await?;
    let folder = cluster.folder();
    let one = worker(&cluster, &[])?;
    hosts(&mut cluster.workflow_client()?, "steps", 1).await?;
    let_go(folder, "pause")?;
    let run = steps(&cluster, &["first", "pause", "second", "hold"]).await?;
    begins(folder, "hold", 1).await?;
    // Who replays it stops between the two recorded calls.
    std::fs::remove_file(folder.join("pause"))?;
    let process = one.id()?;
    one.kill().await?;
    let replaying = worker(&cluster, &[])?;
    let paused = begins(folder, "pause", 2).await?;
    assert_eq!(paused.process, replaying.id()?);
    replaying.kill().await?;
    let last = worker(&cluster, &[])?;
    begins(folder, "pause", 3).await?;
    let_go(folder, "pause")?;
    begins(folder, "hold", 2).await?;
    let_go(folder, "hold")?;
    let processes = json!([process, process, last.id()?]);
    assert_eq!(output(&cluster, &run).await?, processes);
    assert_eq!(
        (count(&cluster, "first")?, count(&cluster, "second")?),
        (1, 1)
    );
    last.terminate().await?;
    cluster.finish().await
}

#[tokio::test]
async fn a_worker_can_be_killed_while_a_task_runs() -> Result<()> {
    let cluster = service().await?;
    let (holder, other, run) = two_workers_and_a_run(&cluster).await?;
    let killed = holder.id()?;
    holder.kill().await?;
    let again = begins(cluster.folder(), "hold", 2).await?;
    assert_eq!(again.process, other.id()?);
    let_go(cluster.folder(), "hold")?;
    let processes = output(&cluster, &run).await?;
    // What the killed one recorded is kept.
    assert_eq!(processes, json!([killed, other.id()?, other.id()?]));
    assert_eq!(count(&cluster, "first")?, 1);
    other.terminate().await?;
    cluster.finish().await
}

#[tokio::test]
async fn a_worker_can_be_killed_while_it_waits_to_hear_that_a_result_is_recorded() -> Result<()> {
    let cluster = service().await?;
    let (near, cable) = behind_a_cable(&cluster).await?;
    let run = steps(&cluster, &["first", "hold", "last"]).await?;
    begins(cluster.folder(), "hold", 1).await?;
    cable.withhold_answers();
    let_go(cluster.folder(), "hold")?;
    comes_to(&cluster, &run, Step::Succeeded, 2).await?;
    let killed = near.id()?;
    near.kill().await?;
    let other = worker(&cluster, &[])?;
    let processes = json!([killed, killed, other.id()?]);
    assert_eq!(output(&cluster, &run).await?, processes);
    assert_eq!((count(&cluster, "hold")?, count(&cluster, "last")?), (1, 1));
    assert_eq!(recorded(&cluster, &run).await?, ["0", "1", "2"]);
    other.terminate().await?;
    cluster.finish().await
}

#[tokio::test]
async fn a_worker_can_be_killed_while_it_waits_to_hear_whether_to_try_again() -> Result<()> {
    let cluster = service().await?;
    let (near, cable) = behind_a_cable(&cluster).await?;
    let run = steps(&cluster, &["first", "hold-flaky"]).await?;
    begins(cluster.folder(), "hold-flaky", 1).await?;
    cable.withhold_answers();
    let_go(cluster.folder(), "hold-flaky")?;
    comes_to(&cluster, &run, Step::Retrying, 1).await?;
    let killed = near.id()?;
    near.kill().await?;
    let_go(cluster.folder(), "hold-flaky.well")?;
    let other = worker(&cluster, &[])?;
    assert_eq!(output(&cluster, &run).await?, json!([killed, other.id()?]));
    assert_eq!(
        (count(&cluster, "first")?, count(&cluster, "hold-flaky")?),
        (1, 2)
    );
    other.terminate().await?;
    cluster.finish().await
}

#[tokio::test]
async fn a_worker_can_be_killed_in_the_pause_before_a_task_is_tried_again() -> Result<()> {
    let cluster = service().await?;
    let one = worker(&cluster, &[])?;
    hosts(&mut cluster.workflow_client()?, "steps", 1).await?;
    // Its next attempt is an hour away.
    let run = steps(&cluster, &["first", "flaky"]).await?;
    comes_to(&cluster, &run, Step::Retrying, 1).await?;
    let killed = one.id()?;
    one.kill().await?;
    let_go(cluster.folder(), "flaky.well")?;
    let other = worker(&cluster, &[])?;
    assert_eq!(output(&cluster, &run).await?, json!([killed, other.id()?]));
    assert_eq!(
        (count(&cluster, "first")?, count(&cluster, "flaky")?),
        (1, 2)
    );
    other.terminate().await?;
    cluster.finish().await
}

#[tokio::test]
async fn a_worker_can_be_killed_while_its_run_waits_for_an_answer() -> Result<()> {
    let cluster = service().await?;
    let first = worker(&cluster, &[])?;
    let mut client = cluster.workflow_client()?;
    hosts(&mut client, "ask", 1).await?;
    let run = start(&cluster, "ask", "", json!("well?")).await?;
    let run = runs::rested(&mut client, &run.id).await?;
    assert_eq!(run.state(), State::Interrupted);
    first.kill().await?;
    hosts(&mut client, "ask", 0).await?;
    let answer = ResumeRunRequest {
        run_id: run.id.clone(),
        resume: Some(Resume::Answer(payload::json(&json!("yes")))),
    };
    client.resume_run(answer).await?;
    let waiting = get(&mut client, &run).await?;
    assert_eq!(waiting.state(), State::Queued, "{waiting:?}");

    let second = worker(&cluster, &[])?;
    assert_eq!(output(&cluster, &run).await?, json!("yes"));
    let names: Vec<_> = ledger(cluster.folder())?
        .into_iter()
        .map(|began| began.name)
        .collect();
    assert_eq!(names, ["before", "after"]);
    second.terminate().await?;
    cluster.finish().await
}

#[tokio::test]
async fn a_worker_can_be_killed_while_its_run_is_to_stop() -> Result<()> {
    let cluster = service().await?;
    let (one, other) = (worker(&cluster, &[])?, worker(&cluster, &[])?);
    let mut client = cluster.workflow_client()?;
    hosts(&mut client, "steps", 2).await?;
    // Code that does not look whether it is to stop.
    let run = steps(&cluster, &["first", "pause"]).await?;
    let process = begins(cluster.folder(), "pause", 1).await?.process;
    let cancel = CancelRunRequest {
        run_id: run.id.clone(),
        reason: "enough".to_owned(),
    };
    client.cancel_run(cancel).await?;
    let (executing, idle) = match one.id()? == process {
        true => (one, other),
        false => (other, one),
    };
    executing.kill().await?;
    // Nobody goes on with it.
    let run = rested(&cluster, &run).await?;
    assert_eq!(run.state(), State::Cancelled);
    assert_eq!(run.error.unwrap_or_default().message, "enough");
    assert_eq!(count(&cluster, "pause")?, 1);
    idle.terminate().await?;
    cluster.finish().await
}
