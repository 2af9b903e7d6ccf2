//! `make bench-memory`: memory-service over gRPC on loopback, and what it is made of, in one run on
//! the same data.
//!
//! Each row is a kind of call and how many callers there are at once; the columns are calls a second:
//! - `gRPC`: of the service, as its clients call it;
//! - `bare`: of a bare tonic server that takes the same requests and answers with the same answers,
//!   made before: what the transport alone allows;
//! - `own`: of the service's own code without gRPC;
//! - `same`: of the engine, by a program that calls it for the same answers, with the same durability;
//! - `raw`: of the engine, one plain call of it for each, from threads that wait for nothing else.
//!
//! `gRPC/same` is how much of the engine's throughput is left, and `/sum` how much of what would be
//! left if a call took the processors' time of `bare` and `same` together.
//!
//! Clients, service and engine share the process and the machine's cores. These choose what is run,
//! with commas between: `WEFT_BENCH_ITEMS`, `WEFT_BENCH_DIMS`, `WEFT_BENCH_CALLERS`,
//! `WEFT_BENCH_KINDS` (`get,put,…`; all of them without), `WEFT_BENCH_COLUMNS` (`grpc,bare,…`).
//! `WEFT_BENCH_SECONDS` is the time for each number, 0.5 by default: all of it takes some ten minutes.
//!
//! # Layout
//! - `calls`: calls as clients make them
//! - `service`: the service that they go to
//! - `bare`: the server that only answers
//! - `own`: the same, of the service's code
//! - `engine`: plain calls of the engine
//! - `same`: calls of the engine for the same answers
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "the table is what it prints; a benchmark fails by panicking"
)]

mod bare;
mod calls;
mod engine;
mod own;
mod same;
mod service;

use std::{
    collections::BTreeMap,
    env,
    fmt::Debug,
    time::{Duration, Instant},
};

use futures::future::{BoxFuture, join_all};

use crate::{bare::Bare, engine::Engine, same::Same, service::Service};

/// Users that the items belong to, each with a namespace of its own: as many as there are items, but
/// no more than this.
const USERS: usize = 10_000;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Get,
    Put,
    /// By words, among all items.
    Lexical,
    /// By meaning, among all items.
    Semantic,
    /// By both, among all items.
    Hybrid,
    /// By a condition that one in a hundred items fulfils, newest first.
    Filtered,
    /// The newest of one user.
    Namespace,
    /// By both, among the items of one user.
    HybridOfUser,
    /// All namespaces with their counts.
    Namespaces,
}

const KINDS: [Kind; 9] = [
    Kind::Get,
    Kind::Put,
    Kind::Lexical,
    Kind::Semantic,
    Kind::Hybrid,
    Kind::Filtered,
    Kind::Namespace,
    Kind::HybridOfUser,
    Kind::Namespaces,
];

/// What is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Column {
    Grpc,
    Bare,
    Own,
    Same,
    Raw,
}

const COLUMNS: [Column; 5] = [
    Column::Grpc,
    Column::Bare,
    Column::Own,
    Column::Same,
    Column::Raw,
];

/// Something that can be asked for all of it, again and again.
trait Subject: Sync {
    fn call(&self, kind: Kind, number: usize) -> BoxFuture<'_, ()>;
}

fn numbers(variable: &str, default: &str) -> Vec<usize> {
    let text = env::var(variable).unwrap_or_else(|_| default.to_owned());
    text.split(',')
        .map(|number| number.trim().parse().unwrap())
        .collect()
}

/// Those that a variable names; all if it is not set.
fn chosen<T: Copy + Debug>(variable: &str, all: &[T]) -> Vec<T> {
    let Ok(names) = env::var(variable) else {
        return all.to_vec();
    };
    let named = |name: &str| {
        let is_it = |one: &&T| format!("{one:?}").eq_ignore_ascii_case(name.trim());
        *all.iter().find(is_it).unwrap()
    };
    names.split(',').map(named).collect()
}

fn seconds() -> Duration {
    let seconds = env::var("WEFT_BENCH_SECONDS").ok();
    Duration::from_secs_f64(seconds.map_or(0.5, |text| text.parse().unwrap()))
}

/// Words that follow no order, so that rare and frequent ones meet.
fn words(number: usize) -> String {
    let mut state = number as u64;
    let mut next = |below: u64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 33) % below
    };
    let mut words: Vec<_> = (0..12).map(|_| format!("word{}", next(2_000))).collect();
    words.push(format!("common{}", next(3)));
    words.join(" ")
}

fn document(number: usize) -> String {
    format!(
        r#"{{"text":"{}","kind":{},"n":{number}}}"#,
        words(number),
        number % 100
    )
}

fn user(number: usize, items: usize) -> String {
    format!("user{}", number % USERS.min(items))
}

/// The number of a caller's next call.
fn number(caller: usize, call: usize) -> usize {
    (caller * 7_919 + call * 104_729) % 1_000_003
}

/// Calls a second and the latencies of the middle and of one in a hundred, in milliseconds.
#[derive(Clone, Copy)]
struct Cell {
    rate: f64,
    middle: f64,
    slow: f64,
}

impl Cell {
    fn of(mut latencies: Vec<Duration>, elapsed: Duration) -> Self {
        latencies.sort_unstable();
        let at = |share: usize| latencies[(latencies.len() - 1) * share / 100].as_secs_f64() * 1e3;
        Self {
            rate: latencies.len() as f64 / elapsed.as_secs_f64(),
            middle: at(50),
            slow: at(99),
        }
    }
}

