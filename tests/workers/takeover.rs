//! How soon the runs of a worker that is lost go on elsewhere: the service in this process, with the
//! times that it has by default, on a clock that only moves when the test moves it. All else takes as
//! long as it takes.

use std::{
    sync::{Arc, mpsc},
    time::Duration,
};

use anyhow::{Context as _, Result};
use e2e::{
    PATIENCE,
    cable::Cable,
    payload,
    raw_worker::{RawWorker, hello},
};
use service_runtime::{Listeners, Server, ServerSettings};
use tempfile::TempDir;
use tokio::{
    task::JoinSet,
    time::{Instant, advance},
};
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use weft_proto::workflow::v1::{
    GetRunRequest, Hello, Run, StartRunRequest, run::State, worker_service_server,
    workflow_service_client::WorkflowServiceClient, workflow_service_server,
};
use workflow_service::{
    Config,
    engine::{Engine, EngineSettings, Retention, Targets},
    grpc::{Connections, WorkerTimes, Workflows},
    store::sqlite::SqliteStore,
};

/// Timers go off at whole milliseconds.
const ROUNDING: Duration = Duration::from_millis(1);
/// What the service promises.
const TAKEOVER: Duration = Duration::from_secs(3);

/// While this lives, and not for longer than anyone waits for anything, the clock stands still.
struct StandStill(Option<mpsc::SyncSender<()>>, JoinSet<()>);

impl StandStill {
    fn begin() -> Self {
        let (alive, end) = mpsc::sync_channel(0);
        let mut holding = JoinSet::new();
        // The clock of a runtime does not move by itself while something blocks.
        holding.spawn_blocking(move || {
            let _ = end.recv_timeout(PATIENCE);
        });
        Self(Some(alive), holding)
    }

    async fn end(mut self) {
        self.0 = None;
        self.1.join_all().await;
    }
}

struct Service {
    engine: Engine,
    client: WorkflowServiceClient<Channel>,
    address: String,
    stop: CancellationToken,
    connections: Connections,
    serving: JoinSet<()>,
    _folder: TempDir,
}

impl Service {
    async fn start() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let store = Arc::new(SqliteStore::open(folder.path())?);
        let config = Config::default();
        let settings = EngineSettings {
            max_runs: config.max_runs,
            cancel_grace: config.cancel_grace,
            task_wait: config.task_wait,
            retention: Retention::default(),
        };
        let times = WorkerTimes {
            lease: config.worker_lease,
            grace: config.worker_grace,
        };
        let engine = Engine::new(store, Targets::default(), settings);
        engine.start();
        let any = "127.0.0.1:0".parse()?;
        let listeners = Listeners::bind(any, any)
            .await
            .map_err(|error| anyhow::anyhow!("{error}"))?;
        let address = listeners.grpc_addr().to_string();
        let server = Server::new("test", listeners, &ServerSettings::default());
        let workflows = Workflows::new(engine.clone(), server.draining(), Duration::ZERO);
        let connections = Connections::new(engine.clone(), server.draining(), times);
        let server = server
            .add_service(workflow_service_server::WorkflowServiceServer::new(
                workflows,
            ))
            .add_service(worker_service_server::WorkerServiceServer::new(
                connections.clone(),
            ));
        server.readiness().set_ready();
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let _ = server.serve(stopped).await;
        });
        let client = WorkflowServiceClient::new(channel(&format!("http://{address}")).await?);
        Ok(Self {
            engine,
            client,
            address,
            stop,
            connections,
            serving,
            _folder: folder,
        })
    }

    /// Waits until so many workers are connected.
    async fn connected(&self, workers: usize) {
        let is_so = || {
            let hosted = self.engine.entrypoints();
            hosted.first().map_or(0, |odd| odd.workers) == workers
        };
        while !is_so() {
            tokio::task::yield_now().await;
        }
    }

    async fn begin(&mut self) -> Result<Run> {
        let run = StartRunRequest {
            entrypoint: "odd".to_owned(),
            input: Some(payload::text("1")),
            ..StartRunRequest::default()
        };
        let started = self.client.start_run(run).await?.into_inner();
        started.run.context("no run")
    }

    async fn stop(self) {
        self.stop.cancel();
        self.connections.closed().await;
        self.serving.join_all().await;
        self.engine.stop().await;
    }
}

async fn channel(url: &str) -> Result<Channel> {
    Ok(Channel::from_shared(url.to_owned())?.connect().await?)
}

/// A worker that could come back.
fn resumable(name: &str) -> Hello {
    Hello {
        session_id: name.to_owned(),
        worker_name: name.to_owned(),
        ..hello("odd")
    }
}

#[tokio::test(start_paused = true)]
async fn the_run_of_a_worker_that_dies_is_at_another_one_within_three_seconds() -> Result<()> {
    let still = StandStill::begin();
    let mut service = Service::start().await?;
    let cable = Cable::to(&service.address).await?;
    let mut dying = RawWorker::connect(channel(cable.url()).await?, resumable("dying")).await?;
    let run = service.begin().await?;
    dying.started().await?;
    let url = format!("http://{}", service.address);
    let mut other = RawWorker::connect(channel(&url).await?, resumable("other")).await?;

    let lost = Instant::now();
    cable.sever();
    service.connected(1).await;
    advance(Config::default().worker_grace + ROUNDING).await;
    let (_, start) = other.started().await?;
    assert_eq!((start.run_id.as_str(), start.attempt), (&*run.id, 2));
    assert!(lost.elapsed() <= TAKEOVER, "{:?}", lost.elapsed());
    drop((dying, other));
    still.end().await;
    service.stop().await;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_run_that_lost_the_last_worker_for_its_version_says_so_within_three_seconds() -> Result<()>
{
    let still = StandStill::begin();
    let mut service = Service::start().await?;
    let cable = Cable::to(&service.address).await?;
    let mut dying = RawWorker::connect(channel(cable.url()).await?, resumable("dying")).await?;
    let run = service.begin().await?;
    dying.started().await?;

    let lost = Instant::now();
    cable.sever();
    service.connected(0).await;
    advance(Config::default().worker_grace + ROUNDING).await;
    let queued = loop {
        let request = GetRunRequest {
            run_id: run.id.clone(),
            ..GetRunRequest::default()
        };
        let found = service.client.get_run(request).await?.into_inner().run;
        let found = found.context("no run")?;
        if found.state() == State::Queued {
            break found;
        }
    };
    assert!(lost.elapsed() <= TAKEOVER, "{:?}", lost.elapsed());
    let reason = queued.state_reason;
    assert!(reason.starts_with("no worker hosts odd@1"), "{reason}");
    assert!(
        reason.contains("`dying` was lost: its connection was lost, and it did not come back"),
        "{reason}"
    );
    drop(dying);
    still.end().await;
    service.stop().await;
    Ok(())
}
