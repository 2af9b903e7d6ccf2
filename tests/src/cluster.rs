//! Both services wired together, with a data folder that outlives them.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;
use tonic::transport::Channel;
use weft_proto::{
    memory::v1::memory_service_client::MemoryServiceClient,
    workflow::v1::{
        thread_service_client::ThreadServiceClient, workflow_service_client::WorkflowServiceClient,
    },
};

use crate::{
    Process, health,
    launch::{Launch, tail},
    port,
};

/// memory-service's binary.
pub const MEMORY: &str = "memory-service";
/// workflow-service's binary.
pub const WORKFLOW: &str = "workflow-service";

/// Both services, each running or not, over one data folder.
///
/// A test ends with [`Cluster::finish`]. One that is dropped before belongs to a test that failed:
/// it shows the services' logs.
#[derive(Debug)]
pub struct Cluster {
    folder: TempDir,
    memory_port: u16,
    /// 0 for another one at each start.
    workflow_port: u16,
    memory_url: String,
    workflow_binary: &'static str,
    variables: Vec<(&'static str, String, String)>,
    memory: Option<Process>,
    workflow: Option<Process>,
    finished: bool,
}

impl Cluster {
    /// A cluster of which nothing runs yet.
    ///
    /// # Errors
    /// If there is no room for its folder.
    pub fn new() -> Result<Self> {
        // A killed memory-service comes back where workflow-service looks for it.
        let memory_port = port::reserve()?;
        Ok(Self {
            folder: TempDir::with_prefix("weft-")?,
            memory_port,
            workflow_port: 0,
            memory_url: format!("http://127.0.0.1:{memory_port}"),
            workflow_binary: WORKFLOW,
            variables: Vec::new(),
            memory: None,
            workflow: None,
            finished: false,
        })
    }

    /// A cluster of which both services run and are ready.
    ///
    /// # Errors
    /// If either does not start.
    pub async fn start() -> Result<Self> {
        let mut cluster = Self::new()?;
        cluster.start_memory().await?;
        cluster.start_workflow().await?;
        Ok(cluster)
    }

    /// Lets `binary`, which is workflow-service with more compiled into it, run in its place.
    pub fn take_for_workflow(&mut self, binary: &'static str) {
        self.workflow_binary = binary;
    }

    /// Sets an environment variable of a service, for when it is started next.
    pub fn set(&mut self, binary: &'static str, name: &str, value: &str) {
        self.variables
            .push((binary, name.to_owned(), value.to_owned()));
    }

    /// Lets a workflow-service that starts from now on find memory-service at `url`.
    pub fn reach_memory_at(&mut self, url: &str) {
        url.clone_into(&mut self.memory_url);
    }

    /// Lets workflow-service come back on the port that it had.
    ///
    /// # Errors
    /// If no port is free.
    pub fn keep_workflow_port(&mut self) -> Result<()> {
        self.workflow_port = port::reserve()?;
        Ok(())
    }

    /// How memory-service is started.
    #[must_use]
    pub fn memory_launch(&self) -> Launch {
        self.launch(MEMORY)
            .flag("--listen", format!("127.0.0.1:{}", self.memory_port))
    }

    /// How workflow-service is started.
    #[must_use]
    pub fn workflow_launch(&self) -> Launch {
        self.launch(self.workflow_binary)
            .flag("--listen", format!("127.0.0.1:{}", self.workflow_port))
            .flag("--memory-url", &self.memory_url)
    }

    fn launch(&self, binary: &'static str) -> Launch {
        let launch = Launch::isolated(binary, &self.log(binary))
            .flag("--admin-listen", "127.0.0.1:0")
            .flag("--data-dir", self.folder.path());
        let its_own = self.variables.iter().filter(|(of, ..)| *of == binary);
        its_own.fold(launch, |launch, (_, name, value)| {
            launch.variable(name, value)
        })
    }

