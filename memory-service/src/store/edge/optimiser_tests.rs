//! What goes on while data is written anew, and what is left of it after a crash.

use std::{collections::BTreeSet, fs, path::Path, time::Duration};

use service_runtime::Tenant;

use super::*;
use crate::{
    domain::{
        Document, Etag, Indexing, ItemId, Key, Namespace, NamespacePrefix, Precondition, Time,
        filter::terms,
    },
    lexical::WordVector,
    store::{
        Put, RankOrder, RankQuery, Store as _, Vectors, WalkQuery,
        edge::{EdgeStore, Flush, Settings},
        index::{Each, Index},
    },
};

const NOW: Time = Time::from_micros(1_000_000);
/// Longer than anything takes on a busy machine.
const LONG: Duration = Duration::from_secs(60);

fn id(number: u32) -> ItemId {
    ItemId {
        namespace: Namespace::from_dotted("a.b"),
        key: Key::stored(format!("{number:04}")),
    }
}

fn put(number: u32, version: u32) -> Put {
    let value = Document::stored(format!(r#"{{"version":{version}}}"#)).unwrap();
    Put {
        id: id(number),
        terms: terms::of_document(&value.parse().unwrap()),
        value,
        indexing: Indexing::Configured,
        vectors: Each::present(Vectors {
            words: Some(WordVector {
                words: vec![7, 100 + number % 10],
                weights: vec![1.0, 1.0],
            }),
            meanings: Vec::new(),
        }),
        ttl: None,
        precondition: Precondition::None,
        etag: Etag::fresh(),
        now: NOW,
    }
}

/// Flushes only when it is told to, so that a test says what is on the disk.
async fn open(folder: &Path, optimise_from: u64) -> EdgeStore {
    let settings = Settings {
        flush: Flush::Every(Duration::from_secs(3600)),
        optimise_from,
        ..Settings::default()
    };
    EdgeStore::open(folder, settings).await.unwrap()
}

async fn fill(store: &EdgeStore, numbers: std::ops::Range<u32>, version: u32) {
    let tenant = Tenant::default();
    let puts = numbers.map(|number| store.put(&tenant, put(number, version)));
    futures::future::try_join_all(puts).await.unwrap();
}

async fn delete(store: &EdgeStore, numbers: std::ops::Range<u32>) {
    let tenant = Tenant::default();
    let deletes = numbers.map(|number| store.delete(&tenant, id(number), Precondition::None, NOW));
    futures::future::try_join_all(deletes).await.unwrap();
}

/// Everything that is stored by number and version, and found in every way to be the same.
async fn stored(store: &EdgeStore) -> Vec<(u32, u32)> {
    let tenant = Tenant::default();
    let prefix = || NamespacePrefix::try_new("prefix", vec!["a".into()]).unwrap();
    let query = WalkQuery {
        prefix: prefix(),
        narrowing: terms::Narrowing::default(),
        after: None,
        limit: 10_000,
        now: NOW,
    };
    let items = store.walk(&tenant, query).await.unwrap();
    for order in [
        RankOrder::Newest,
        RankOrder::Words(WordVector {
            words: vec![7],
            weights: vec![1.0],
        }),
    ] {
        let query = RankQuery {
            prefix: prefix(),
            narrowing: terms::Narrowing::default(),
            among: None,
            order,
            index: Index::Present,
            limit: 10_000,
            load: 10_000,
            times: false,
            now: NOW,
        };
        let ranked = store.rank(&tenant, query).await.unwrap();
        let found = ranked.into_iter().map(|ranked| ranked.item.unwrap());
        let mut found: Vec<_> = found.collect();
        found.sort_unstable_by(|one, other| one.id.cmp(&other.id));
        assert_eq!(found.len(), items.len());
        for (found, item) in found.iter().zip(&items) {
            assert_eq!((&found.id, &found.version), (&item.id, &item.version));
        }
    }
    let count = store.count(&tenant, &prefix(), NOW).await.unwrap();
    assert_eq!(count, items.len() as u64);
    let number = |text: &str| text.parse::<u32>().unwrap();
    let shown = items.iter().map(|item| {
        let version = item
            .value
            .text()
            .trim_matches(|c: char| !c.is_ascii_digit());
        (number(item.id.key.as_str()), number(version))
    });
    shown.collect()
}

fn expected(versions: &[(std::ops::Range<u32>, u32)]) -> Vec<(u32, u32)> {
    let all = versions.iter().cloned();
    all.flat_map(|(numbers, version)| numbers.map(move |number| (number, version)))
        .collect()
}

/// The segments by their names, which are never used again.
fn segments(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder.join("engine/segments")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.collect()
}

async fn until(what: impl Fn() -> bool) {
    let begin = Instant::now();
    while !what() {
        assert!(begin.elapsed() < LONG, "it does not happen");
        tokio::task::yield_now().await;
    }
}

/// Keeps the engine from going on after it has copied what it writes anew; until it is dropped.
fn hold(store: &EdgeStore) -> impl Sized + use<> {
    store.shared.litter.budget.try_acquire(1, 0).unwrap()
}

/// Waits until the engine is held there: changes are kept in a segment of their own by then.
async fn is_held(store: &EdgeStore) {
    until(|| store.shared.shard().info().unwrap().segments_count == 2).await;
}

/// What a kill at this moment leaves on the disk.
fn image(of: &Path) -> tempfile::TempDir {
    fn copy(from: &Path, to: &Path) {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            let (from, to) = (entry.path(), to.join(entry.file_name()));
            if entry.file_type().unwrap().is_dir() {
                copy(&from, &to);
            } else {
                fs::copy(&from, &to).unwrap();
            }
        }
    }
    let image = tempfile::tempdir().unwrap();
    copy(of, image.path());
    image
}

#[tokio::test]
async fn removed_items_give_their_room_back_by_themselves() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 100).await;
    fill(&store, 0..200, 1).await;
    let before = segments(folder.path());
    delete(&store, 0..150).await;
    until(|| segments(folder.path()).is_disjoint(&before)).await;
    assert_eq!(stored(&store).await, expected(&[(150..200, 1)]));
    store.close().await.unwrap();
    drop(store);

    let store = open(folder.path(), 100).await;
    assert_eq!(stored(&store).await, expected(&[(150..200, 1)]));
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_small_store_is_never_written_anew() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 1_000).await;
    let before = segments(folder.path());
    fill(&store, 0..900, 1).await;
    delete(&store, 0..899).await;
    // Nobody is woken for it, and if anybody looked, there would be nothing to do.
    assert!(!store.shared.litter.is_due(1));
    assert_eq!(write_anew(&store.shared), Ok(false));
    assert_eq!(segments(folder.path()), before);
    store.close().await.unwrap();
}

