//! Ending in good order: a service that is asked to end loses nothing that it accepted.

use anyhow::{Context as _, Result, ensure};
use e2e::{
    Cluster, Events, Refusal, chat,
    cluster::{MEMORY, WORKFLOW},
    conversation::INTRODUCTION,
    events::DURABLE,
    gate::{Gate, Hold},
    health, http, payload,
    process::Signal,
    refusal::found_nobody,
    runs::{Workflows, invoke, start, succeeded},
};
use futures::{StreamExt as _, stream};
use serde_json::json;
use tokio::sync::Semaphore;
use tonic::Code;
use tonic_health::pb::health_check_response::ServingStatus;
use weft_proto::{
    memory::v1::{GetItemRequest, PutItemRequest},
    workflow::v1::{ListEntrypointsRequest, ListRunsRequest, run::State},
};

/// Callers that call again as soon as they are answered.
const CALLERS: usize = 16;
/// Calls that are answered before a service is asked to end.
const BEFORE_THE_END: u32 = 100;

/// The ids of all runs.
async fn all_runs(client: &mut Workflows) -> Result<Vec<String>> {
    let (mut ids, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = ListRunsRequest {
            page_size: 50,
            page_token,
            ..Default::default()
        };
        let page = client.list_runs(request).await?.into_inner();
        ids.extend(page.runs.into_iter().map(|run| run.id));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(ids);
        }
    }
}

#[tokio::test]
async fn under_load_each_call_is_answered_or_unavailable_and_each_accepted_run_is_finished()
-> Result<()> {
    let mut cluster = Cluster::start().await?;
    let client = cluster.workflow_client()?;
    let answered = Semaphore::new(0);
    let callers = stream::iter(0..CALLERS).map(|caller| {
        let (mut client, answered) = (client.clone(), &answered);
        async move {
            let mut succeeded = Vec::new();
            for number in 0.. {
                let thread = format!("{caller}-{number}");
                match invoke(&mut client, chat(&thread, "1", "hello")).await {
                    Ok(run) => {
                        ensure!(run.state() == State::Succeeded, "{run:?}");
                        succeeded.push(run.id);
                        answered.add_permits(1);
                    }
                    Err(status) => {
                        ensure!(found_nobody(&status), "{status:?}");
                        break;
                    }
                }
            }
            Ok(succeeded)
        }
    });
    let load = callers.buffer_unordered(CALLERS).collect::<Vec<_>>();
    let workflow = cluster.take_workflow()?;
    let end = async {
        let _enough = answered.acquire_many(BEFORE_THE_END).await?;
        workflow.terminate().await
    };
    let (outcomes, ended) = tokio::join!(load, end);
    ended?;
    let succeeded_before: Vec<String> = outcomes
        .into_iter()
        .collect::<Result<Vec<_>>>()?
        .into_iter()
        .flatten()
        .collect();
    assert!(succeeded_before.len() >= BEFORE_THE_END as usize);

    cluster.start_workflow().await?;
    let mut client = cluster.workflow_client()?;
    let accepted = all_runs(&mut client).await?;
    for id in &accepted {
        succeeded(&mut client, id).await?;
    }
    assert!(succeeded_before.iter().all(|id| accepted.contains(id)));
    cluster.finish().await
}

#[tokio::test]
async fn under_load_each_put_is_answered_or_unavailable_and_each_answered_one_is_kept() -> Result<()>
{
    let mut cluster = Cluster::new()?;
    cluster.start_memory().await?;
    let client = cluster.memory_client()?;
    let answered = Semaphore::new(0);
    let callers = stream::iter(0..CALLERS).map(|caller| {
        let (mut client, answered) = (client.clone(), &answered);
        async move {
            let mut stored = Vec::new();
            for number in 0.. {
                let key = format!("{caller}-{number}");
                let put = PutItemRequest {
                    namespace: vec!["load".into()],
                    key: key.clone(),
                    value: Some(payload::json(&json!({ "number": number }))),
                    ..PutItemRequest::default()
                };
                match client.put_item(put).await {
                    Ok(_) => {
                        stored.push(key);
                        answered.add_permits(1);
                    }
                    Err(status) => {
                        ensure!(found_nobody(&status), "{status:?}");
                        break;
                    }
                }
            }
            Ok(stored)
        }
    });
    let load = callers.buffer_unordered(CALLERS).collect::<Vec<_>>();
    let memory = cluster.take_memory()?;
    let end = async {
        let _enough = answered.acquire_many(BEFORE_THE_END).await?;
        memory.terminate().await
    };
    let (outcomes, ended) = tokio::join!(load, end);
    ended?;

    cluster.start_memory().await?;
    let mut client = cluster.memory_client()?;
    for key in outcomes
        .into_iter()
        .collect::<Result<Vec<_>>>()?
        .into_iter()
        .flatten()
    {
        let request = GetItemRequest {
            namespace: vec!["load".into()],
            key,
            ..GetItemRequest::default()
        };
        client.get_item(request).await?;
    }
    cluster.finish().await
}

