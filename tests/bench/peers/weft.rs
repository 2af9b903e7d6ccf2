//! Weft's program, in two forms: with entrypoint and tasks in a worker process, and compiled into the
//! service. In both the callers are a process of their own, the like of the other systems' parts.

use std::path::Path;

use anyhow::{Context as _, Result};
use e2e::{Launch, Process, cluster::WORKFLOW, health, runs::Workflows, worker::hosts};
use tokio::io::{AsyncBufReadExt as _, BufReader, stdin};
use tonic::transport::Endpoint;
use weft_proto::workflow::v1::Durability;

use crate::{
    load::Load,
    parts::{start, start_and_hear, this_program},
    sequence::{SEQUENCE, run},
};

/// `weft-worker FOLDER`: the service's own binary, and a worker process.
pub(crate) async fn with_worker(folder: &Path) -> Result<()> {
    let launch = Launch::isolated(WORKFLOW, &folder.join("log"))
        .flag("--listen", "127.0.0.1:0")
        .flag("--admin-listen", "127.0.0.1:0")
        .flag("--data-dir", folder);
    let service = Process::start(&launch).await?;
    health::ready(service.channel()?).await?;
    let _worker = start(this_program("worker")?.arg(service.url()))?;
    answer(&service.url()).await?;
    service.terminate().await
}

/// `weft-hosted FOLDER`: a service that is a part of this program.
pub(crate) async fn hosted(folder: &Path) -> Result<()> {
    let (_service, addresses) = start_and_hear(this_program("service")?.arg(folder)).await?;
    let (url, _) = addresses.split_once(' ').context("no address")?;
    answer(url).await
}

/// Plays the callers, as often as the input asks for.
async fn answer(url: &str) -> Result<()> {
    let channel = Endpoint::from_shared(url.to_owned())?.connect().await?;
    let mut client = Workflows::new(channel);
    hosts(&mut client, SEQUENCE, 1).await?;
    println!(
        "{WORKFLOW} {}, {}, SQLite: WAL, synchronous=FULL",
        env!("CARGO_PKG_VERSION"),
        Durability::Sync.as_str_name(),
    );
    let mut lines = BufReader::new(stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        let load: Load = serde_json::from_str(&line)?;
        let sample = load.play(async || run(client.clone(), SEQUENCE, load.tasks).await);
        println!("{}", serde_json::to_string(&sample.await?)?);
    }
    Ok(())
}
