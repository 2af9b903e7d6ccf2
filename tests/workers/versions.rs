//! Several workers, and several versions of one entrypoint.

use anyhow::Result;
use e2e::{
    payload, runs,
    worker::{begins, hosts, ledger, let_go},
};
use serde_json::json;
use weft_proto::workflow::v1::{GetRunRequest, Run, run::State};

use crate::stage::{output, service, start, steps, worker};

async fn get(cluster: &e2e::Cluster, run: &Run) -> Result<Run> {
    let request = GetRunRequest {
        run_id: run.id.clone(),
        ..GetRunRequest::default()
    };
    let run = cluster.workflow_client()?.get_run(request).await?;
    Ok(run.into_inner().run.unwrap_or_default())
}

#[tokio::test]
async fn workers_of_one_entrypoint_share_its_runs_as_far_as_they_have_room() -> Result<()> {
    let cluster = service().await?;
    let one = worker(&cluster, &[("--max-runs", "2")])?;
    let other = worker(&cluster, &[("--max-runs", "2")])?;
    hosts(&mut cluster.workflow_client()?, "steps", 2).await?;
    let mut started = Vec::new();
    for _ in 0..4 {
        started.push(steps(&cluster, &["hold"]).await?);
    }
    begins(cluster.folder(), "hold", 4).await?;
    let begun = ledger(cluster.folder())?;
    for worker in [&one, &other] {
        let id = worker.id()?;
        assert_eq!(
            begun.iter().filter(|began| began.process == id).count(),
            2,
            "{begun:?}"
        );
    }
    let fifth = steps(&cluster, &["late"]).await?;
    let fifth = get(&cluster, &fifth).await?;
    assert_eq!(fifth.state(), State::Queued);
    assert_eq!(fifth.state_reason, "all workers that host steps@1 are busy");
    let_go(cluster.folder(), "hold")?;
    for run in started.iter().chain([&fifth]) {
        output(&cluster, run).await?;
    }
    one.terminate().await?;
    other.terminate().await?;
    cluster.finish().await
}

#[tokio::test]
async fn old_runs_finish_on_the_old_version_beside_the_new_one() -> Result<()> {
    let cluster = service().await?;
    let mut client = cluster.workflow_client()?;
    let old = worker(&cluster, &[("--version", "9")])?;
    hosts(&mut client, "steps", 1).await?;
    let old_run = steps(&cluster, &["hold", "last"]).await?;
    begins(cluster.folder(), "hold", 1).await?;
    let new = worker(&cluster, &[("--version", "10")])?;
    let is_new = async {
        loop {
            let run = steps(&cluster, &["quick"]).await?;
            if run.version == "10" {
                return anyhow::Ok(run);
            }
        }
    };
    let new_run = e2e::within("new runs to take the new version", is_new).await??;
    assert_eq!(output(&cluster, &new_run).await?, json!([new.id()?]));
    let_go(cluster.folder(), "hold")?;
    assert_eq!(
        output(&cluster, &old_run).await?,
        json!([old.id()?, old.id()?])
    );
    old.terminate().await?;
    new.terminate().await?;
    cluster.finish().await
}

#[tokio::test]
async fn a_run_whose_version_nobody_hosts_says_so_and_goes_on_at_one_that_accepts_it() -> Result<()>
{
    let cluster = service().await?;
    let mut client = cluster.workflow_client()?;
    let old = worker(&cluster, &[("--version", "1"), ("--name", "the old one")])?;
    hosts(&mut client, "steps", 1).await?;
    let run = steps(&cluster, &["first", "hold"]).await?;
    begins(cluster.folder(), "hold", 1).await?;
    let process = old.id()?;
    let new = worker(&cluster, &[("--version", "2")])?;
    old.kill().await?;
    let told = async {
        loop {
            let run = get(&cluster, &run).await?;
            if run.state() == State::Queued {
                return anyhow::Ok(run);
            }
        }
    };
    let waiting = e2e::within("the run to be queued", told).await??;
    let reason = &waiting.state_reason;
    assert!(reason.starts_with("no worker hosts steps@1"), "{reason}");
    assert!(
        reason.contains("worker `the old one` was lost: its connection was lost"),
        "{reason}"
    );

    // Code that can replay the old version takes it over.
    let accepting = worker(&cluster, &[("--version", "2"), ("--accepts", "1")])?;
    begins(cluster.folder(), "hold", 2).await?;
    let_go(cluster.folder(), "hold")?;
    assert_eq!(
        output(&cluster, &run).await?,
        json!([process, accepting.id()?])
    );
    let run = get(&cluster, &run).await?;
    assert_eq!(run.version, "1");
    new.terminate().await?;
    accepting.terminate().await?;
    cluster.finish().await
}

#[tokio::test]
async fn a_run_can_be_started_while_no_worker_is_there_and_waits_for_one() -> Result<()> {
    let cluster = service().await?;
    let mut client = cluster.workflow_client()?;
    let refused = start(&cluster, "steps", "", json!([])).await;
    assert!(refused.is_err(), "nobody ever hosted it");
    let first = worker(&cluster, &[])?;
    hosts(&mut client, "steps", 1).await?;
    first.terminate().await?;
    hosts(&mut client, "steps", 0).await?;
    let run = steps(&cluster, &["first"]).await?;
    assert_eq!(run.state(), State::Queued);
    assert_eq!(run.state_reason, "no worker hosts steps@1");
    let second = worker(&cluster, &[])?;
    let done = runs::succeeded(&mut client, &run.id).await?;
    assert_eq!(payload::read(done.output.as_ref())?, json!([second.id()?]));
    second.terminate().await?;
    cluster.finish().await
}
