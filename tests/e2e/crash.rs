//! workflow-service is killed in the middle of a run: what was recorded is not done again, what was
//! not recorded is, and either way the run ends.

use anyhow::Result;
use e2e::{
    Cluster, Events, chat,
    conversation::{INTRODUCTION, answer, memories_of},
    events::{DURABLE, recorded},
    gate::{Gate, Hold},
    memories::items_under,
    runs::{start, succeeded},
};
use futures::future::try_join_all;
use weft_proto::workflow::v1::{Durability, StartRunRequest, StreamMode, event::Kind};

/// Starts the introduction and follows it until `recall` is recorded: its id.
async fn follow_until_recall_is_recorded(cluster: &Cluster) -> Result<String> {
    let mut client = cluster.workflow_client()?;
    let run = INTRODUCTION.to_run();
    let mut events = Events::start(&mut client, run, &[StreamMode::Updates]).await?;
    events
        .find(|event| match &event.kind {
            Some(Kind::Update(update)) if update.task == "recall" => Some(event.run_id.clone()),
            _ => None,
        })
        .await
}

#[tokio::test]
async fn a_recorded_task_does_not_run_again_after_a_kill() -> Result<()> {
    let (mut cluster, gate) = Gate::in_cluster(Cluster::new()?).await?;
    gate.hold(Hold::Before("PutItem"));
    let run_id = follow_until_recall_is_recorded(&cluster).await?;
    gate.sees("PutItem", 1).await?;
    cluster.take_workflow()?.kill().await?;

    gate.open();
    cluster.start_workflow().await?;
    let mut client = cluster.workflow_client()?;
    let run = succeeded(&mut client, &run_id).await?;
    assert!(answer(Some(&run))?.contains("Bob"), "{run:?}");
    assert!(run.attempt >= 2, "{run:?}");

    // `recall` was recorded: memory was asked once. `remember` was not: it was called once more.
    assert_eq!(
        (gate.arrived("SearchItems"), gate.arrived("PutItem")),
        (1, 2)
    );
    assert_eq!(
        items_under(&mut cluster.memory_client()?, &memories_of("1"))
            .await?
            .len(),
        1
    );
    let events = Events::join(&mut client, &run_id, &DURABLE, 0)
        .await?
        .rest()
        .await?;
    assert_eq!(
        recorded(&events),
        ["recall", "remember", "call_model", "chat"]
    );
    cluster.finish().await
}

#[tokio::test]
async fn a_task_killed_before_it_was_recorded_runs_again_and_stores_nothing_twice() -> Result<()> {
    let (mut cluster, gate) = Gate::in_cluster(Cluster::new()?).await?;
    gate.hold(Hold::After("PutItem"));
    let run_id = follow_until_recall_is_recorded(&cluster).await?;
    gate.sees_answered("PutItem", 1).await?;
    let mut memory = cluster.memory_client()?;
    let [before] = items_under(&mut memory, &memories_of("1"))
        .await?
        .try_into()
        .unwrap();
    cluster.take_workflow()?.kill().await?;

    gate.open();
    cluster.start_workflow().await?;
    succeeded(&mut cluster.workflow_client()?, &run_id).await?;

    assert_eq!(
        (gate.arrived("SearchItems"), gate.arrived("PutItem")),
        (1, 2)
    );
    let [after] = items_under(&mut memory, &memories_of("1"))
        .await?
        .try_into()
        .unwrap();
    assert_eq!((&after.key, &after.value), (&before.key, &before.value));
    assert_ne!(
        after.etag, before.etag,
        "it was stored once more, under the same key"
    );
    cluster.finish().await
}

#[tokio::test]
async fn a_run_that_is_durable_at_its_exit_only_starts_over_and_stores_nothing_twice() -> Result<()>
{
    let (mut cluster, gate) = Gate::in_cluster(Cluster::new()?).await?;
    gate.hold(Hold::After("PutItem"));
    let run = StartRunRequest {
        durability: Durability::Exit.into(),
        ..INTRODUCTION.to_run()
    };
    let run_id = start(&mut cluster.workflow_client()?, run).await?.id;
    gate.sees_answered("PutItem", 1).await?;
    cluster.take_workflow()?.kill().await?;

    gate.open();
    cluster.start_workflow().await?;
    let mut client = cluster.workflow_client()?;
    succeeded(&mut client, &run_id).await?;
    assert_eq!(
        (gate.arrived("SearchItems"), gate.arrived("PutItem")),
        (2, 2)
    );
    assert_eq!(
        items_under(&mut cluster.memory_client()?, &memories_of("1"))
            .await?
            .len(),
        1
    );
    let events = Events::join(&mut client, &run_id, &DURABLE, 0)
        .await?
        .rest()
        .await?;
    assert_eq!(
        recorded(&events),
        ["recall", "remember", "call_model", "chat"]
    );
    cluster.finish().await
}

