//! The example worker in TypeScript.

use std::{path::Path, process::Stdio};

use anyhow::Result;
use e2e::{
    Cluster,
    partner::partner,
    raw_worker::{RawWorker, hello, record},
    worker::hosts,
};
use serde_json::json;
use tokio::process::{Child, Command};
use weft_proto::workflow::v1::{
    Call, Record, connect_request::Message as Say, connect_response::Message as Heard,
};

use crate::stage::{output, recorded, service, start};

/// Says where the program is.
const PROGRAM: &str = "WEFT_TEST_TYPESCRIPT_WORKER";

fn spawn(program: &Path, cluster: &Cluster) -> Result<Child> {
    let child = Command::new("node")
        .arg(program)
        .arg(cluster.workflow()?.grpc())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    Ok(child)
}

#[tokio::test]
async fn a_worker_without_a_library_executes_runs_and_takes_over_what_others_recorded() -> Result<()>
{
    let Some(program) = partner(PROGRAM)? else {
        return Ok(());
    };
    let cluster = service().await?;
    let mut client = cluster.workflow_client()?;

    // Somebody else begins a run of its entrypoint, and is gone.
    let mut first = RawWorker::connect(cluster.workflow()?.channel()?, hello("welcome")).await?;
    let begun = start(&cluster, "welcome", "", json!({"name": "Bob"})).await?;
    let (execution, _) = first.started().await?;
    let looked_up = record("0", "\"bob@elsewhere\"");
    let looked_up = Record {
        call: looked_up.call.map(|call| Call {
            task: "look_up".to_owned(),
            ..call
        }),
        ..looked_up
    };
    first.say(execution, Say::Record(looked_up)).await?;
    let (_, answer) = first.next_answering(&[execution]).await?;
    assert!(matches!(answer, Heard::Ack(_)), "{answer:?}");
    drop(first);
    hosts(&mut client, "welcome", 0).await?;

    let mut node = spawn(&program, &cluster)?;
    let letter = output(&cluster, &begun).await?;
    assert_eq!(letter, json!("To bob@elsewhere: welcome, Bob! (letter 1)"));

    let run = start(&cluster, "welcome", "", json!({"name": "Ada"})).await?;
    let letter = output(&cluster, &run).await?;
    assert_eq!(
        letter,
        json!("To Ada@example.org: welcome, Ada! (letter 1)")
    );
    assert_eq!(recorded(&cluster, &run).await?, ["0", "1"]);

    node.kill().await?;
    cluster.finish().await
}

#[tokio::test]
async fn a_worker_without_a_library_pauses_runs_that_its_code_does_not_fit() -> Result<()> {
    let Some(program) = partner(PROGRAM)? else {
        return Ok(());
    };
    let cluster = service().await?;
    let mut first = RawWorker::connect(cluster.workflow()?.channel()?, hello("welcome")).await?;
    let run = start(&cluster, "welcome", "", json!({"name": "Bob"})).await?;
    let (execution, _) = first.started().await?;
    // Of the task `step`.
    first.say(execution, Say::Record(record("0", "1"))).await?;
    first.next_answering(&[execution]).await?;
    drop(first);
    let _node = spawn(&program, &cluster)?;
    let run = e2e::runs::rested(&mut cluster.workflow_client()?, &run.id).await?;
    let error = run.error.unwrap_or_default();
    assert_eq!(error.reason, "NON_DETERMINISTIC");
    assert!(
        error.message.contains("`step`") && error.message.contains("`look_up`"),
        "{}",
        error.message
    );
    cluster.finish().await
}

#[tokio::test]
async fn a_worker_without_a_library_comes_back_after_a_restart_of_the_service() -> Result<()> {
    let Some(program) = partner(PROGRAM)? else {
        return Ok(());
    };
    let mut cluster = service().await?;
    let _node = spawn(&program, &cluster)?;
    hosts(&mut cluster.workflow_client()?, "welcome", 1).await?;
    cluster.take_workflow()?.kill().await?;
    cluster.start_workflow().await?;
    hosts(&mut cluster.workflow_client()?, "welcome", 1).await?;
    let run = start(&cluster, "welcome", "", json!({"name": "Ada"})).await?;
    output(&cluster, &run).await?;
    cluster.finish().await
}
