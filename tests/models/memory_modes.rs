//! What `chat` remembers, and who decides it.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use e2e::{
    Cluster, chat,
    conversation::memories_of,
    memories::{items_under, values_under},
    payload,
    provider::{Provider, Reply},
    runs::invoke,
};
use serde_json::{Value, json};
use service_runtime::Tenant;
use tokio::time::Instant;
use weft_proto::workflow::v1::{Run, StartRunRequest, run::State};
use weft_worker::Worker;
use workflow_service::{
    domain::RunState,
    engine::{Engine, EngineSettings, Retention, Targets},
    llm::{ModelName, Models, settings::Providers},
    memory::MemoryClient,
    store::sqlite::SqliteStore,
    workflows::{Services, chat::Chat},
};

use crate::support::{cluster, configure, new_run, output, spoken};

fn run(thread: &str, text: &str, memory: &Value) -> StartRunRequest {
    let config = json!({ "user_id": "1", "memory": memory });
    StartRunRequest {
        config: Some(payload::json(&config)),
        ..chat(thread, "1", text)
    }
}

/// An answer in one piece, of Messages.
fn whole(text: &str) -> Reply {
    Reply::json(
        200,
        &json!({"content": [{"type": "text", "text": text}], "stop_reason": "end_turn"}),
    )
}

async fn said(cluster: &Cluster, run: StartRunRequest) -> Result<Value> {
    let run: Run = invoke(&mut cluster.workflow_client()?, run).await?;
    assert_eq!(run.state(), State::Succeeded, "{run:?}");
    output(&run)
}

#[tokio::test]
async fn in_mode_tool_the_model_decides_what_to_remember() -> Result<()> {
    let cluster = Cluster::start().await?;
    let tool = json!({ "mode": "tool" });
    let answer = said(&cluster, run("1", "Remember: I like tea", &tool)).await?;
    assert_eq!(answer["stop_reason"], "end_turn");
    let mut memory = cluster.memory_client()?;
    let known = values_under(&mut memory, &memories_of("1")).await?;
    assert_eq!(known, [json!({ "data": "Remember: I like tea" })]);
    let later = said(&cluster, run("2", "what do I like?", &tool)).await?;
    assert!(
        later["content"].as_str().unwrap().contains("I like tea"),
        "{later}"
    );
    cluster.finish().await
}

#[tokio::test]
async fn in_mode_extract_what_is_known_is_updated_and_deleted() -> Result<()> {
    let first = json!({"memories": [
        {"action": "add", "key": null, "data": "The user likes tea."},
        {"action": "add", "key": null, "data": "The user lives in Rome."},
    ]});
    let provider = Provider::start([
        Reply::stream(spoken(&["Noted."])),
        whole(&format!("```json\n{first}\n```")),
    ])
    .await?;
    let mut cluster = cluster(provider.url()).await?;
    let extract = json!({ "mode": "extract" });
    said(&cluster, run("1", "I like tea and live in Rome", &extract)).await?;
    let mut memory = cluster.memory_client()?;
    let items = items_under(&mut memory, &memories_of("1")).await?;
    assert_eq!(items.len(), 2);
    let asked = provider.asked();
    assert_eq!(
        asked[1].body["output_config"]["format"]["type"],
        "json_schema"
    );
    assert!(asked[1].body.get("stream").is_none());

    let key = |data: &str| {
        let item = items
            .iter()
            .find(|item| payload::read(item.value.as_ref()).unwrap() == json!({ "data": data }));
        item.unwrap().key.clone()
    };
    let second = json!({"memories": [
        {"action": "update", "key": key("The user lives in Rome."), "data": "The user lives in Oslo."},
        {"action": "delete", "key": key("The user likes tea."), "data": null},
    ]});
    let provider =
        Provider::start([Reply::stream(spoken(&["Oh."])), whole(&second.to_string())]).await?;
    configure(&mut cluster, provider.url());
    cluster.take_workflow()?.terminate().await?;
    cluster.start_workflow().await?;
    let text = "I like tea no more and live in Oslo, not in Rome";
    said(&cluster, run("2", text, &extract)).await?;
    let known = values_under(&mut memory, &memories_of("1")).await?;
    assert_eq!(known, [json!({ "data": "The user lives in Oslo." })]);
    let told = &provider.asked()[1].body["messages"][0]["content"][0]["text"];
    assert!(
        told.as_str().unwrap().contains("lives in Rome"),
        "it is told what is known: {told}"
    );
    cluster.finish().await
}