#[tokio::test]
async fn a_run_that_stands_still_does_not_hold_the_process_and_goes_on_after_a_restart()
-> Result<()> {
    let mut cluster = Cluster::new()?;
    cluster.set(WORKFLOW, "WEFT_SERVER__DRAIN_TIMEOUT", "500ms");
    let (mut cluster, gate) = Gate::in_cluster(cluster).await?;
    gate.hold(Hold::Before("SearchItems"));
    let mut client = cluster.workflow_client()?;
    let run_id = start(&mut client, INTRODUCTION.to_run()).await?.id;
    let mut events = Events::join(&mut client, &run_id, &DURABLE, 0).await?;
    gate.sees("SearchItems", 1).await?;

    let mut other = client.clone();
    let invocation = invoke(&mut other, chat("other", "1", "hello"));
    let workflow = cluster.take_workflow()?;
    let end = async {
        gate.sees("SearchItems", 2).await?;
        workflow.terminate().await
    };
    let (invocation, ended) = tokio::join!(invocation, end);
    ended?;
    let status = invocation
        .err()
        .context("answered although the run stands still")?;
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");

    let mut place = 0;
    let error = loop {
        match events.next().await {
            Ok(event) => place = event.context("the stream ended before the run")?.sequence,
            Err(error) => break error,
        }
    };
    let status = error
        .downcast_ref::<tonic::Status>()
        .context("no status")?
        .clone();
    let refusal = Refusal::from_status(status)?.is(Code::Unavailable, "SHUTTING_DOWN")?;
    assert_eq!(
        refusal.metadata("last_sequence"),
        Some(place.to_string().as_str())
    );

    gate.open();
    cluster.start_workflow().await?;
    let mut client = cluster.workflow_client()?;
    let runs = all_runs(&mut client).await?;
    assert_eq!(runs.len(), 2);
    for id in &runs {
        succeeded(&mut client, id).await?;
    }
    let rest = Events::join(&mut client, &run_id, &DURABLE, place)
        .await?
        .rest()
        .await?;
    assert!(rest.iter().all(|event| event.sequence > place), "{rest:?}");
    cluster.finish().await
}

#[tokio::test]
async fn a_service_that_ends_is_not_ready_and_still_answers_for_a_while() -> Result<()> {
    let mut cluster = Cluster::new()?;
    // Longer than any test waits: ended by the second signal.
    cluster.set(WORKFLOW, "WEFT_SERVER__DRAIN_DELAY", "1h");
    cluster.start_workflow().await?;
    let mut client = cluster.workflow_client()?;
    let mut workflow = cluster.take_workflow()?;
    assert_eq!(http::get(workflow.admin(), "/readyz").await?.status, 200);

    workflow.signal(Signal::Terminate).await?;
    health::becomes(workflow.channel()?, ServingStatus::NotServing).await?;
    let readiness = http::get(workflow.admin(), "/readyz").await?;
    assert_eq!(readiness.status, 503);
    assert!(!readiness.body.is_empty(), "the reason");
    assert_eq!(http::get(workflow.admin(), "/livez").await?.status, 200);
    client.list_entrypoints(ListEntrypointsRequest {}).await?;

    workflow.signal(Signal::Interrupt).await?;
    assert_eq!(
        workflow.ended().await?.code(),
        Some(130),
        "a second signal ends it at once"
    );
    cluster.finish().await
}

#[tokio::test]
async fn idle_services_end_at_once_although_clients_are_connected() -> Result<()> {
    let mut cluster = Cluster::new()?;
    // If an idle connection held a service, it would end long after the test gave up.
    for service in [MEMORY, WORKFLOW] {
        cluster.set(service, "WEFT_SERVER__DRAIN_TIMEOUT", "1h");
    }
    cluster.start_memory().await?;
    cluster.start_workflow().await?;
    let mut client = cluster.workflow_client()?;
    invoke(&mut client, INTRODUCTION.to_run()).await?;
    let _watching = [
        health::watch(cluster.memory()?.channel()?).await?,
        health::watch(cluster.workflow()?.channel()?).await?,
    ];
    cluster.finish().await
}
