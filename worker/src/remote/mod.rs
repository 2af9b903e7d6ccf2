//! Hosting entrypoints, and offering tasks, as a process of its own.
//!
//! # Layout
//! - `hello`: what a worker says of itself
//! - `session`: what outlives a stream: what was sent and received, and the executions
//! - `stream`: one stream, from its Hello to its end
//! - `message`: messages of the in-memory protocol to and from the wire
//! - `pause`: how long to wait between streams

mod hello;
mod message;
mod pause;
mod session;
mod stream;

use std::{future::Future, pin::pin, time::Duration};

use tokio::{select, task::JoinSet, time::timeout};
use tonic::{
    Code, Status,
    transport::{Channel, ClientTlsConfig, Endpoint},
};

use self::{
    pause::Pauses,
    session::Session,
    stream::{Ended, Shutdown},
};
use crate::{
    Worker,
    protocol::{EngineLink, in_memory_link},
};

/// Runs at a time, unless told otherwise: a hundred that mostly wait for models or databases.
const DEFAULT_MAX_RUNS: u32 = 100;
/// Tasks on offer at a time, besides the runs, unless told otherwise.
const DEFAULT_MAX_TASKS: u32 = 100;
/// How long runs may go on after a shutdown, unless told otherwise: within the 30 s that Kubernetes
/// gives.
const DEFAULT_DRAIN_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How often a silent connection is asked whether it lives, and how long it may take to answer.
const KEEPALIVE: Duration = Duration::from_secs(5);
/// As on the server: messages of megabytes should not wait for 64 KiB windows.
const WINDOW_BYTES: u32 = 1 << 20;

/// RemoteWorker hosts the entrypoints of a [`Worker`], and offers its tasks, for a workflow-service
/// elsewhere.
///
/// ```no_run
/// # use weft_worker::{Context, Entrypoint, Failure, Worker};
/// # async fn hello(_: Context, name: String) -> Result<String, Failure> { Ok(name) }
/// # async fn host() -> Result<(), weft_worker::RemoteError> {
/// Worker::new()
///     .entrypoint(Entrypoint::new("hello", "1", hello))
///     .connect("http://127.0.0.1:50052")
///     .serve(async { tokio::signal::ctrl_c().await.unwrap_or_default() })
///     .await
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "it hosts nothing until `serve`"]
pub struct RemoteWorker {
    worker: Worker,
    url: String,
    name: String,
    max_runs: u32,
    max_tasks: u32,
    drain_timeout: Duration,
}

impl Worker {
    /// Hosts the entrypoints, and offers the tasks, for the workflow-service at `url`, `http://host:port` or `https://…`.
    pub fn connect(self, url: impl Into<String>) -> RemoteWorker {
        RemoteWorker {
            worker: self,
            url: url.into(),
            name: format!("process {}", std::process::id()),
            max_runs: DEFAULT_MAX_RUNS,
            max_tasks: DEFAULT_MAX_TASKS,
            drain_timeout: DEFAULT_DRAIN_TIMEOUT,
        }
    }
}

impl RemoteWorker {
    /// Names the worker to people.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Executes at most so many runs at a time; 100 unless told otherwise.
    pub fn max_runs(mut self, runs: u32) -> Self {
        self.max_runs = runs.max(1);
        self
    }

    /// Executes at most so many tasks on offer at a time, besides its runs; 100 unless told otherwise.
    pub fn max_tasks(mut self, tasks: u32) -> Self {
        self.max_tasks = tasks.max(1);
        self
    }

    /// How long runs and tasks may go on after the wish to stop; 20 s unless told otherwise.
    pub fn drain_timeout(mut self, limit: Duration) -> Self {
        self.drain_timeout = limit;
        self
    }

