//! `worker-conformance [--only TEXT]… COMMAND [ARGUMENT]…`: tells whether a worker speaks the protocol.
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
//! - `process`: the worker's
//! - `told`: what it said, for people
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the report is what it prints"
)]

mod process;
mod scenarios;
mod service;
mod tasks;
mod told;

use std::{env, process::ExitCode, time::Duration};

use anyhow::{Context as _, Result, anyhow, bail};
use tokio::{select, time::timeout};

use crate::{
    process::Worker,
    scenarios::{SCENARIOS, Scenario},
    service::{NotHosted, Service},
    tasks::NoTasks,
};

/// Longest time of a scenario. Generous: an interpreter may take seconds to start on a loaded machine.
const LONGEST: Duration = Duration::from_secs(60);

const USAGE: &str = "\
Tells whether a worker speaks the protocol of weft.workflow.v1.WorkerService.

usage: worker-conformance [--only TEXT]... COMMAND [ARGUMENT]...
       worker-conformance --list

COMMAND starts the worker, once for each scenario. `{url}` in it stands for the address to connect
to, which is also in the variable WEFT_WORKFLOW_URL. The worker hosts the entrypoint `conformance`;
tests/worker-conformance/main.rs says what that does.

  --only TEXT  only scenarios with this text in their names; can be given several times
  --list       names the scenarios
  --help       shows this";

/// What is asked of this program.
enum Asked {
    Help,
    List,
    Check {
        only: Vec<String>,
        command: Vec<String>,
    },
}

fn asked(mut arguments: impl Iterator<Item = String>) -> Result<Asked> {
    let mut only = Vec::new();
    loop {
        let argument = arguments.next();
        match argument.as_deref() {
            Some("--help" | "-h") => return Ok(Asked::Help),
            Some("--list") => return Ok(Asked::List),
            Some("--only") => only.push(arguments.next().context("`--only` needs a text")?),
            Some(flag) if flag.starts_with('-') => bail!("there is no flag `{flag}`\n\n{USAGE}"),
            Some(program) => {
                let command = [program.to_owned()].into_iter().chain(arguments);
                return Ok(Asked::Check {
                    only,
                    command: command.collect(),
                });
            }
            None => bail!("there is no command\n\n{USAGE}"),
        }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let passed = match asked(env::args().skip(1)) {
        Ok(Asked::Help) => {
            println!("{USAGE}");
            Ok(true)
        }
        Ok(Asked::List) => {
            for (name, _) in SCENARIOS {
                println!("{name}");
            }
            Ok(true)
        }
        Ok(Asked::Check { only, command }) => check(&only, &command).await,
        Err(error) => Err(error),
    };
    match passed {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::from(2)
        }
    }
}

/// Whether no scenario failed.
async fn check(only: &[String], command: &[String]) -> Result<bool> {
    let is_wanted = |name: &str| only.is_empty() || only.iter().any(|text| name.contains(text));
    let wanted: Vec<_> = SCENARIOS
        .iter()
        .filter(|(name, _)| is_wanted(name))
        .collect();
    if wanted.is_empty() {
        bail!("no scenario has such a name; `--list` names them");
    }
    let (mut passed, mut failed, mut spared) = (0_usize, 0_usize, 0_usize);
    for (name, scenario) in wanted {
        let mut service = Service::bind().await?;
        match play(&mut service, *scenario, command).await {
            Ok(()) => {
                passed += 1;
                println!("pass  {name}");
            }
            Err(error) if error.is::<NoTasks>() => {
                spared += 1;
                println!("none  {name}: {error}");
            }
            Err(error) => {
                failed += 1;
                println!("FAIL  {name}: {error:#}");
                // The next one would come to the same.
                if error.is::<NotHosted>() || !service.is_reached {
                    println!("no further scenario is of use before that works");
                    break;
                }
            }
        }
    }
    println!("{passed} passed, {failed} failed, {spared} about what it does not offer");
    Ok(failed == 0)
}

/// Plays a scenario with a new process of the worker, which is gone afterwards.
async fn play(service: &mut Service, scenario: Scenario, command: &[String]) -> Result<()> {
    let mut worker = Worker::start(command, service.url())?;
    let played = select! {
        played = timeout(LONGEST, scenario(service)) => {
            played.unwrap_or_else(|_| Err(anyhow!("it took longer than {LONGEST:?}")))
        }
        status = worker.ended() => Err(anyhow!("its process ended ({})", status?)),
    };
    worker.kill().await?;
    played
}
