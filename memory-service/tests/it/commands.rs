//! The binary's commands, the data they work on, and what can be seen of it.

use std::{collections::BTreeSet, fs, path::Path, process::Output, sync::Arc};

use memory_service::config::Config;
use tempfile::TempDir;
use tokio::process::Command;
use weft_proto::{common::v1::PayloadForm, memory::v1 as pb};

use crate::{
    embedder::Embedder,
    qdrant_server::QdrantServer,
    support::{Calls as _, Client, Running, engine_is_qdrant, put, query, value},
};

/// What commands work on.
pub(crate) trait Place {
    /// Lets the binary find it.
    fn name(&self, process: &mut Command);
}

impl Place for Path {
    fn name(&self, process: &mut Command) {
        process.arg("--data-dir").arg(self);
    }
}

/// Data of a service: in a folder, or in a Qdrant collection.
pub(crate) struct Data {
    folder: TempDir,
    pub(crate) server: Option<Arc<QdrantServer>>,
}

impl Data {
    /// Where the engine under test keeps it.
    pub(crate) fn of_engine() -> Self {
        if engine_is_qdrant() {
            Self::in_collection()
        } else {
            Self::in_folder()
        }
    }

    pub(crate) fn in_folder() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            server: None,
        }
    }

    pub(crate) fn in_collection() -> Self {
        Self {
            server: Some(Arc::new(QdrantServer::start())),
            ..Self::in_folder()
        }
    }

    /// A file beside it.
    pub(crate) fn file(&self, name: &str) -> String {
        let path = self.folder.path().join(name);
        path.into_os_string().into_string().unwrap()
    }

    pub(crate) async fn serve(&self, embedder: Option<&Embedder>) -> Running {
        Running::start_on(self.server.clone(), |config| {
            if let Some(embedder) = embedder {
                embedder.configure(config);
            }
            config.index_paths = vec!["text".to_owned()];
            config.data_dir = self.folder.path().into();
        })
        .await
    }
}

impl Place for Data {
    fn name(&self, process: &mut Command) {
        let Some(server) = &self.server else {
            return self.folder.path().name(process);
        };
        server.name(process);
    }
}

/// The binary on a place, with the embedder if there is one, and with its last arguments.
pub(crate) fn process(
    place: &(impl Place + ?Sized),
    embedder: Option<&Embedder>,
    command: &[&str],
) -> Command {
    let mut process = Command::new(env!("CARGO_BIN_EXE_memory-service"));
    process.args(["--log", "error", "--index-paths", "text"]);
    place.name(&mut process);
    if let Some(embedder) = embedder {
        let mut config = Config::default();
        embedder.configure(&mut config);
        process.args([
            "--embedder",
            &config.embedder,
            "--embedding-model",
            &config.embedding_model,
        ]);
    }
    process.args(command);
    process
}

async fn run(
    place: &(impl Place + ?Sized),
    embedder: Option<&Embedder>,
    command: &[&str],
) -> Output {
    process(place, embedder, command).output().await.unwrap()
}

pub(crate) async fn succeed(
    place: &(impl Place + ?Sized),
    embedder: Option<&Embedder>,
    command: &[&str],
) -> String {
    let output = run(place, embedder, command).await;
    let complaint = String::from_utf8(output.stderr).unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{told}{complaint}");
    told
}

pub(crate) async fn fail(
    place: &(impl Place + ?Sized),
    embedder: Option<&Embedder>,
    command: &[&str],
) -> String {
    let output = run(place, embedder, command).await;
    assert!(!output.status.success(), "{output:?}");
    String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
}

pub(crate) const ITEMS: usize = 600;

/// Items of every kind.
pub(crate) async fn fill(client: &mut Client) {
    for number in 0..ITEMS {
        let topic = ["car", "cat", "sun"][number % 3];
        let document = format!(
            r#"{{"b":{number}.0,"a":1e400,"text":"{topic} word{number}","say":"\u0000 語"}}"#
        );
        let indexing = match number % 5 {
            3 => Some((true, vec![])),
            4 => Some((false, vec!["say".to_owned(), "text".to_owned()])),
            _ => None,
        };
        let days = Some(prost_types::Duration {
            seconds: 100 * 86_400,
            nanos: 0,
        });
        let request = pb::PutItemRequest {
            indexing: indexing.map(|(disabled, paths)| pb::Indexing { disabled, paths }),
            ttl: days.filter(|_| number % 7 == 0),
            ..put(
                &format!("kept.{}", number % 4),
                &format!("k{number}"),
                &document,
            )
        };
        client.put(request).await.unwrap();
    }
}

/// Everything that callers can see of the data.
pub(crate) async fn seen(client: &mut Client, ranking: pb::Ranking) -> Vec<String> {
    let request = pb::ListItemsRequest {
        page_size: 1000,
        payload_form: PayloadForm::Text.into(),
        ..Default::default()
    };
    let listed = client.list_items(request).await.unwrap().into_inner();
    let mut seen: Vec<_> = listed
        .items
        .iter()
        .map(|item| format!("{} {item:?}", value(item)))
        .collect();
    for words in ["car", "word100 word200", "sun word5"] {
        let request = pb::SearchItemsRequest {
            limit: 50,
            ranking: ranking.into(),
            ..query("kept", words)
        };
        let hits = client.hits(request).await.unwrap();
        let shown = |hit: pb::SearchHit| (hit.item.map(|item| item.key), hit.score);
        seen.push(format!(
            "{:?}",
            hits.into_iter().map(shown).collect::<Vec<_>>()
        ));
    }
    seen
}

pub(crate) fn lines(file: &str) -> BTreeSet<String> {
    let text = fs::read_to_string(file).unwrap();
    text.lines().map(str::to_owned).collect()
}
