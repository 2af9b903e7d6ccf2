//! What workflow-service keeps, for how long, and what it says if it cannot.

use std::{
    fs::{self, File},
    io::{Seek as _, SeekFrom, Write as _},
    path::Path,
};

use anyhow::{Result, bail, ensure};
use e2e::{
    Cluster, Process, Refusal, chat,
    conversation::{INTRODUCTION, QUESTION, answer},
    gate::{Gate, Hold},
    health, http,
    runs::{invoke, rested, start, succeeded},
    within,
};
use tonic::Code;
use tonic_health::pb::health_check_response::ServingStatus;
use weft_proto::workflow::v1::{GetRunRequest, GetThreadRequest, Run};

#[tokio::test]
async fn finished_runs_go_when_their_time_is_over_and_what_they_saved_stays() -> Result<()> {
    let mut cluster = Cluster::start().await?;
    let run = invoke(&mut cluster.workflow_client()?, INTRODUCTION.to_run()).await?;
    cluster.take_workflow()?.terminate().await?;
    cluster.set("workflow-service", "WEFT_RUN_TTL", "1ms");
    cluster.start_workflow().await?;

    let mut client = cluster.workflow_client()?;
    let gone = async {
        loop {
            let request = GetRunRequest {
                run_id: run.id.clone(),
                ..GetRunRequest::default()
            };
            match client.get_run(request).await {
                Ok(_) => {}
                Err(status) if status.code() == Code::NotFound => return Ok(()),
                Err(status) => bail!(status),
            }
        }
    };
    within("the run to be deleted", gone).await??;
    let request = GetThreadRequest {
        thread_id: INTRODUCTION.thread.into(),
        ..GetThreadRequest::default()
    };
    let thread = cluster.thread_client()?.get_thread(request).await?;
    let thread = thread.into_inner().thread.unwrap_or_default();
    assert!(thread.checkpoint.is_some(), "{thread:?}");
    cluster.finish().await
}

/// The service starts with this file alone, and has what was there when it was copied.
async fn restores(cluster: &mut Cluster, backup: &Path, run: &Run) -> Result<()> {
    let folder = cluster.folder().join("workflow");
    fs::remove_dir_all(&folder)?;
    fs::create_dir(&folder)?;
    fs::copy(backup, folder.join("workflow.db"))?;
    cluster.start_workflow().await?;
    let kept = rested(&mut cluster.workflow_client()?, &run.id).await?;
    ensure!(kept == *run, "{kept:?} is not {run:?}");
    Ok(())
}

#[tokio::test]
async fn a_backup_made_while_it_serves_and_the_file_of_a_stopped_service_hold_all_that_was_answered()
-> Result<()> {
    let mut cluster = Cluster::start().await?;
    let file = cluster.folder().join("workflow/workflow.db");
    let (live, stopped) = (
        cluster.folder().join("live.db"),
        cluster.folder().join("stopped.db"),
    );
    let first = invoke(&mut cluster.workflow_client()?, INTRODUCTION.to_run()).await?;
    // As README says.
    let backup = format!("VACUUM INTO '{}'", live.display());
    rusqlite::Connection::open(&file)?.execute(&backup, [])?;
    let second = invoke(&mut cluster.workflow_client()?, QUESTION.to_run()).await?;
    cluster.take_workflow()?.terminate().await?;
    fs::copy(&file, &stopped)?;

    restores(&mut cluster, &live, &first).await?;
    cluster.take_workflow()?.terminate().await?;
    restores(&mut cluster, &stopped, &second).await?;
    cluster.finish().await
}

