//! `make bench-workflow`: runs per second and latency of workflow-service over gRPC on loopback, every
//! task result on the disk before it is seen, beside what the disk and SQLite can do in the same run.
//!
//! Client and service share the process and the machine's cores, but for the kills. `WEFT_BENCH_SECONDS`
//! is the time for each cell, 2 by default.
//!
//! # Layout
//! - `disk`: the disk's own limit
//! - `hosted`: the service, with the worker in it
//! - `sequence`: the entrypoints that are measured
//! - `load`: callers, and what they see
//! - `waiting`: runs that wait for answers, and replay when they get them
//! - `recovery`: runs that go on after a kill
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "the table is what it prints; a benchmark fails by panicking"
)]

mod disk;
mod hosted;
mod load;
mod recovery;
mod sequence;
mod waiting;

use std::{
    env,
    path::Path,
    str::FromStr,
    time::{Duration, Instant},
};

use e2e::runs::Workflows;
use tonic::transport::Channel;
use weft_worker::{Context, Entrypoint, Worker};

use crate::{
    hosted::Hosted,
    load::Load,
    sequence::{PARALLEL, RESULT_BYTES, SEQUENCE, run, step},
};

/// Hosts `ask` beside what is measured: as many tasks as its input says, one after the other, and then
/// a question.
fn worker() -> Worker {
    let ask = Entrypoint::new("ask", "1", |context: Context, steps: u32| async move {
        for number in 0..steps {
            context.call(&step(), number).await?;
        }
        context.interrupt::<_, bool>("go on?").await
    });
    sequence::worker().entrypoint(ask)
}

fn number<T: FromStr>(variable: &str) -> Option<T> {
    env::var(variable).ok()?.parse().ok()
}

fn limits(folder: &Path, time: Duration) {
    let syncs = disk::syncs(folder, time).unwrap();
    println!("disk: {syncs:.0} appends of 4 KiB + fdatasync/s");
    let db = rusqlite::Connection::open(folder.join("limit.db")).unwrap();
    db.pragma_update(None, "journal_mode", "WAL").unwrap();
    db.pragma_update(None, "synchronous", "FULL").unwrap();
    db.execute_batch("CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT)")
        .unwrap();
    let text = "x".repeat(RESULT_BYTES);
    for rows in [1, 64] {
        let transactions = disk::rate(time, || {
            db.execute_batch("BEGIN IMMEDIATE").unwrap();
            for _ in 0..rows {
                let mut insert = db.prepare_cached("INSERT INTO t (b) VALUES (?1)").unwrap();
                insert.execute([&text]).unwrap();
            }
            db.execute_batch("COMMIT").unwrap();
        });
        println!("SQLite, WAL, FULL: {transactions:.0} transactions of {rows} row(s)/s");
    }
}

async fn cell(client: &Workflows, entrypoint: &'static str, load: Load) {
    let sample = load.play(async || run(client.clone(), entrypoint, load.tasks).await);
    let figures = sample.await.unwrap().figures();
    println!(
        "{entrypoint:<9} {:>5} {:>5} {:>9.0} {:>9.0} {:>8.2} {:>8.2}",
        load.tasks,
        load.callers,
        figures.runs_per_second,
        figures.runs_per_second * f64::from(load.tasks),
        figures.p50_ms,
        figures.p99_ms,
    );
}

#[tokio::main]
async fn main() {
    let folder = tempfile::tempdir().unwrap();
    let seconds = load::seconds().unwrap();
    limits(folder.path(), Duration::from_secs_f64(seconds));

    let hosted = Hosted::start(&folder.path().join("store"), worker()).await;
    let (url, _) = hosted.addresses();
    let channel = Channel::from_shared(url.to_owned()).unwrap();
    let client = Workflows::new(channel.connect().await.unwrap());
    // First, while nothing else has made the process grow. The store holds them from then on.
    println!();
    waiting::memory(&client, &folder.path().join("store")).await;
    println!("\nentrypoint steps     c    runs/s   tasks/s   p50 ms   p99 ms");
    for (entrypoint, tasks) in [
        (SEQUENCE, 1),
        (SEQUENCE, 3),
        (SEQUENCE, 100),
        (PARALLEL, 100),
    ] {
        for callers in [1, 8, 64, 256] {
            let load = Load {
                tasks,
                callers,
                seconds,
            };
            cell(&client, entrypoint, load).await;
        }
    }
    println!();
    for steps in [10, 100, 1000, 10_000] {
        let begin = Instant::now();
        run(client.clone(), SEQUENCE, steps).await.unwrap();
        println!(
            "a run of {steps} steps: {:.3} ms a step",
            begin.elapsed().as_secs_f64() * 1e3 / f64::from(steps)
        );
    }
    println!();
    waiting::replay(&client).await;
    hosted.end().await;
    println!();
    recovery::measure().await;
}
