//! The commands of the binary: all data written to a file, read back, checked, indexed anew.

use std::fs;

use qdrant_edge::{DeletePayloadOp, EdgeShard, Filter, PayloadOps, UpdateOperation};
use tempfile::TempDir;
use weft_proto::memory::v1 as pb;

use crate::{
    commands::{Data, ITEMS, fail, fill, lines, seen, succeed},
    embedder::{Embedder, Fault},
    support::{Calls as _, Running, engine_is_qdrant, get, put, query, value},
};

async fn serve(folder: &TempDir, embedder: Option<&Embedder>) -> Running {
    Running::start_on(None, |config| {
        if let Some(embedder) = embedder {
            embedder.configure(config);
        }
        config.index_paths = vec!["text".to_owned()];
        config.data_dir = folder.path().into();
    })
    .await
}

#[tokio::test]
async fn where_there_is_no_data_none_is_made_and_found_to_be_sound() {
    let data = Data::of_engine();
    let file = data.file("all.jsonl");
    for command in [
        &["check"][..],
        &["export", &file],
        &["export", "-"],
        &["reindex"],
    ] {
        let complaint = fail(&data, None, command).await;
        assert!(
            complaint.contains(if engine_is_qdrant() {
                "has no collection"
            } else {
                "there is no data"
            }),
            "{complaint}"
        );
    }
    assert!(!fs::exists(&file).unwrap());
    assert!(!fs::exists(data.file("memory")).unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_exported_and_imported_is_all_there_vectors_and_versions_included() {
    let embedder = Embedder::start().await;
    let (old, new) = (Data::of_engine(), Data::of_engine());
    let mut running = old.serve(Some(&embedder)).await;
    fill(&mut running.client).await;
    let before = seen(&mut running.client, pb::Ranking::Hybrid).await;
    running.stop().await;

    let file = old.file("all.jsonl");
    let export = ["export", &file];
    succeed(&old, Some(&embedder), &export).await;
    let all = lines(&file);
    assert_eq!(all.len(), ITEMS + 1);
    let complaint = fail(&old, Some(&embedder), &export).await;
    assert!(complaint.contains("is there already"), "{complaint}");
    // One that was stopped within a line goes on after the last whole one.
    let text = fs::read_to_string(&file).unwrap();
    fs::remove_file(&file).unwrap();
    fs::write(old.file("all.jsonl.part"), &text[..text.len() / 2]).unwrap();
    succeed(&old, Some(&embedder), &export).await;
    assert_eq!(fs::read_to_string(&file).unwrap(), text);
    assert_eq!(succeed(&old, None, &["export", "-"]).await, text);

    let import = ["import", &file];
    let complaint = fail(&new, None, &import).await;
    assert!(
        complaint.contains("has vectors of `http:double`"),
        "{complaint}"
    );
    embedder.requests();
    succeed(&new, Some(&embedder), &import).await;
    // But for the one that tells its dimensions, nothing is embedded.
    assert_eq!(embedder.requests().len(), 1);
    let mut running = new.serve(Some(&embedder)).await;
    assert_eq!(seen(&mut running.client, pb::Ranking::Hybrid).await, before);
    // Again, it takes nothing back that was written since.
    let changed = put("kept.1", "k1", r#"{"text":"later"}"#);
    let changed = running.client.put(changed).await.unwrap();
    running.stop().await;
    succeed(&new, Some(&embedder), &import).await;
    let mut running = new.serve(Some(&embedder)).await;
    let item = running.client.get(get("kept.1", "k1")).await.unwrap();
    assert_eq!(
        (item.etag.as_str(), value(&item)),
        (changed.etag.as_str(), r#"{"text":"later"}"#)
    );
    running.stop().await;
    succeed(&new, None, &["check"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_lines_of_one_item_the_later_one_counts() {
    let data = Data::of_engine();
    let line = |value: &str, update_time: u32, etag: u32| {
        let times = format!(r#""create_time":1,"update_time":{update_time}"#);
        let etag = format!("0199f1c2-0000-7000-8000-{etag:012}");
        format!(
            r#"{{"tenant":"default","namespace":["a"],"key":"k","value":{{"text":"{value}"}},{times},"etag":"{etag}"}}"#
        )
    };
    let lines = [
        r#"{"format":"weft-memory-export 1","embedder":null}"#.to_owned(),
        line("first", 10, 1),
        line("last", 30, 3),
        line("second", 20, 2),
    ];
    let file = data.file("lines");
    fs::write(&file, lines.join("\n")).unwrap();
    succeed(&data, None, &["import", &file]).await;
    let mut running = data.serve(None).await;
    let item = running.client.get(get("a", "k")).await.unwrap();
    assert_eq!(value(&item), r#"{"text":"last"}"#);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_is_served_is_not_exported() {
    let data = Data::in_folder();
    let running = data.serve(None).await;
    let complaint = fail(&data, None, &["export", "-"]).await;
    assert!(complaint.contains("in use"), "{complaint}");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_export_is_refused() {
    let data = Data::of_engine();
    let file = data.file("lines");
    for (text, expected) in [
        ("", "does not begin as an export does"),
        (
            r#"{"format":"weft-memory-export 9","embedder":null}"#,
            "has format `weft-memory-export 9`",
        ),
    ] {
        fs::write(&file, text).unwrap();
        let complaint = fail(&data, None, &["import", &file]).await;
        assert!(complaint.contains(expected), "{complaint}");
        assert_eq!(complaint.lines().count(), 1, "{complaint}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_lines_are_named_and_no_other_one_is_lost() {
    let data = Data::of_engine();
    let file = data.file("lines");
    let line = |namespace: &str, more: &str| {
        let version =
            r#""create_time":1,"update_time":1,"etag":"0199f1c2-0000-7000-8000-000000000000""#;
        format!(
            r#"{{"tenant":"default","namespace":["{namespace}"],"key":"k","value":{{}},{version}{more}}}"#
        )
    };
    let lines = [
        r#"{"format":"weft-memory-export 1","embedder":null}"#.to_owned(),
        line("first", ""),
        "{".to_owned(),
        line("a.b", ""),
        line("amid", ""),
        line("weights", r#","words":[[1,1e39]]"#),
        "\u{fffd}".to_owned(),
        line("last", ""),
        line("cut", ""),
    ];
    let mut text = lines.join("\n").into_bytes();
    // One is no text, and one was not written to its end.
    let odd = text
        .windows(3)
        .position(|bytes| bytes == "\u{fffd}".as_bytes());
    text[odd.unwrap()] = 0xff;
    text.truncate(text.len() - 10);
    fs::write(&file, text).unwrap();
    let complaint = fail(&data, None, &["import", &file]).await;
    let told: Vec<_> = complaint.lines().collect();
    for (told, (number, expected)) in told.iter().zip([
        (3, "EOF while parsing"),
        (4, "must not contain `.`"),
        (6, "number out of range"),
        (7, "expected value"),
        (9, "EOF while parsing"),
    ]) {
        let place = format!("line {number} of `{file}`: ");
        assert!(
            told.starts_with(&place) && told.contains(expected),
            "{complaint}"
        );
    }
    assert_eq!(told.len(), 6, "{complaint}");
    assert!(told[5].contains("5 lines of"), "{complaint}");

    let mut running = data.serve(None).await;
    let listed = running.client.listed(pb::ListNamespacesRequest::default());
    assert_eq!(listed.await, ["amid=1", "first=1", "last=1"]);
    running.stop().await;
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
        format!("{ITEMS} items in 4 namespaces are sound; their embedder is `none`\n")
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
    assert!(
        told.contains("its field `terms` does not follow from it"),
        "{told}"
    );
    assert!(
        told.contains(&format!("{ITEMS} faults were found")),
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
