//! Runs that wait for a provider: they say so, and hold up nobody else.

use anyhow::{Context as _, Result};
use e2e::{
    Cluster, Events, chat,
    cluster::WORKFLOW,
    conversation::answer,
    events::attempt,
    payload,
    provider::{Provider, Reply},
    runs::{Workflows, invoke, rested, start, succeeded},
};
use serde_json::json;
use weft_proto::workflow::v1::{
    CancelRunRequest, Event, GetRunRequest, Run, StartRunRequest, StreamMode, event::Kind,
    run::State, task_event::Step,
};

use crate::support::{begun, events, spoken};

/// A run that asks a model and no memory.
fn ask(thread: &str, model: &str) -> StartRunRequest {
    let config = json!({ "user_id": "1", "model": model, "memory": { "mode": "off" } });
    StartRunRequest {
        config: Some(payload::json(&config)),
        ..chat(thread, "1", "hello")
    }
}

/// workflow-service with providers of these names.
async fn service(providers: &[(&str, &Provider, &str)]) -> Result<Cluster> {
    let mut cluster = Cluster::new()?;
    for (name, provider, max_concurrent) in providers {
        let base_url = format!("{}/v1", provider.url());
        for (key, value) in [
            ("API", "messages"),
            ("BASE_URL", base_url.as_str()),
            ("MAX_CONCURRENT", max_concurrent),
        ] {
            cluster.set(WORKFLOW, &format!("WEFT_PROVIDERS__{name}__{key}"), value);
        }
    }
    cluster.start_workflow().await?;
    Ok(cluster)
}

async fn get(client: &mut Workflows, run_id: &str) -> Result<Run> {
    let request = GetRunRequest {
        run_id: run_id.to_owned(),
        ..GetRunRequest::default()
    };
    let run = client.get_run(request).await?.into_inner().run;
    run.context("no run")
}

async fn cancel(client: &mut Workflows, run_id: &str) -> Result<()> {
    let request = CancelRunRequest {
        run_id: run_id.to_owned(),
        reason: "the test is over".to_owned(),
    };
    client.cancel_run(request).await?;
    assert_eq!(rested(client, run_id).await?.state(), State::Cancelled);
    Ok(())
}

/// The sentence of a warning with this reason.
fn warning(event: &Event, reason: &str) -> Option<String> {
    match &event.kind {
        Some(Kind::Warning(warning)) if warning.reason == reason => Some(warning.message.clone()),
        _ => None,
    }
}

fn limited(retry_after: &str) -> Reply {
    let error = json!({"type": "error", "error": {"type": "rate_limit_error", "message": "slow"}});
    Reply::json(429, &error).header("retry-after", retry_after)
}

#[tokio::test]
async fn runs_say_that_they_wait_for_a_provider_that_asked_for_a_pause_and_until_when() -> Result<()>
{
    let provider = Provider::start([limited("100")]).await?;
    let cluster = service(&[("P", &provider, "64")]).await?;
    let mut client = cluster.workflow_client()?;
    let modes = [StreamMode::Tasks];
    let mut refused = Events::start(&mut client, ask("1", "p:m"), &modes).await?;
    let retried =
        |event: &Event| attempt(event, "call_model", Step::Retrying).map(|_| event.run_id.clone());
    let first = refused.find(retried).await?;
    let run = get(&mut client, &first).await?;
    assert_eq!(run.state(), State::Running);
    for part in ["`call_model` is tried again at 2", "MODEL_RATE_LIMITED"] {
        assert!(run.state_reason.contains(part), "{}", run.state_reason);
    }

    // Another run has not been refused itself: it waits all the same.
    let mut held = Events::start(&mut client, ask("2", "p:m"), &modes).await?;
    let (second, told) = held
        .find(|event| Some((event.run_id.clone(), warning(event, "WAITS")?)))
        .await?;
    assert!(told.contains("the provider `p` until 2"), "{told}");
    let run = get(&mut client, &second).await?;
    assert_eq!(run.state(), State::Running);
    assert_eq!(run.state_reason, format!("`call_model` {told}"));
    assert_eq!(provider.asked().len(), 1);
    for run in [first, second] {
        cancel(&mut client, &run).await?;
    }
    cluster.finish().await
}

#[tokio::test]
async fn a_run_that_waits_for_its_turn_says_so_until_it_goes_on() -> Result<()> {
    let half = || Reply::stream(events(&begun(&["Half an "])[..3])).held();
    let provider = Provider::start([half(), half()]).await?;
    let cluster = service(&[("P", &provider, "1")]).await?;
    let mut client = cluster.workflow_client()?;
    let first = start(&mut client, ask("1", "p:m")).await?;
    provider.sees(1).await?;
    let modes = [StreamMode::Tasks, StreamMode::Messages];
    let mut second = Events::start(&mut client, ask("2", "p:m"), &modes).await?;
    let (run_id, told) = second
        .find(|event| Some((event.run_id.clone(), warning(event, "WAITS")?)))
        .await?;
    assert!(told.contains("`max_concurrent`"), "{told}");
    let waiting = get(&mut client, &run_id).await?;
    assert!(waiting.state_reason.contains(&told), "{waiting:?}");

    // Cancelled, the first one gives its turn back.
    cancel(&mut client, &first.id).await?;
    second.find(|event| warning(event, "GOES_ON")).await?;
    let piece = |event: &Event| matches!(event.kind, Some(Kind::Message(_))).then_some(());
    second.find(piece).await?;
    let writing = get(&mut client, &run_id).await?;
    assert_eq!(
        (writing.state(), writing.state_reason.as_str()),
        (State::Running, "")
    );
    cancel(&mut client, &run_id).await?;
    cluster.finish().await
}

#[tokio::test]
async fn a_pause_that_is_too_long_ends_the_run_and_says_when_to_retry_it() -> Result<()> {
    let provider = Provider::start([limited("3600")]).await?;
    let cluster = service(&[("P", &provider, "64")]).await?;
    let run = invoke(&mut cluster.workflow_client()?, ask("1", "p:m")).await?;
    assert_eq!(run.state(), State::Failed, "{run:?}");
    let error = run.error.unwrap_or_default();
    assert_eq!(error.reason, "MODEL_RATE_LIMITED");
    assert_eq!(error.metadata["retry_after_seconds"], "3600");
    assert!(
        error.message.contains("a pause of 3600 seconds"),
        "{error:?}"
    );
    assert_eq!(provider.asked().len(), 1);
    cluster.finish().await
}

#[tokio::test]
async fn runs_that_wait_for_a_slow_provider_hold_up_none_that_asks_another() -> Result<()> {
    let said = |count: usize| (0..count).map(|_| Reply::stream(spoken(&["done"])));
    let slow = Provider::start(said(4).map(Reply::late)).await?;
    let quick = Provider::start(said(4)).await?;
    let cluster = service(&[("SLOW", &slow, "1"), ("QUICK", &quick, "1")]).await?;
    let mut client = cluster.workflow_client()?;
    let mut waiting = Vec::new();
    for number in 0..4 {
        let run = ask(&format!("slow-{number}"), "slow:m");
        waiting.push(start(&mut client, run).await?.id);
    }
    slow.sees(1).await?;
    for number in 0..4 {
        let run = invoke(&mut client, ask(&format!("quick-{number}"), "quick:m")).await?;
        assert_eq!(answer(Some(&run))?, "done");
    }
    assert_eq!(slow.asked().len(), 1);
    slow.release();
    for run in waiting {
        succeeded(&mut client, &run).await?;
    }
    assert_eq!((slow.most_under_way(), quick.most_under_way()), (1, 1));
    cluster.finish().await
}
