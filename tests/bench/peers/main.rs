//! `make bench-peers`: runs per second and latency of Weft beside those of other durable engines, taken
//! in turn in one run on one machine.
//!
//! Every system is a program of its own, which starts what it needs on loopback with its data in a
//! temporary folder, and plays the callers: it reads lines of JSON that say how many, and answers with
//! what they saw. `WEFT_BENCH_SECONDS` is the time of one measurement, 2 by default; each cell is
//! measured `ROUNDS` times. `WEFT_BENCH_RESTATE`, `WEFT_BENCH_LANGGRAPH` and `WEFT_BENCH_POSTGRES` are
//! what `install` prints; a system without is left out, aloud.
//!
//! # Layout
//! - `program`: a system as the benchmark sees it
//! - `weft`: Weft's program, in two forms
//! - `restate/`, `langgraph_peer.py`: those of the others
//! - `goals`: how much faster Weft is, and is to be
//! - `disk`, `hosted`, `load`, `parts`, `sequence`: shared with the other benchmarks of the service
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "the table is what it prints; a benchmark fails by panicking"
)]

#[path = "../disk.rs"]
mod disk;
mod goals;
#[path = "../hosted.rs"]
mod hosted;
#[path = "../load.rs"]
mod load;
#[path = "../parts.rs"]
mod parts;
mod program;
#[path = "../sequence.rs"]
mod sequence;
mod weft;

use std::{collections::HashMap, env, path::Path, time::Duration};

use anyhow::{Context as _, Result};
use tokio::process::Command;

use crate::{
    load::{Figures, Load, Sample, seconds},
    parts::this_program,
    program::Program,
};

/// Times that each cell is measured, in turn with those of the other systems.
const ROUNDS: usize = 2;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Cell {
    /// Tasks of a run, one after the other.
    pub tasks: u32,
    /// Callers, each of which has one run under way.
    pub callers: u32,
}

const CELLS: [Cell; 5] = [
    Cell::new(1, 1),
    Cell::new(3, 1),
    Cell::new(3, 8),
    Cell::new(3, 64),
    Cell::new(100, 1),
];

impl Cell {
    pub(crate) const fn new(tasks: u32, callers: u32) -> Self {
        Self { tasks, callers }
    }
}

/// What executes the runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum System {
    /// Entrypoint and tasks in a process of their own.
    WeftWorker,
    /// Entrypoint and tasks compiled into the service.
    WeftHosted,
    Restate,
    LangGraphSqlite,
    LangGraphPostgres,
}

impl System {
    const ALL: [Self; 5] = [
        Self::WeftWorker,
        Self::WeftHosted,
        Self::Restate,
        Self::LangGraphSqlite,
        Self::LangGraphPostgres,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::WeftWorker => "Weft, worker process",
            Self::WeftHosted => "Weft, in the service",
            Self::Restate => "Restate",
            Self::LangGraphSqlite => "LangGraph + SQLite",
            Self::LangGraphPostgres => "LangGraph + PostgreSQL",
        }
    }

    /// Its program, without the last argument: the folder for its data.
    fn command(self) -> Result<Command> {
        let langgraph = || -> Result<Command> {
            let mut command = Command::new(installed("WEFT_BENCH_LANGGRAPH")?);
            command.arg(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/peers/langgraph_peer.py"
            ));
            Ok(command)
        };
        Ok(match self {
            Self::WeftWorker => this_program("weft-worker")?,
            Self::WeftHosted => this_program("weft-hosted")?,
            Self::Restate => {
                Command::new(Path::new(&installed("WEFT_BENCH_RESTATE")?).join("restate-peer"))
            }
            Self::LangGraphSqlite => {
                let mut command = langgraph()?;
                command.arg("sqlite");
                command
            }
            Self::LangGraphPostgres => {
                let mut command = langgraph()?;
                command
                    .arg("postgres")
                    .arg(installed("WEFT_BENCH_POSTGRES")?);
                command
            }
        })
    }
}

/// What every system did in every cell.
pub(crate) type Table = HashMap<(Cell, System), Figures>;

fn installed(variable: &str) -> Result<String> {
    env::var(variable)
        .with_context(|| format!("`{variable}` is not set; `make bench-peers` sets it"))
}

fn disk(seconds: f64) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let syncs = disk::syncs(folder.path(), Duration::from_secs_f64(seconds))?;
    println!("disk: {syncs:.0} appends of 4 KiB + fdatasync/s");
    Ok(())
}

async fn start() -> Vec<(System, Program)> {
    let mut programs = Vec::new();
    for system in System::ALL {
        let started = match system.command() {
            Ok(command) => Program::start(command).await,
            Err(error) => Err(error),
        };
        match started {
            Ok(program) => {
                println!("{:<23} {}", system.name(), program.settings());
                programs.push((system, program));
            }
            Err(error) => println!("{:<23} LEFT OUT: {error:#}", system.name()),
        }
    }
    programs
}

/// Measures a cell of all systems, in turn.
async fn measure(
    cell: Cell,
    seconds: f64,
    programs: &mut [(System, Program)],
    table: &mut Table,
) -> Result<()> {
    let load = Load {
        tasks: cell.tasks,
        callers: cell.callers,
        seconds,
    };
    let warm_up = Load {
        seconds: seconds / 4.0,
        ..load
    };
    for (_, program) in programs.iter_mut() {
        program.ask(&warm_up).await?;
    }
    let mut samples: Vec<Sample> = programs.iter().map(|_| Sample::default()).collect();
    for _ in 0..ROUNDS {
        for ((_, program), sample) in programs.iter_mut().zip(&mut samples) {
            *sample += program.ask(&load).await?;
        }
    }
    for ((system, _), sample) in programs.iter().zip(samples) {
        let figures = sample.figures();
        println!(
            "{:>5} {:>4}  {:<23} {:>9.1} {:>9.2} {:>9.2}",
            cell.tasks,
            cell.callers,
            system.name(),
            figures.runs_per_second,
            figures.p50_ms,
            figures.p99_ms,
        );
        table.insert((cell, *system), figures);
    }
    Ok(())
}

async fn compare() -> Result<()> {
    let seconds = seconds()?;
    disk(seconds)?;
    println!();
    let mut programs = start().await;
    println!(
        "\ntasks    c  {:<23}    runs/s    p50 ms    p99 ms",
        "system"
    );
    let mut table = Table::new();
    for cell in CELLS {
        measure(cell, seconds, &mut programs, &mut table).await?;
    }
    for (_, program) in programs {
        program.end().await?;
    }
    println!();
    disk(seconds)?;
    println!();
    goals::print(&table);
    Ok(())
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = parts::arguments();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["weft-worker", folder] => weft::with_worker(Path::new(folder)).await,
        ["weft-hosted", folder] => weft::hosted(Path::new(folder)).await,
        ["worker", url] => parts::work(url).await,
        ["service", folder] => parts::serve(Path::new(folder)).await,
        _ => parts::until_asked_to_end(compare()).await,
    }
}
