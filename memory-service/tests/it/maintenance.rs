//! The commands of the binary: all data written to a file, read back, checked, indexed anew.

use std::{collections::BTreeSet, fs, path::Path, process::Output};

use memory_service::config::Config;
use qdrant_edge::{DeletePayloadOp, EdgeShard, Filter, PayloadOps, UpdateOperation};
use tempfile::TempDir;
use tokio::process::Command;
use weft_proto::{common::v1::PayloadForm, memory::v1 as pb};

use crate::{
    embedder::{Embedder, Fault},
    support::{Calls as _, Client, Running, put, query, value},
};

/// Runs the binary on a folder, with the embedder if there is one, and with its last arguments.
async fn run(folder: &Path, embedder: Option<&Embedder>, command: &[&str]) -> Output {
    let mut process = Command::new(env!("CARGO_BIN_EXE_memory-service"));
    process.args(["--log", "error", "--index-paths", "text", "--data-dir"]);
    process.arg(folder);
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
    process.args(command).output().await.unwrap()
}

async fn succeed(folder: &Path, embedder: Option<&Embedder>, command: &[&str]) -> String {
    let output = run(folder, embedder, command).await;
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{complaint}");
    String::from_utf8(output.stdout).unwrap()
}

async fn fail(folder: &Path, embedder: Option<&Embedder>, command: &[&str]) -> String {
    let output = run(folder, embedder, command).await;
    assert!(!output.status.success(), "{output:?}");
    String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
}

async fn serve(folder: &TempDir, embedder: Option<&Embedder>) -> Running {
    Running::start_with(|config| {
        if let Some(embedder) = embedder {
            embedder.configure(config);
        }
        config.index_paths = vec!["text".to_owned()];
        config.data_dir = folder.path().into();
    })
    .await
}

const ITEMS: usize = 600;

