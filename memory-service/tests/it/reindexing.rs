//! A service that is given another embedder, and goes over to it while it is served.

use std::{
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use memory_service::config::Config;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
    task::JoinSet,
};
use tonic::Code;
use weft_proto::memory::v1 as pb;

use crate::{
    embedder::Embedder,
    qdrant_server::QdrantServer,
    support::{
        Calls as _, Client, Running, assert_status, connect, delete, get, put, query, value,
    },
};

/// More than are embedded at once, so that it takes several requests.
const ITEMS: usize = 100;

fn document(number: usize) -> String {
    let topic = ["car", "cat", "sun"][number % 3];
    // Of all words that neither embedder knows they have one.
    format!(r#"{{"text":"{topic} note{number}","n":{number}}}"#)
}

async fn fill(client: &mut Client) {
    for number in 0..ITEMS {
        client
            .put(put("a", &format!("k{number:03}"), &document(number)))
            .await
            .unwrap();
    }
}

/// The keys of what means nearly the same as a word, in order.
async fn meaning(client: &mut Client, word: &str) -> Vec<String> {
    let request = pb::SearchItemsRequest {
        ranking: pb::Ranking::Semantic.into(),
        min_score: Some(0.9),
        limit: 1000,
        ..query("", word)
    };
    let mut keys = client.keys(request).await;
    keys.sort();
    keys
}

fn of_topic(topic: usize) -> Vec<String> {
    let numbers = (0..ITEMS).filter(|number| number % 3 == topic);
    numbers.map(|number| format!("k{number:03}")).collect()
}

/// Waits until searches are by the other embedder, and checks that each is by one of both wholly.
async fn switched(client: &mut Client, before: &[String], after: &[String]) {
    loop {
        // Only the other one knows the moon.
        let found = meaning(client, "moon").await;
        if found == after {
            return;
        }
        assert_eq!(found, before);
        tokio::task::yield_now().await;
    }
}

/// A service, or two, on data that is made with one embedder and goes over to another.
struct Stage {
    old: Embedder,
    new: Embedder,
    folder: TempDir,
    server: Option<Arc<QdrantServer>>,
}

impl Stage {
    async fn on(server: Option<Arc<QdrantServer>>) -> Self {
        Self {
            old: Embedder::start().await,
            new: Embedder::start_other().await,
            folder: tempfile::tempdir().unwrap(),
            server,
        }
    }

    async fn serve(&self, configure: impl FnOnce(&mut Config)) -> Running {
        Running::start_on(self.server.clone(), |config| {
            config.data_dir = self.folder.path().into();
            configure(config);
        })
        .await
    }

    async fn serve_old(&self) -> Running {
        self.serve(|config| self.old.configure(config)).await
    }

    async fn serve_both(&self) -> Running {
        self.serve(|config| {
            self.new.configure(config);
            self.old.configure_former(config);
        })
        .await
    }
}

async fn goes_over_while_it_is_served(server: Option<Arc<QdrantServer>>) {
    let stage = Stage::on(server).await;
    let mut running = stage.serve_old().await;
    fill(&mut running.client).await;
    let mortal = pb::PutItemRequest {
        ttl: Some(prost_types::Duration {
            seconds: 60,
            nanos: 0,
        }),
        ..put("a", "mortal", r#"{"text":"sun"}"#)
    };
    running.client.put(mortal).await.unwrap();
    running.stop().await;

    // The first request tells the dimensions.
    let mut running = stage.serve_both_held().await;
    let client = &mut running.client;
    // As long as nothing is in the new index, all is as it was, writes too.
    assert_eq!(meaning(client, "automobile").await, of_topic(0));
    assert!(meaning(client, "moon").await.is_empty());
    let changed = put("a", "k000", r#"{"text":"sun"}"#);
    let changed = client.put(changed).await.unwrap();
    client
        .put(put("a", "k999", r#"{"text":"sun"}"#))
        .await
        .unwrap();
    client.delete_item(delete("a", "k002")).await.unwrap();
    client.delete_item(delete("a", "k003")).await.unwrap();
    client
        .put(put("a", "k003", r#"{"text":"cat"}"#))
        .await
        .unwrap();
    let mut suns = of_topic(2);
    suns.retain(|key| key != "k002");
    suns.insert(0, "k000".to_owned());
    suns.push("k999".to_owned());
    let mut with_mortal = suns.clone();
    with_mortal.push("mortal".to_owned());
    assert_eq!(meaning(client, "sun").await, with_mortal);
    running.clock.advance(Duration::from_secs(61));
    assert_eq!(meaning(client, "sun").await, suns);
    let old_words = lexical(client, "cat").await;

    stage.new.release();
    switched(client, &[], &suns).await;
    assert!(meaning(client, "automobile").await.is_empty());
    let mut lorries = of_topic(0);
    lorries.retain(|key| key != "k000" && key != "k003");
    assert_eq!(meaning(client, "lorry").await, lorries);
    let mut kittens = of_topic(1);
    kittens.push("k003".to_owned());
    kittens.sort();
    assert_eq!(meaning(client, "kitten").await, kittens);
    assert_eq!(lexical(client, "cat").await, old_words);
    // Items are what they were.
    let item = client.get(get("a", "k000")).await.unwrap();
    assert_eq!(item.etag, changed.etag);
    assert_eq!(value(&item), r#"{"text":"sun"}"#);

    // What is written from now on is found, and needs the new embedder only.
    stage.old.requests();
    client
        .put(put("a", "late", r#"{"text":"moon"}"#))
        .await
        .unwrap();
    suns.push("late".to_owned());
    assert_eq!(meaning(client, "sun").await, suns);
    assert!(stage.old.requests().is_empty());

    // The former one need not be there any more, and is not accepted any more.
    running.stop().await;
    let mut running = stage.serve(|config| stage.new.configure(config)).await;
    // Its clock has stepped back to when this one had not expired: it is in the new index, too.
    suns.push("mortal".to_owned());
    assert_eq!(meaning(&mut running.client, "sun").await, suns);
    running.stop().await;
    let refused = stage.refused(|config| stage.old.configure(config)).await;
    for named in [
        "`http:other` with 5 dimensions",
        "`http:double` with 4 dimensions",
    ] {
        assert!(refused.contains(named), "{refused}");
    }
}

async fn lexical(client: &mut Client, word: &str) -> Vec<(String, u64)> {
    let request = pb::SearchItemsRequest {
        ranking: pb::Ranking::Lexical.into(),
        limit: 1000,
        ..query("", word)
    };
    let hits = client.hits(request).await.unwrap();
    let shown = |hit: pb::SearchHit| (hit.item.unwrap().key, hit.score.unwrap().to_bits());
    hits.into_iter().map(shown).collect()
}

impl Stage {
    /// Serves with both; the new embedder holds back whatever it is to embed.
    async fn serve_both_held(&self) -> Running {
        self.new.hold_after(1);
        let running = self.serve_both().await;
        self.new.holds().await;
        running
    }

    /// Why a service does not start.
    async fn refused(&self, configure: impl FnOnce(&mut Config)) -> String {
        Running::refused_on(self.server.clone(), |config| {
            config.data_dir = self.folder.path().into();
            configure(config);
        })
        .await
    }
}

impl Stage {
    /// What holds the indexes: folders of the engine, or vectors of the collection.
    async fn indexes(&self) -> Vec<String> {
        let mut names = match &self.server {
            Some(server) => server.vectors().await,
            None => {
                let entries = std::fs::read_dir(self.folder.path().join("memory")).unwrap();
                let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
                names.filter(|name| name.starts_with("engine")).collect()
            }
        };
        names.sort();
        names
    }
}

async fn the_former_index_goes_away(server: Option<Arc<QdrantServer>>) {
    let expected = match server {
        Some(_) => vec!["meanings_2", "words_2"],
        None => vec!["engine.2"],
    };
    let stage = Stage::on(server).await;
    let mut running = stage.serve_old().await;
    fill(&mut running.client).await;
    running.stop().await;
    let mut running = stage.serve_both().await;
    switched(&mut running.client, &[], &of_topic(2)).await;
    assert_eq!(stage.indexes().await.len(), 2 * expected.len());
    while stage.indexes().await != expected {
        // Searches that began before the switch could take that long.
        running.clock.advance(Duration::from_secs(10 * 60));
        tokio::task::yield_now().await;
    }
    assert_eq!(meaning(&mut running.client, "moon").await, of_topic(2));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_of_the_former_index_of_a_folder() {
    the_former_index_goes_away(None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_of_the_former_index_of_a_collection() {
    the_former_index_goes_away(Some(Arc::new(QdrantServer::start()))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn from_no_embedder_to_one_and_back() {
    let new = Embedder::start_other().await;
    let folder = tempfile::tempdir().unwrap();
    let serve = async |configure: &dyn Fn(&mut Config)| {
        Running::start_on(None, |config| {
            config.data_dir = folder.path().into();
            config.index_paths = vec!["text".to_owned()];
            config.former_index_paths = vec!["text".to_owned()];
            configure(config);
        })
        .await
    };
    let mut running = serve(&|_| ()).await;
    fill(&mut running.client).await;
    let words = lexical(&mut running.client, "sun").await;
    running.stop().await;

    new.hold_after(1);
    let mut running = serve(&|config| {
        new.configure(config);
        config.former_embedder = "none".to_owned();
    })
    .await;
    let client = &mut running.client;
    let semantic = pb::SearchItemsRequest {
        ranking: pb::Ranking::Semantic.into(),
        ..query("", "moon")
    };
    let refused = client.hits(semantic.clone()).await.unwrap_err();
    assert_status(&refused, Code::FailedPrecondition, "EMBEDDER_MISSING");
    new.release();
    while client.hits(semantic.clone()).await.is_err() {
        tokio::task::yield_now().await;
    }
    assert_eq!(meaning(client, "moon").await, of_topic(2));
    running.stop().await;

    let mut running = serve(&|config| new.configure_former(config)).await;
    let client = &mut running.client;
    while client.hits(semantic.clone()).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert_eq!(lexical(client, "sun").await, words);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_index_paths_and_another_template_are_another_index() {
    let stage = Stage::on(None).await;
    let mut running = stage.serve_old().await;
    fill(&mut running.client).await;
    running.stop().await;
    let numbers = |config: &mut Config| config.index_paths = vec!["n".to_owned()];
    let refused = stage
        .refused(|config| {
            stage.old.configure(config);
            numbers(config);
        })
        .await;
    assert!(
        refused.contains("over `text`") && refused.contains("over `n`"),
        "{refused}"
    );
    let mut running = stage
        .serve(|config| {
            stage.old.configure(config);
            stage.old.configure_former(config);
            numbers(config);
        })
        .await;
    while lexical(&mut running.client, "57").await.is_empty() {
        tokio::task::yield_now().await;
    }
    assert!(lexical(&mut running.client, "sun").await.is_empty());
    running.stop().await;

    let mut running = stage
        .serve(|config| {
            stage.old.configure(config);
            stage.old.configure_former(config);
            config.former_index_paths = vec!["n".to_owned()];
            config.embedding_template = "cat {text}".to_owned();
        })
        .await;
    while meaning(&mut running.client, "kitten").await.len() < of_topic(1).len() {
        tokio::task::yield_now().await;
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_gives_up_has_what_there_was_and_can_begin_again() {
    let stage = Stage::on(None).await;
    let mut running = stage.serve_old().await;
    fill(&mut running.client).await;
    running.stop().await;
    stage.serve_both_held().await.stop().await;
    assert_eq!(stage.indexes().await, ["engine", "engine.2"]);
    stage.new.release();
    let refused = stage.refused(|config| stage.new.configure(config)).await;
    assert!(refused.contains("--former-embedder"), "{refused}");
    let mut running = stage.serve_old().await;
    assert_eq!(stage.indexes().await, ["engine"]);
    assert_eq!(
        meaning(&mut running.client, "automobile").await,
        of_topic(0)
    );
    running.stop().await;
    let mut running = stage.serve_both().await;
    switched(&mut running.client, &[], &of_topic(2)).await;
    running.stop().await;
}

/// A process of the real binary.
async fn start(stage: &Stage, flags: &[Vec<String>]) -> (Child, Client) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_memory-service"));
    command
        .args(["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"])
        .args(["--log", "warn", "--data-dir"])
        .arg(stage.folder.path())
        .args(flags.concat())
        .stdout(Stdio::piped())
        .kill_on_drop(true);
    if let Some(server) = &stage.server {
        server.name(&mut command);
    }
    let mut process = command.spawn().unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let line = lines.next_line().await.unwrap().unwrap();
    let addresses: serde_json::Value = serde_json::from_str(&line).unwrap();
    let client = connect(addresses["grpc"].as_str().unwrap()).await;
    (process, client)
}

async fn a_killed_one_goes_on(server: Option<Arc<QdrantServer>>) {
    let stage = Stage::on(server).await;
    let old = stage.old.flags("");
    let both = [stage.new.flags(""), stage.old.flags("former-")];
    let (mut process, mut client) = start(&stage, std::slice::from_ref(&old)).await;
    fill(&mut client).await;
    process.kill().await.unwrap();

    // One request tells the dimensions, two embed a part.
    stage.new.hold_after(3);
    let (mut process, mut client) = start(&stage, &both).await;
    stage.new.holds().await;
    client
        .put(put("a", "k000", r#"{"text":"sun"}"#))
        .await
        .unwrap();
    client.delete_item(delete("a", "k002")).await.unwrap();
    process.kill().await.unwrap();

    stage.new.release();
    stage.new.texts();
    let (mut process, mut client) = start(&stage, &both).await;
    let mut suns = of_topic(2);
    suns.retain(|key| key != "k002");
    suns.insert(0, "k000".to_owned());
    switched(&mut client, &[], &suns).await;
    let embedded = stage.new.requests();
    let embedded: usize = embedded
        .iter()
        .map(|(request, _)| request["input"].as_array().unwrap().len())
        .sum();
    assert!(embedded < ITEMS, "{embedded}");
    // Right after the switch, too, nothing is lost.
    process.kill().await.unwrap();
    let (mut process, mut client) = start(&stage, &[stage.new.flags("")]).await;
    assert_eq!(meaning(&mut client, "moon").await, suns);
    process.kill().await.unwrap();
    let refused = stage.refused(|config| stage.old.configure(config)).await;
    assert!(refused.contains("`http:other`") && refused.contains("`http:double`"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_service_goes_on_with_what_is_left_of_a_folder() {
    a_killed_one_goes_on(None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_service_goes_on_with_what_is_left_of_a_collection() {
    a_killed_one_goes_on(Some(Arc::new(QdrantServer::start()))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_go_over_together_and_the_one_that_cannot_is_sent_away() {
    let stage = Stage::on(Some(Arc::new(QdrantServer::start()))).await;
    let mut old = stage.serve_old().await;
    fill(&mut old.client).await;
    let mut one = stage.serve_both_held().await;
    let mut other = stage.serve_both_held().await;
    // A replica that knows nothing of it goes on meanwhile.
    old.client
        .put(put("a", "k000", r#"{"text":"sun"}"#))
        .await
        .unwrap();
    one.client
        .put(put("a", "k998", r#"{"text":"sun"}"#))
        .await
        .unwrap();
    other.client.delete_item(delete("a", "k002")).await.unwrap();
    let mut suns = of_topic(2);
    suns.retain(|key| key != "k002");
    suns.insert(0, "k000".to_owned());
    suns.push("k998".to_owned());
    for replica in [&mut old, &mut one, &mut other] {
        assert_eq!(meaning(&mut replica.client, "sun").await, suns);
    }

    stage.new.release();
    switched(&mut one.client, &[], &suns).await;
    // Whoever asks after that is answered like that, wherever.
    assert_eq!(meaning(&mut other.client, "moon").await, suns);
    other
        .client
        .put(put("a", "k999", r#"{"text":"moon"}"#))
        .await
        .unwrap();
    suns.push("k999".to_owned());
    for replica in [&mut one, &mut other] {
        assert_eq!(meaning(&mut replica.client, "moon").await, suns);
    }
    let refused = old.client.put(put("a", "k000", "{}")).await.unwrap_err();
    assert_status(&refused, Code::Unavailable, "STORE_UNAVAILABLE");
    assert_eq!(meaning(&mut one.client, "moon").await, suns);
    for replica in [old, one, other] {
        replica.stop().await;
    }
}

/// Writers that never rest, through two replicas, while everything goes over.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_all_the_while_is_in_the_new_index() {
    for server in [None, Some(Arc::new(QdrantServer::start()))] {
        let stage = Stage::on(server).await;
        let mut running = stage.serve_old().await;
        fill(&mut running.client).await;
        running.stop().await;
        let mut replicas = vec![stage.serve_both_held().await];
        if stage.server.is_some() {
            replicas.push(stage.serve_both_held().await);
        }
        let mut writers = JoinSet::new();
        let done = Arc::<AtomicBool>::default();
        for writer in 0..4 {
            let mut client = replicas[writer % replicas.len()].client.clone();
            let done = done.clone();
            writers.spawn(async move {
                let mut last = Vec::new();
                for round in 0.. {
                    last.clear();
                    for number in (writer..ITEMS).step_by(4) {
                        let key = format!("k{number:03}");
                        let topic = ["car", "cat", "sun"][(number + round) % 3];
                        if (number + round) % 7 == 0 {
                            client.delete_item(delete("a", &key)).await.unwrap();
                        } else {
                            let text = format!(r#"{{"text":"{topic}"}}"#);
                            client.put(put("a", &key, &text)).await.unwrap();
                            last.push((key, topic));
                        }
                    }
                    if done.load(Ordering::SeqCst) {
                        return last;
                    }
                }
                last
            });
        }
        stage.new.release();
        for replica in &mut replicas {
            while meaning(&mut replica.client, "moon").await.is_empty() {
                tokio::task::yield_now().await;
            }
        }
        done.store(true, Ordering::SeqCst);
        let written = writers.join_all().await.concat();
        for replica in &mut replicas {
            for (topic, word) in [("car", "lorry"), ("cat", "kitten"), ("sun", "moon")] {
                let of_topic = written.iter().filter(|(_, of)| *of == topic);
                let mut keys: Vec<_> = of_topic.map(|(key, _)| key.clone()).collect();
                keys.sort();
                assert_eq!(meaning(&mut replica.client, word).await, keys);
            }
        }
        for replica in replicas {
            replica.stop().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_goes_over_to_another_embedder_while_it_is_served() {
    Box::pin(goes_over_while_it_is_served(None)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collection_goes_over_to_another_embedder_while_it_is_served() {
    let server = Arc::new(QdrantServer::start());
    Box::pin(goes_over_while_it_is_served(Some(server))).await;
}
