//! Calls of `llm/chat` and `memory/*`: what any entrypoint has the service do.

use std::{collections::BTreeMap, sync::Arc};

use anyhow::{Context as _, Result};
use e2e::{
    Cluster, PATIENCE,
    provider::{Provider, Reply},
};
use serde_json::{Value, json};
use service_runtime::Tenant;
use weft_worker::{Context, Entrypoint, Failure, Target, Worker, json};
use workflow_service::{
    domain::{Concurrency, Durability, EventKind, Run, RunId, ThreadId, Timestamp},
    engine::{Engine, EngineSettings, NewRunRequest, Retention},
    llm::{ModelName, retry},
    memory::MemoryClient,
    store::{NewRun, sqlite::SqliteStore},
    targets,
    workflows::Services,
};

use crate::support::{begun, events, models, spoken};

/// An entrypoint that makes one call after the other, `[name, argument]`, and returns the results.
fn caller() -> Worker {
    let caller = Entrypoint::new(
        "caller",
        "1",
        |context: Context, calls: Vec<(String, Value)>| async move {
            let mut results = Vec::new();
            for (name, argument) in calls {
                let target: Target<Value, Value> = Target::new(&name).retry(retry::ATTEMPTS);
                let result = context.call_target(&target, &argument).await;
                results.push(
                    result.unwrap_or_else(|failure: Failure| json!({ "failed": failure.reason })),
                );
            }
            Ok(results)
        },
    );
    Worker::new().entrypoint(caller)
}

/// An engine with the targets of the service.
async fn engine(folder: &std::path::Path, provider: &Provider, memory_url: &str) -> Result<Engine> {
    let services = Services {
        memory: MemoryClient::new(memory_url, PATIENCE)?,
        models: models("messages", provider.url(), "")?,
        default_model: ModelName {
            provider: "p".into(),
            model: "m".into(),
        },
    };
    let settings = EngineSettings {
        max_runs: 10,
        cancel_grace: PATIENCE,
        retention: Retention::default(),
    };
    let store = Arc::new(SqliteStore::open(folder)?);
    let engine = Engine::new(store, targets::all(&services), settings);
    engine.host(caller());
    engine.start();
    Ok(engine)
}

async fn run(engine: &Engine, calls: Value) -> Result<(Run, Value)> {
    let tenant = Tenant::default();
    let run = NewRun {
        id: RunId::new(),
        thread_id: ThreadId::parse("t").map_err(anyhow::Error::msg)?,
        entrypoint: "caller".into(),
        version: "".into(),
        input: json::from_text(calls.to_string())?,
        config: json::from_text("{}")?,
        labels: BTreeMap::new(),
        branch_from: None,
        concurrency: Concurrency::Enqueue,
        durability: Durability::Sync,
        timeout: None,
        start_after: None,
        request: None,
        claim: false,
        now: Timestamp::now(),
    };
    let request = NewRunRequest {
        entrypoint: "caller".to_owned(),
        version: None,
        run,
    };
    let started = engine.start_run(&tenant, request).await?;
    let run = engine.wait(&tenant, started.id, PATIENCE).await?;
    let run = run.context("no run")?;
    let output = run.output.as_ref().with_context(|| format!("{run:?}"))?;
    let output = serde_json::from_str(output.get())?;
    Ok((run, output))
}

#[tokio::test]
async fn a_model_is_asked_without_a_key_and_its_pieces_are_shown_under_the_call() -> Result<()> {
    let provider = Provider::start([
        Reply::stream(events(&begun(&["half"])[..3])).cut(),
        Reply::stream(spoken(&["Hello ", "you"])),
    ])
    .await?;
    let folder = tempfile::tempdir()?;
    let engine = engine(folder.path(), &provider, "http://127.0.0.1:1").await?;
    let calls = json!([
        ["llm/chat", { "messages": [{ "role": "user", "content": "hi" }], "system": "Be brief." }],
        ["llm/chat", { "messages": "hi" }],
        ["llm/chat", { "model": "nobody:x", "messages": [] }],
    ]);
    let (run, output) = run(&engine, calls).await?;
    assert_eq!(output[0]["content"], "Hello you");
    assert_eq!(
        output[0]["usage"],
        json!({ "input_tokens": 11, "output_tokens": 7 })
    );
    assert_eq!(output[1], json!({ "failed": "INVALID_ARGUMENT" }));
    assert_eq!(output[2], json!({ "failed": "UNKNOWN_MODEL" }));
    assert_eq!(provider.asked().len(), 2);

    let follower = engine.follow(&Tenant::default(), run.id, 0).await?;
    let mut follower = follower.context("no run")?;
    let mut shown = Vec::new();
    while let Some(event) = follower.next().await? {
        if let EventKind::Update { task, call, .. } = &event.kind {
            shown.push((task.to_string(), call.as_ref().map(ToString::to_string)));
        }
    }
    assert_eq!(shown[0], ("llm/chat".to_owned(), Some("0".to_owned())));
    engine.stop().await;
    Ok(())
}

#[tokio::test]
async fn items_are_put_found_read_and_deleted() -> Result<()> {
    let provider = Provider::start([]).await?;
    let mut cluster = Cluster::new()?;
    cluster.start_memory().await?;
    let folder = tempfile::tempdir()?;
    let url = format!("http://{}", cluster.memory()?.grpc());
    let engine = engine(folder.path(), &provider, &url).await?;
    let (namespace, item) = (
        json!(["notes", "1"]),
        json!({ "text": "green tea", "n": 1.0 }),
    );
    let calls = json!([
        ["memory/put", { "namespace": namespace, "key": "k", "value": item }],
        ["memory/put", { "namespace": namespace, "value": { "text": "coffee" } }],
        ["memory/get", { "namespace": namespace, "key": "k" }],
        ["memory/search", { "namespace": ["notes"], "query": "tea", "limit": 1 }],
        ["memory/search", { "namespace": ["notes"], "filter": { "n": { "$gte": 1 } } }],
        ["memory/delete", { "namespace": namespace, "key": "k" }],
        ["memory/get", { "namespace": namespace, "key": "k" }],
        ["memory/put", { "namespace": ["a.b"], "key": "k", "value": {} }],
        ["memory/get", { "namespace": namespace }],
        ["memory/guess", {}],
    ]);
    let (_, output) = run(&engine, calls).await?;
    let found = json!({ "namespace": namespace, "key": "k", "value": item });
    assert_eq!(output[0], json!({ "key": "k" }));
    assert!(
        output[1]["key"].as_str().is_some_and(|key| key.len() == 36),
        "{output}"
    );
    assert_eq!(output[2], found);
    assert_eq!(
        (&output[3][0]["key"], output[3].as_array().map(Vec::len)),
        (&json!("k"), Some(1))
    );
    assert!(output[3][0]["score"].is_number());
    assert_eq!(output[4], json!([found]));
    assert_eq!((&output[5], &output[6]), (&Value::Null, &Value::Null));
    assert_eq!(output[7], json!({ "failed": "MEMORY_REFUSED" }));
    assert_eq!(output[8], json!({ "failed": "INVALID_ARGUMENT" }));
    assert_eq!(output[9], json!({ "failed": "NO_SUCH_TARGET" }));
    engine.stop().await;
    cluster.finish().await
}
