//! `make bench-optimise`: what writing the data anew costs, and what it brings, in the embedded
//! engine.
//!
//! `WEFT_BENCH_ITEMS` items with a vector of `WEFT_BENCH_DIMS` each; 75,000 and 256 by default. Three
//! in ten are removed before. Puts replace an item; one caller, one call after the other, beside
//! `WEFT_BENCH_SEARCHERS` others that search everything by meaning all the time; none by default.
//! `disk` is an append of 4 KiB that reaches the disk, every few milliseconds: what a put takes as long
//! as may be the disk's own.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "the table is what it prints; a benchmark fails by panicking"
)]

use std::{
    collections::BTreeSet,
    env, fs,
    io::Write as _,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use futures::{
    StreamExt as _,
    future::{join, join_all},
    stream,
};
use memory_service::{
    domain::{
        Document, EmbedderIdentity, Etag, Indexing, ItemId, Key, Namespace, NamespacePrefix,
        Precondition, Time,
        filter::terms::{Narrowing, of_document},
    },
    lexical::Bm25,
    store::{
        Put, RankOrder, RankQuery, Store as _, Vectors,
        edge::{EdgeStore, Settings},
        index::{Each, Index},
    },
};
use service_runtime::Tenant;
use tokio::task::spawn_blocking;

/// Namespaces that the items are spread over.
const USERS: usize = 1_000;
/// Calls of one kind that are measured.
const CALLS: usize = 500;
/// Between two appends to the disk.
const APPENDS: Duration = Duration::from_millis(5);
/// Puts under way at once while the store is filled.
const AT_ONCE: usize = 256;

fn number(variable: &str, default: usize) -> usize {
    let text = env::var(variable).ok();
    text.map_or(default, |text| text.parse().unwrap())
}

/// Numbers that follow no order (a linear congruential generator).
fn numbers(seed: usize) -> impl Iterator<Item = u64> {
    let next = |state: &u64| {
        let state = state.wrapping_mul(6_364_136_223_846_793_005);
        Some(state.wrapping_add(1_442_695_040_888_963_407))
    };
    let states = std::iter::successors(Some(seed as u64), next);
    states.skip(3).map(|state| state >> 33)
}

struct Bench {
    store: EdgeStore,
    tenant: Tenant,
    bm25: Bm25,
    items: usize,
    dims: usize,
    searchers: usize,
}

impl Bench {
    async fn open(folder: &Path, items: usize, dims: usize, optimise_from: u64) -> Self {
        let embedder = EmbedderIdentity {
            name: "bench".to_owned(),
            dims,
            template: "{text}".to_owned(),
        };
        let settings = Settings {
            embedder: Some(embedder),
            optimise_from,
            ..Settings::default()
        };
        Self {
            store: EdgeStore::open(folder, settings).await.unwrap(),
            tenant: Tenant::default(),
            bm25: Bm25::new().unwrap(),
            items,
            dims,
            searchers: number("WEFT_BENCH_SEARCHERS", 0),
        }
    }

    fn id(&self, item: usize) -> ItemId {
        let labels = vec!["bench".to_owned(), format!("user{}", item % USERS)];
        ItemId {
            namespace: Namespace::try_new("namespace", labels).unwrap(),
            key: Key::try_new("key", format!("key{item}")).unwrap(),
        }
    }

    fn text(item: usize) -> String {
        let words = numbers(item).take(12);
        let words: Vec<_> = words.map(|word| format!("word{}", word % 2_000)).collect();
        words.join(" ")
    }

    fn vector(&self, item: usize) -> Vec<f32> {
        let numbers = numbers(item ^ 0x5eed).take(self.dims);
        numbers
            .map(|number| (number % 2_001) as f32 / 1_000.0 - 1.0)
            .collect()
    }

    fn item(&self, item: usize) -> Put {
        let text = Self::text(item);
        let value = format!(r#"{{"text":"{text}","kind":{}}}"#, item % 100);
        let value = Document::stored(value).unwrap();
        Put {
            id: self.id(item),
            terms: of_document(&value.parse().unwrap()),
            value,
            indexing: Indexing::Configured,
            vectors: Each::present(Vectors {
                words: self.bm25.document(&[text]),
                meanings: vec![self.vector(item)],
            }),
            ttl: None,
            precondition: Precondition::None,
            etag: Etag::fresh(),
            now: Time::from_micros(item as i64),
        }
    }

    async fn put(&self, item: usize) -> Duration {
        let put = self.item(item);
        let begin = Instant::now();
        self.store.put(&self.tenant, put).await.unwrap();
        begin.elapsed()
    }

    async fn rank(&self, labels: &[&str], order: RankOrder) -> Duration {
        let labels = labels.iter().map(|label| (*label).to_owned()).collect();
        let query = RankQuery {
            prefix: NamespacePrefix::try_new("prefix", labels).unwrap(),
            narrowing: Narrowing::default(),
            among: None,
            order,
            index: Index::Present,
            limit: 26,
            load: 10,
            times: false,
            now: Time::from_micros(self.items as i64),
        };
        let begin = Instant::now();
        let found = self.store.rank(&self.tenant, query).await.unwrap();
        assert!(!found.is_empty());
        begin.elapsed()
    }

    async fn fill(&self) -> Vec<Duration> {
        let puts = stream::iter(0..self.items).map(|item| self.put(item));
        puts.buffer_unordered(AT_ONCE).collect().await
    }

    /// Three in ten.
    async fn remove(&self) {
        let removed = (0..self.items).filter(|item| item % 10 < 3);
        let now = Time::from_micros(self.items as i64);
        let deletes = stream::iter(removed).map(async |item| {
            let id = self.id(item);
            let deleted = self.store.delete(&self.tenant, id, Precondition::None, now);
            deleted.await.unwrap();
        });
        deletes.buffer_unordered(AT_ONCE).count().await;
    }

    /// Does something beside so many that search, and prints what the disk took meanwhile.
    async fn beside<T>(&self, when: &str, searchers: usize, work: impl Future<Output = T>) -> T {
        let stop = Arc::new(AtomicBool::new(false));
        let own = stop.clone();
        let disk = spawn_blocking(move || appends(&own));
        let search = async |searcher: usize| {
            for call in 0.. {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                let meaning = self.vector(searcher + call * searchers);
                self.rank(&["bench"], RankOrder::Meaning(meaning)).await;
            }
        };
        let searches = join_all((0..searchers).map(search));
        let work = async {
            let done = work.await;
            stop.store(true, Ordering::Relaxed);
            done
        };
        let (done, _) = join(work, searches).await;
        print(when, "disk", disk.await.unwrap());
        done
    }

    /// Puts while everything is removed.
    async fn puts_beside_purge(&self) -> Vec<Duration> {
        let labels = vec!["bench".to_owned()];
        let prefix = NamespacePrefix::try_new("prefix", labels).unwrap();
        let now = Time::from_micros(self.items as i64);
        let purge = self.store.delete_under(&self.tenant, prefix, now);
        let purged = AtomicBool::new(false);
        let purge = async {
            purge.await.unwrap();
            purged.store(true, Ordering::Relaxed);
        };
        let puts = async {
            let mut latencies = Vec::new();
            while !purged.load(Ordering::Relaxed) {
                latencies.push(self.put(self.kept(latencies.len())).await);
            }
            latencies
        };
        join(purge, puts).await.1
    }

    /// Some item that was not removed, another one for each call.
    fn kept(&self, call: usize) -> usize {
        let item = call * 7_919 % self.items;
        item - item % 10 + 3 + item % 7
    }

    async fn measure(&self, when: &str) {
        for (kind, latencies) in self.beside(when, self.searchers, self.calls()).await {
            print(when, kind, latencies);
        }
    }

    async fn calls(&self) -> Vec<(&'static str, Vec<Duration>)> {
        let mut rows: Vec<(_, Vec<_>)> = ["put", "namespace", "words", "meaning", "all"]
            .map(|kind| (kind, Vec::new()))
            .into();
        for call in 0..CALLS {
            let item = self.kept(call);
            let user = format!("user{}", item % USERS);
            let user = ["bench", user.as_str()];
            let words = self.bm25.query(&Self::text(item)).unwrap();
            let meaning = || RankOrder::Meaning(self.vector(item + 1));
            rows[0].1.push(self.put(item).await);
            rows[1].1.push(self.rank(&user, RankOrder::Newest).await);
            rows[2]
                .1
                .push(self.rank(&user, RankOrder::Words(words)).await);
            rows[3].1.push(self.rank(&user, meaning()).await);
            if call % 10 == 0 {
                rows[4].1.push(self.rank(&["bench"], meaning()).await);
            }
        }
        rows
    }
}

/// How long appends took until they were on the disk.
fn appends(stop: &AtomicBool) -> Vec<Duration> {
    let mut file = tempfile::tempfile().unwrap();
    let mut took = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        #[expect(clippy::disallowed_methods, reason = "a thread of its own")]
        thread::sleep(APPENDS);
        let begin = Instant::now();
        file.write_all(&[7; 4096]).unwrap();
        file.sync_data().unwrap();
        took.push(begin.elapsed());
    }
    took
}

fn print(when: &str, kind: &str, mut latencies: Vec<Duration>) {
    latencies.sort_unstable();
    let at = |share: usize| latencies[(latencies.len() - 1) * share / 1_000].as_secs_f64() * 1e3;
    println!(
        "{when:<10} {kind:<10} {:>7} {:>9.3} {:>9.3} {:>9.3}",
        latencies.len(),
        at(500),
        at(990),
        at(1_000)
    );
}

/// The parts of the engine's data; what was written anew has a name of its own.
fn segments(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder.join("engine/segments")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.collect()
}

/// Megabytes of a folder.
fn size(folder: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt as _;

    fn bytes(folder: &Path) -> u64 {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let bytes = entries.map(|entry| match entry.metadata() {
            Ok(found) if found.is_dir() => bytes(&entry.path()),
            Ok(found) => found.blocks() * 512,
            Err(_) => 0,
        });
        bytes.sum()
    }
    bytes(folder) >> 20
}

/// What the optimiser's thread has used of a processor.
fn cpu() -> Duration {
    let tasks = fs::read_dir("/proc/self/task").into_iter().flatten();
    for task in tasks.flatten() {
        let stat = fs::read_to_string(task.path().join("stat")).unwrap_or_default();
        if let Some((_, rest)) = stat.split_once("(memory-optimise) ") {
            let ticks = rest.split(' ').skip(11).take(2);
            let ticks: u64 = ticks.map(|ticks| ticks.parse::<u64>().unwrap()).sum();
            return Duration::from_millis(ticks * 10);
        }
    }
    Duration::ZERO
}

#[tokio::main]
async fn main() {
    let items = number("WEFT_BENCH_ITEMS", 75_000);
    let dims = number("WEFT_BENCH_DIMS", 256);
    let folder = tempfile::tempdir().unwrap();
    let bench = Bench::open(folder.path(), items, dims, 0).await;
    let begin = Instant::now();
    println!("when       what         calls    p50 ms    p99 ms    max ms");
    let latencies = bench.beside("filling", 0, bench.fill()).await;
    println!("filled with {items} items in {:.1?}", begin.elapsed());
    print("filling", "put", latencies);
    bench.measure("full").await;
    bench.remove().await;
    bench.measure("littered").await;
    bench.store.close().await.unwrap();
    drop(bench);
    println!("{} MB on the disk", size(folder.path()));

    let before = segments(folder.path());
    let begin = Instant::now();
    let bench = Bench::open(folder.path(), items, dims, 1).await;
    let opened = begin.elapsed();
    let puts = async {
        let mut latencies = Vec::new();
        while !segments(folder.path()).is_disjoint(&before) {
            latencies.push(bench.put(bench.kept(latencies.len())).await);
        }
        latencies
    };
    let latencies = bench.beside("meanwhile", bench.searchers, puts).await;
    println!(
        "opened in {opened:.1?}; written anew {:.1?} later, for {:.1?} of a processor",
        begin.elapsed() - opened,
        cpu()
    );
    print("meanwhile", "put", latencies);
    bench.measure("anew").await;
    let puts = bench.puts_beside_purge();
    let latencies = bench.beside("purging", bench.searchers, puts).await;
    print("purging", "put", latencies);
    bench.store.close().await.unwrap();
    println!("{} MB on the disk", size(folder.path()));
}
