//! What only the inside of the engine shows.

use std::{fs, path::Path, time::Duration};

use futures::{StreamExt as _, stream};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use service_runtime::Tenant;

use super::{EdgeStore, Flush, Settings};
use crate::{
    domain::{
        Document, Etag, Indexing, ItemId, Key, Namespace, NamespacePrefix, Precondition, Time,
        filter::terms,
    },
    lexical::WordVector,
    store::{
        Put, RankOrder, RankQuery, Store as _, StoreError, Vectors, WriteError,
        index::{Each, Index},
    },
};

pub(super) fn put(key: &str) -> Put {
    put_in("a", key)
}

pub(super) fn put_in(namespace: &str, key: &str) -> Put {
    let value = Document::stored(r#"{"n":1}"#.to_owned()).unwrap();
    Put {
        id: ItemId {
            namespace: Namespace::from_dotted(namespace),
            key: Key::stored(key.to_owned()),
        },
        terms: terms::of_document(&value.parse().unwrap()),
        value,
        indexing: Indexing::Configured,
        vectors: Each::present(Vectors::default()),
        ttl: None,
        precondition: Precondition::None,
        etag: Etag::fresh(),
        now: Time::from_micros(1),
    }
}

#[tokio::test]
async fn what_is_acknowledged_is_on_the_disk_if_that_is_asked_for() {
    let rarely = Flush::Every(Duration::from_secs(3600));
    for (flush, on_disk) in [(Flush::Always, true), (rarely, false)] {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings {
            flush,
            ..Settings::default()
        };
        let store = EdgeStore::open(folder.path(), settings).await.unwrap();
        let tenant = Tenant::default();
        store.put(&tenant, put("k")).await.unwrap();
        // A disk that does not take the log any more.
        let log = folder.path().join("engine/wal");
        let away = folder.path().join("away");
        fs::rename(&log, &away).unwrap();
        let written = store.put(&tenant, put("k")).await;
        assert_eq!(written.is_err(), on_disk, "{written:?}");
        let prefix = "a".to_owned();
        let prefix = NamespacePrefix::try_new("prefix", vec![prefix]).unwrap();
        let now = Time::from_micros(1);
        let deleted = store.delete_under(&tenant, prefix, now).await;
        assert_eq!(deleted.is_err(), on_disk, "{deleted:?}");
        fs::rename(&away, &log).unwrap();
        store.close().await.unwrap();
    }
}

/// Makes a folder as it would be if nothing but its log had been written since.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

#[tokio::test]
async fn the_log_alone_brings_back_what_was_written_since_the_engine_was_flushed() {
    let (folder, lost) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let settings = || Settings {
        flush: Flush::Every(Duration::from_secs(3600)),
        ..Settings::default()
    };
    let (tenant, now) = (Tenant::default(), Time::from_micros(2));
    let store = EdgeStore::open(folder.path(), settings()).await.unwrap();
    store.put(&tenant, put("deleted")).await.unwrap();
    store.shared.flush().unwrap();
    copy(folder.path(), lost.path());
    store.put(&tenant, put("added")).await.unwrap();
    let deleted = store.delete(&tenant, put("deleted").id, Precondition::None, now);
    deleted.await.unwrap();
    assert_eq!(store.shared.keep(false), Ok(false));
    let log = Path::new("engine/wal");
    copy(&folder.path().join(log), &lost.path().join(log));
    store.close().await.unwrap();

    let store = EdgeStore::open(lost.path(), settings()).await.unwrap();
    let there = async |key| {
        let item = store.get(&tenant, &put(key).id, now).await;
        item.unwrap().is_some()
    };
    assert!(there("added").await);
    assert!(!there("deleted").await);
    store.close().await.unwrap();
}

/// Of each page that differs, what is in one of both files, by chance.
fn mix(from: &Path, to: &Path, random: &mut StdRng) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            mix(&entry.path(), &to, random);
            continue;
        }
        let new = fs::read(entry.path()).unwrap();
        let mut mixed = fs::read(&to).unwrap_or_default();
        mixed.resize(new.len(), 0);
        for (page, new) in mixed.chunks_mut(4096).zip(new.chunks(4096)) {
            if page != new && random.random_bool(0.5) {
                page.copy_from_slice(new);
            }
        }
        fs::write(to, mixed).unwrap();
    }
}

