//! `make bench-llm`: what a token costs on its way through StreamRun, beside reading the same provider
//! directly, in the same run.
//!
//! The provider is a process of its own that says [`TOKENS`] tokens a stream, [`RATE`] of them a second;
//! each token is the time at which it was sent. The service is the real binary, with the provider's
//! limits lifted; the reader is this process. Streams begin within [`SPREAD`] of one another. Best on a
//! quiet machine: all three share its cores.
//!
//! # Layout
//! - `provider`: the provider
//! - `reading`: one stream, read either way
//! - `figures`: what many streams make
#![expect(clippy::print_stdout, reason = "the table is what it prints")]

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
    figures::Figures,
    provider::PacedProvider,
    reading::{Heard, Service, directly},
};

/// Tokens of a stream.
const TOKENS: u32 = 100;
/// Tokens of a stream in a second: what fast models write.
const RATE: u32 = 50;
/// Streams that are open at once, and how often that is done.
const CELLS: [(u32, u32); 3] = [(1, 10), (100, 2), (1000, 2)];
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
        ("WEFT_DEFAULT_MODEL", "paced:m"),
        ("WEFT_LOG", "warn"),
    ] {
        cluster.set(WORKFLOW, name, value);
    }
    cluster.start_workflow().await?;
    println!(
        "{TOKENS} tokens a stream, {RATE} a second; delays from the provider's write to the reader"
    );
    println!("{}", Figures::HEAD);
    for (streams, rounds) in CELLS {
        let address = provider.address();
        let direct = cell(streams, rounds, |_| directly(address)).await?;
        let service = cluster.workflow()?;
        let through = through(service, streams, rounds).await?;
        println!("{}", direct.row(streams, "directly"));
        println!("{}", through.row(streams, "StreamRun"));
        println!("{}", through.beside(&direct));
    }
    cluster.finish().await
}

/// Reads streams through the service, and looks at what it takes.
async fn through(process: &Process, streams: u32, rounds: u32) -> Result<Figures> {
    let id = process.id().context("the service has ended")?;
    let service = Service::connect(process, streams).await?;
    // What is allocated once and kept is not a stream's.
    service.read(0).await?;
    let (idle, cpu) = (resident_bytes(id)?, cpu_time(id)?);
    let read = cell(streams, rounds, |number| service.read(number));
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
    figures.memory = Some((most - idle) / u64::from(streams));
    Ok(figures)
}

/// Reads that many streams at once, that many times.
async fn cell<F, R>(streams: u32, rounds: u32, read: R) -> Result<Figures>
where
    F: Future<Output = Result<Heard>> + Send + 'static,
    R: Fn(u32) -> F,
{
    let mut figures = Figures::default();
    for _ in 0..rounds {
        let begin = Instant::now();
        let mut reading = JoinSet::new();
        for number in 0..streams {
            let (start, read) = (begin + SPREAD * number / streams, read(number));
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
