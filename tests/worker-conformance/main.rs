//! `worker-conformance COMMAND [ARGUMENT]…`: tells whether a worker speaks the protocol.
//!
//! It plays the service's side of `worker.proto` with scripted scenarios, each against a new process
//! of the worker, and reports which ones pass. COMMAND starts the worker; `{url}` in it stands for
//! the address to connect to, which is also in the variable `WEFT_WORKFLOW_URL` (`http://host:port`).
//!
//! The worker hosts the entrypoint `conformance`, version `1`. Its input is a list of steps, executed
//! one after the other; it returns the list of what they came to:
//! - `{"echo": VALUE}` calls the task `echo`, which returns its argument.
//! - `{"retry": N}` calls the task `unsteady` with N, which may have 5 attempts with delays of 10 ms:
//!   it fails with the retryable reason `UNSTEADY` before attempt N and then returns the number of its
//!   attempt.
//! - `{"catch": REASON}` calls the task `refuse`, which fails for good with that reason; the step comes
//!   to the reason that the entrypoint caught.
//! - `{"both": [A, B]}` calls `echo` with A and with B at once; the step comes to both results in the
//!   order in which the entrypoint gets them.
//! - `{"ask": QUESTION}` interrupts with the question; the step comes to the answer.
//!
//! What it saves for the next run is the number of steps of all runs of the thread so far.
//!
//! A worker that offers tasks on their own offers these, with schemas of their arguments; one that
//! offers none is spared the scenarios about them:
//! - `tell` takes `{"value": VALUE, "writes": TEXT}`, writes the text to the custom stream, and
//!   returns the value and the key that it must not do anything twice under: `[VALUE, KEY]`.
//! - `falter` takes `{"attempts": N}`, which is what `unsteady` takes, and does the same.
//! - `hang` takes `{}` and never ends.
//!
//! # Layout
//! - `service`: the service's side, word by word
//! - `scenarios`: what is checked
//! - `tasks`: what is checked of tasks on offer
#![expect(clippy::print_stdout, reason = "the report is what it prints")]

mod scenarios;
mod service;
mod tasks;

use std::{
    env,
    process::{ExitCode, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result};
use tokio::{process::Command, time::timeout};

use crate::{scenarios::SCENARIOS, service::Service, tasks::NoTasks};

/// Longest time of a scenario. Generous: an interpreter may take seconds to start on a loaded machine.
const LONGEST: Duration = Duration::from_secs(60);

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let mut command = env::args().skip(1);
    let program = command
        .next()
        .context("usage: worker-conformance COMMAND [ARGUMENT]…")?;
    let arguments: Vec<String> = command.collect();
    let (mut failed, mut spared) = (0_usize, 0_usize);
    for (name, scenario) in SCENARIOS {
        let mut service = Service::bind().await?;
        let with_url = |text: &String| text.replace("{url}", service.url());
        let mut worker = Command::new(&program)
            .args(arguments.iter().map(with_url))
            .env("WEFT_WORKFLOW_URL", service.url())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start `{program}`"))?;
        let checked = timeout(LONGEST, scenario(&mut service)).await;
        worker.kill().await?;
        match checked.unwrap_or_else(|_| Err(anyhow::anyhow!("it took longer than {LONGEST:?}"))) {
            Ok(()) => println!("pass  {name}"),
            Err(error) if error.is::<NoTasks>() => {
                spared += 1;
                println!("none  {name}: {error}");
            }
            Err(error) => {
                failed += 1;
                println!("FAIL  {name}: {error:#}");
            }
        }
    }
    let passed = SCENARIOS.len() - failed - spared;
    println!("{passed} passed, {failed} failed, {spared} about what it does not offer");
    Ok(if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
