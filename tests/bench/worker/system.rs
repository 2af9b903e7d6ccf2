//! A service and its worker.

use std::{env, process, time::Instant};

use anyhow::{Context as _, Result, bail};
use e2e::{
    Launch, Process, cluster::WORKFLOW, health, http, process::cpu_time, runs::Workflows,
    worker::hosts,
};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tonic::transport::Endpoint;

use crate::{
    load::{Load, Sample},
    parts::{start, start_and_hear, this_program},
    sequence::{SEQUENCE, run},
    taken::Taken,
};

/// Where the entrypoints run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Host {
    /// In the service.
    Service,
    /// In a worker process in Rust.
    Rust,
    /// In a worker process in Python.
    Python,
}

impl Host {
    pub(crate) const ALL: [Self; 3] = [Self::Service, Self::Rust, Self::Python];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Service => "the service",
            Self::Rust => "Rust worker",
            Self::Python => "Python worker",
        }
    }
}

/// A service that is a process, of this program or the real one.
enum Service {
    Part(Child),
    Binary(Process),
}

/// A service and its worker, which are ready. Killed when dropped.
pub(crate) struct System {
    pub(crate) host: Host,
    pub(crate) client: Workflows,
    worker: Option<Child>,
    service: Service,
    /// Where its metrics are.
    admin: String,
    started: Instant,
    // Dropped after what uses it.
    _folder: TempDir,
}

impl System {
    /// Starts a service and its worker.
    pub(crate) async fn start(host: Host) -> Result<Self> {
        Self::start_with(host, &[]).await
    }

    /// Starts a service with these variables, and its worker.
    pub(crate) async fn start_with(host: Host, variables: &[(&str, &str)]) -> Result<Self> {
        let folder = TempDir::with_prefix("weft-bench-")?;
        if host == Host::Service {
            let mut part = this_program("service")?;
            let (child, addresses) = start_and_hear(part.arg(folder.path())).await?;
            let (url, admin) = addresses.split_once(' ').context("no addresses")?;
            return Self::ready(host, url, admin, (Service::Part(child), None), folder).await;
        }
        let launch = Launch::isolated(WORKFLOW, &folder.path().join("log"))
            .flag("--listen", "127.0.0.1:0")
            .flag("--admin-listen", "127.0.0.1:0")
            .flag("--data-dir", folder.path());
        let with = |launch: Launch, (name, value): &(&str, &str)| launch.variable(name, value);
        let service = Process::start(&variables.iter().fold(launch, with)).await?;
        health::ready(service.channel()?).await?;
        let (url, admin) = (service.url(), service.admin().to_owned());
        let mut command = match host {
            Host::Python => {
                let python = env::var_os("WEFT_BENCH_PYTHON")
                    .context("`WEFT_BENCH_PYTHON` is not set; `make bench-worker` sets it")?;
                let mut command = Command::new(python);
                command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/worker/worker.py"));
                command
            }
            Host::Service | Host::Rust => this_program("worker")?,
        };
        let worker = start(command.arg(&url))?;
        let processes = (Service::Binary(service), Some(worker));
        Self::ready(host, &url, &admin, processes, folder).await
    }

    async fn ready(
        host: Host,
        url: &str,
        admin: &str,
        (service, worker): (Service, Option<Child>),
        folder: TempDir,
    ) -> Result<Self> {
        let channel = Endpoint::from_shared(url.to_owned())?.connect().await?;
        let mut client = Workflows::new(channel);
        hosts(&mut client, SEQUENCE, 1).await?;
        Ok(Self {
            host,
            client,
            worker,
            service,
            admin: admin.to_owned(),
            started: Instant::now(),
            _folder: folder,
        })
    }

    /// Lets callers start runs.
    pub(crate) async fn play(&self, entrypoint: &'static str, load: Load) -> Result<Sample> {
        load.play(async || run(self.client.clone(), entrypoint, load.tasks).await)
            .await
    }

    /// Process id of the service.
    pub(crate) fn service_id(&self) -> Result<u32> {
        let id = match &self.service {
            Service::Part(child) => child.id(),
            Service::Binary(process) => process.id(),
        };
        id.context("the service has ended")
    }

    /// URL of the service.
    pub(crate) fn url(&self) -> Result<String> {
        match &self.service {
            Service::Part(_) => bail!("it takes no workers"),
            Service::Binary(process) => Ok(process.url()),
        }
    }

    /// What was taken since it was started.
    pub(crate) async fn taken(&self) -> Result<Taken> {
        let worker = match &self.worker {
            Some(worker) => computed(worker.id())?,
            None => 0.0,
        };
        let metrics = http::get(&self.admin, "/metrics").await?.body;
        let metric = |name: &str| -> Result<f64> {
            let value = metrics.lines().find_map(|line| line.strip_prefix(name));
            Ok(value
                .with_context(|| format!("no `{name}`"))?
                .trim()
                .parse()?)
        };
        Ok(Taken {
            seconds: self.started.elapsed().as_secs_f64(),
            service: computed(Some(self.service_id()?))?,
            worker,
            callers: computed(Some(process::id()))?,
            commits: metric("workflow_commit_seconds_count")?,
            committing: metric("workflow_commit_seconds_sum")?,
            writes: metric("workflow_writes_total")?,
        })
    }

    /// Ends it in good order.
    pub(crate) async fn end(self) -> Result<()> {
        drop(self.worker);
        match self.service {
            Service::Part(_) => Ok(()),
            Service::Binary(process) => process.terminate().await,
        }
    }
}

/// Seconds that a process has computed.
fn computed(id: Option<u32>) -> Result<f64> {
    let id = id.context("a process has ended")?;
    Ok(cpu_time(id)?.as_secs_f64())
}