#[tokio::test]
async fn what_was_removed_before_a_start_gives_its_room_back_after_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 0).await;
    fill(&store, 0..200, 1).await;
    delete(&store, 0..150).await;
    store.close().await.unwrap();
    drop(store);
    let before = segments(folder.path());
    let store = open(folder.path(), 100).await;
    until(|| segments(folder.path()).is_disjoint(&before)).await;
    assert_eq!(stored(&store).await, expected(&[(150..200, 1)]));
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_and_reads_go_on_while_data_is_written_anew() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 100).await;
    fill(&store, 0..200, 1).await;
    let before = segments(folder.path());
    let held = hold(&store);
    delete(&store, 0..100).await;
    is_held(&store).await;
    fill(&store, 150..250, 2).await;
    delete(&store, 100..120).await;
    fill(&store, 50..60, 3).await;
    let now = expected(&[(50..60, 3), (120..150, 1), (150..250, 2)]);
    assert_eq!(stored(&store).await, now);
    drop(held);
    until(|| segments(folder.path()).is_disjoint(&before)).await;
    assert_eq!(stored(&store).await, now);
    store.close().await.unwrap();
    drop(store);

    let store = open(folder.path(), 0).await;
    assert_eq!(stored(&store).await, now);
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_shows_no_item_twice_while_it_is_changed_and_data_is_written_anew() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 100).await;
    fill(&store, 0..400, 1).await;
    let held = hold(&store);
    delete(&store, 0..200).await;
    is_held(&store).await;
    let changes = async {
        for number in 200..400 {
            fill(&store, number..number + 1, 2).await;
        }
    };
    let reads = async {
        for _ in 0..200 {
            let query = RankQuery {
                prefix: NamespacePrefix::default(),
                narrowing: terms::Narrowing::default(),
                among: None,
                order: RankOrder::Newest,
                index: Index::Present,
                limit: 100,
                load: 0,
                times: false,
                now: NOW,
            };
            let page = store.rank(&Tenant::default(), query).await.unwrap();
            let points: std::collections::HashSet<_> = page.iter().map(|one| one.point).collect();
            assert_eq!((points.len(), page.len()), (100, 100));
        }
    };
    tokio::join!(changes, reads);
    drop(held);
    store.close().await.unwrap();
}

/// Time passes as soon as nothing else is left to do.
#[tokio::test(start_paused = true)]
async fn closing_waits_for_data_that_is_written_anew_but_not_for_long() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 100).await;
    fill(&store, 0..200, 1).await;
    let held = hold(&store);
    delete(&store, 0..100).await;
    is_held(&store).await;
    fill(&store, 150..200, 2).await;
    store.close().await.unwrap();
    // The process ends here; this is what it leaves.
    let left = image(folder.path());
    drop(held);
    let store = open(left.path(), 0).await;
    let now = expected(&[(100..150, 1), (150..200, 2)]);
    assert_eq!(stored(&store).await, now);
    assert!(!left.path().join("engine/temp_segments").exists());
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_right_after_data_was_written_anew_leaves_it_twice_until_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 0).await;
    fill(&store, 0..300, 1).await;
    delete(&store, 0..100).await;
    let (held, shared) = (hold(&store), store.shared.clone());
    let budget = shared.litter.budget.clone();
    let anew = thread::spawn(move || shared.shard().optimize_with_budget(budget).unwrap());
    is_held(&store).await;
    fill(&store, 150..200, 2).await;
    delete(&store, 200..220).await;
    drop(held);
    assert!(anew.join().unwrap());
    // Nothing was flushed since, so that the old segment is still there.
    let left = image(folder.path());
    store.close().await.unwrap();

    let now = expected(&[(100..150, 1), (150..200, 2), (220..300, 1)]);
    let store = open(left.path(), 0).await;
    let twice = store.shared.shard().info().unwrap();
    assert!(twice.points_count > now.len(), "{twice:?}");
    assert_eq!(stored(&store).await, now);
    store.close().await.unwrap();
    drop(store);

    let store = open(left.path(), 1_000).await;
    until(|| store.shared.shard().info().unwrap().points_count == now.len()).await;
    assert_eq!(stored(&store).await, now);
    store.close().await.unwrap();
}
