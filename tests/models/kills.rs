//! workflow-service is killed around an answer: what was recorded is not paid for again.

use anyhow::Result;
use e2e::{
    Cluster, Events, chat,
    conversation::{answer, memories_of},
    events::attempt,
    gate::{Gate, Hold},
    memories::values_under,
    payload,
    provider::{Provider, Reply},
    runs::{start, succeeded},
};
use serde_json::{Value, json};
use weft_proto::workflow::v1::{Event, StartRunRequest, StreamMode, event::Kind, task_event::Step};

use crate::support::{begun, cluster, configure, events, spoken};

/// The half of an answer, and nothing after it for now.
fn half() -> Reply {
    Reply::stream(events(&begun(&["Half an "])[..3])).held()
}

/// What a reader has of each message after these events: its pieces, those since its last reset.
fn shown(events: &[Event]) -> Vec<String> {
    let mut messages: Vec<(String, String)> = Vec::new();
    for event in events {
        let Some(Kind::Message(piece)) = &event.kind else {
            continue;
        };
        let known = messages.iter().position(|(id, _)| *id == piece.message_id);
        let place = known.unwrap_or_else(|| {
            messages.push((piece.message_id.clone(), String::new()));
            messages.len() - 1
        });
        if piece.reset {
            messages[place].1.clear();
        }
        messages[place].1.push_str(&piece.text);
    }
    messages.into_iter().map(|(_, text)| text).collect()
}

#[tokio::test]
async fn an_answer_that_a_kill_cut_short_is_asked_for_once_more() -> Result<()> {
    let provider = Provider::start([
        half(),
        Reply::stream(spoken(&["A whole ", "answer"])).late(),
    ])
    .await?;
    let mut cluster = cluster(provider.url()).await?;
    let mut client = cluster.workflow_client()?;
    let mut before = Events::start(
        &mut client,
        chat("t", "1", "hello"),
        &[StreamMode::Messages],
    )
    .await?;
    let first = before
        .find(|event| matches!(event.kind, Some(Kind::Message(_))).then(|| event.clone()))
        .await?;
    assert_eq!(shown(std::slice::from_ref(&first)), ["Half an "]);
    cluster.take_workflow()?.kill().await?;

    cluster.start_workflow().await?;
    let mut client = cluster.workflow_client()?;
    let after = Events::join(
        &mut client,
        &first.run_id,
        &[StreamMode::Messages],
        first.sequence,
    )
    .await?;
    provider.release();
    let after = after.rest().await?;
    let run = succeeded(&mut client, &first.run_id).await?;
    assert_eq!(answer(Some(&run))?, "A whole answer");
    assert_eq!(provider.asked().len(), 2);
    // A reader that goes on where it stood throws the half away.
    assert_eq!(shown(&[vec![first], after].concat()), ["A whole answer"]);
    cluster.finish().await
}

#[tokio::test]
async fn an_answer_that_was_recorded_is_not_asked_for_again() -> Result<()> {
    kill_after_an_answer("chat", &json!({"user_id": "1", "memory": {"mode": "tool"}})).await
}

#[tokio::test]
async fn an_agent_goes_on_where_it_stood_and_pays_for_no_answer_twice() -> Result<()> {
    kill_after_an_answer("agent", &json!({"user_id": "1"})).await
}

async fn kill_after_an_answer(entrypoint: &str, config: &Value) -> Result<()> {
    // The run is held after its first answer, which says what to remember.
    let remember = [
        json!({"type": "message_start", "message": {}}),
        json!({"type": "content_block_start", "index": 0, "content_block":
            {"type": "tool_use", "id": "t1", "name": "remember", "input": {"data": "is Bob"}}}),
        json!({"type": "message_delta", "delta": {"stop_reason": "tool_use"}}),
        json!({"type": "message_stop"}),
    ];
    let provider = Provider::start([
        Reply::stream(events(&remember)),
        Reply::stream(spoken(&["Hello Bob"])),
    ])
    .await?;
    let mut cluster = Cluster::new()?;
    configure(&mut cluster, provider.url());
    let (mut cluster, gate) = Gate::in_cluster(cluster).await?;
    gate.hold(Hold::Before("PutItem"));
    let run = StartRunRequest {
        entrypoint: entrypoint.to_owned(),
        config: Some(payload::json(config)),
        ..chat("t", "1", "I am Bob")
    };
    let mut client = cluster.workflow_client()?;
    let run_id = start(&mut client, run).await?.id;
    gate.sees("PutItem", 1).await?;
    assert_eq!(provider.asked().len(), 1);
    cluster.take_workflow()?.kill().await?;

    gate.open();
    cluster.start_workflow().await?;
    let run = succeeded(&mut cluster.workflow_client()?, &run_id).await?;
    assert_eq!(answer(Some(&run))?, "Hello Bob");
    // One for each answer: the recorded one was not paid for again.
    assert_eq!(provider.asked().len(), 2);
    let memories = values_under(&mut cluster.memory_client()?, &memories_of("1")).await?;
    assert_eq!(memories, [json!({"data": "is Bob"})]);
    cluster.finish().await
}

#[tokio::test]
async fn a_stream_that_ends_early_is_taken_back_and_begun_anew() -> Result<()> {
    let provider = Provider::start([
        Reply::stream(events(&begun(&["Half an "])[..3])).cut(),
        Reply::stream(spoken(&["A whole ", "answer"])),
    ])
    .await?;
    let cluster = cluster(provider.url()).await?;
    let mut client = cluster.workflow_client()?;
    let modes = [StreamMode::Messages, StreamMode::Tasks];
    let events = Events::start(&mut client, chat("t", "1", "hello"), &modes).await?;
    let events = events.rest().await?;
    assert_eq!(shown(&events), ["A whole answer"]);
    let resets = events
        .iter()
        .filter(|event| matches!(&event.kind, Some(Kind::Message(piece)) if piece.reset));
    assert_eq!(resets.count(), 1);
    let retried = events
        .iter()
        .find_map(|event| attempt(event, "call_model", Step::Retrying));
    assert_eq!(retried, Some(1));
    assert_eq!(provider.asked().len(), 2);
    cluster.finish().await
}
