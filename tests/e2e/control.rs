//! Runs that are stopped, replaced, tried again, put off, or too long.

use anyhow::{Context as _, Result};
use e2e::{
    Cluster, Events, Refusal, chat,
    cluster::WORKFLOW,
    conversation::{INTRODUCTION, answer, memories_of},
    events::{DURABLE, recorded},
    gate::{Gate, Hold},
    memories::items_under,
    runs::{Workflows, invoke, rested, start, succeeded},
};
use prost_types::{Duration, Timestamp};
use tonic::Code;
use weft_proto::workflow::v1::{
    CancelRunRequest, Concurrency, GetRunRequest, ResumeRunRequest, RetryRunRequest, Run,
    StartRunRequest, resume_run_request::Resume, run::State,
};

/// A cluster with a gate, whose runs have little time to stop.
async fn impatient() -> Result<(Cluster, Gate)> {
    let mut cluster = Cluster::new()?;
    cluster.set(WORKFLOW, "WEFT_CANCEL_GRACE", "100ms");
    Gate::in_cluster(cluster).await
}

async fn cancel(client: &mut Workflows, run_id: &str, reason: &str) -> Result<Run> {
    let request = CancelRunRequest {
        run_id: run_id.to_owned(),
        reason: reason.to_owned(),
    };
    client.cancel_run(request).await?;
    rested(client, run_id).await
}

#[tokio::test]
async fn a_cancelled_run_says_why_and_leaves_its_thread_to_the_next() -> Result<()> {
    let (cluster, gate) = impatient().await?;
    gate.hold(Hold::Before("SearchItems"));
    let mut client = cluster.workflow_client()?;
    let first = start(&mut client, chat("t", "1", "my name is Bob"))
        .await?
        .id;
    gate.sees("SearchItems", 1).await?;
    let next = start(&mut client, chat("t", "1", "what is my name?"))
        .await?
        .id;

    let run = cancel(&mut client, &first, "changed my mind").await?;
    assert_eq!(run.state(), State::Cancelled);
    let error = run.error.context("no error")?;
    assert!(error.message.contains("changed my mind"), "{error:?}");

    gate.open();
    let next = succeeded(&mut client, &next).await?;
    assert!(
        !answer(Some(&next))?.contains("Bob"),
        "the cancelled run saved nothing: {next:?}"
    );
    cluster.finish().await
}

#[tokio::test]
async fn a_retried_run_does_not_repeat_what_was_recorded() -> Result<()> {
    let (cluster, gate) = impatient().await?;
    gate.hold(Hold::Before("PutItem"));
    let mut client = cluster.workflow_client()?;
    let run_id = start(&mut client, INTRODUCTION.to_run()).await?.id;
    gate.sees("PutItem", 1).await?;
    assert_eq!(
        cancel(&mut client, &run_id, "").await?.state(),
        State::Cancelled
    );

    gate.open();
    let retry = RetryRunRequest {
        run_id: run_id.clone(),
        ..RetryRunRequest::default()
    };
    client.retry_run(retry).await?;
    let run = succeeded(&mut client, &run_id).await?;
    assert!(
        answer(Some(&run))?.contains("Bob") && run.error.is_none(),
        "{run:?}"
    );
    assert_eq!(gate.arrived("SearchItems"), 1, "`recall` was recorded");
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
async fn a_run_can_replace_the_unfinished_one_of_its_thread() -> Result<()> {
    let (cluster, gate) = impatient().await?;
    let mut client = cluster.workflow_client()?;
    for (concurrency, thread) in [
        (Concurrency::Interrupt, "kept"),
        (Concurrency::Rollback, "gone"),
    ] {
        gate.hold(Hold::Before("SearchItems"));
        let seen = gate.arrived("SearchItems");
        let first = start(&mut client, chat(thread, "1", "my name is Bob"))
            .await?
            .id;
        gate.sees("SearchItems", seen + 1).await?;
        let run = StartRunRequest {
            concurrency: concurrency.into(),
            ..chat(thread, "1", "what is my name?")
        };
        let second = start(&mut client, run).await?.id;
        gate.open();
        assert!(!answer(Some(&succeeded(&mut client, &second).await?))?.contains("Bob"));

        let get = GetRunRequest {
            run_id: first,
            ..GetRunRequest::default()
        };
        let found = client.get_run(get).await;
        match concurrency {
            Concurrency::Rollback => {
                Refusal::of(found)?.is(Code::NotFound, "RUN_NOT_FOUND")?;
            }
            _ => {
                let run = found?.into_inner().run.context("no run")?;
                assert_eq!(run.state(), State::Cancelled);
            }
        }
    }
    cluster.finish().await
}

#[tokio::test]
async fn a_run_that_takes_longer_than_its_timeout_fails() -> Result<()> {
    let (cluster, gate) = impatient().await?;
    gate.hold(Hold::Before("SearchItems"));
    let mut client = cluster.workflow_client()?;
    let timeout = Some(Duration {
        seconds: 0,
        nanos: 300_000_000,
    });
    let run = invoke(
        &mut client,
        StartRunRequest {
            timeout,
            ..INTRODUCTION.to_run()
        },
    )
    .await?;
    assert_eq!(run.state(), State::Failed);
    assert_eq!(run.error.context("no error")?.reason, "RUN_TIMEOUT");
    cluster.finish().await
}

#[tokio::test]
async fn a_run_starts_when_its_time_has_come_and_not_before() -> Result<()> {
    let cluster = Cluster::start().await?;
    let mut client = cluster.workflow_client()?;
    let at = |seconds| StartRunRequest {
        start_after: Some(Timestamp { seconds, nanos: 0 }),
        ..INTRODUCTION.to_run()
    };
    answer(Some(&invoke(&mut client, at(1)).await?))?;

    // In the year 2100.
    let put_off = start(&mut client, at(4_102_444_800)).await?;
    assert_eq!(put_off.state(), State::Queued);
    assert!(!put_off.state_reason.is_empty(), "{put_off:?}");
    assert_eq!(
        cancel(&mut client, &put_off.id, "").await?.state(),
        State::Cancelled
    );
    cluster.finish().await
}

#[tokio::test]
async fn a_run_that_is_done_takes_no_commands() -> Result<()> {
    let cluster = Cluster::start().await?;
    let mut client = cluster.workflow_client()?;
    let run_id = invoke(&mut client, INTRODUCTION.to_run()).await?.id;
    let cancel = CancelRunRequest {
        run_id: run_id.clone(),
        ..CancelRunRequest::default()
    };
    let refusal = Refusal::of(client.cancel_run(cancel).await)?;
    refusal.is(Code::FailedPrecondition, "RUN_STATE")?;
    let retry = RetryRunRequest {
        run_id: run_id.clone(),
        ..RetryRunRequest::default()
    };
    let refusal = Refusal::of(client.retry_run(retry).await)?;
    refusal.is(Code::FailedPrecondition, "RUN_STATE")?;
    let resume = Some(Resume::Answer(e2e::payload::text("null")));
    let refusal = Refusal::of(client.resume_run(ResumeRunRequest { run_id, resume }).await)?;
    refusal.is(Code::FailedPrecondition, "RUN_STATE")?;
    cluster.finish().await
}
