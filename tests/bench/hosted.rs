//! workflow-service as a part of this process, with a worker compiled into it.

use std::{path::Path, sync::Arc, time::Duration};

use service_runtime::{Listeners, Server, ServerSettings};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use weft_proto::workflow::v1::workflow_service_server::WorkflowServiceServer;
use weft_worker::Worker;
use workflow_service::{
    engine::{Engine, EngineSettings, Retention, Targets},
    grpc::Workflows,
    store::sqlite::SqliteStore,
};

/// More than any benchmark has under way.
const MAX_RUNS: usize = 10_000;

/// A service that answers on loopback, until it is ended.
pub(crate) struct Hosted {
    engine: Engine,
    url: String,
    admin: String,
    stop: CancellationToken,
    serving: JoinSet<()>,
}

impl Hosted {
    /// Starts the service, whose store is in this folder.
    pub(crate) async fn start(store: &Path, worker: Worker) -> Self {
        // Before the store makes its instruments.
        service_runtime::metrics::install();
        let store = Arc::new(SqliteStore::open(store).unwrap());
        let engine = Engine::new(
            store,
            Targets::default(),
            EngineSettings {
                max_runs: MAX_RUNS,
                cancel_grace: Duration::from_secs(1),
                task_wait: Duration::from_secs(1),
                retention: Retention::default(),
            },
        );
        engine.host(worker);
        engine.start();
        let any = "127.0.0.1:0".parse().unwrap();
        let listeners = Listeners::bind(any, any).await.unwrap();
        let url = format!("http://{}", listeners.grpc_addr());
        let admin = listeners.admin_addr().to_string();
        let server = Server::new("bench", listeners, &ServerSettings::default());
        let workflows = Workflows::new(engine.clone(), server.draining(), Duration::ZERO);
        let server = server.add_service(WorkflowServiceServer::new(workflows));
        server.readiness().set_ready();
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        let mut serving = JoinSet::new();
        serving.spawn(async move { server.serve(stopped).await.unwrap() });
        Self {
            engine,
            url,
            admin,
            stop,
            serving,
        }
    }

    /// Where it serves gRPC, as a URL, and its metrics, as `host:port`.
    pub(crate) fn addresses(&self) -> (&str, &str) {
        (&self.url, &self.admin)
    }

    /// Ends it in good order.
    pub(crate) async fn end(self) {
        self.stop.cancel();
        self.serving.join_all().await;
        self.engine.stop().await;
    }
}
