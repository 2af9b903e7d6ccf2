//! `make bench-workflow`: runs per second and latency of workflow-service over gRPC on loopback, every
//! task result on the disk before it is seen, beside what the disk and SQLite can do in the same run.
//!
//! Client and service share the process and the machine's cores, but for the kills. `WEFT_BENCH_SECONDS`
//! is the time for each cell, 2 by default.
//!
//! # Layout
//! - `disk`: the disk's own limit
//! - `hosted`: the service, with the worker in it
//! - `waiting`: runs that wait for answers, and replay when they get them
//! - `recovery`: runs that go on after a kill
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "the table is what it prints; a benchmark fails by panicking"
)]

mod disk;
mod hosted;
mod recovery;
mod waiting;

use std::{
    env,
    path::Path,
    str::FromStr,
    time::{Duration, Instant},
};

use futures::future::{join_all, try_join_all};
use tonic::transport::Channel;
use weft_proto::{
    common::v1::{Payload, payload::Form},
    workflow::v1::{
        InvokeRunRequest, StartRunRequest, run::State,
        workflow_service_client::WorkflowServiceClient,
    },
};
use weft_worker::{Context, Entrypoint, Failure, Task, TaskContext, Worker};

use crate::hosted::Hosted;

/// What a step returns: 256 bytes of JSON.
const RESULT_BYTES: usize = 254;

fn step() -> Task<u32, String> {
    Task::new("step", |_: TaskContext, _: u32| async {
        Ok("x".repeat(RESULT_BYTES))
    })
}

/// - `sequence`: as many tasks as its input says, one after the other
/// - `parallel`: as many, all at once
/// - `ask`: as `sequence`, then a question
fn worker() -> Worker {
    let sequence = Entrypoint::new("sequence", "1", |context: Context, steps: u32| async move {
        for number in 0..steps {
            context.call(&step(), number).await?;
        }
        Ok(steps)
    });
    let parallel = Entrypoint::new("parallel", "1", |context: Context, steps: u32| async move {
        try_join_all((0..steps).map(|number| context.call(&step(), number))).await?;
        Ok::<_, Failure>(steps)
    });
    let ask = Entrypoint::new("ask", "1", |context: Context, steps: u32| async move {
        for number in 0..steps {
            context.call(&step(), number).await?;
        }
        context.interrupt::<_, bool>("go on?").await
    });
    Worker::new()
        .entrypoint(sequence)
        .entrypoint(parallel)
        .entrypoint(ask)
}

fn number<T: FromStr>(variable: &str) -> Option<T> {
    env::var(variable).ok()?.parse().ok()
}

fn seconds() -> Duration {
    Duration::from_secs_f64(number("WEFT_BENCH_SECONDS").unwrap_or(2.0))
}

fn payload(json: &str) -> Payload {
    Payload {
        form: Some(Form::JsonText(json.to_owned())),
    }
}

fn limits(folder: &Path) {
    let syncs = disk::syncs(folder, seconds()).unwrap();
    println!("disk: {syncs:.0} appends of 4 KiB + fdatasync/s");
    let db = rusqlite::Connection::open(folder.join("limit.db")).unwrap();
    db.pragma_update(None, "journal_mode", "WAL").unwrap();
    db.pragma_update(None, "synchronous", "FULL").unwrap();
    db.execute_batch("CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT)")
        .unwrap();
    let text = "x".repeat(RESULT_BYTES);
    for rows in [1, 64] {
        let transactions = disk::rate(seconds(), || {
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

async fn invoke(
    mut client: WorkflowServiceClient<Channel>,
    entrypoint: &'static str,
    steps: u32,
) -> Duration {
    let start = StartRunRequest {
        entrypoint: entrypoint.to_owned(),
        input: Some(payload(&steps.to_string())),
        ..StartRunRequest::default()
    };
    let request = InvokeRunRequest {
        start: Some(start),
        ..InvokeRunRequest::default()
    };
    let begin = Instant::now();
    let run = client
        .invoke_run(request)
        .await
        .unwrap()
        .into_inner()
        .run
        .unwrap();
    assert_eq!(run.state(), State::Succeeded);
    begin.elapsed()
}

async fn cell(
    client: &WorkflowServiceClient<Channel>,
    entrypoint: &'static str,
    steps: u32,
    concurrency: usize,
) {
    let begin = Instant::now();
    let callers = (0..concurrency).map(|_| {
        let client = client.clone();
        async move {
            let mut latencies = Vec::new();
            while begin.elapsed() < seconds() {
                latencies.push(invoke(client.clone(), entrypoint, steps).await);
            }
            latencies
        }
    });
    let mut latencies: Vec<_> = join_all(callers).await.into_iter().flatten().collect();
    let elapsed = begin.elapsed().as_secs_f64();
    latencies.sort_unstable();
    let at = |share: usize| latencies[(latencies.len() - 1) * share / 100].as_secs_f64() * 1e3;
    let runs = latencies.len() as f64 / elapsed;
    println!(
        "{entrypoint:<9} {steps:>5} {concurrency:>5} {runs:>9.0} {:>9.0} {:>8.2} {:>8.2}",
        runs * f64::from(steps),
        at(50),
        at(99),
    );
}

#[tokio::main]
async fn main() {
    let folder = tempfile::tempdir().unwrap();
    limits(folder.path());

    let hosted = Hosted::start(&folder.path().join("store"), worker()).await;
    let channel = Channel::from_shared(hosted.url().to_owned())
        .unwrap()
        .connect()
        .await
        .unwrap();
    let client = WorkflowServiceClient::new(channel);
    // First, while nothing else has made the process grow. The store holds them from then on.
    println!();
    waiting::memory(&client, &folder.path().join("store")).await;
    println!("\nentrypoint steps     c    runs/s   tasks/s   p50 ms   p99 ms");
    for (entrypoint, steps) in [
        ("sequence", 1),
        ("sequence", 3),
        ("sequence", 100),
        ("parallel", 100),
    ] {
        for concurrency in [1, 8, 64, 256] {
            cell(&client, entrypoint, steps, concurrency).await;
        }
    }
    println!();
    for steps in [10, 100, 1000, 10_000] {
        let took = invoke(client.clone(), "sequence", steps)
            .await
            .as_secs_f64()
            * 1e3;
        println!(
            "a run of {steps} steps: {:.3} ms a step",
            took / f64::from(steps)
        );
    }
    println!();
    waiting::replay(&client).await;
    hosted.end().await;
    println!();
    recovery::measure().await;
}
