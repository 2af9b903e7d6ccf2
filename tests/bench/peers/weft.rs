//! Weft's program, in two forms: with entrypoint and tasks in a worker process, and compiled into the
//! service. In both the callers are a process of their own, the like of the other systems' parts.

use std::{path::Path, process::Stdio};

use anyhow::{Context as _, Result, ensure};
use e2e::{
    Launch, Process,
    cluster::WORKFLOW,
    health, payload,
    runs::{Workflows, invoke},
    worker::hosts,
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader, stdin},
    process::{Child, Command},
};
use tonic::transport::Endpoint;
use weft_proto::workflow::v1::{Durability, StartRunRequest, run::State};
use weft_worker::{Context, Entrypoint, Task, TaskContext, Worker};

use crate::{hosted::Hosted, load::Load, this_program};

const ENTRYPOINT: &str = "sequence";
/// JSON text of the input, in bytes.
const INPUT_BYTES: usize = 256;
/// What a task returns: 256 bytes of JSON.
const RESULT_BYTES: usize = 254;

/// An entrypoint that calls as many tasks as its input says, one after the other.
fn worker() -> Worker {
    let step = Task::new("step", |_: TaskContext, _: u32| async {
        Ok("x".repeat(RESULT_BYTES))
    });
    let sequence = move |context: Context, (steps, _padding): (u32, String)| {
        let step = step.clone();
        async move {
            for number in 0..steps {
                context.call(&step, number).await?;
            }
            Ok(steps)
        }
    };
    Worker::new().entrypoint(Entrypoint::new(ENTRYPOINT, "1", sequence))
}

/// A part of this program, which ends when this one does.
fn part(command: &mut Command) -> Result<Child> {
    let child = command.stdin(Stdio::piped()).kill_on_drop(true).spawn();
    child.context("cannot start a part of this program")
}

/// Until the program that started this one has ended.
async fn no_more_input() {
    // What is read does not matter, nor why nothing more can be.
    let _ = stdin().read_to_end(&mut Vec::new()).await;
}

/// `worker URL`: the worker process.
pub(crate) async fn work(url: &str) -> Result<()> {
    Ok(worker().connect(url).serve(no_more_input()).await?)
}

/// `service FOLDER`: the service with the entrypoint in it. Prints where it listens.
pub(crate) async fn serve(folder: &Path) -> Result<()> {
    let hosted = Hosted::start(&folder.join("store"), worker()).await;
    println!("{}", hosted.url());
    no_more_input().await;
    hosted.end().await;
    Ok(())
}

/// `weft-worker FOLDER`: the service's own binary, and a worker process.
pub(crate) async fn with_worker(folder: &Path) -> Result<()> {
    let launch = Launch::isolated(WORKFLOW, &folder.join("log"))
        .flag("--listen", "127.0.0.1:0")
        .flag("--admin-listen", "127.0.0.1:0")
        .flag("--data-dir", folder);
    let service = Process::start(&launch).await?;
    health::ready(service.channel()?).await?;
    let _worker = part(this_program("worker")?.arg(service.url()))?;
    answer(&service.url()).await?;
    service.terminate().await
}

/// `weft-hosted FOLDER`: a service that is a part of this program.
pub(crate) async fn hosted(folder: &Path) -> Result<()> {
    let mut command = this_program("service")?;
    let mut service = part(command.arg(folder).stdout(Stdio::piped()))?;
    let output = service.stdout.take().context("no output")?;
    let url = BufReader::new(output).lines().next_line().await?;
    answer(&url.context("the service does not listen")?).await
}

/// Plays the callers, as often as the input asks for.
async fn answer(url: &str) -> Result<()> {
    let channel = Endpoint::from_shared(url.to_owned())?.connect().await?;
    let mut client = Workflows::new(channel);
    hosts(&mut client, ENTRYPOINT, 1).await?;
    println!(
        "{WORKFLOW} {}, {}, SQLite: WAL, synchronous=FULL",
        env!("CARGO_PKG_VERSION"),
        Durability::Sync.as_str_name(),
    );
    let mut lines = BufReader::new(stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        let load: Load = serde_json::from_str(&line)?;
        let sample = load.play(async || run(client.clone(), load.tasks).await);
        println!("{}", serde_json::to_string(&sample.await?)?);
    }
    Ok(())
}

/// One run, on a thread of its own.
async fn run(mut client: Workflows, tasks: u32) -> Result<()> {
    let padding = INPUT_BYTES - format!(r#"[{tasks},""]"#).len();
    let start = StartRunRequest {
        entrypoint: ENTRYPOINT.to_owned(),
        input: Some(payload::text(format!(
            r#"[{tasks},"{}"]"#,
            "x".repeat(padding)
        ))),
        durability: Durability::Sync.into(),
        ..StartRunRequest::default()
    };
    let run = invoke(&mut client, start).await?;
    ensure!(run.state() == State::Succeeded, "{run:?}");
    Ok(())
}
