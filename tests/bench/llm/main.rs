//! `make bench-llm`: what a token costs on its way through StreamRun, beside reading the same provider
//! directly, in the same run.
//!
//! The provider is a process of its own that says each stream's tokens at a steady rate, or as fast as
//! they are taken; each token is the time at which it was sent, and a write of its own. The service is
//! the real binary, with the provider's limits lifted; the reader is this process. Steady streams begin
//! within [`SPREAD`] of one another. Best on a quiet machine: all three share its cores, and with as
//! many tokens as they can carry together, delays are those of the queue for a core.
//!
//! # Layout
//! - `cell`: how many streams, and what they say
//! - `provider`: the provider
//! - `reading`: one stream, read either way
//! - `figures`: what many streams make
#![expect(clippy::print_stdout, reason = "the table is what it prints")]

mod cell;
mod figures;
mod provider;
mod reading;

use std::{env, future::Future, time::Duration};

use anyhow::{Context as _, Result};
use e2e::{
    Cluster, Process,
    cluster::WORKFLOW,
    process::{cpu_time, resident_bytes},
};
use tokio::{task::JoinSet, time::Instant};

use self::{
    cell::{CELLS, Cell, Pace},
    figures::Figures,
    provider::PacedProvider,
    reading::{Heard, Service, directly},
};

/// Time within which the streams of a cell begin.
const SPREAD: Duration = Duration::from_secs(1);
/// Between two looks at the memory of the service.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

#[tokio::main]
async fn main() -> Result<()> {
    if env::args().nth(1).as_deref() == Some(provider::ARGUMENT) {
        return provider::serve().await;
    }
    let provider = PacedProvider::start().await?;
    let mut cluster = Cluster::new()?;
    for (name, value) in [
        ("WEFT_PROVIDERS__PACED__API", "messages"),
        ("WEFT_PROVIDERS__PACED__BASE_URL", &provider.url()),
        ("WEFT_PROVIDERS__PACED__MAX_CONCURRENT", "4096"),
        ("WEFT_DEFAULT_MODEL", "paced:1x1"),
        ("WEFT_LOG", "warn"),
    ] {
        cluster.set(WORKFLOW, name, value);
    }
    cluster.start_workflow().await?;
    println!("delays from the provider's write to the reader");
    println!("{}", Figures::HEAD);
    for cell in CELLS {
        let address = provider.address();
        let direct = read(&cell, |_| directly(address, cell.pace)).await?;
        let service = cluster.workflow()?;
        let through = through(service, &cell).await?;
        println!("{}", direct.row(&cell, "directly"));
        println!("{}", through.row(&cell, "StreamRun"));
        println!("{}", through.beside(&direct, cell.pace));
    }
    cluster.finish().await
}

/// Reads streams through the service, and looks at what it takes.
async fn through(process: &Process, cell: &Cell) -> Result<Figures> {
    let id = process.id().context("the service has ended")?;
    let service = Service::connect(process, cell.streams).await?;
    // What is allocated once and kept is not a stream's.
    service.read(0, Pace::ONE).await?;
    let (idle, cpu) = (resident_bytes(id)?, cpu_time(id)?);
    let read = read(cell, |number| service.read(number, cell.pace));
    let mut looks = tokio::time::interval(LOOK_INTERVAL);
    let mut most = idle;
    tokio::pin!(read);
    let mut figures = loop {
        tokio::select! {
            figures = &mut read => break figures?,
            _ = looks.tick() => most = most.max(resident_bytes(id)?),
        }
    };
    figures.cpu = Some(cpu_time(id)?.saturating_sub(cpu));
    figures.memory = Some((most - idle) / u64::from(cell.streams));
    Ok(figures)
}

/// Reads the streams of a cell, as often as it says.
async fn read<F, R>(cell: &Cell, read: R) -> Result<Figures>
where
    F: Future<Output = Result<Heard>> + Send + 'static,
    R: Fn(u32) -> F,
{
    let mut figures = Figures::default();
    let spread = match cell.pace.rate {
        0 => Duration::ZERO,
        _ => SPREAD,
    };
    for _ in 0..cell.rounds {
        let begin = Instant::now();
        let mut reading = JoinSet::new();
        for number in 0..cell.streams {
            let (start, read) = (begin + spread * number / cell.streams, read(number));
            reading.spawn(async move {
                tokio::time::sleep_until(start).await;
                read.await
            });
        }
        while let Some(heard) = reading.join_next().await {
            figures.add(heard??);
        }
        figures.elapsed += begin.elapsed();
    }
    Ok(figures)
}
