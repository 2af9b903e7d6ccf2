//! The real binary under `kill -9`, and its workers too, at random moments: random programs, in workers
//! or compiled into the service, through gRPC, come to what they come to without that, and no task runs again after its result was
//! acknowledged. What tasks do is written to a file of its own, which no kill undoes: what a process
//! has written is the kernel's, and is there when the process is not. It is not flushed to the disk,
//! as nothing here loses power; what that would take is told by the tests in `power`.
//!
//! `WEFT_TEST_KILLS=n` kills that often in each test; otherwise it is 100 times in CI, and fewer
//! elsewhere.
//! `WEFT_TEST_SEED=n` tries other programs. The moments of the kills are not the same in every try.
//!
//! # Layout
//! - `plan`: what is run, and how
//! - `client`: sees one run to its end, whatever answers it gets
//! - `killer`: kills, stops and restarts
//! - `verdict`: what must hold in the end

mod client;
mod killer;
mod plan;
mod verdict;

use std::{
    env,
    sync::atomic::{AtomicBool, Ordering},
    time::Instant,
};

use anyhow::Result;
use futures::{StreamExt as _, stream};
use tokio::select;

use self::{
    client::Client,
    killer::{Host, Killer},
    plan::Plan,
};

/// Runs that are under way at once.
const AT_ONCE: usize = 24;

fn number(name: &str) -> Option<u64> {
    env::var(name).ok()?.parse().ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_programs_of_workers_end_as_they_do_without_kills_and_repeat_nothing() -> Result<()>
{
    println!("{}", under_kills(Host::Workers).await?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_programs_in_the_service_end_as_they_do_without_kills_and_repeat_nothing()
-> Result<()> {
    println!("{}", under_kills(Host::Service).await?);
    Ok(())
}

/// Executes random programs under kills and checks what came of them: what was done and looked at.
async fn under_kills(host: Host) -> Result<String> {
    let is_ci = env::var("CI").is_ok_and(|value| value == "true");
    let kills = number("WEFT_TEST_KILLS").unwrap_or(if is_ci { 100 } else { 25 });
    let seed = number("WEFT_TEST_SEED").unwrap_or(1);
    let begin = Instant::now();

    let (mut killer, url) = Killer::start(host).await?;
    let folder = killer.folder().to_owned();
    // New runs are started for as long as there are kills to come.
    let is_over = AtomicBool::new(false);
    let plans = (0_u32..).map(|number| Plan::random(seed, number));
    let clients = stream::iter(plans)
        .take_while(|_| std::future::ready(!is_over.load(Ordering::Relaxed)))
        .map(|plan| Client::new(&url, &folder, plan))
        .map(|client| async move { client?.attend().await })
        .buffer_unordered(AT_ONCE);
    let attended = async {
        let mut ended = Vec::new();
        futures::pin_mut!(clients);
        while let Some(end) = clients.next().await {
            ended.push(end?);
        }
        anyhow::Ok(ended)
    };
    futures::pin_mut!(attended);
    let mut early = None;
    select! {
        killed = killer.kill(kills) => killed?,
        // Only a failure ends them while there are kills to come.
        ended = &mut attended => early = Some(ended?),
    }
    is_over.store(true, Ordering::Relaxed);
    let ended = match early {
        Some(ended) => ended,
        None => attended.await?,
    };
    let mut workflows = killer.client()?;
    let judged = verdict::check(&mut workflows, &folder, &ended).await?;
    let took = begin.elapsed();
    let done = format!("{host:?}, seed {seed}: {killer}, {judged}, in {took:.1?}");
    killer.finish().await?;
    Ok(done)
}