    /// Starts memory-service and waits until it is ready; also again, on the same port.
    ///
    /// # Errors
    /// If it does not start.
    pub async fn start_memory(&mut self) -> Result<()> {
        let service = Process::start(&self.memory_launch()).await?;
        health::ready(service.channel()?).await?;
        self.memory = Some(service);
        Ok(())
    }

    /// Starts workflow-service and waits until it is ready; also again, on another port unless it
    /// keeps its own.
    ///
    /// # Errors
    /// If it does not start.
    pub async fn start_workflow(&mut self) -> Result<()> {
        self.start_workflow_by(&self.workflow_launch()).await
    }

    /// Starts workflow-service this way and waits until it is ready.
    ///
    /// # Errors
    /// If it does not start.
    pub async fn start_workflow_by(&mut self, launch: &Launch) -> Result<()> {
        let service = Process::start(launch).await?;
        health::ready(service.channel()?).await?;
        self.workflow = Some(service);
        Ok(())
    }

    /// The running memory-service.
    ///
    /// # Errors
    /// If it does not run.
    pub fn memory(&self) -> Result<&Process> {
        self.memory.as_ref().context("memory-service does not run")
    }

    /// The running workflow-service.
    ///
    /// # Errors
    /// If it does not run.
    pub fn workflow(&self) -> Result<&Process> {
        self.workflow
            .as_ref()
            .context("workflow-service does not run")
    }

    /// Takes memory-service out of the cluster, to end it.
    ///
    /// # Errors
    /// If it does not run.
    pub fn take_memory(&mut self) -> Result<Process> {
        self.memory.take().context("memory-service does not run")
    }

    /// Takes workflow-service out of the cluster, to end it.
    ///
    /// # Errors
    /// If it does not run.
    pub fn take_workflow(&mut self) -> Result<Process> {
        self.workflow
            .take()
            .context("workflow-service does not run")
    }

    /// A client of `MemoryService`.
    ///
    /// # Errors
    /// If memory-service does not run.
    pub fn memory_client(&self) -> Result<MemoryServiceClient<Channel>> {
        Ok(MemoryServiceClient::new(self.memory()?.channel()?))
    }

    /// A client of `WorkflowService`.
    ///
    /// # Errors
    /// If workflow-service does not run.
    pub fn workflow_client(&self) -> Result<WorkflowServiceClient<Channel>> {
        Ok(WorkflowServiceClient::new(self.workflow()?.channel()?))
    }

    /// A client of `ThreadService`.
    ///
    /// # Errors
    /// If workflow-service does not run.
    pub fn thread_client(&self) -> Result<ThreadServiceClient<Channel>> {
        Ok(ThreadServiceClient::new(self.workflow()?.channel()?))
    }

    /// The folder of the cluster.
    #[must_use]
    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// Ends what still runs, in good order.
    ///
    /// # Errors
    /// If a service does not end with success, or logged an error in its life.
    pub async fn finish(mut self) -> Result<()> {
        for service in [self.workflow.take(), self.memory.take()]
            .into_iter()
            .flatten()
        {
            service.terminate().await?;
        }
        for binary in [MEMORY, self.workflow_binary] {
            let log = fs::read_to_string(self.log(binary)).unwrap_or_default();
            let is_error = |line: &&str| line.contains(r#""level":"ERROR""#);
            let errors: Vec<&str> = log.lines().filter(is_error).collect();
            ensure!(
                errors.is_empty(),
                "{binary} logged errors:\n{}",
                errors.join("\n")
            );
        }
        self.finished = true;
        Ok(())
    }

    fn log(&self, binary: &str) -> PathBuf {
        self.folder.path().join(format!("{binary}.log"))
    }
}

impl Drop for Cluster {
    #[expect(
        clippy::print_stderr,
        reason = "the logs of a failed test belong to its output"
    )]
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        for binary in [MEMORY, self.workflow_binary] {
            eprintln!("--- {binary} ---\n{}", tail(&self.log(binary)));
        }
    }
}
