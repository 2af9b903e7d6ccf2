//! Workers that have nothing to do: what each costs the service, and whether they slow down the runs of
//! one that works.

use std::{env, time::Duration};

use anyhow::{Context as _, Result, bail};
use e2e::{
    process::{cpu_time, resident_bytes},
    raw_worker::{RawWorker, hello},
    worker::hosts,
};
use futures::{StreamExt as _, stream};
use tokio::{
    select,
    task::JoinSet,
    time::{Instant, sleep},
};
use tonic::transport::Endpoint;
use weft_proto::workflow::v1::Hello;

use crate::{
    ROUNDS,
    load::{Load, Sample, seconds},
    parts::{no_more_input, start_and_hear, this_program},
    sequence::SEQUENCE,
    system::{Host, System},
};

/// Workers, unless told otherwise.
const WORKERS: u32 = 10_000;
/// Workers that connect at the same time.
const AT_ONCE: usize = 64;
/// What they host.
const IDLE: &str = "idle";
/// How long they are watched: the service's lease, within which each is asked three times whether it
/// lives.
const WATCHED: Duration = Duration::from_secs(15);
/// Tasks of the runs of the worker that works.
const TASKS: u32 = 3;
/// Callers of that.
const CALLERS: u32 = 8;

/// `connections URL COUNT`: so many workers, each with a connection and a session of its own, that are
/// given no run. Prints a line once all are welcome.
pub(crate) async fn connections(url: &str, count: u32) -> Result<()> {
    let endpoint = Endpoint::from_shared(url.to_owned())?;
    let connect = |number: u32| {
        let endpoint = endpoint.clone();
        async move {
            let hello = Hello {
                session_id: format!("{IDLE} {number}"),
                ..hello(IDLE)
            };
            RawWorker::connect(endpoint.connect().await?, hello).await
        }
    };
    let mut connecting = stream::iter(0..count)
        .map(connect)
        .buffer_unordered(AT_ONCE);
    let mut answering = JoinSet::new();
    while let Some(worker) = connecting.next().await {
        let mut worker = worker?;
        // Pings are answered for as long as nothing else is said.
        answering.spawn(async move { worker.next_answering(&[]).await });
    }
    println!("all are welcome");
    select! {
        Some(said) = answering.join_next() => bail!("an idle worker heard {said:?}"),
        () = no_more_input() => Ok(()),
    }
}

/// Runs of the worker that works.
async fn works(system: &System) -> Result<()> {
    let load = Load {
        tasks: TASKS,
        callers: CALLERS,
        seconds: seconds()?,
    };
    let mut sample = Sample::default();
    for _ in 0..ROUNDS {
        sample += system.play(SEQUENCE, load).await?;
    }
    let figures = sample.figures();
    println!(
        "runs of {TASKS} tasks, c={CALLERS}: {:.0} runs/s, p50 {:.2} ms, p99 {:.2} ms",
        figures.runs_per_second, figures.p50_ms, figures.p99_ms
    );
    Ok(())
}

/// Measures all of it.
pub(crate) async fn measure() -> Result<()> {
    let workers: u32 = match env::var("WEFT_BENCH_IDLE") {
        Ok(text) => text.parse().context("`WEFT_BENCH_IDLE` is no number")?,
        Err(_) => WORKERS,
    };
    let streams = (2 * workers).to_string();
    let settings = [
        ("WEFT_SERVER__MAX_STREAMS", streams.as_str()),
        ("WEFT_LOG", "warn"),
    ];
    let system = System::start_with(Host::Rust, &settings).await?;
    let service = system.service_id()?;
    works(&system).await?;
    works(&system).await?;

    let resident = resident_bytes(service)?;
    let begin = Instant::now();
    let mut simulator = this_program("connections")?;
    simulator.args([system.url()?, workers.to_string()]);
    let (simulator, _) = start_and_hear(&mut simulator).await?;
    println!(
        "{workers} idle workers connected in {:.1} s",
        begin.elapsed().as_secs_f64()
    );
    let simulator_id = simulator.id().context("the idle workers are gone")?;
    let computed = || anyhow::Ok([cpu_time(service)?, cpu_time(simulator_id)?]);
    let before = computed()?;
    sleep(WATCHED).await;
    let after = computed()?;
    let grown = resident_bytes(service)?.saturating_sub(resident);
    let share = |part: usize| (after[part] - before[part]).as_secs_f64() / WATCHED.as_secs_f64();
    println!(
        "each takes {:.0} bytes of the service's memory; all take {:.1} % of a core of the service, and \
         {:.1} % to answer it",
        grown as f64 / f64::from(workers),
        share(0) * 100.0,
        share(1) * 100.0,
    );
    works(&system).await?;

    drop(simulator);
    hosts(&mut system.client.clone(), IDLE, 0).await?;
    println!("they are gone");
    works(&system).await?;
    system.end().await
}