async fn cell(subject: &dyn Subject, kind: Kind, callers: usize) -> Cell {
    subject.call(kind, 0).await;
    let begin = Instant::now();
    let callers = (0..callers).map(|caller| async move {
        let mut latencies = Vec::new();
        while begin.elapsed() < seconds() {
            let number = number(caller, latencies.len());
            let begin = Instant::now();
            subject.call(kind, number).await;
            latencies.push(begin.elapsed());
        }
        latencies
    });
    let latencies: Vec<_> = join_all(callers).await.into_iter().flatten().collect();
    Cell::of(latencies, begin.elapsed())
}

/// As [`cell`], each caller a thread of its own.
fn raw_cell(engine: &Engine, kind: Kind, callers: usize) -> Cell {
    engine.call(kind, 0);
    let begin = Instant::now();
    let calls = move |caller| {
        let mut latencies = Vec::new();
        while begin.elapsed() < seconds() {
            let number = number(caller, latencies.len());
            let begin = Instant::now();
            engine.call(kind, number);
            latencies.push(begin.elapsed());
        }
        latencies
    };
    let latencies = std::thread::scope(|scope| {
        let callers = (0..callers).map(|caller| scope.spawn(move || calls(caller)));
        let callers: Vec<_> = callers.collect();
        let latencies = callers.into_iter().map(|caller| caller.join().unwrap());
        latencies.flatten().collect()
    });
    Cell::of(latencies, begin.elapsed())
}

type Cells = BTreeMap<(Kind, usize, Column), Cell>;

/// Measures all that is chosen, with so many items.
async fn measure(dims: usize, items: usize) {
    let folder = tempfile::tempdir().unwrap();
    let begin = Instant::now();
    let service = Service::start(folder.path(), dims, items).await;
    let filled = items as f64 / begin.elapsed().as_secs_f64();
    let kinds = chosen("WEFT_BENCH_KINDS", &KINDS);
    let columns = chosen("WEFT_BENCH_COLUMNS", &COLUMNS);
    let callers = numbers("WEFT_BENCH_CALLERS", "1,8,64");
    let mut cells = Cells::new();
    for &kind in &kinds {
        let bare = Bare::start(&service.calls, kind).await;
        let own = service.own();
        for &callers in &callers {
            for &column in &columns {
                let subject: &dyn Subject = match column {
                    Column::Grpc => &service.calls,
                    Column::Bare => &bare.calls,
                    Column::Own => &own,
                    Column::Same | Column::Raw => continue,
                };
                let cell = cell(subject, kind, callers).await;
                cells.insert((kind, callers, column), cell);
            }
        }
        bare.stop().await;
    }
    service.stop().await;
    // The engine has the same files afterwards.
    let same = Same::over(Engine::open(folder.path(), dims, items));
    for &kind in &kinds {
        for &callers in &callers {
            for &column in &columns {
                let cell = match column {
                    Column::Same => cell(&same, kind, callers).await,
                    Column::Raw => {
                        tokio::task::block_in_place(|| raw_cell(same.engine(), kind, callers))
                    }
                    Column::Grpc | Column::Bare | Column::Own => continue,
                };
                cells.insert((kind, callers, column), cell);
            }
        }
    }
    same.stop().await;
    for &kind in &kinds {
        for &callers in &callers {
            print(dims, items, (kind, callers), &cells);
        }
    }
    println!("{items:>7} {dims:>4} filled by batches at {filled:.0} items/s");
}

fn print(dims: usize, items: usize, (kind, callers): (Kind, usize), cells: &Cells) {
    let find = |column| cells.get(&(kind, callers, column)).copied();
    let rate = |column| find(column).map(|cell| cell.rate);
    let through = find(Column::Grpc);
    let shown = |number: Option<f64>, digits: usize| match number {
        Some(number) => format!("{number:.digits$}"),
        None => "-".to_owned(),
    };
    let share = |of: Option<f64>| Some(rate(Column::Grpc)? / of?);
    let sum = || Some(1.0 / (1.0 / rate(Column::Bare)? + 1.0 / rate(Column::Same)?));
    println!(
        "{items:>7} {dims:>4} {:<13} {callers:>3} {:>7} {:>8} {:>8} | {:>7} {:>7} {:>7} {:>7} | {:>9} {:>5}",
        format!("{kind:?}"),
        shown(rate(Column::Grpc), 0),
        shown(through.map(|cell| cell.middle), 3),
        shown(through.map(|cell| cell.slow), 3),
        shown(rate(Column::Bare), 0),
        shown(rate(Column::Own), 0),
        shown(rate(Column::Same), 0),
        shown(rate(Column::Raw), 0),
        shown(share(rate(Column::Same)), 2),
        shown(share(sum()), 2),
    );
}

#[tokio::main]
async fn main() {
    println!(
        "  items dims what            c    gRPC   p50 ms   p99 ms |    bare     own    same     raw | gRPC/same  /sum"
    );
    for dims in numbers("WEFT_BENCH_DIMS", "256,1024") {
        for items in numbers("WEFT_BENCH_ITEMS", "1000,10000,100000") {
            measure(dims, items).await;
        }
    }
}
