//! Workers as processes, and what they did.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context as _, Result, ensure};
use tokio::process::Child;
use weft_proto::workflow::v1::{ListEntrypointsRequest, ListTasksRequest};

use crate::{
    Launch,
    process::{Signal, signal},
    runs::Workflows,
    within,
};

/// How often something is looked at that nobody tells of.
const LOOK: Duration = Duration::from_millis(5);

/// A running `example-worker`. Killed when dropped.
#[derive(Debug)]
pub struct WorkerProcess(Child);

impl WorkerProcess {
    /// Starts a worker for the workflow-service at `url`, whose files are in `folder`.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(url: &str, folder: &Path, flags: &[(&str, &str)]) -> Result<Self> {
        let launch = Launch::isolated("example-worker", &folder.join("worker.log"))
            .flag("--url", url)
            .flag("--folder", folder);
        let launch = flags
            .iter()
            .fold(launch, |launch, (flag, value)| launch.flag(flag, value));
        Ok(Self(
            launch
                .command()?
                .spawn()
                .context("cannot start the worker")?,
        ))
    }

    /// Its process id.
    ///
    /// # Errors
    /// If it has ended.
    pub fn id(&self) -> Result<u32> {
        self.0.id().context("the worker has ended")
    }

    /// Kills it on the spot.
    ///
    /// # Errors
    /// If it had ended before.
    pub async fn kill(mut self) -> Result<()> {
        ensure!(
            self.0.try_wait()?.is_none(),
            "the worker had ended before it was killed"
        );
        within("the killed worker to be gone", self.0.kill()).await??;
        Ok(())
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// If it has ended.
    pub async fn signal(&self, asked: Signal) -> Result<()> {
        signal(&self.0, asked).await
    }

    /// Ends it in good order.
    ///
    /// # Errors
    /// If it does not end in time, or not with success.
    pub async fn terminate(mut self) -> Result<()> {
        self.signal(Signal::Terminate).await?;
        let status = within("the worker to end", self.0.wait()).await??;
        ensure!(status.success(), "the worker ended with {status}");
        Ok(())
    }
}

/// A line of the ledger: a task that began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Began {
    /// Run and call.
    pub key: String,
    /// Name that the task was called with.
    pub name: String,
    /// Process that executed it.
    pub process: u32,
}

/// What the tasks of all workers of a folder did, in order.
///
/// # Errors
/// If the ledger is no ledger.
pub fn ledger(folder: &Path) -> Result<Vec<Began>> {
    let text = fs::read_to_string(folder.join("ledger")).unwrap_or_default();
    let line = |line: &str| {
        let mut words = line.split(' ');
        let mut word = || words.next().context("a line of the ledger is too short");
        Ok(Began {
            key: word()?.to_owned(),
            name: word()?.to_owned(),
            process: word()?.parse()?,
        })
    };
    text.lines().map(line).collect()
}

/// Waits until a task of this name has begun for the `count`th time.
///
/// # Errors
/// If it does not in time.
pub async fn begins(folder: &Path, name: &str, count: usize) -> Result<Began> {
    let found = async {
        loop {
            let nth = ledger(folder)?
                .into_iter()
                .filter(|began| began.name == name)
                .nth(count - 1);
            if let Some(began) = nth {
                return anyhow::Ok(began);
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    within(
        &format!("task `{name}` to begin for the {count}. time"),
        found,
    )
    .await?
}

/// Lets tasks of this name go on.
///
/// # Errors
/// If the folder is gone.
pub fn let_go(folder: &Path, name: &str) -> Result<()> {
    Ok(fs::write(folder.join(name), "")?)
}

/// Waits until so many workers offer a task.
///
/// # Errors
/// If they do not in time.
pub async fn offer(client: &mut Workflows, task: &str, count: i32) -> Result<()> {
    let there = async {
        loop {
            let listed = client.list_tasks(ListTasksRequest {}).await?.into_inner();
            let mut offered = listed.tasks.iter();
            let found = offered.find(|offered| offered.name == task);
            if found.map_or(0, |found| found.worker_count) == count {
                return anyhow::Ok(());
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    within(&format!("{count} workers to offer `{task}`"), there).await?
}

/// Waits until so many workers host the default version of an entrypoint.
///
/// # Errors
/// If they do not in time.
pub async fn hosts(client: &mut Workflows, entrypoint: &str, count: i32) -> Result<()> {
    let there = async {
        loop {
            let listed = client
                .list_entrypoints(ListEntrypointsRequest {})
                .await?
                .into_inner();
            let mut hosted = listed.entrypoints.iter();
            let found = hosted.find(|hosted| hosted.name == entrypoint);
            if found.map_or(0, |found| found.worker_count) == count {
                return anyhow::Ok(());
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    within(&format!("{count} workers to host `{entrypoint}`"), there).await?
}
