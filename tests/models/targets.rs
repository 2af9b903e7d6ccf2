//! Calls of `llm/chat` and `memory/*`: what any entrypoint has the service do.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use e2e::{
    Cluster, PATIENCE,
    provider::{Provider, Reply},
    within,
};
use serde_json::{Value, json};
use service_runtime::Tenant;
use weft_worker::{Context, Entrypoint, Failure, Target, Worker};
use workflow_service::{
    domain::{Event, EventKind},
    engine::{Engine, EngineSettings, Retention},
    llm::{ModelName, retry},
    memory::MemoryClient,
    store::sqlite::SqliteStore,
    targets,
    workflows::Services,
};

use crate::support::{begun, events, models, new_run, spoken};

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

/// An engine with the targets of the service, whose provider speaks Messages.
async fn engine(folder: &std::path::Path, provider: &Provider, memory_url: &str) -> Result<Engine> {
    engine_of(folder, "messages", provider, memory_url).await
}

async fn engine_of(
    folder: &std::path::Path,
    api: &str,
    provider: &Provider,
    memory_url: &str,
) -> Result<Engine> {
    let services = Services {
        memory: MemoryClient::new(memory_url, PATIENCE)?,
        models: models(api, provider.url(), "")?,
        default_model: ModelName {
            provider: "p".into(),
            model: "m".into(),
        },
    };
    let settings = EngineSettings {
        max_runs: 10,
        cancel_grace: PATIENCE,
        task_wait: PATIENCE,
        retention: Retention::default(),
    };
    let store = Arc::new(SqliteStore::open(folder)?);
    let engine = Engine::new(store, targets::all(&services), settings);
    engine.host(caller());
    engine.start();
    Ok(engine)
}

async fn run(engine: &Engine, calls: Value) -> Result<Value> {
    Ok(followed(engine, calls).await?.1)
}

/// What a run streams, and its output.
async fn followed(engine: &Engine, calls: Value) -> Result<(Vec<Arc<Event>>, Value)> {
    let request = new_run("caller", &calls, &json!({}))?;
    let tenant = Tenant::default();
    let mut follower = engine.start_and_follow(&tenant, request, 0).await?;
    let mut events = Vec::new();
    while let Some(event) = within("an event", follower.next()).await?? {
        events.push(event);
    }
    let output = events.iter().find_map(|event| match &event.kind {
        EventKind::Value(output) => Some(output),
        _ => None,
    });
    let output = output.with_context(|| format!("{:?}", events.last()))?;
    let output = serde_json::from_str(output.get())?;
    Ok((events, output))
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
    let (events, output) = followed(&engine, calls).await?;
    assert_eq!(output[0]["content"], "Hello you");
    assert_eq!(
        output[0]["usage"],
        json!({ "input_tokens": 11, "output_tokens": 7 })
    );
    assert_eq!(output[1], json!({ "failed": "INVALID_ARGUMENT" }));
    assert_eq!(output[2], json!({ "failed": "UNKNOWN_MODEL" }));
    assert_eq!(provider.asked().len(), 2);

    // The half answer is taken back, and the recorded one comes after all of its pieces.
    let mut shown = Vec::new();
    for event in &events {
        let (task, call, what) = match &event.kind {
            EventKind::Message { reset: true, .. } => {
                shown.clear();
                continue;
            }
            EventKind::Message {
                task, call, piece, ..
            } => (task, Some(call), piece.text.clone()),
            EventKind::Update { task, call, .. } => (task, call.as_ref(), "recorded".to_owned()),
            _ => continue,
        };
        shown.push((task.to_string(), call.map(ToString::to_string), what));
    }
    let of_call = shown
        .iter()
        .take_while(|(task, call, _)| task == "llm/chat" && call.as_deref() == Some("0"));
    let text: Vec<_> = of_call.map(|(_, _, what)| what.as_str()).collect();
    assert_eq!(text.concat(), "Hello yourecorded");
    engine.stop().await;
    Ok(())
}

#[tokio::test]
async fn all_runs_of_a_thread_ask_for_one_prompt_cache() -> Result<()> {
    let said = json!({"type": "message", "role": "assistant",
        "content": [{"type": "output_text", "text": "hello"}]});
    let stream = events(&[json!({"type": "response.completed",
        "response": {"status": "completed", "output": [said]}})]);
    let replies = [Reply::stream(stream.clone()), Reply::stream(stream)];
    let provider = Provider::start(replies).await?;
    let folder = tempfile::tempdir()?;
    let engine = engine_of(folder.path(), "responses", &provider, "http://127.0.0.1:1").await?;
    let question = json!({ "messages": [{ "role": "user", "content": "hi" }],
        "options": { "cache": "5m" } });
    for _ in 0..2 {
        let output = run(&engine, json!([["llm/chat", question]])).await?;
        assert_eq!(output[0]["content"], "hello");
    }
    let asked = provider.asked();
    let keys: Vec<_> = asked
        .iter()
        .map(|asked| asked.body["prompt_cache_key"].as_str())
        .collect();
    assert!(keys[0].is_some());
    assert_eq!(keys[0], keys[1]);
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
    let output = run(&engine, calls).await?;
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