#[tokio::test]
async fn in_mode_extract_nothing_is_lost_to_bad_json() -> Result<()> {
    let provider = Provider::start([
        Reply::stream(spoken(&["Noted."])),
        whole("I would remember that the user likes tea."),
        whole("{\"memories\": ["),
        whole("[]"),
    ])
    .await?;
    let cluster = cluster(provider.url()).await?;
    let answer = said(
        &cluster,
        run("1", "I like tea", &json!({ "mode": "extract" })),
    )
    .await?;
    assert_eq!(answer["content"], "Noted.");
    assert!(
        answer["notice"]
            .as_str()
            .unwrap()
            .contains("stored as it is"),
        "{answer}"
    );
    let asked = provider.asked();
    assert_eq!(asked.len(), 4);
    let complaint = &asked[2].body["messages"][2]["content"][0]["text"];
    assert!(complaint.as_str().unwrap().contains("JSON"), "{complaint}");
    let known = values_under(&mut cluster.memory_client()?, &memories_of("1")).await?;
    assert_eq!(known, [json!({ "data": "I like tea" })]);
    cluster.finish().await
}

#[tokio::test]
async fn limits_floors_and_rankings_reach_memory() -> Result<()> {
    let provider = Provider::start((0..4).map(|_| Reply::stream(spoken(&["ok"])))).await?;
    let cluster = cluster(provider.url()).await?;
    for text in ["Remember: I like tea", "Remember: I like green tea"] {
        said(&cluster, run("1", text, &json!({}))).await?;
    }
    let told = |number: usize| {
        let body = &provider.asked()[number].body;
        let system = body["system"][0]["text"].as_str().unwrap_or_default();
        system.matches("Remember").count()
    };
    said(
        &cluster,
        run("2", "tea?", &json!({ "limit": 1, "ranking": "lexical" })),
    )
    .await?;
    assert_eq!(told(2), 1);
    said(&cluster, run("3", "tea?", &json!({ "min_score": 1000.0 }))).await?;
    assert_eq!(told(3), 0);
    cluster.finish().await
}

#[tokio::test]
async fn a_run_goes_on_without_memory_if_it_may_and_says_so() -> Result<()> {
    let mut cluster = Cluster::new()?;
    cluster.start_memory().await?;
    cluster.start_workflow().await?;
    cluster.take_memory()?.kill().await?;
    let text = "Remember: my name is Bob";
    let answer = said(
        &cluster,
        run("1", text, &json!({ "when_away": "continue" })),
    )
    .await?;
    assert!(
        answer["content"].as_str().unwrap().contains("Bob"),
        "{answer}"
    );
    let notice = answer["notice"].as_str().unwrap();
    assert!(notice.contains("memory was away"), "{notice}");
    cluster.finish().await
}

/// Time moves on as soon as there is nothing else to do.
#[tokio::test(start_paused = true)]
async fn a_run_that_must_not_go_on_without_memory_waits_for_it_and_then_fails_and_says_why()
-> Result<()> {
    let services = Services {
        // Where nobody listens.
        memory: MemoryClient::new("http://127.0.0.1:1", Duration::from_secs(5))?,
        models: Models::new(&Providers::default(), |_| None)?,
        default_model: ModelName {
            provider: "echo".into(),
            model: "offline".into(),
        },
    };
    let folder = tempfile::tempdir()?;
    let settings = EngineSettings {
        max_runs: 1,
        cancel_grace: Duration::ZERO,
        task_wait: Duration::ZERO,
        retention: Retention::default(),
    };
    let store = Arc::new(SqliteStore::open(folder.path())?);
    let engine = Engine::new(store, Targets::default(), settings);
    engine.host(Worker::new().entrypoint(Chat { services }.entrypoint()));
    engine.start();
    let begin = Instant::now();
    let (tenant, chat) = (
        Tenant::default(),
        new_run("chat", &json!("hello"), &json!({ "user_id": "1" }))?,
    );
    let id = chat.run.id;
    let mut events = engine.start_and_follow(&tenant, chat, 0).await?;
    // Waits without a limit: it would be over as soon as the disk is waited for.
    while events.next().await?.is_some() {}
    let run = engine.run(&tenant, id).await?;
    let run = run.context("no run")?;
    assert_eq!(run.state, RunState::Failed);
    let failure = run.failure.context("no failure")?;
    assert_eq!(failure.reason, "MEMORY_UNAVAILABLE");
    assert_eq!(
        failure.call.map(|call| call.task).as_deref(),
        Some("recall")
    );
    assert!(begin.elapsed() >= Duration::from_secs(40));
    engine.stop().await;
    Ok(())
}
