//! Both services go and come back: what they said they keep is there.

use anyhow::{Context as _, Result};
use e2e::{
    Cluster, Refusal, chat,
    conversation::{INTRODUCTION, QUESTION, STRANGER, answer, memories_of},
    memories::{items_under, values_under},
    payload,
    runs::{invoke, start},
};
use futures::{StreamExt as _, stream};
use serde_json::json;
use tokio::sync::Semaphore;
use tonic::Code;
use weft_proto::{
    memory::v1::{GetItemRequest, PutItemRequest},
    workflow::v1::GetThreadRequest,
};

async fn said_on(cluster: &Cluster, thread: &str) -> Result<usize> {
    let request = GetThreadRequest {
        thread_id: thread.into(),
        ..GetThreadRequest::default()
    };
    let response = cluster
        .thread_client()?
        .get_thread(request)
        .await?
        .into_inner();
    let checkpoint = response.thread.and_then(|thread| thread.checkpoint);
    let saved = payload::read(checkpoint.context("no checkpoint")?.saved.as_ref())?;
    Ok(saved.as_array().map_or(0, Vec::len))
}

#[tokio::test]
async fn a_user_is_remembered_after_a_restart_of_both_services() -> Result<()> {
    let mut cluster = Cluster::start().await?;
    invoke(&mut cluster.workflow_client()?, INTRODUCTION.to_run()).await?;

    cluster.take_workflow()?.terminate().await?;
    cluster.take_memory()?.terminate().await?;
    cluster.start_memory().await?;
    cluster.start_workflow().await?;

    let mut client = cluster.workflow_client()?;
    let reply = answer(Some(&invoke(&mut client, QUESTION.to_run()).await?))?;
    assert!(reply.contains("Bob"), "{reply}");
    let reply = answer(Some(&invoke(&mut client, STRANGER.to_run()).await?))?;
    assert!(!reply.contains("Bob"), "{reply}");
    invoke(&mut client, chat(INTRODUCTION.thread, "1", "hello again")).await?;
    assert_eq!(said_on(&cluster, INTRODUCTION.thread).await?, 4);
    cluster.finish().await
}

#[tokio::test]
async fn a_user_is_remembered_after_both_services_were_killed() -> Result<()> {
    let mut cluster = Cluster::start().await?;
    invoke(&mut cluster.workflow_client()?, INTRODUCTION.to_run()).await?;

    cluster.take_memory()?.kill().await?;
    cluster.take_workflow()?.kill().await?;
    cluster.start_workflow().await?;
    cluster.start_memory().await?;

    let reply = invoke(&mut cluster.workflow_client()?, QUESTION.to_run()).await?;
    assert!(answer(Some(&reply))?.contains("Bob"), "{reply:?}");
    let known = values_under(&mut cluster.memory_client()?, &memories_of("1")).await?;
    assert_eq!(known.len(), 1);
    assert_eq!(said_on(&cluster, INTRODUCTION.thread).await?, 2);
    cluster.finish().await
}

#[tokio::test]
async fn every_item_whose_put_was_answered_survives_a_kill_under_load() -> Result<()> {
    const WRITERS: usize = 16;
    const BEFORE_THE_KILL: u32 = 200;
    let mut cluster = Cluster::new()?;
    cluster.start_memory().await?;
    let client = cluster.memory_client()?;

    let answered = Semaphore::new(0);
    let writers = stream::iter(0..WRITERS).map(|writer| {
        let (mut client, answered) = (client.clone(), &answered);
        async move {
            let mut stored = Vec::new();
            // Until the service is gone.
            for number in 0.. {
                let key = format!("{writer}-{number}");
                let put = PutItemRequest {
                    namespace: vec!["load".into()],
                    key: key.clone(),
                    value: Some(payload::json(&json!({ "number": number }))),
                    ..PutItemRequest::default()
                };
                let Ok(response) = client.put_item(put).await else {
                    break;
                };
                let item = response.into_inner().item.unwrap_or_default();
                stored.push((key, number, item.etag));
                answered.add_permits(1);
            }
            stored
        }
    });
    let load = writers.buffer_unordered(WRITERS).concat();
    let memory = cluster.take_memory()?;
    let kill = async {
        let _enough = answered.acquire_many(BEFORE_THE_KILL).await?;
        memory.kill().await
    };
    let (stored, killed) = tokio::join!(load, kill);
    killed?;
    assert!(stored.len() >= BEFORE_THE_KILL as usize);

    cluster.start_memory().await?;
    let mut client = cluster.memory_client()?;
    for (key, number, etag) in stored {
        let get = GetItemRequest {
            namespace: vec!["load".into()],
            key: key.clone(),
            ..GetItemRequest::default()
        };
        let found = client
            .get_item(get)
            .await
            .with_context(|| format!("{key} is lost"))?;
        let item = found.into_inner().item.context("no item")?;
        assert_eq!(
            payload::read(item.value.as_ref())?["number"].as_f64(),
            Some(number.into())
        );
        assert_eq!(item.etag, etag, "{key}");
    }
    cluster.finish().await
}

#[tokio::test]
async fn a_repeated_start_finds_its_run_after_a_kill() -> Result<()> {
    let mut cluster = Cluster::start().await?;
    let mut run = INTRODUCTION.to_run();
    run.request_id = "0198a2c4-1111-7000-8000-000000000001".to_owned();
    let first = start(&mut cluster.workflow_client()?, run.clone()).await?;

    cluster.take_workflow()?.kill().await?;
    cluster.start_workflow().await?;

    let mut client = cluster.workflow_client()?;
    let again = invoke(&mut client, run.clone()).await?;
    assert_eq!(again.id, first.id);
    assert_eq!(
        items_under(&mut cluster.memory_client()?, &memories_of("1"))
            .await?
            .len(),
        1
    );

    run.thread_id = "another".to_owned();
    let refusal = Refusal::of(client.start_run(run).await)?;
    assert_eq!(
        refusal
            .is(Code::InvalidArgument, "REQUEST_ID_REUSED")?
            .fields(),
        ["request_id"]
    );
    cluster.finish().await
}
