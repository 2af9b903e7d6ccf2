//! What answers took: recorded with each call, added up for each run.

use anyhow::Result;
use e2e::{
    Events, chat, payload,
    provider::{Provider, Reply},
    runs::{invoke, succeeded},
};
use serde_json::json;
use weft_proto::workflow::v1::{
    Event, GetRunRequest, StartRunRequest, StreamMode, Usage, event::Kind, task_event::Step,
};

use crate::support::{begun, cluster, events, spoken};

fn whole(text: &str) -> Reply {
    let usage = json!({"input_tokens": 100, "cache_read_input_tokens": 20, "output_tokens": 5});
    let content = json!([{"type": "text", "text": text}]);
    Reply::json(
        200,
        &json!({"content": content, "stop_reason": "end_turn", "usage": usage}),
    )
}

/// What each call that ended used, by its task.
fn used(events: &[Event]) -> Vec<(&str, Option<Usage>)> {
    let ended = events.iter().filter_map(|event| match &event.kind {
        Some(Kind::Task(task)) if task.step() == Step::Succeeded => {
            Some((task.task.as_str(), task.usage))
        }
        _ => None,
    });
    ended.collect()
}

#[tokio::test]
async fn what_answers_took_is_recorded_with_each_call_and_added_up_for_the_run() -> Result<()> {
    let provider = Provider::start([
        Reply::stream(events(&begun(&["half"])[..3])).cut(),
        Reply::stream(spoken(&["Noted."])),
        whole("no JSON"),
        whole("{\"memories\": []}"),
    ])
    .await?;
    let mut cluster = cluster(provider.url()).await?;
    let mut client = cluster.workflow_client()?;
    let config = json!({ "user_id": "1", "memory": { "mode": "extract" } });
    let run = StartRunRequest {
        config: Some(payload::json(&config)),
        ..chat("t", "1", "hello")
    };
    let run = invoke(&mut client, run).await?;
    let answer = Usage {
        model_calls: 1,
        input_tokens: 11,
        output_tokens: 7,
        ..Usage::default()
    };
    let extraction = Usage {
        model_calls: 2,
        input_tokens: 240,
        output_tokens: 10,
        cache_read_tokens: 40,
        ..Usage::default()
    };
    let total = Usage {
        model_calls: 3,
        input_tokens: 251,
        output_tokens: 17,
        cache_read_tokens: 40,
        ..Usage::default()
    };
    assert_eq!(run.usage, Some(total));

    // As it is kept.
    cluster.take_workflow()?.kill().await?;
    cluster.start_workflow().await?;
    let mut client = cluster.workflow_client()?;
    let request = GetRunRequest {
        run_id: run.id.clone(),
        ..GetRunRequest::default()
    };
    let kept = client.get_run(request).await?.into_inner().run;
    assert_eq!(kept.unwrap_or_default().usage, Some(total));
    let shown = Events::join(&mut client, &run.id, &[StreamMode::Tasks], 0).await?;
    assert_eq!(
        used(&shown.rest().await?),
        [
            ("recall", None),
            ("call_model", Some(answer)),
            ("extract", Some(extraction)),
        ]
    );
    cluster.finish().await
}

#[tokio::test]
async fn what_a_run_took_before_a_kill_still_counts() -> Result<()> {
    let call = events(&[
        json!({"type": "message_start", "message": {"usage": {"input_tokens": 30}}}),
        json!({"type": "content_block_start", "index": 0, "content_block":
            {"type": "tool_use", "id": "c", "name": "recall", "input": {"query": "x"}}}),
        json!({"type": "message_delta", "delta": {"stop_reason": "tool_use"},
            "usage": {"output_tokens": 3}}),
        json!({"type": "message_stop"}),
    ]);
    let provider = Provider::start([
        Reply::stream(call),
        Reply::stream("").held(),
        Reply::stream(spoken(&["Done."])),
    ])
    .await?;
    let mut cluster = cluster(provider.url()).await?;
    let mut client = cluster.workflow_client()?;
    let run = StartRunRequest {
        entrypoint: "agent".to_owned(),
        ..chat("t", "1", "hello")
    };
    let run = e2e::runs::start(&mut client, run).await?;
    provider.sees(2).await?;
    cluster.take_workflow()?.kill().await?;

    cluster.start_workflow().await?;
    let run = succeeded(&mut cluster.workflow_client()?, &run.id).await?;
    let usage = run.usage.unwrap_or_default();
    assert_eq!((usage.model_calls, usage.input_tokens), (2, 41));
    // Three requests: the one that the kill cut short was made again, the first one was not.
    assert_eq!(provider.asked().len(), 3);
    cluster.finish().await
}
