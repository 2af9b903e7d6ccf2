//! A model behind a double, and what it answers.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use e2e::{
    Cluster,
    cluster::WORKFLOW,
    provider::{Provider, Reply},
};
use futures::StreamExt as _;
use serde_json::{Value, json};
use weft_worker::Failure;
use workflow_service::{
    domain::{Concurrency, Durability, RunId, ThreadId, Timestamp},
    engine::NewRunRequest,
    llm::{
        ChatRequest, Models, Piece,
        message::{Message, Role},
        options::Options,
        settings::Providers,
    },
    store::NewRun,
};

/// The wire formats, with the path that each is called at.
pub(crate) const APIS: [(&str, &str); 3] = [
    ("messages", "/v1/messages"),
    ("chat", "/v1/chat/completions"),
    ("responses", "/v1/responses"),
];

/// Models of which the provider `p` speaks `api` at `url`, with settings in TOML.
pub(crate) fn models(api: &str, url: &str, more: &str) -> Result<Models> {
    let text =
        format!("[p]\napi = \"{api}\"\nbase_url = \"{url}/v1\"\napi_key = \"s3cret\"\n{more}");
    let providers: Providers = toml(&text)?;
    Ok(Models::new(&providers, |_| None)?)
}

/// Settings as a file has them.
fn toml(text: &str) -> Result<Providers> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("weft.toml");
    let nested: String = text
        .lines()
        .map(|line| line.replace("[p", "[providers.p") + "\n")
        .collect();
    std::fs::write(&file, nested)?;
    let environment = service_runtime::config::Environment::default();
    let config: workflow_service::Config =
        service_runtime::config::load(&(), Some(&file), &environment)?;
    Ok(config.providers)
}

/// A request that says this.
pub(crate) fn say(text: &str) -> ChatRequest {
    request(vec![Message::new(Role::User, text)], Options::default())
}

/// A request.
pub(crate) fn request(messages: Vec<Message>, options: Options) -> ChatRequest {
    ChatRequest {
        model: "m".into(),
        system: String::new(),
        messages,
        tools: Vec::new(),
        options,
        thread: "t".into(),
    }
}

/// Messages as clients write them.
pub(crate) fn messages(written: &Value) -> Result<Vec<Message>> {
    Ok(serde_json::from_value(written.clone())?)
}

/// Asks the provider `p`: the pieces of text, and the message.
pub(crate) async fn ask(
    models: &Models,
    request: ChatRequest,
) -> Result<(Vec<String>, Message), Failure> {
    let broken = |why: String| Failure::new("TEST_BROKEN", why);
    let name = "p:m".parse().map_err(str::to_owned);
    let model = name.and_then(|name| models.find(&name)).map_err(broken)?;
    let mut pieces = model.stream(request);
    let mut texts = Vec::new();
    while let Some(piece) = pieces.next().await {
        match piece? {
            Piece::Text(text) => texts.push(text),
            Piece::Thinking(_) | Piece::ToolCall { .. } | Piece::Waits(_) | Piece::GoesOn => {}
            Piece::Done(message) => return Ok((texts, *message)),
        }
    }
    Err(broken("no message and no error".to_owned()))
}

/// The message that a provider's stream becomes.
pub(crate) async fn answer_of(api: &str, stream: &str) -> Result<Message, Failure> {
    let broken = |why: anyhow::Error| Failure::new("TEST_BROKEN", why.to_string());
    let provider = Provider::start([Reply::stream(stream)])
        .await
        .map_err(broken)?;
    let models = models(api, provider.url(), "").map_err(broken)?;
    ask(&models, say("hello")).await.map(|(_, message)| message)
}

/// Events of a stream, each with its type as its name, as Messages and Responses have them.
pub(crate) fn events(events: &[Value]) -> String {
    events
        .iter()
        .map(|event| {
            let name = event["type"].as_str().unwrap_or_default();
            format!("event: {name}\ndata: {event}\n\n")
        })
        .collect()
}

/// Chunks of a stream, as Chat Completions has them.
pub(crate) fn chunks(chunks: &[Value]) -> String {
    let lines = chunks.iter().map(|chunk| format!("data: {chunk}\n\n"));
    lines.collect::<String>() + "data: [DONE]\n\n"
}

/// A whole stream of Messages that says `text` in pieces.
pub(crate) fn spoken(pieces: &[&str]) -> String {
    events(&[begun(pieces), vec![json!({"type": "message_stop"})]].concat())
}

/// The same without its end.
pub(crate) fn begun(pieces: &[&str]) -> Vec<Value> {
    let mut all = vec![
        json!({"type": "message_start", "message": {"id": "msg_1", "role": "assistant",
            "content": [], "usage": {"input_tokens": 11, "output_tokens": 1}}}),
        json!({"type": "content_block_start", "index": 0,
            "content_block": {"type": "text", "text": ""}}),
    ];
    for text in pieces {
        all.push(json!({"type": "content_block_delta", "index": 0,
            "delta": {"type": "text_delta", "text": text}}));
    }
    all.push(json!({"type": "content_block_stop", "index": 0}));
    all.push(
        json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"},
        "usage": {"output_tokens": 7}}),
    );
    all
}

/// Both services; workflow-service finds `anthropic` at this URL, and asks it unless a run says
/// otherwise.
pub(crate) async fn cluster(url: &str) -> Result<Cluster> {
    let mut cluster = Cluster::new()?;
    configure(&mut cluster, url);
    cluster.start_memory().await?;
    cluster.start_workflow().await?;
    Ok(cluster)
}

/// Lets workflow-service find `anthropic` at this URL.
pub(crate) fn configure(cluster: &mut Cluster, url: &str) {
    let base_url = format!("{url}/v1");
    for (name, value) in [
        ("WEFT_PROVIDERS__ANTHROPIC__BASE_URL", base_url.as_str()),
        ("ANTHROPIC_API_KEY", "s3cret"),
        ("WEFT_DEFAULT_MODEL", "anthropic:claude"),
    ] {
        cluster.set(WORKFLOW, name, value);
    }
}

/// The output of a run as JSON.
pub(crate) fn output(run: &weft_proto::workflow::v1::Run) -> Result<Value> {
    e2e::payload::read(run.output.as_ref()).with_context(|| format!("{run:?}"))
}

/// A run of an engine in this process, on the thread `t`.
pub(crate) fn new_run(entrypoint: &str, input: &Value, config: &Value) -> Result<NewRunRequest> {
    let run = NewRun {
        id: RunId::new(),
        thread_id: ThreadId::parse("t").map_err(anyhow::Error::msg)?,
        entrypoint: entrypoint.into(),
        version: "".into(),
        input: weft_worker::json::from_text(input.to_string())?,
        config: weft_worker::json::from_text(config.to_string())?,
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
    Ok(NewRunRequest {
        entrypoint: entrypoint.to_owned(),
        version: None,
        run,
    })
}
