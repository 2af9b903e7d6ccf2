//! `make bench-memory`: memory-service over gRPC on loopback beside its engine, called directly in the
//! same run on the same data.
//!
//! Client, service and engine share the process and the machine's cores. `WEFT_BENCH_SECONDS` is the
//! time for each cell, 1 by default; `WEFT_BENCH_ITEMS` and `WEFT_BENCH_DIMS` are the sizes, with
//! commas between.
//!
//! # Layout
//! - `service`: calls of the service
//! - `engine`: the same, of the engine
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "the table is what it prints; a benchmark fails by panicking"
)]

mod engine;
mod service;

use std::{
    env,
    time::{Duration, Instant},
};

use futures::future::{BoxFuture, join_all};

use crate::{engine::Engine, service::Service};

/// Users that the items belong to, each with a namespace of its own: as many as there are items, but
/// no more than this.
const USERS: usize = 10_000;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

fn seconds() -> Duration {
    let seconds = env::var("WEFT_BENCH_SECONDS").ok();
    Duration::from_secs_f64(seconds.map_or(1.0, |text| text.parse().unwrap()))
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

/// Calls a second and the latencies of the middle and of one in a hundred, in milliseconds.
struct Cell {
    rate: f64,
    middle: f64,
    slow: f64,
}

async fn cell(subject: &dyn Subject, kind: Kind, concurrency: usize) -> Cell {
    let begin = Instant::now();
    let callers = (0..concurrency).map(|caller| async move {
        let mut latencies = Vec::new();
        while begin.elapsed() < seconds() {
            let number = (caller * 7_919 + latencies.len() * 104_729) % 1_000_003;
            let begin = Instant::now();
            subject.call(kind, number).await;
            latencies.push(begin.elapsed());
        }
        latencies
    });
    let mut latencies: Vec<_> = join_all(callers).await.into_iter().flatten().collect();
    let elapsed = begin.elapsed().as_secs_f64();
    latencies.sort_unstable();
    let at = |share: usize| latencies[(latencies.len() - 1) * share / 100].as_secs_f64() * 1e3;
    Cell {
        rate: latencies.len() as f64 / elapsed,
        middle: at(50),
        slow: at(99),
    }
}

#[tokio::main]
async fn main() {
    println!(
        "   items dims what            c    calls/s   p50 ms   p99 ms | engine/s   p50 ms   ratio"
    );
    for dims in numbers("WEFT_BENCH_DIMS", "256,1024") {
        for items in numbers("WEFT_BENCH_ITEMS", "1000,10000,100000") {
            let folder = tempfile::tempdir().unwrap();
            let begin = Instant::now();
            let service = Service::start(folder.path(), dims, items).await;
            let took = begin.elapsed().as_secs_f64();
            let mut cells = Vec::new();
            for kind in KINDS {
                for concurrency in [1, 8, 64] {
                    cells.push((kind, concurrency, cell(&service, kind, concurrency).await));
                }
            }
            service.stop().await;
            // The engine has the same files afterwards.
            let engine = Engine::open(folder.path(), dims, items);
            for (kind, concurrency, through) in cells {
                let direct = cell(&engine, kind, concurrency).await;
                println!(
                    "{items:>8} {dims:>4} {:<13} {concurrency:>3} {:>10.0} {:>8.3} {:>8.3} | {:>8.0} {:>8.3} {:>7.2}",
                    format!("{kind:?}"),
                    through.rate,
                    through.middle,
                    through.slow,
                    direct.rate,
                    direct.middle,
                    through.rate / direct.rate,
                );
            }
            println!(
                "{items:>8} {dims:>4} filled by batches at {:.0} items/s",
                items as f64 / took
            );
        }
    }
}