#[tokio::test]
async fn a_full_disk_refuses_runs_by_name_and_those_under_way_go_on_once_there_is_room()
-> Result<()> {
    let (mut cluster, gate) = Gate::in_cluster(Cluster::new()?).await?;
    let mut client = cluster.workflow_client()?;
    let before = invoke(&mut client, INTRODUCTION.to_run()).await?;
    gate.hold(Hold::Before("SearchItems"));
    let under_way = start(&mut client, QUESTION.to_run()).await?;
    gate.sees("SearchItems", 2).await?;

    let limit = fs::metadata(cluster.folder().join("workflow/workflow.db-wal"))?.len();
    cluster.workflow()?.limit_files(Some(limit)).await?;
    let refused = start(&mut client, chat("refused", "1", "hello")).await;
    let status = refused.unwrap_err().downcast::<tonic::Status>()?;
    Refusal::from_status(status)?.is(Code::Unavailable, "STORE_DISK_REFUSES")?;
    health::becomes(cluster.workflow()?.channel()?, ServingStatus::NotServing).await?;
    let ready = http::get(cluster.workflow()?.admin(), "/readyz").await?;
    assert_eq!(ready.status, 503, "{ready:?}");
    // What was kept is still there.
    let kept = rested(&mut client, &before.id).await?;
    assert!(answer(Some(&kept))?.contains("Bob"), "{kept:?}");

    gate.open();
    cluster.workflow()?.limit_files(None).await?;
    health::ready(cluster.workflow()?.channel()?).await?;
    let run = succeeded(&mut client, &under_way.id).await?;
    assert!(answer(Some(&run))?.contains("Bob"), "{run:?}");
    let run = start(&mut client, chat("refused", "1", "hello")).await?;
    succeeded(&mut client, &run.id).await?;

    // It says the errors that it met: the log is not clean.
    cluster.take_workflow()?.terminate().await?;
    fs::remove_file(cluster.folder().join("workflow-service.log"))?;
    cluster.finish().await
}

/// Writes nonsense over the database of a service that is stopped.
fn damage(cluster: &Cluster, from: u64, bytes: usize) -> Result<()> {
    let path = cluster.folder().join("workflow/workflow.db");
    let mut file = File::options().write(true).open(path)?;
    file.seek(SeekFrom::Start(from))?;
    Ok(file.write_all(&vec![0xff; bytes])?)
}

#[tokio::test]
async fn a_database_that_is_damaged_is_refused_with_what_to_do() -> Result<()> {
    let mut cluster = Cluster::start().await?;
    invoke(&mut cluster.workflow_client()?, INTRODUCTION.to_run()).await?;
    cluster.take_workflow()?.terminate().await?;
    // The first page holds the schema after a header of 100 bytes.
    damage(&cluster, 100, 3000)?;

    let refused = Process::start(&cluster.workflow_launch()).await;
    let refusal = format!("{:#}", refused.unwrap_err());
    for told in ["workflow.db", "malformed", "backup"] {
        assert!(refusal.contains(told), "{refusal}");
    }
    fs::remove_file(cluster.folder().join("workflow-service.log"))?;
    cluster.finish().await
}

#[tokio::test]
async fn a_service_that_finds_its_database_damaged_is_not_ready_and_takes_no_runs() -> Result<()> {
    let mut cluster = Cluster::start().await?;
    let large = chat("large", "1", &"x".repeat(1 << 20));
    let run = invoke(&mut cluster.workflow_client()?, large).await?;
    cluster.take_workflow()?.terminate().await?;
    damage(&cluster, 512 << 10, 512 << 10)?;
    cluster.start_workflow().await?;

    let mut client = cluster.workflow_client()?;
    let request = GetRunRequest {
        run_id: run.id,
        ..GetRunRequest::default()
    };
    let read = Refusal::of(client.get_run(request).await)?;
    read.is(Code::DataLoss, "STORE_DAMAGED")?;
    let refused = start(&mut client, chat("new", "1", "hello")).await;
    let status = refused.unwrap_err().downcast::<tonic::Status>()?;
    Refusal::from_status(status)?.is(Code::DataLoss, "STORE_DAMAGED")?;
    health::becomes(cluster.workflow()?.channel()?, ServingStatus::NotServing).await?;
    let ready = http::get(cluster.workflow()?.admin(), "/readyz").await?;
    assert_eq!(ready.status, 503, "{ready:?}");
    assert!(ready.body.contains("workflow.db"), "{ready:?}");

    cluster.take_workflow()?.terminate().await?;
    fs::remove_file(cluster.folder().join("workflow-service.log"))?;
    cluster.finish().await
}