    /// Executes runs until `shutdown` completes, and then those under way for `drain_timeout`: other
    /// workers go on with what is left. While the service is away, this tries to reach it again.
    ///
    /// # Errors
    /// [`RemoteError`] if the URL is none, or the service refuses the worker for good.
    pub async fn serve(self, shutdown: impl Future<Output = ()>) -> Result<(), RemoteError> {
        let endpoint = endpoint(&self.url)?;
        let (worker_link, mut engine_link) = in_memory_link();
        let mut session = Session::new(hello::of(&self));
        let mut worker = JoinSet::new();
        worker.spawn(self.worker.serve(worker_link));
        let shutdown = pin!(shutdown);
        let mut shutdown = Shutdown::new(shutdown, self.drain_timeout);
        let link = &mut engine_link;
        let served = keep_connected(&endpoint, &mut session, link, &mut shutdown).await;
        // Ends what is left.
        drop(engine_link);
        worker.join_all().await;
        served
    }
}

async fn keep_connected<F: Future<Output = ()>>(
    endpoint: &Endpoint,
    session: &mut Session,
    link: &mut EngineLink,
    shutdown: &mut Shutdown<'_, F>,
) -> Result<(), RemoteError> {
    let mut pauses = Pauses::default();
    loop {
        let is_idle = session.is_idle();
        let opened = select! {
            opened = connect(endpoint, session) => opened,
            () = shutdown.gives_up(is_idle) => return Ok(()),
        };
        let ended = match opened {
            Ok(open) => {
                pauses = Pauses::default();
                tracing::info!(url = %endpoint.uri(), resumed = open.resumed, "connected");
                open.pump(session, link, shutdown).await
            }
            Err(ended) => ended,
        };
        match ended {
            Ended::Left => return Ok(()),
            Ended::Refused(status) => return Err(RemoteError::Refused(Box::new(status))),
            Ended::Lost(why) => {
                let pause = pauses.next();
                tracing::warn!(%why, ?pause, "no connection to the service; trying again");
                let is_idle = session.is_idle();
                select! {
                    () = tokio::time::sleep(pause) => {}
                    () = shutdown.gives_up(is_idle) => return Ok(()),
                }
            }
        }
    }
}

async fn connect(endpoint: &Endpoint, session: &mut Session) -> Result<stream::Open, Ended> {
    let opening = async {
        let channel = endpoint
            .connect()
            .await
            .map_err(|error| Ended::Lost(causes(&error)))?;
        stream::open(channel, session).await
    };
    timeout(2 * CONNECT_TIMEOUT, opening)
        .await
        .unwrap_or_else(|_| Err(Ended::Lost("the service does not answer".to_owned())))
}

fn endpoint(url: &str) -> Result<Endpoint, RemoteError> {
    let invalid = || RemoteError::InvalidUrl(url.to_owned());
    let endpoint = Channel::from_shared(url.to_owned()).map_err(|_| invalid())?;
    let scheme = endpoint.uri().scheme_str().map(str::to_owned);
    let endpoint = endpoint
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(KEEPALIVE)
        .keep_alive_while_idle(true)
        .tcp_nodelay(true)
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES);
    match scheme.as_deref() {
        Some("http") => Ok(endpoint),
        Some("https") => {
            let roots = ClientTlsConfig::new().with_native_roots();
            endpoint.tls_config(roots).map_err(RemoteError::Tls)
        }
        _ => Err(invalid()),
    }
}

/// An error with what caused it: tonic's own say only "transport error".
fn causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}

/// Whether the service will not have this worker, however often it tries.
fn is_final(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::InvalidArgument
            | Code::PermissionDenied
            | Code::Unauthenticated
            | Code::Unimplemented
    )
}

/// RemoteError says why a worker cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// Not an address of a gRPC service.
    #[error(
        "`{0}` is no address of a gRPC service; write `http://host:port` or `https://host:port`"
    )]
    InvalidUrl(String),
    /// TLS cannot be set up.
    #[error("cannot set up TLS")]
    Tls(#[source] tonic::transport::Error),
    /// The service does not take the worker.
    #[error("the service refuses the worker: {}", .0.message())]
    Refused(Box<Status>),
}
