//! `program-worker URL FOLDER`: a worker that executes random programs, whose effects go to the
//! folder. The tests kill it, and the service that it works for.

use std::{env, path::Path, sync::Arc};

use anyhow::{Context as _, Result};
use e2e::effects::Effects;
use random_programs::{Pace, entrypoints, offered};
use tokio::signal::unix::{SignalKind, signal};
use weft_worker::Worker;

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = env::args().skip(1);
    let url = arguments.next().context("the URL is missing")?;
    let folder = arguments.next().context("the folder is missing")?;
    let effects = Arc::new(Effects::open(Path::new(&folder))?);
    let mut terminated = signal(SignalKind::terminate())?;
    let [remembered, cached] = entrypoints(effects.clone(), Pace::REAL.cache);
    Worker::new()
        .entrypoint(remembered)
        .entrypoint(cached)
        .task(offered(effects))
        .connect(url)
        .serve(async move {
            terminated.recv().await;
        })
        .await?;
    Ok(())
}
