//! Kills, stops and restarts the service and its workers.

use std::{
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use e2e::{
    Cluster, Launch,
    cluster::WORKFLOW,
    effects::FOLDER_VARIABLE,
    process::{Signal, signal},
    runs::Workflows,
    within,
};
use tokio::process::Child;

/// workflow-service with the programs compiled into it.
const PROGRAM_SERVICE: &str = "program-service";
/// Workers of the service, if it has any.
const WORKERS: usize = 2;
/// Longest time between two blows.
const LONGEST_PEACE: Duration = Duration::from_millis(400);
/// Longest that a process stands still: well within the lease of a worker.
const LONGEST_STOP: Duration = Duration::from_millis(400);

/// Host is where the programs are executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Host {
    /// In processes of their own.
    Workers,
    /// In the service's process.
    Service,
}

pub(crate) struct Killer {
    cluster: Cluster,
    url: String,
    /// Of the effects of programs.
    folder: PathBuf,
    workers: Vec<Child>,
    kills_of_service: u32,
    kills_of_workers: u32,
    stops: u32,
}

impl Killer {
    /// A service with its workers, if they host the programs, and its URL, which stays the same.
    pub(crate) async fn start(host: Host) -> Result<(Self, String)> {
        let mut cluster = Cluster::new()?;
        let folder = cluster.folder().join("effects");
        std::fs::create_dir(&folder)?;
        let (service, workers) = match host {
            Host::Workers => (WORKFLOW, WORKERS),
            Host::Service => (PROGRAM_SERVICE, 0),
        };
        cluster.take_for_workflow(service);
        cluster.keep_workflow_port()?;
        cluster.set(service, "WEFT_CANCEL_GRACE", "500ms");
        cluster.set(service, "WEFT_WORKER_GRACE", "200ms");
        // Tasks of killed workers are lost on purpose.
        cluster.set(service, "WEFT_LOG", "error");
        cluster.set(service, FOLDER_VARIABLE, &folder.to_string_lossy());
        cluster.start_workflow().await?;
        let url = cluster.workflow()?.url();
        let mut killer = Self {
            cluster,
            url: url.clone(),
            folder,
            workers: Vec::new(),
            kills_of_service: 0,
            kills_of_workers: 0,
            stops: 0,
        };
        for _ in 0..workers {
            killer.start_worker()?;
        }
        Ok((killer, url))
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn client(&self) -> Result<Workflows> {
        self.cluster.workflow_client()
    }

    fn start_worker(&mut self) -> Result<()> {
        let launch = Launch::isolated("program-worker", &self.cluster.folder().join("worker.log"))
            .argument(&self.url)
            .argument(&self.folder);
        let worker = launch.command()?.spawn();
        self.workers
            .push(worker.context("cannot start the worker")?);
        Ok(())
    }

    /// Kills so many processes, and stops others in between, at random moments.
    pub(crate) async fn kill(&mut self, kills: u64) -> Result<()> {
        while u64::from(self.kills_of_service + self.kills_of_workers) < kills {
            tokio::time::sleep(LONGEST_PEACE.mul_f64(rand::random())).await;
            match rand::random_range(0..10) {
                0..3 if !self.workers.is_empty() => self.kill_worker().await?,
                3 if !self.workers.is_empty() => self.stop_worker().await?,
                4 => self.stop_service().await?,
                _ => self.kill_service().await?,
            }
        }
        Ok(())
    }

    async fn kill_service(&mut self) -> Result<()> {
        self.cluster.take_workflow()?.kill().await?;
        self.kills_of_service += 1;
        self.cluster.start_workflow().await
    }

    async fn kill_worker(&mut self) -> Result<()> {
        let mut worker = self.workers.remove(0);
        ensure!(worker.try_wait()?.is_none(), "a worker ended by itself");
        within("the killed worker to be gone", worker.kill()).await??;
        self.kills_of_workers += 1;
        self.start_worker()
    }

    async fn stop_service(&mut self) -> Result<()> {
        let service = self.cluster.workflow()?;
        service.signal(Signal::Stop).await?;
        tokio::time::sleep(LONGEST_STOP.mul_f64(rand::random())).await;
        service.signal(Signal::Continue).await?;
        self.stops += 1;
        Ok(())
    }

    async fn stop_worker(&mut self) -> Result<()> {
        let worker = self.workers.first().context("no worker")?;
        signal(worker, Signal::Stop).await?;
        tokio::time::sleep(LONGEST_STOP.mul_f64(rand::random())).await;
        signal(worker, Signal::Continue).await?;
        self.stops += 1;
        Ok(())
    }

    /// Ends all in good order.
    pub(crate) async fn finish(mut self) -> Result<()> {
        for worker in &mut self.workers {
            signal(worker, Signal::Terminate).await?;
            let status = within("a worker to end", worker.wait()).await??;
            ensure!(status.success(), "a worker ended with {status}");
        }
        self.cluster.finish().await
    }
}

impl fmt::Display for Killer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} kills of the service, {} of workers, {} stops",
            self.kills_of_service, self.kills_of_workers, self.stops
        )
    }
}
