//! memory-service is down, or stands still: runs wait for it, and end once it is back.

use anyhow::Result;
use e2e::{
    Cluster, Events,
    cluster::WORKFLOW,
    conversation::{INTRODUCTION, answer, memories_of},
    events::attempt,
    memories::items_under,
    process::Signal,
    runs::succeeded,
};
use weft_proto::workflow::v1::{StreamMode, task_event::Step};

/// Starts the introduction and follows it until its first task is tried again: its id.
async fn follow_until_recall_is_tried_again(cluster: &Cluster) -> Result<String> {
    let mut client = cluster.workflow_client()?;
    let run = INTRODUCTION.to_run();
    let mut events = Events::start(&mut client, run, &[StreamMode::Tasks]).await?;
    events
        .find(|event| attempt(event, "recall", Step::Retrying).map(|_| event.run_id.clone()))
        .await
}

async fn expect_bob_to_be_greeted(cluster: &Cluster, run_id: &str) -> Result<()> {
    let run = succeeded(&mut cluster.workflow_client()?, run_id).await?;
    assert!(answer(Some(&run))?.contains("Bob"), "{run:?}");
    assert_eq!(
        items_under(&mut cluster.memory_client()?, &memories_of("1"))
            .await?
            .len(),
        1
    );
    Ok(())
}

#[tokio::test]
async fn a_run_waits_for_memory_and_ends_once_it_is_back() -> Result<()> {
    let mut cluster = Cluster::start().await?;
    cluster.take_memory()?.kill().await?;
    let run_id = follow_until_recall_is_tried_again(&cluster).await?;
    cluster.start_memory().await?;
    expect_bob_to_be_greeted(&cluster, &run_id).await?;
    cluster.finish().await
}

#[tokio::test]
async fn a_run_that_waits_for_memory_survives_a_kill_of_its_own_service() -> Result<()> {
    let mut cluster = Cluster::start().await?;
    cluster.take_memory()?.kill().await?;
    let run_id = follow_until_recall_is_tried_again(&cluster).await?;
    cluster.take_workflow()?.kill().await?;

    cluster.start_workflow().await?;
    cluster.start_memory().await?;
    expect_bob_to_be_greeted(&cluster, &run_id).await?;
    cluster.finish().await
}

#[tokio::test]
async fn a_memory_that_stands_still_is_asked_again() -> Result<()> {
    let mut cluster = Cluster::new()?;
    cluster.set(WORKFLOW, "WEFT_MEMORY_TIMEOUT", "300ms");
    cluster.start_memory().await?;
    cluster.start_workflow().await?;
    cluster.memory()?.signal(Signal::Stop).await?;
    let run_id = follow_until_recall_is_tried_again(&cluster).await?;
    cluster.memory()?.signal(Signal::Continue).await?;
    expect_bob_to_be_greeted(&cluster, &run_id).await?;
    cluster.finish().await
}

#[tokio::test]
async fn workflow_service_starts_without_memory_service() -> Result<()> {
    let mut cluster = Cluster::new()?;
    cluster.start_workflow().await?;
    let run_id = follow_until_recall_is_tried_again(&cluster).await?;
    cluster.start_memory().await?;
    expect_bob_to_be_greeted(&cluster, &run_id).await?;
    cluster.finish().await
}
