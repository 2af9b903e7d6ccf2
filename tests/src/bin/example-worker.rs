//! A worker as a process of its own: what one looks like, and what the tests kill, stop and replace.
//!
//! `example-worker --url URL --folder FOLDER [--version V] [--accepts V] [--max-runs N] [--name NAME]`
//! hosts two entrypoints of that version, and offers their task `step` to other runs:
//! - `steps` takes a list of names and executes a task for each, one after the other; it returns
//!   the ids of the processes that executed them. A task whose name begins with `hold` waits until
//!   there is a file of that name in the folder. One whose name ends with `flaky` fails, and is tried
//!   again after an hour, unless there is a file of its name and `.well`. For the name `pause` no task
//!   is executed: the code itself waits for the file.
//! - `ask` executes a task, asks a question, and executes another task; it returns the answer.
//!
//! Each task, and each pause, first adds a line `run/call name process` to the file `ledger` in the
//! folder.

use std::{
    env,
    fs::File,
    io::Write as _,
    path::{Path, PathBuf},
    process,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use tokio::signal::unix::{SignalKind, signal};
use weft_worker::{Context, Entrypoint, Failure, RetryPolicy, Task, TaskContext, Worker};

/// How often a task that is held looks whether it may go on.
const LOOK: Duration = Duration::from_millis(5);
/// Longer than anything here lasts.
const AN_HOUR: Duration = Duration::from_secs(60 * 60);

struct Options {
    url: String,
    folder: PathBuf,
    version: String,
    accepts: Vec<String>,
    max_runs: u32,
    name: String,
}

impl Options {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self> {
        let mut options = Self {
            url: "http://127.0.0.1:50052".to_owned(),
            folder: env::temp_dir(),
            version: "1".to_owned(),
            accepts: Vec::new(),
            max_runs: 10,
            name: "example".to_owned(),
        };
        while let Some(flag) = arguments.next() {
            let value = arguments
                .next()
                .with_context(|| format!("`{flag}` needs a value"))?;
            match flag.as_str() {
                "--url" => options.url = value,
                "--folder" => options.folder = value.into(),
                "--version" => options.version = value,
                "--accepts" => options.accepts.push(value),
                "--max-runs" => options.max_runs = value.parse()?,
                "--name" => options.name = value,
                _ => bail!("there is no flag `{flag}`"),
            }
        }
        Ok(options)
    }
}

fn note(folder: &Path, key: &str, name: &str) -> Result<(), Failure> {
    let io = |error: std::io::Error| Failure::new("NO_LEDGER", error.to_string());
    let mut ledger = File::options()
        .create(true)
        .append(true)
        .open(folder.join("ledger"))
        .map_err(io)?;
    let line = format!("{key} {name} {}\n", process::id());
    ledger.write_all(line.as_bytes()).map_err(io)
}

async fn wait_for(file: PathBuf) {
    while !file.exists() {
        tokio::time::sleep(LOOK).await;
    }
}

fn step(folder: &Path) -> Task<String, u32> {
    let folder = folder.to_owned();
    let step = Task::new("step", move |task: TaskContext, name: String| {
        let folder = folder.clone();
        async move {
            note(&folder, &task.idempotency_key(), &name)?;
            if name.starts_with("hold") {
                wait_for(folder.join(&name)).await;
            }
            if name.ends_with("flaky") && !folder.join(format!("{name}.well")).exists() {
                return Err(Failure::transient("FLAKY", "it does not work yet"));
            }
            Ok(process::id())
        }
    });
    step.description("Executes a step of this name.")
        .typed()
        .retry(RetryPolicy::exponential(2, AN_HOUR, AN_HOUR))
}

async fn steps(
    context: Context,
    (step, folder): (Task<String, u32>, PathBuf),
    names: Vec<String>,
) -> Result<Vec<u32>, Failure> {
    let mut processes = Vec::new();
    for name in names {
        if name == "pause" {
            note(&folder, &format!("{}/-", context.run_id()), &name)?;
            wait_for(folder.join(&name)).await;
        } else {
            processes.push(context.call(&step, name).await?);
        }
    }
    Ok(processes)
}

async fn ask(
    context: Context,
    step: Task<String, u32>,
    question: String,
) -> Result<String, Failure> {
    context.call(&step, "before".to_owned()).await?;
    let answer = context.interrupt(&question).await?;
    context.call(&step, "after".to_owned()).await?;
    Ok(answer)
}

#[tokio::main]
async fn main() -> Result<()> {
    let options = Options::parse(env::args().skip(1))?;
    let accepts: Vec<&str> = options.accepts.iter().map(String::as_str).collect();
    let (of_steps, of_ask) = (step(&options.folder), step(&options.folder));
    let on_offer = step(&options.folder);
    let of_steps = (of_steps, options.folder);
    let mut terminated = signal(SignalKind::terminate())?;
    Worker::new()
        .entrypoint(
            Entrypoint::new("steps", &options.version, move |context, names| {
                steps(context, of_steps.clone(), names)
            })
            .accepts(&accepts),
        )
        .entrypoint(
            Entrypoint::new("ask", &options.version, move |context, question| {
                ask(context, of_ask.clone(), question)
            })
            .accepts(&accepts),
        )
        .task(on_offer)
        .connect(options.url)
        .name(options.name)
        .max_runs(options.max_runs)
        .serve(async move {
            terminated.recv().await;
        })
        .await?;
    Ok(())
}