/// Items of every kind.
async fn fill(client: &mut Client) {
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
async fn seen(client: &mut Client, ranking: pb::Ranking) -> Vec<String> {
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

fn lines(file: &Path) -> BTreeSet<String> {
    let text = fs::read_to_string(file).unwrap();
    text.lines().map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_exported_and_imported_is_all_there_vectors_and_versions_included() {
    let embedder = Embedder::start().await;
    let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut running = serve(&old, Some(&embedder)).await;
    fill(&mut running.client).await;
    let before = seen(&mut running.client, pb::Ranking::Hybrid).await;
    let complaint = fail(old.path(), Some(&embedder), &["export", "-"]).await;
    assert!(complaint.contains("in use"), "{complaint}");
    running.stop().await;

    let file = old.path().join("all.jsonl");
    let export = ["export", file.to_str().unwrap()];
    succeed(old.path(), Some(&embedder), &export).await;
    let all = lines(&file);
    assert_eq!(all.len(), ITEMS + 1);
    let complaint = fail(old.path(), Some(&embedder), &export).await;
    assert!(complaint.contains("is there already"), "{complaint}");
    // One that was stopped within a line goes on after the last whole one.
    let text = fs::read_to_string(&file).unwrap();
    fs::remove_file(&file).unwrap();
    fs::write(old.path().join("all.jsonl.part"), &text[..text.len() / 2]).unwrap();
    succeed(old.path(), Some(&embedder), &export).await;
    assert_eq!(fs::read_to_string(&file).unwrap(), text);
    assert_eq!(succeed(old.path(), None, &["export", "-"]).await, text);

    let import = ["import", file.to_str().unwrap()];
    let complaint = fail(new.path(), None, &import).await;
    assert!(
        complaint.contains("has vectors of `http:double`"),
        "{complaint}"
    );
    embedder.requests();
    succeed(new.path(), Some(&embedder), &import).await;
    // But for the one that tells its dimensions, nothing is embedded.
    assert_eq!(embedder.requests().len(), 1);
    let mut running = serve(&new, Some(&embedder)).await;
    assert_eq!(seen(&mut running.client, pb::Ranking::Hybrid).await, before);
    // Again, it takes nothing back that was written since.
    let changed = put("kept.1", "k1", r#"{"text":"later"}"#);
    let changed = running.client.put(changed).await.unwrap();
    running.stop().await;
    succeed(new.path(), Some(&embedder), &import).await;
    let mut running = serve(&new, Some(&embedder)).await;
    let item = running
        .client
        .get(crate::support::get("kept.1", "k1"))
        .await
        .unwrap();
    assert_eq!(
        (item.etag.as_str(), value(&item)),
        (changed.etag.as_str(), r#"{"text":"later"}"#)
    );
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_export_is_refused_by_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("lines");
    let header = r#"{"format":"weft-memory-export 1","embedder":null}"#;
    for (text, expected) in [
        ("", "does not begin as an export does"),
        (
            r#"{"format":"weft-memory-export 9","embedder":null}"#,
            "has format `weft-memory-export 9`",
        ),
        (&format!("{header}\n{{\n"), "line 2 of"),
        (
            &format!(
                "{header}\n{}\n",
                r#"{"tenant":"t","namespace":["a.b"],"key":"k","value":{},"create_time":1,"update_time":1,"etag":"0199f1c2-0000-7000-8000-000000000000"}"#
            ),
            "must not contain `.`",
        ),
    ] {
        fs::write(&file, text).unwrap();
        let complaint = fail(folder.path(), None, &["import", file.to_str().unwrap()]).await;
        assert!(complaint.contains(expected), "{complaint}");
        assert_eq!(complaint.lines().count(), 1, "{complaint}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_finds_what_searches_would_miss() {
    let folder = tempfile::tempdir().unwrap();
    let mut running = serve(&folder, None).await;
    fill(&mut running.client).await;
    running.stop().await;
    let told = succeed(folder.path(), None, &["check"]).await;
    assert_eq!(
        told,
        format!("{ITEMS} items are sound; their embedder is `none`\n")
    );

    let shard = EdgeShard::load(&folder.path().join("memory/engine"), None).unwrap();
    let forget = DeletePayloadOp {
        keys: vec!["terms".parse().unwrap()],
        points: None,
        filter: Some(Filter::default()),
    };
    let forget = PayloadOps::DeletePayload(forget);
    shard
        .update(UpdateOperation::PayloadOperation(forget))
        .unwrap();
    shard.flush().unwrap();
    drop(shard);
    let told = fail(folder.path(), None, &["check"]).await;
    assert!(told.contains("no search finds it"), "{told}");
    assert!(
        told.contains(&format!("{ITEMS} items are not sound")),
        "{told}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_without_vectors_gets_them_by_reindexing() {
    let embedder = Embedder::start().await;
    let folder = tempfile::tempdir().unwrap();
    let mut running = serve(&folder, None).await;
    fill(&mut running.client).await;
    let before = seen(&mut running.client, pb::Ranking::Lexical).await;
    let complaint = fail(folder.path(), Some(&embedder), &["reindex"]).await;
    assert!(complaint.contains("in use"), "{complaint}");
    running.stop().await;
    let complaint = fail(folder.path(), Some(&embedder), &[]).await;
    assert!(
        complaint.contains("run `memory-service reindex`"),
        "{complaint}"
    );

    // The embedder fails on the way: what is in force stays so, and is served.
    let fault = Fault::Status(400, &[], r#"{"error":{"message":"no"}}"#);
    embedder.fail_after(10, [fault; 4]);
    let complaint = fail(folder.path(), Some(&embedder), &["reindex"]).await;
    assert!(
        complaint.contains("3 items cannot be indexed"),
        "{complaint}"
    );
    embedder.requests();
    let told = succeed(folder.path(), Some(&embedder), &["reindex"]).await;
    assert!(
        told.contains(&format!(
            "{ITEMS} items are indexed anew; their embedder is `http:double`"
        )),
        "{told}"
    );
    let embedded: usize = embedder.texts().iter().map(Vec::len).sum();
    assert!(
        embedded < ITEMS * 4 / 5,
        "what was embedded before was embedded again: {embedded}"
    );
    succeed(folder.path(), None, &["check"]).await;

    let complaint = fail(folder.path(), None, &[]).await;
    assert!(
        complaint.contains("`http:double` with 4 dimensions"),
        "{complaint}"
    );
    let mut running = serve(&folder, Some(&embedder)).await;
    // Values, times and versions are what they were.
    assert_eq!(
        seen(&mut running.client, pb::Ranking::Lexical).await,
        before
    );
    let request = pb::SearchItemsRequest {
        limit: 1000,
        ranking: pb::Ranking::Semantic.into(),
        min_score: Some(0.9),
        ..query("kept", "automobile")
    };
    let hits = running.client.hits(request).await.unwrap();
    assert_eq!(hits.len(), ITEMS / 3 / 5 * 4);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_after_a_reindex_that_was_stopped_are_in_the_next_one() {
    let embedder = Embedder::start().await;
    let folder = tempfile::tempdir().unwrap();
    let mut running = serve(&folder, None).await;
    fill(&mut running.client).await;
    running.stop().await;
    embedder.fail_after(2, [Fault::Status(400, &[], "{}"); 2]);
    fail(folder.path(), Some(&embedder), &["reindex"]).await;
    let mut running = serve(&folder, None).await;
    for number in 0..ITEMS - 1 {
        let gone = crate::support::delete(&format!("kept.{}", number % 4), &format!("k{number}"));
        running.client.delete_item(gone).await.unwrap();
    }
    running.stop().await;
    let told = succeed(folder.path(), Some(&embedder), &["reindex"]).await;
    assert!(told.starts_with("1 items are indexed anew"), "{told}");
}
