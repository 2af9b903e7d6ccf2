//! What `WorkflowService` refuses to start, and how: code, reason, and each wrong field.

use std::collections::HashMap;

use anyhow::Result;
use e2e::{Cluster, Refusal, chat, payload, refusal::refused, runs::Workflows};
use prost_types::{Struct, value::Kind};
use serde_json::{Value, json};
use tonic::Code;
use weft_proto::workflow::v1::{
    InvokeRunRequest, ListRunsRequest, StartRunRequest, StreamMode, StreamRunRequest,
    stream_run_request::Target,
};

/// A workflow-service; nothing here comes as far as memory.
pub(crate) async fn workflows() -> Result<(Cluster, Workflows)> {
    let mut cluster = Cluster::new()?;
    cluster.start_workflow().await?;
    let client = cluster.workflow_client()?;
    Ok((cluster, client))
}

pub(crate) fn hello() -> StartRunRequest {
    chat("t", "1", "hello")
}

fn input(input: Value) -> StartRunRequest {
    StartRunRequest {
        input: Some(payload::json(&input)),
        ..hello()
    }
}

fn config(config: Value) -> StartRunRequest {
    StartRunRequest {
        config: Some(payload::json(&config)),
        ..hello()
    }
}

/// Runs that cannot be started, and the fields that are wrong.
fn bad_runs() -> Vec<(&'static str, StartRunRequest, Vec<&'static str>)> {
    let say = |message: Value| input(json!([{ "role": "user", "content": "hello" }, message]));
    let not_a_number = prost_types::Value {
        kind: Some(Kind::NumberValue(f64::NAN)),
    };
    let fields = [("user_id".to_owned(), not_a_number)].into();
    let nan = payload::native(Kind::StructValue(Struct { fields }));
    let labels = HashMap::from([("k".repeat(257), String::new())]);
    vec![
        ("nothing", StartRunRequest::default(), vec!["entrypoint"]),
        ("empty list", input(json!([])), vec!["input"]),
        ("null", input(json!(null)), vec!["input"]),
        (
            "no input",
            StartRunRequest {
                input: None,
                ..hello()
            },
            vec!["input"],
        ),
        (
            "role",
            say(json!({ "role": "robot", "content": "" })),
            vec!["input[1].role"],
        ),
        (
            "content",
            say(json!({ "role": "user", "content": 1 })),
            vec!["input[1].content"],
        ),
        (
            "single",
            input(json!({ "role": "robot", "content": "" })),
            vec!["input.role"],
        ),
        (
            "no JSON",
            StartRunRequest {
                input: Some(payload::text("{")),
                ..hello()
            },
            vec!["input"],
        ),
        ("no user", config(json!({})), vec!["config.user_id"]),
        (
            "no config",
            StartRunRequest {
                config: None,
                ..hello()
            },
            vec!["config.user_id"],
        ),
        (
            "empty user",
            config(json!({ "user_id": "" })),
            vec!["config.user_id"],
        ),
        (
            "dotted user",
            config(json!({ "user_id": "a.b" })),
            vec!["config.user_id"],
        ),
        (
            "user number",
            config(json!({ "user_id": 1 })),
            vec!["config.user_id"],
        ),
        ("a list", config(json!([])), vec!["config"]),
        (
            "NaN",
            StartRunRequest {
                config: Some(nan),
                ..hello()
            },
            vec!["config"],
        ),
        (
            "mode",
            config(json!({ "user_id": "1", "memory": { "mode": "psychic" } })),
            vec!["config.memory.mode"],
        ),
        (
            "a path in the place of a table",
            config(json!({ "user_id": "1", "memory.mode": "off" })),
            vec!["config.memory.mode"],
        ),
        (
            "limit and model",
            config(json!({ "user_id": "1", "memory": { "limit": -1 }, "model": "nobody:x" })),
            vec!["config.memory.limit", "config.model"],
        ),
        (
            "control",
            StartRunRequest {
                thread_id: "a\nb".into(),
                ..hello()
            },
            vec!["thread_id"],
        ),
        (
            "long",
            StartRunRequest {
                thread_id: "t".repeat(257),
                ..hello()
            },
            vec!["thread_id"],
        ),
        (
            "checkpoint",
            StartRunRequest {
                checkpoint_id: "x".into(),
                ..hello()
            },
            vec!["checkpoint_id"],
        ),
        (
            "concurrency",
            StartRunRequest {
                concurrency: 9,
                ..hello()
            },
            vec!["concurrency"],
        ),
        (
            "durability",
            StartRunRequest {
                durability: 9,
                ..hello()
            },
            vec!["durability"],
        ),
        (
            "labels",
            StartRunRequest { labels, ..hello() },
            vec!["labels"],
        ),
        (
            "request",
            StartRunRequest {
                request_id: "r".repeat(257),
                ..hello()
            },
            vec!["request_id"],
        ),
        (
            "everything",
            StartRunRequest {
                input: Some(payload::text("{")),
                config: Some(payload::text("[]")),
                thread_id: "a\nb".into(),
                checkpoint_id: "x".into(),
                concurrency: 9,
                durability: 9,
                request_id: "r".repeat(257),
                timeout: Some(prost_types::Duration {
                    seconds: -1,
                    nanos: 0,
                }),
                start_after: Some(prost_types::Timestamp {
                    seconds: 0,
                    nanos: -1,
                }),
                ..StartRunRequest::default()
            },
            vec![
                "entrypoint",
                "input",
                "config",
                "thread_id",
                "checkpoint_id",
                "concurrency",
                "durability",
                "request_id",
                "timeout",
                "start_after",
            ],
        ),
    ]
}

