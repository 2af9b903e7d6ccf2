//! What streams show of an answer while it is written: its text, what the model thinks, and the calls
//! that it makes.

use std::collections::BTreeMap;

use anyhow::Result;
use e2e::{
    Cluster, Events, chat,
    cluster::WORKFLOW,
    payload,
    provider::{Provider, Reply},
};
use serde_json::{Value, json};
use weft_proto::workflow::v1::{Event, StartRunRequest, StreamMode, event::Kind};

use crate::support::{chunks, events};

/// What a reader puts together of a message's pieces.
#[derive(Debug, Default, PartialEq)]
struct Shown {
    text: String,
    thinking: String,
    /// By index: id, name, arguments.
    calls: BTreeMap<i32, (String, String, String)>,
}

fn shown(events: &[Event]) -> Shown {
    let mut shown = Shown::default();
    for event in events {
        let Some(Kind::Message(piece)) = &event.kind else {
            continue;
        };
        if piece.reset {
            shown = Shown::default();
        }
        shown.text.push_str(&piece.text);
        shown.thinking.push_str(&piece.thinking);
        if let Some(call) = &piece.tool_call {
            let known = shown.calls.entry(call.index).or_default();
            known.0.clone_from(&call.id);
            known.1.clone_from(&call.name);
            known.2.push_str(&call.arguments);
        }
    }
    shown
}

/// A stream of Messages that thinks, speaks and calls two tools, which it gives one id.
fn of_messages() -> String {
    let block = |index: u64, block: Value| json!({"type": "content_block_start", "index": index, "content_block": block});
    let delta = |index: u64, delta: Value| json!({"type": "content_block_delta", "index": index, "delta": delta});
    let call = json!({"type": "tool_use", "id": "c", "name": "look", "input": {}});
    events(&[
        json!({"type": "message_start", "message": {}}),
        block(0, json!({"type": "thinking", "thinking": ""})),
        delta(0, json!({"type": "thinking_delta", "thinking": "hm, "})),
        delta(0, json!({"type": "thinking_delta", "thinking": "tea"})),
        block(1, json!({"type": "text", "text": ""})),
        delta(1, json!({"type": "text_delta", "text": "Let me see."})),
        block(2, call.clone()),
        delta(
            2,
            json!({"type": "input_json_delta", "partial_json": "{\"at\":"}),
        ),
        block(3, call),
        delta(
            3,
            json!({"type": "input_json_delta", "partial_json": "{\"at\":2}"}),
        ),
        delta(2, json!({"type": "input_json_delta", "partial_json": "1}"})),
        json!({"type": "message_delta", "delta": {"stop_reason": "tool_use"}}),
        json!({"type": "message_stop"}),
    ])
}

/// The same of Chat Completions.
fn of_chat() -> String {
    let delta = |delta: Value| json!({"choices": [{"index": 0, "delta": delta}]});
    let call = |index: u64, id: Value, name: Value, arguments: &str| {
        delta(
            json!({"tool_calls": [{"index": index, "id": id, "type": "function",
            "function": {"name": name, "arguments": arguments}}]}),
        )
    };
    chunks(&[
        delta(json!({"role": "assistant", "reasoning_content": "hm, "})),
        delta(json!({"reasoning_content": "tea"})),
        delta(json!({"content": "Let me see."})),
        call(0, json!("c"), json!("look"), ""),
        call(1, json!("c"), json!("look"), "{\"at\":"),
        call(0, Value::Null, Value::Null, "{\"at\":1}"),
        call(1, Value::Null, Value::Null, "2}"),
        json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}),
    ])
}

/// The same of Responses.
fn of_responses() -> String {
    let call = |arguments: &str| {
        json!({"type": "function_call", "id": "fc", "call_id": "c", "name": "look",
            "arguments": arguments})
    };
    let begun = |index: u64| json!({"type": "response.output_item.added", "output_index": index, "item": call("")});
    let arguments = |index: u64, delta: &str| {
        json!({"type": "response.function_call_arguments.delta", "output_index": index,
        "item_id": "fc", "delta": delta})
    };
    let thought =
        |delta: &str| json!({"type": "response.reasoning_summary_text.delta", "delta": delta});
    let said = json!({"type": "message", "role": "assistant",
        "content": [{"type": "output_text", "text": "Let me see."}]});
    events(&[
        json!({"type": "response.created", "response": {"status": "in_progress"}}),
        thought("hm, "),
        thought("tea"),
        json!({"type": "response.output_text.delta", "delta": "Let me see."}),
        begun(2),
        arguments(2, "{\"at\":"),
        begun(3),
        arguments(3, "{\"at\":2}"),
        arguments(2, "1}"),
        json!({"type": "response.completed", "response": {"status": "completed",
            "output": [said, call("{\"at\":1}"), call("{\"at\":2}")]}}),
    ])
}

/// A run of `agent` with a tool `look` of the caller's: it rests with the calls as its questions.
fn looking() -> StartRunRequest {
    let look = json!({"name": "look", "description": "Looks.", "input_schema":
        {"type": "object", "properties": {"at": {"type": "integer"}}}});
    StartRunRequest {
        entrypoint: "agent".to_owned(),
        config: Some(payload::json(
            &json!({ "caller_tools": [look], "approve": ["look"] }),
        )),
        ..chat("t", "1", "hello")
    }
}

#[tokio::test]
async fn streams_show_thoughts_and_calls_beside_the_text_as_they_are_written() -> Result<()> {
    for (api, stream) in [
        ("messages", of_messages()),
        ("chat", of_chat()),
        ("responses", of_responses()),
    ] {
        let provider = Provider::start([Reply::stream(stream)]).await?;
        let mut cluster = Cluster::new()?;
        let base_url = format!("{}/v1", provider.url());
        for (name, value) in [
            ("WEFT_PROVIDERS__P__API", api),
            ("WEFT_PROVIDERS__P__BASE_URL", &base_url),
            ("WEFT_DEFAULT_MODEL", "p:m"),
        ] {
            cluster.set(WORKFLOW, name, value);
        }
        cluster.start_workflow().await?;
        let mut client = cluster.workflow_client()?;
        let modes = [StreamMode::Messages, StreamMode::Values];
        let events = Events::start(&mut client, looking(), &modes).await?;
        let events = events.rest().await?;
        let shown = shown(&events);
        assert_eq!(
            (shown.text.as_str(), shown.thinking.as_str()),
            ("Let me see.", "hm, tea"),
            "{api}"
        );
        // Two calls with one id are two, and are told apart in the same way wherever they are told.
        let calls: Vec<_> = shown.calls.into_values().collect();
        let call =
            |id: &str, arguments: &str| (id.to_owned(), "look".to_owned(), arguments.to_owned());
        assert_eq!(
            calls,
            [call("c", "{\"at\":1}"), call("c_2", "{\"at\":2}")],
            "{api}"
        );
        let asked = events.iter().find_map(|event| match &event.kind {
            Some(Kind::Interrupted(asked)) => Some(&asked.interrupts),
            _ => None,
        });
        let mut asked: Vec<_> = asked
            .into_iter()
            .flatten()
            .map(|each| payload::read(each.value.as_ref()))
            .collect::<Result<_>>()?;
        asked.sort_by_key(|question| question["tool_call_id"].to_string());
        let asked: Vec<_> = asked
            .iter()
            .map(|question| (&question["tool_call_id"], &question["arguments"]["at"]))
            .collect();
        assert_eq!(
            asked,
            [(&json!("c"), &json!(1)), (&json!("c_2"), &json!(2))],
            "{api}"
        );
        cluster.finish().await?;
    }
    Ok(())
}
