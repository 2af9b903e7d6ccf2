//! A workflow-service without built-in needs, and runs of `example-worker`.

use anyhow::Result;
use e2e::{
    Cluster, WorkerProcess,
    cluster::WORKFLOW,
    payload,
    raw_worker::{RawWorker, hello},
    runs,
    worker::{begins, hosts},
};
use serde_json::{Value, json};
use weft_proto::workflow::v1::{Run, StartRunRequest, StreamMode, event::Kind, task_event::Step};

/// Short, so that what waits for it takes little time; long enough for a worker on a loaded machine.
const LEASE: &str = "3s";
const GRACE: &str = "1s";

/// A cluster of which only workflow-service runs.
pub(crate) async fn service() -> Result<Cluster> {
    with_lease(LEASE).await
}

/// One that does not give up a worker which is busy with a large message.
pub(crate) async fn patient_service() -> Result<Cluster> {
    with_lease("60s").await
}

async fn with_lease(lease: &str) -> Result<Cluster> {
    let mut cluster = Cluster::new()?;
    cluster.set(WORKFLOW, "WEFT_WORKER_LEASE", lease);
    cluster.set(WORKFLOW, "WEFT_WORKER_GRACE", GRACE);
    cluster.keep_workflow_port()?;
    cluster.start_workflow().await?;
    Ok(cluster)
}

/// A worker of the cluster.
pub(crate) fn worker(cluster: &Cluster, flags: &[(&str, &str)]) -> Result<WorkerProcess> {
    WorkerProcess::start(&cluster.workflow()?.url(), cluster.folder(), flags)
}

/// Starts a run of `steps` with these names, on a thread of its own.
pub(crate) async fn steps(cluster: &Cluster, names: &[&str]) -> Result<Run> {
    start(cluster, "steps", "", json!(names)).await
}

/// Starts a run on a thread of its own.
pub(crate) async fn start(
    cluster: &Cluster,
    entrypoint: &str,
    version: &str,
    input: Value,
) -> Result<Run> {
    let run = StartRunRequest {
        entrypoint: entrypoint.to_owned(),
        version: version.to_owned(),
        input: Some(payload::json(&input)),
        ..StartRunRequest::default()
    };
    runs::start(&mut cluster.workflow_client()?, run).await
}

/// The output of a run that succeeds.
pub(crate) async fn output(cluster: &Cluster, run: &Run) -> Result<Value> {
    let done = runs::succeeded(&mut cluster.workflow_client()?, &run.id).await?;
    payload::read(done.output.as_ref())
}

/// Two workers that have room for one run each, and a run whose task `hold` is at the one that is
/// returned first.
pub(crate) async fn two_workers_and_a_run(
    cluster: &Cluster,
) -> Result<(WorkerProcess, WorkerProcess, Run)> {
    let (one, other) = (worker(cluster, &[])?, worker(cluster, &[])?);
    hosts(&mut cluster.workflow_client()?, "steps", 2).await?;
    let run = steps(cluster, &["first", "hold", "last"]).await?;
    let holder = begins(cluster.folder(), "hold", 1).await?.process;
    Ok(if one.id()? == holder {
        (one, other, run)
    } else {
        (other, one, run)
    })
}

/// The calls that were recorded, each with its attempt, as everyone who joins the run is shown.
pub(crate) async fn recorded(cluster: &Cluster, run: &Run) -> Result<Vec<String>> {
    let mut client = cluster.workflow_client()?;
    let events = e2e::Events::join(&mut client, &run.id, &[StreamMode::Tasks], 0).await?;
    let events = events.rest().await?;
    let ids = events.into_iter().filter_map(|event| match event.kind {
        Some(Kind::Task(task)) if task.step() == Step::Succeeded => Some(task.task_id),
        _ => None,
    });
    Ok(ids.collect())
}

/// A service with a raw worker that was handed a run of `odd`.
pub(crate) async fn with_a_run() -> Result<(Cluster, RawWorker, i64, Run)> {
    let cluster = service().await?;
    let mut odd = RawWorker::connect(cluster.workflow()?.channel()?, hello("odd")).await?;
    let run = start(&cluster, "odd", "", json!(1)).await?;
    let (execution, _) = odd.started().await?;
    Ok((cluster, odd, execution, run))
}

/// A run at rest, whatever its end.
pub(crate) async fn rested(cluster: &Cluster, run: &Run) -> Result<Run> {
    runs::rested(&mut cluster.workflow_client()?, &run.id).await
}

/// The service still works, for an honest worker.
pub(crate) async fn still_works(cluster: Cluster) -> Result<()> {
    let honest = worker(&cluster, &[])?;
    hosts(&mut cluster.workflow_client()?, "steps", 1).await?;
    let run = steps(&cluster, &["first"]).await?;
    assert_eq!(output(&cluster, &run).await?, json!([honest.id()?]));
    honest.terminate().await?;
    cluster.finish().await
}