#[tokio::test]
async fn start_run_names_everything_that_is_wrong_and_records_nothing() -> Result<()> {
    let (cluster, mut client) = workflows().await?;
    for (case, run, fields) in bad_runs() {
        refused(case, client.start_run(run).await, &fields)?;
    }
    let runs = client
        .list_runs(ListRunsRequest::default())
        .await?
        .into_inner()
        .runs;
    assert_eq!(runs, [], "nothing of this is recorded");
    cluster.finish().await
}

#[tokio::test]
async fn invoke_run_and_stream_run_name_the_fields_of_the_run_within_their_own() -> Result<()> {
    let (cluster, mut client) = workflows().await?;
    for (case, run, fields) in bad_runs() {
        let fields: Vec<String> = fields
            .iter()
            .map(|field| format!("start.{field}"))
            .collect();
        let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
        let invoke = InvokeRunRequest {
            start: Some(run.clone()),
            ..Default::default()
        };
        refused(case, client.invoke_run(invoke).await, &fields)?;
        let stream = StreamRunRequest {
            target: Some(Target::Start(run)),
            ..Default::default()
        };
        refused(case, client.stream_run(stream).await, &fields)?;
    }
    cluster.finish().await
}

#[tokio::test]
async fn invoke_run_and_stream_run_name_everything_that_is_wrong() -> Result<()> {
    let (cluster, mut client) = workflows().await?;
    let invoke = InvokeRunRequest {
        start: None,
        payload_form: 9,
    };
    refused(
        "invoke",
        client.invoke_run(invoke).await,
        &["start", "payload_form"],
    )?;
    let stream = StreamRunRequest {
        target: None,
        modes: vec![StreamMode::Values.into(), 99],
        after_sequence: -1,
        payload_form: 9,
    };
    let fields = ["target", "modes[1]", "after_sequence", "payload_form"];
    refused("stream", client.stream_run(stream).await, &fields)?;
    let target = Some(Target::RunId("x".into()));
    let stream = StreamRunRequest {
        target,
        after_sequence: -1,
        ..Default::default()
    };
    refused(
        "join",
        client.stream_run(stream).await,
        &["run_id", "after_sequence"],
    )?;
    cluster.finish().await
}

#[tokio::test]
async fn a_message_over_the_limit_is_refused_as_such() -> Result<()> {
    let (cluster, mut client) = workflows().await?;
    let long = chat("t", "1", &"x".repeat(9 << 20));
    refused("9 MiB", client.start_run(long).await, &["input"])?;
    let longer = chat("t", "1", &"x".repeat(18 << 20));
    let refusal = Refusal::of(client.start_run(longer).await)?;
    refusal.is(Code::ResourceExhausted, "MESSAGE_TOO_LARGE")?;
    cluster.finish().await
}
