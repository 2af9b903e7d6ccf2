//! Processes that belong to a benchmark and end with it: parts of its own program among them.

use std::{env, future::Future, path::Path, process::Stdio};

use anyhow::{Context as _, Result};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader, stdin},
    process::{Child, Command},
    select,
    signal::unix::{SignalKind, signal},
};

use crate::{hosted::Hosted, sequence};

/// This program, in another of its parts.
pub(crate) fn this_program(part: &str) -> Result<Command> {
    let mut command = Command::new(env::current_exe()?);
    command.arg(part);
    Ok(command)
}

/// The arguments of this program. Cargo adds one that says what it runs it for.
pub(crate) fn arguments() -> Vec<String> {
    env::args()
        .skip(1)
        .filter(|word| word != "--bench")
        .collect()
}

/// A process that can tell when this program has ended: its input ends then.
pub(crate) fn start(command: &mut Command) -> Result<Child> {
    let child = command.stdin(Stdio::piped()).kill_on_drop(true).spawn();
    child.context("cannot start a part of the benchmark")
}

/// Starts a process and reads the line that it prints once it is ready. Its output stays open as long
/// as it does.
pub(crate) async fn start_and_hear(command: &mut Command) -> Result<(Child, String)> {
    let mut child = start(command.stdout(Stdio::piped()))?;
    let output = child.stdout.as_mut().context("no output")?;
    let line = BufReader::new(output).lines().next_line().await?;
    Ok((child, line.context("it ended before it was ready")?))
}

/// Until the program that started this one has ended.
pub(crate) async fn no_more_input() {
    // What is read does not matter, nor why nothing more can be.
    let _ = stdin().read_to_end(&mut Vec::new()).await;
}

/// Does this unless it is interrupted. Whatever ends it, what it started ends and folders go.
pub(crate) async fn until_asked_to_end(work: impl Future<Output = Result<()>>) -> Result<()> {
    let mut terminated = signal(SignalKind::terminate())?;
    select! {
        done = work => done,
        _ = tokio::signal::ctrl_c() => Ok(()),
        _ = terminated.recv() => Ok(()),
    }
}

/// `worker URL`: the worker process.
pub(crate) async fn work(url: &str) -> Result<()> {
    Ok(sequence::worker()
        .connect(url)
        .serve(no_more_input())
        .await?)
}

/// `service FOLDER`: the service with the entrypoints in it. Prints where it serves gRPC, and where
/// its metrics are.
pub(crate) async fn serve(folder: &Path) -> Result<()> {
    let hosted = Hosted::start(&folder.join("store"), sequence::worker()).await;
    let (url, admin) = hosted.addresses();
    println!("{url} {admin}");
    no_more_input().await;
    hosted.end().await;
    Ok(())
}
