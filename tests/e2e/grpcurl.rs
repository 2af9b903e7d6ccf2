//! The API by the command line client, through reflection: what a person at a terminal gets.

use anyhow::{Context as _, Result};
use e2e::{
    Cluster,
    cluster::{MEMORY, WORKFLOW},
    conversation::{INTRODUCTION, Line, QUESTION, STRANGER},
    grpcurl,
};
use serde_json::{Value, json};

const INVOKE_RUN: &str = "weft.workflow.v1.WorkflowService/InvokeRun";

/// Says a line of the conversation in plain JSON, as people write it: the answer.
async fn say(cluster: &Cluster, line: Line) -> Result<String> {
    let request = json!({ "start": {
        "entrypoint": "chat",
        "thread_id": line.thread,
        "input": { "json": [{ "role": "user", "content": line.text }] },
        "config": { "json": { "user_id": line.user } },
    }});
    let responses = grpcurl::call(cluster.workflow()?.grpc(), INVOKE_RUN, &request).await?;
    let run = &responses.first().context("no response")?["run"];
    assert_eq!(run["state"], "STATE_SUCCEEDED", "{run}");
    let content = run["output"]["json"]["content"].as_str();
    Ok(content
        .with_context(|| format!("no content: {run}"))?
        .to_owned())
}

#[tokio::test]
async fn the_reference_conversation_by_grpcurl() -> Result<()> {
    let cluster = Cluster::start().await?;
    assert!(say(&cluster, INTRODUCTION).await?.contains("Bob"));
    assert!(say(&cluster, QUESTION).await?.contains("Your name is Bob"));
    assert!(!say(&cluster, STRANGER).await?.contains("Bob"));

    let search = json!({ "namespace_prefix": ["memories"] });
    let method = "weft.memory.v1.MemoryService/SearchItems";
    let found = grpcurl::call(cluster.memory()?.grpc(), method, &search).await?;
    let [Value::Object(found)] = found.as_slice() else {
        panic!("not one response: {found:?}")
    };
    let [hit] = found["hits"].as_array().context("no hits")?.as_slice() else {
        panic!("not one hit: {found:?}")
    };
    assert_eq!(hit["item"]["namespace"], json!(["memories", "1"]));
    assert_eq!(hit["item"]["value"]["json"]["data"], INTRODUCTION.text);
    cluster.finish().await
}

#[tokio::test]
async fn a_run_streams_to_grpcurl() -> Result<()> {
    let cluster = Cluster::start().await?;
    let request = json!({
        "start": {
            "entrypoint": "chat",
            "input": { "json": "hello" },
            "config": { "json": { "user_id": "1" } },
        },
        "modes": ["STREAM_MODE_MESSAGES", "STREAM_MODE_VALUES"],
    });
    let method = "weft.workflow.v1.WorkflowService/StreamRun";
    let responses = grpcurl::call(cluster.workflow()?.grpc(), method, &request).await?;
    let (value, pieces) = responses.split_last().context("no response")?;
    let piece = |response: &Value| {
        response["event"]["message"]["text"]
            .as_str()
            .map(str::to_owned)
    };
    let written: Option<String> = pieces.iter().map(piece).collect();
    assert_eq!(value["event"]["value"]["json"]["content"], json!(written));
    cluster.finish().await
}

#[tokio::test]
async fn grpcurl_finds_every_service_and_what_it_takes() -> Result<()> {
    let cluster = Cluster::start().await?;
    for (address, services) in [
        (
            cluster.memory()?.grpc(),
            vec!["weft.memory.v1.MemoryService"],
        ),
        (
            cluster.workflow()?.grpc(),
            vec![
                "weft.workflow.v1.ThreadService",
                "weft.workflow.v1.WorkerService",
                "weft.workflow.v1.WorkflowService",
            ],
        ),
    ] {
        let listed = grpcurl::run(&["-plaintext", address, "list"]).await?;
        let listed = String::from_utf8(listed.stdout)?;
        assert!(
            listed.lines().any(|line| line == "grpc.health.v1.Health"),
            "{listed}"
        );
        let weft: Vec<&str> = listed
            .lines()
            .filter(|line| line.starts_with("weft."))
            .collect();
        assert_eq!(weft, services);
    }
    let describe = [
        "-plaintext",
        cluster.memory()?.grpc(),
        "describe",
        "weft.memory.v1.PutItemRequest",
    ];
    let described = String::from_utf8(grpcurl::run(&describe).await?.stdout)?;
    assert!(
        described.contains("repeated string namespace = 1;"),
        "{described}"
    );

    for service in [cluster.memory()?, cluster.workflow()?] {
        let check = "grpc.health.v1.Health/Check";
        let health = grpcurl::call(service.grpc(), check, &json!({})).await?;
        assert_eq!(
            health,
            [json!({ "status": "SERVING" })],
            "{}",
            service.name()
        );
    }
    cluster.finish().await
}

#[tokio::test]
async fn grpcurl_shows_what_is_wrong_with_a_request() -> Result<()> {
    let cluster = Cluster::start().await?;
    let request = json!({ "start": { "entrypoint": "chat", "input": { "json": "hello" } } });
    let error = grpcurl::call(cluster.workflow()?.grpc(), INVOKE_RUN, &request)
        .await
        .err();
    let error = format!("{:#}", error.context("not refused")?);
    assert!(
        error.contains("Code: InvalidArgument") && error.contains("user_id"),
        "{error}"
    );

    // Details are shown only if reflection knows their types.
    let details = ["INVALID_REQUEST", "fieldViolations"];
    assert!(
        details.iter().all(|detail| error.contains(detail)),
        "{error}"
    );
    cluster.finish().await
}

#[tokio::test]
async fn the_lines_for_grpcurl_that_make_run_prints_work() -> Result<()> {
    let (mut running, welcome) = crate::make::make_run().await?;
    let lines: Vec<&str> = welcome
        .lines()
        .map(str::trim)
        .filter(|line| line.starts_with("grpcurl "))
        .collect();
    let [greeting, question] = lines.as_slice() else {
        panic!("not two lines: {welcome}")
    };
    for line in [greeting, question] {
        let output = grpcurl::shell(line).await?;
        assert!(
            output.status.success(),
            "{line}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        let answer = &grpcurl::responses(&output.stdout)?[0]["run"]["output"]["json"]["content"];
        assert!(answer.to_string().contains("Bob"), "{line}: {answer}");
    }
    for name in [MEMORY, WORKFLOW] {
        assert!(welcome.contains(name), "{welcome}");
    }
    running.end().await
}
