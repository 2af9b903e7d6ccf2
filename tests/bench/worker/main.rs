//! `make bench-worker`: what it costs that entrypoints run in a process of their own. Runs a second and
//! latency with a worker process in Rust, one in Python, and the same entrypoints compiled into the
//! service, taken in turn in one run; and what workers cost that have nothing to do.
//!
//! Each system is a workflow-service with its data in a temporary folder, and its worker. The callers
//! are this process. What is nearest to its limit is told of each cell: the writer, which is in a commit
//! for a share of the time; the machine, whose cores are shared by all; or the worker in Python, which
//! can use one. `WEFT_BENCH_SECONDS` is the time of one measurement, 2 by default; each cell is measured
//! `ROUNDS` times. `WEFT_BENCH_PYTHON` is a Python that has the package `weft`; without it the worker in
//! Python is left out, aloud. `WEFT_BENCH_IDLE` is the number of idle workers, 10,000 by default. The
//! arguments `runs` and `idle` measure only that.
//!
//! # Layout
//! - `system`: a service and its worker
//! - `taken`: what they took
//! - `idle`: workers that have nothing to do
//! - `disk`, `hosted`, `load`, `parts`, `sequence`: shared with the other benchmarks of the service
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "the table is what it prints; a benchmark fails by panicking"
)]

#[path = "../disk.rs"]
mod disk;
#[path = "../hosted.rs"]
mod hosted;
mod idle;
#[path = "../load.rs"]
mod load;
#[path = "../parts.rs"]
mod parts;
#[path = "../sequence.rs"]
mod sequence;
mod system;
mod taken;

use std::{path::Path, time::Duration};

use anyhow::Result;

use crate::{
    load::{Load, Sample, seconds},
    sequence::{PARALLEL, SEQUENCE},
    system::{Host, System},
    taken::Taken,
};

/// Times that each cell is measured, in turn with those of the other systems.
const ROUNDS: usize = 2;
/// Entrypoint and number of its tasks.
const RUNS: [(&str, u32); 3] = [(SEQUENCE, 1), (SEQUENCE, 10), (PARALLEL, 10)];
/// Callers, each of which has one run under way.
const CALLERS: [u32; 3] = [1, 8, 64];

async fn start_all() -> Vec<System> {
    let mut systems = Vec::new();
    for host in Host::ALL {
        match System::start(host).await {
            Ok(system) => systems.push(system),
            Err(error) => println!("{:<14} LEFT OUT: {error:#}", host.name()),
        }
    }
    systems
}

/// Measures a cell of all systems, in turn.
async fn measure(entrypoint: &'static str, load: Load, systems: &[System]) -> Result<()> {
    let warm_up = Load {
        seconds: load.seconds / 4.0,
        ..load
    };
    for system in systems {
        system.play(entrypoint, warm_up).await?;
    }
    let mut taken: Vec<(Sample, Taken)> = systems.iter().map(|_| Default::default()).collect();
    for _ in 0..ROUNDS {
        for (system, (sample, taken)) in systems.iter().zip(&mut taken) {
            let before = system.taken().await?;
            *sample += system.play(entrypoint, load).await?;
            *taken += system.taken().await? - before;
        }
    }
    for (system, (sample, taken)) in systems.iter().zip(taken) {
        let figures = sample.figures();
        println!(
            "{entrypoint:<9} {:>5} {:>3}  {:<14} {:>7.0} {:>8.0} {:>8.2} {:>8.2}   {}",
            load.tasks,
            load.callers,
            system.host.name(),
            figures.runs_per_second,
            figures.runs_per_second * f64::from(load.tasks),
            figures.p50_ms,
            figures.p99_ms,
            taken.shares(system.host),
        );
    }
    Ok(())
}

async fn runs() -> Result<()> {
    let seconds = seconds()?;
    let folder = tempfile::tempdir()?;
    let syncs = disk::syncs(folder.path(), Duration::from_secs_f64(seconds))?;
    println!("disk: {syncs:.0} appends of 4 KiB + fdatasync/s\n");
    let systems = start_all().await;
    println!(
        "entrypoint tasks  c  host            runs/s  tasks/s   p50 ms   p99 ms   {}",
        Taken::HEAD
    );
    for (entrypoint, tasks) in RUNS {
        for callers in CALLERS {
            let load = Load {
                tasks,
                callers,
                seconds,
            };
            measure(entrypoint, load, &systems).await?;
        }
    }
    for system in systems {
        system.end().await?;
    }
    Ok(())
}

async fn all() -> Result<()> {
    runs().await?;
    println!();
    idle::measure().await
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = parts::arguments();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["worker", url] => parts::work(url).await,
        ["service", folder] => parts::serve(Path::new(folder)).await,
        ["connections", url, count] => idle::connections(url, count.parse()?).await,
        ["runs"] => parts::until_asked_to_end(runs()).await,
        ["idle"] => parts::until_asked_to_end(idle::measure()).await,
        _ => parts::until_asked_to_end(all()).await,
    }
}
