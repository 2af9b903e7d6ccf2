//! The embedder behind HTTP beside a double of providers that others wrote.

use std::{path::Path, process::Stdio, time::Duration};

use memory_service::config::Config;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
    time::timeout,
};
use tonic::Code;
use weft_proto::memory::v1::{self as pb, Ranking};

use crate::{
    partners,
    support::{Calls as _, Running, assert_status, put, query, search},
};

const KEY: &str = "k3y";

/// The double, until it is dropped.
struct Aimock {
    url: String,
    client: reqwest::Client,
    _process: Child,
    folder: TempDir,
}

impl Aimock {
    async fn start(program: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("aimock.json");
        std::fs::write(&config, r#"{"llm":{}}"#).unwrap();
        let mut process = Command::new(program)
            .args(["--port", "0", "--config"])
            .arg(config)
            .env("AIMOCK_API_KEYS", KEY)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let listening = async {
            loop {
                let line = lines.next_line().await.unwrap().unwrap();
                if let Some((_, url)) = line.split_once("listening on ") {
                    return url.to_owned();
                }
            }
        };
        // Another's program on a loaded machine: the bound is for one that hangs.
        let url = timeout(Duration::from_secs(120), listening).await.unwrap();
        // Without any the client would panic; an error says that there is one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Self {
            url,
            client: reqwest::Client::new(),
            _process: process,
            folder,
        }
    }

    fn configure(&self, config: &mut Config) {
        config.embedder = format!("http:{}/v1", self.url);
        config.embedding_model = "text-embedding-3-small".to_owned();
        config.embedding_dims = 24;
        config.embedding_api_key_file = self.folder.path().join("key");
        config.index_paths = vec!["text".to_owned()];
        std::fs::write(&config.embedding_api_key_file, KEY).unwrap();
    }

    async fn control(&self, method: reqwest::Method, path: &str, body: &Value) -> Value {
        let url = format!("{}/__aimock/{path}", self.url);
        let call = self.client.request(method, url).bearer_auth(KEY).json(body);
        let response = call.send().await.unwrap().error_for_status().unwrap();
        response.json().await.unwrap()
    }

    /// Makes every call fail in a way, or none for `{}`.
    async fn misbehave(&self, how: &Value) {
        self.control(reqwest::Method::POST, "chaos", how).await;
    }

    /// How many calls of embeddings were answered with a status.
    async fn answered(&self, status: u16) -> usize {
        let journal = self
            .control(reqwest::Method::GET, "journal", &json!({}))
            .await;
        let entries = journal.as_array().cloned();
        let entries = entries.or_else(|| journal["entries"].as_array().cloned());
        let counts = |entry: &&Value| {
            entry["path"] == "/v1/embeddings" && entry["response"]["status"] == status
        };
        entries.unwrap().iter().filter(counts).count()
    }
}

fn text(text: &str) -> String {
    json!({ "text": text }).to_string()
}

#[tokio::test]
async fn aimock_is_an_embedder_like_any_other() {
    let Some(program) = partners::aimock() else {
        return;
    };
    let aimock = Aimock::start(&program).await;
    let mut running = Running::start_with(|config| aimock.configure(config)).await;
    for words in ["tea", "coffee", "a walk in the rain"] {
        let request = put("a", words, &text(words));
        running.client.put(request).await.unwrap();
    }
    let semantic = |words: &str| pb::SearchItemsRequest {
        ranking: Ranking::Semantic.into(),
        ..query("a", words)
    };
    // Its vectors mean nothing but are those of their texts.
    let hits = running.client.hits(semantic("coffee")).await.unwrap();
    assert_eq!(hits.len(), 3);
    assert_eq!(hits[0].item.as_ref().unwrap().key, "coffee");
    assert!((hits[0].score.unwrap() - 1.0).abs() < 1e-6);
    assert_eq!(aimock.answered(200).await, 1 + 3 + 1);
}

#[tokio::test]
async fn nothing_is_written_while_aimock_misbehaves() {
    let Some(program) = partners::aimock() else {
        return;
    };
    let aimock = Aimock::start(&program).await;
    let mut running = Running::start_with(|config| {
        aimock.configure(config);
        config.embedding_timeout = Duration::from_millis(900);
    })
    .await;
    let client = &mut running.client;
    for how in [
        json!({"rateLimitRate": 1}),
        json!({"dropRate": 1}),
        json!({"malformedRate": 1}),
        json!({"disconnectRate": 1}),
    ] {
        aimock.misbehave(&how).await;
        let refused = client.put(put("a", "k", &text("tea"))).await.unwrap_err();
        assert_status(&refused, Code::Unavailable, "EMBEDDER_UNAVAILABLE");
        assert!(client.keys(search("")).await.is_empty(), "{how}");
    }
    aimock.misbehave(&json!({})).await;
    client.put(put("a", "k", &text("tea"))).await.unwrap();
    assert_eq!(client.keys(query("", "tea")).await, ["k"]);
}

#[tokio::test]
async fn aimock_refuses_a_wrong_key_and_says_why() {
    let Some(program) = partners::aimock() else {
        return;
    };
    let aimock = Aimock::start(&program).await;
    let mut config = Config::default();
    aimock.configure(&mut config);
    std::fs::write(&config.embedding_api_key_file, "another").unwrap();
    let refused = config.embedding().await.err().unwrap().to_string();
    assert!(
        refused.contains("401") && refused.contains("Invalid API key"),
        "{refused}"
    );
    aimock.configure(&mut config);
    let (source, _) = config.embedding_source().unwrap().unwrap();
    let embedder = source.open().await.unwrap();
    assert_eq!(embedder.dims(), 24);
}