#[tokio::test]
async fn whatever_else_a_loss_of_power_left_of_it_does_no_harm() {
    let mut random = StdRng::seed_from_u64(1);
    for _ in 0..5 {
        let (folder, lost) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let settings = || Settings {
            flush: Flush::Every(Duration::from_secs(3600)),
            ..Settings::default()
        };
        let (tenant, now) = (Tenant::default(), Time::from_micros(2));
        let store = EdgeStore::open(folder.path(), settings()).await.unwrap();
        let words = |number: u32| Put {
            vectors: Each::present(Vectors {
                words: Some(WordVector {
                    words: vec![7, 100 + number],
                    weights: vec![1.0, 1.0],
                }),
                meanings: Vec::new(),
            }),
            ..put(&format!("{number:04}"))
        };
        for number in 0..200 {
            store.put(&tenant, words(number)).await.unwrap();
        }
        store.shared.flush().unwrap();
        copy(folder.path(), lost.path());
        for number in 100..300 {
            store.put(&tenant, words(number)).await.unwrap();
        }
        for number in (0..300).step_by(3) {
            let deleted = store.delete(&tenant, words(number).id, Precondition::None, now);
            deleted.await.unwrap();
        }
        let versions = async |store: &EdgeStore| {
            let mut versions = Vec::new();
            for number in 0..300 {
                let item = store.get(&tenant, &words(number).id, now).await.unwrap();
                versions.push(item.map(|item| item.version));
            }
            versions
        };
        let expected = versions(&store).await;
        let parts = Path::new("engine/segments");
        mix(
            &folder.path().join(parts),
            &lost.path().join(parts),
            &mut random,
        );
        let log = Path::new("engine/wal");
        copy(&folder.path().join(log), &lost.path().join(log));
        store.close().await.unwrap();

        let store = EdgeStore::open(lost.path(), settings()).await.unwrap();
        assert_eq!(versions(&store).await, expected);
        let query = RankQuery {
            prefix: NamespacePrefix::default(),
            narrowing: terms::Narrowing::default(),
            among: None,
            order: RankOrder::Words(WordVector {
                words: vec![7],
                weights: vec![1.0],
            }),
            index: Index::Present,
            limit: 1000,
            load: 0,
            times: false,
            now,
        };
        let found = store.rank(&tenant, query).await.unwrap();
        assert_eq!(found.len(), expected.iter().flatten().count());
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn the_log_is_made_short_when_nothing_is_written_or_it_is_long() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings {
        flush: Flush::Every(Duration::from_secs(3600)),
        ..Settings::default()
    };
    let store = EdgeStore::open(folder.path(), settings).await.unwrap();
    // Nobody else does what is looked at here.
    if let Some(running) = store.running.lock().await.as_mut() {
        running.flusher.shutdown().await;
    }
    let tenant = Tenant::default();
    let large = format!(r#"{{"text":"{}"}}"#, "x".repeat(1 << 20));
    let large = Document::stored(large).unwrap();
    let (mut kept, mut written) = (false, 0);
    while !kept {
        let put = Put {
            value: large.clone(),
            ..put(&written.to_string())
        };
        store.put(&tenant, put).await.unwrap();
        written += 1;
        kept = store.shared.keep(false).unwrap();
        assert_ne!(kept, store.shared.is_dirty());
    }
    // The last one may be counted a moment later.
    assert!((4..=5).contains(&written), "{written}");
    store.put(&tenant, put("more")).await.unwrap();
    assert_eq!(store.shared.keep(false), Ok(false));
    assert_eq!(store.shared.keep(false), Ok(true));
    store.put(&tenant, put("more")).await.unwrap();
    assert_eq!(store.shared.keep(true), Ok(true));
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_damaged_folder_is_told_as_that_though_the_engine_panics() {
    let folder = tempfile::tempdir().unwrap();
    let store = EdgeStore::open(folder.path(), Settings::default())
        .await
        .unwrap();
    store.put(&Tenant::default(), put("k")).await.unwrap();
    store.close().await.unwrap();
    drop(store);
    for segment in fs::read_dir(folder.path().join("engine/segments")).unwrap() {
        fs::remove_file(segment.unwrap().path().join("mutable_id_tracker.mappings")).unwrap();
    }
    let opened = EdgeStore::open(folder.path(), Settings::default()).await;
    let error = opened.err().unwrap().to_string();
    let path = folder.path().display();
    let expected = format!("the data in `{path}` cannot be opened: stored data is corrupt: ");
    assert!(error.starts_with(&expected), "{error}");
    assert!(!error.contains("panicked"), "{error}");
}

#[tokio::test]
async fn much_that_is_written_does_not_wait_for_the_next_flush() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings {
        flush: Flush::Every(Duration::from_secs(3600)),
        ..Settings::default()
    };
    let store = EdgeStore::open(folder.path(), settings).await.unwrap();
    let (tenant, now) = (Tenant::default(), Time::from_micros(2));
    let writes = stream::iter(0..5_000).map(async |number: u32| {
        let put = put(&number.to_string());
        let id = put.id.clone();
        store.put(&tenant, put).await.unwrap();
        let deleted = store.delete(&tenant, id, Precondition::None, now);
        deleted.await.unwrap();
    });
    writes.buffer_unordered(256).count().await;
    // Small ones count, too: the documents alone are a hundredth of that.
    let is_short = async {
        while store.shared.disk.unflushed() >= 4 << 20 {
            tokio::task::yield_now().await;
        }
    };
    let minute = Duration::from_secs(60);
    tokio::time::timeout(minute, is_short).await.unwrap();
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_full_disk_refuses_puts_and_then_everything_that_needs_space() {
    let folder = tempfile::tempdir().unwrap();
    let open = async |least_free| {
        let settings = Settings {
            least_free,
            ..Settings::default()
        };
        EdgeStore::open(folder.path(), settings).await.unwrap()
    };
    let (tenant, now) = (Tenant::default(), Time::from_micros(2));
    let store = open(0).await;
    store.put(&tenant, put("one")).await.unwrap();
    store.put(&tenant, put("other")).await.unwrap();
    store.close().await.unwrap();
    drop(store);

    let free = fs4::available_space(folder.path()).unwrap();
    let store = open(free / 2 * 3).await;
    let refused = store.put(&tenant, put("third")).await.unwrap_err();
    assert!(matches!(
        refused,
        WriteError::Store(StoreError::Full { .. })
    ));
    let item = store.get(&tenant, &put("one").id, now).await.unwrap();
    assert_eq!(item.unwrap().value.text(), r#"{"n":1}"#);
    let unconditional = Precondition::None;
    let deleted = store.delete(&tenant, put("one").id, unconditional, now);
    deleted.await.unwrap();
    store.close().await.unwrap();
    drop(store);

    // More would not even let it start.
    let free = fs4::available_space(folder.path()).unwrap();
    let store = open(free * 3).await;
    let deleted = store.delete(&tenant, put("other").id, Precondition::None, now);
    let refused = deleted.await.unwrap_err();
    assert!(matches!(
        refused,
        WriteError::Store(StoreError::Full { .. })
    ));
    assert!(
        store
            .get(&tenant, &put("other").id, now)
            .await
            .unwrap()
            .is_some()
    );
    store.close().await.unwrap();
}
