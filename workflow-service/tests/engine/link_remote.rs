//! The link of a worker that connects from elsewhere.

use std::time::Duration;

use service_runtime::{Listeners, Server, ServerSettings};
use tokio::{sync::Mutex, task::JoinSet};
use tokio_util::sync::CancellationToken;
use weft_proto::workflow::v1::worker_service_server::WorkerServiceServer;
use weft_worker::{Worker, wire};
use workflow_service::{
    engine::Engine,
    grpc::{Connections, WorkerTimes},
};

use crate::harness::{PATIENCE, tenant};

/// The server that the worker connects to, and the worker.
pub(crate) struct Link {
    connections: Connections,
    worker: Mutex<JoinSet<()>>,
    server: Mutex<JoinSet<()>>,
    stop: CancellationToken,
}

impl Link {
    pub(crate) async fn host(engine: &Engine, worker: Worker) -> Self {
        let any = "127.0.0.1:0".parse().unwrap();
        let listeners = Listeners::bind(any, any).await.unwrap();
        let url = format!("http://{}", listeners.grpc_addr());
        let server = Server::new("test", listeners, &ServerSettings::default());
        let times = WorkerTimes {
            lease: Duration::from_secs(15),
            grace: Duration::from_secs(2),
        };
        let connections = Connections::new(engine.clone(), server.draining(), times);
        let server = server.add_service(
            WorkerServiceServer::new(connections.clone())
                .max_decoding_message_size(wire::MAX_REQUEST_BYTES),
        );
        let (mut serving, mut working) = (JoinSet::new(), JoinSet::new());
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        serving.spawn(async move { server.serve(stopped).await.unwrap() });
        let (hosted, offered) = (worker.describe(), worker.describe_tasks());
        if !hosted.is_empty() || !offered.is_empty() {
            let worker = worker.connect(url).serve(std::future::pending());
            working.spawn(async move { worker.await.unwrap() });
        }
        let is_known = || {
            let known = engine.entrypoints();
            let are_tasks = engine.tasks(&tenant()).len() == offered.len();
            are_tasks
                && hosted.iter().all(|hosted| {
                    known
                        .iter()
                        .any(|known| known.description.name == hosted.name && known.workers > 0)
                })
        };
        let connected = async {
            while !is_known() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, connected).await.unwrap();
        Self {
            connections,
            worker: Mutex::new(working),
            server: Mutex::new(serving),
            stop,
        }
    }

    pub(crate) async fn stop(&self) {
        self.connections.closed().await;
        self.worker.lock().await.shutdown().await;
        self.stop.cancel();
        while self.server.lock().await.join_next().await.is_some() {}
    }
}
