//! What is lost while a folder is closed is told.

use std::path::PathBuf;

use qdrant_edge::ResourceBudget;
use service_runtime::Tenant;

use super::*;
use crate::{
    domain::{Precondition, Time},
    store::{
        Store as _,
        edge::{EdgeStore, Settings, tests::put},
    },
};

/// A folder with ten items that was closed, and the parts of its data.
async fn closed() -> (tempfile::TempDir, Vec<PathBuf>) {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await.unwrap();
    for item in 0..10 {
        let put = put(&item.to_string());
        store.put(&Tenant::default(), put).await.unwrap();
    }
    assert!(!folder.path().join(CLOSED).exists());
    store.close().await.unwrap();
    assert!(folder.path().join(CLOSED).exists());
    let segments = folder.path().join("engine/segments");
    let segments = fs::read_dir(segments).unwrap();
    let segments = segments.map(|entry| entry.unwrap().path()).collect();
    (folder, segments)
}

async fn open(folder: &Path) -> Result<EdgeStore, String> {
    let settings = Settings {
        optimise_from: 0,
        ..Settings::default()
    };
    let opened = EdgeStore::open(folder, settings).await;
    opened.map_err(|error| error.to_string())
}

#[tokio::test]
async fn items_that_were_lost_since_are_told_until_that_is_accepted() {
    let (folder, segments) = closed().await;
    for segment in &segments {
        fs::remove_file(segment.join("mutable_id_tracker.versions")).unwrap();
    }
    for _ in 0..2 {
        let error = open(folder.path()).await.err().unwrap();
        // The engine has the last write in its log.
        let told = "10 items were there when it was closed, and 1 are now; restore a backup, or \
                    remove the file `CLOSED`";
        assert!(error.contains(told), "{error}");
    }
    fs::remove_file(folder.path().join(CLOSED)).unwrap();
    let store = open(folder.path()).await.unwrap();
    store.close().await.unwrap();
    drop(store);
    open(folder.path()).await.unwrap().close().await.unwrap();
}

#[tokio::test]
async fn a_part_that_the_engine_would_remove_is_told_and_left() {
    let (folder, segments) = closed().await;
    fs::remove_file(segments[0].join(WHOLE)).unwrap();
    let error = open(folder.path()).await.err().unwrap();
    assert!(error.contains("is not whole"), "{error}");
    assert!(segments[0].join("segment.json").exists());
}

#[tokio::test]
async fn what_is_only_read_stays_closed_and_what_is_written_does_not() {
    let (folder, _) = closed().await;
    let file = folder.path().join(CLOSED);
    let before = fs::read(&file).unwrap();
    let store = open(folder.path()).await.unwrap();
    let (tenant, now) = (Tenant::default(), Time::from_micros(2));
    let read = store.get(&tenant, &put("1").id, now).await;
    assert!(read.unwrap().is_some());
    assert!(file.exists());
    let deleted = store.delete(&tenant, put("1").id, Precondition::None, now);
    deleted.await.unwrap();
    assert!(!file.exists());
    store.close().await.unwrap();
    drop(store);
    assert_ne!(fs::read(&file).unwrap(), before);
    open(folder.path()).await.unwrap().close().await.unwrap();
}

#[tokio::test]
async fn parts_that_the_engine_removes_at_its_end_are_not_missed() {
    let (folder, _) = closed().await;
    let store = open(folder.path()).await.unwrap();
    let (tenant, now) = (Tenant::default(), Time::from_micros(2));
    for item in 0..10 {
        let id = put(&item.to_string()).id;
        let deleted = store.delete(&tenant, id, Precondition::None, now);
        deleted.await.unwrap();
    }
    store.shared.flush().unwrap();
    let shard = store.shared.shard();
    let optimised = shard.optimize_with_budget(ResourceBudget::new(1, 1));
    optimised.unwrap();
    drop(shard);
    store.close().await.unwrap();
    drop(store);
    open(folder.path()).await.unwrap().close().await.unwrap();
}