#[tokio::test]
async fn runs_that_wait_for_their_thread_are_finished_in_order_after_a_kill() -> Result<()> {
    let (mut cluster, gate) = Gate::in_cluster(Cluster::new()?).await?;
    gate.hold(Hold::Before("SearchItems"));
    let mut client = cluster.workflow_client()?;
    let mut ids = Vec::new();
    for text in ["my name is Bob", "hello", "what is my name?"] {
        ids.push(start(&mut client, chat("t", "1", text)).await?.id);
    }
    gate.sees("SearchItems", 1).await?;
    cluster.take_workflow()?.kill().await?;

    gate.open();
    cluster.start_workflow().await?;
    let mut client = cluster.workflow_client()?;
    let mut ends = Vec::new();
    for id in &ids {
        let run = succeeded(&mut client, id).await?;
        let end = run.end_time.map(|time| (time.seconds, time.nanos));
        ends.push((end, answer(Some(&run))?));
    }
    assert!(ends.is_sorted_by_key(|(end, _)| *end), "{ends:?}");
    assert!(ends[2].1.contains("Your name is Bob"), "{ends:?}");
    cluster.finish().await
}

#[tokio::test]
async fn every_run_that_was_accepted_before_a_kill_is_finished_after_it() -> Result<()> {
    const RUNS: usize = 60;
    let mut cluster = Cluster::start().await?;
    let client = cluster.workflow_client()?;
    let accepted = try_join_all((0..RUNS).map(|number| {
        let mut client = client.clone();
        let user = format!("user-{number}");
        async move { start(&mut client, chat(&user, &user, INTRODUCTION.text)).await }
    }))
    .await?;
    cluster.take_workflow()?.kill().await?;

    cluster.start_workflow().await?;
    let mut client = cluster.workflow_client()?;
    for run in &accepted {
        let run = succeeded(&mut client, &run.id).await?;
        assert!(answer(Some(&run))?.contains("Bob"), "{run:?}");
    }
    let stored = items_under(&mut cluster.memory_client()?, &["memories".to_owned()]).await?;
    assert_eq!(stored.len(), RUNS, "each is stored, and none twice");
    cluster.finish().await
}

#[tokio::test]
async fn whichever_service_is_killed_again_and_again_each_run_ends_and_stores_once() -> Result<()> {
    const ROUNDS: usize = 6;
    const RUNS_PER_ROUND: usize = 15;
    let mut cluster = Cluster::start().await?;
    let mut accepted = Vec::new();
    for round in 0..ROUNDS {
        let client = cluster.workflow_client()?;
        let runs = (0..RUNS_PER_ROUND).map(|number| {
            let mut client = client.clone();
            let user = format!("user-{round}-{number}");
            // Two runs for each thread, so that some wait for others.
            let thread = format!("thread-{round}-{}", number / 2);
            async move { start(&mut client, chat(&thread, &user, INTRODUCTION.text)).await }
        });
        accepted.extend(try_join_all(runs).await?);
        if round % 2 == 0 {
            cluster.take_workflow()?.kill().await?;
            cluster.start_workflow().await?;
        } else {
            cluster.take_memory()?.kill().await?;
            cluster.start_memory().await?;
        }
    }
    let mut client = cluster.workflow_client()?;
    for run in &accepted {
        let run = succeeded(&mut client, &run.id).await?;
        assert!(answer(Some(&run))?.contains("Bob"), "{run:?}");
    }
    let stored = items_under(&mut cluster.memory_client()?, &["memories".to_owned()]).await?;
    assert_eq!(
        stored.len(),
        accepted.len(),
        "each is stored, and none twice"
    );
    cluster.finish().await
}

#[tokio::test]
async fn what_a_finished_run_shows_is_the_same_after_a_kill() -> Result<()> {
    let mut cluster = Cluster::start().await?;
    let mut client = cluster.workflow_client()?;
    let run = start(&mut client, INTRODUCTION.to_run()).await?;
    let run = succeeded(&mut client, &run.id).await?;
    let before = Events::join(&mut client, &run.id, &DURABLE, 0)
        .await?
        .rest()
        .await?;

    cluster.take_workflow()?.kill().await?;
    cluster.start_workflow().await?;
    let mut client = cluster.workflow_client()?;
    assert_eq!(succeeded(&mut client, &run.id).await?, run);
    let after = Events::join(&mut client, &run.id, &DURABLE, 0)
        .await?
        .rest()
        .await?;
    assert_eq!(before, after);
    cluster.finish().await
}
