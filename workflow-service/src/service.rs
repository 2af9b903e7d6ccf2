//! The service: its parts, wired together.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use service_runtime::{BoxError, CommonArgs, Listeners, Server, Service};
use tokio::task::JoinSet;
use weft_proto::workflow::v1::{
    thread_service_server::ThreadServiceServer, worker_service_server::WorkerServiceServer,
    workflow_service_server::WorkflowServiceServer,
};
use weft_worker::{Worker, wire};

use crate::{
    config::{Args, Config},
    engine::{Engine, EngineSettings},
    grpc::{Connections, TellsResets, Threads, WorkerTimes, Workflows, recalled},
    llm::{Models, settings::BadProvider},
    memory::MemoryClient,
    store::sqlite::SqliteStore,
    targets,
    workflows::{Services, agent::Agent, chat::Chat},
};

/// Largest request, in bytes: an input of 8 MiB, a config, and what stands around them.
const MAX_REQUEST_BYTES: usize = 17 * 1024 * 1024;

/// Three questions within less would cost more than they tell.
const SHORTEST_LEASE: Duration = Duration::from_millis(300);

/// WorkflowService is bound to its addresses and has its store open.
pub struct WorkflowService {
    config: Config,
    listeners: Listeners,
    engine: Engine,
}

impl WorkflowService {
    /// Hosts the entrypoints and tasks of a worker in this process, beside those that the service
    /// comes with, for a service with a team's own Rust code compiled into it.
    pub fn host(&self, worker: Worker) {
        self.engine.host(worker);
    }
}

impl Service for WorkflowService {
    const NAME: &'static str = "workflow-service";
    const SIBLING_KEYS: &'static [&'static str] = &[
        "qdrant_url",
        "qdrant_api_key",
        "qdrant_api_key_file",
        "qdrant_ca_file",
        "qdrant_collection",
        "qdrant_timeout",
        "qdrant_shards",
        "qdrant_replication_factor",
        "qdrant_write_consistency_factor",
        "qdrant_read_consistency",
        "embedder",
        "embedding_model",
        "embedding_dims",
        "embedding_template",
        "embedding_timeout",
        "embedding_api_key",
        "embedding_api_key_file",
        "former_embedder",
        "former_embedding_model",
        "former_embedding_dims",
        "former_embedding_template",
        "former_embedding_api_key",
        "former_embedding_api_key_file",
        "former_index_paths",
        "hybrid_fusion",
        "hybrid_semantic_weight",
        "hybrid_saturation",
        "hybrid_rrf_k",
        "sync",
        "sync_interval",
        "min_free_disk",
        "optimise_from",
        "index_paths",
        "default_ttl",
        "refresh_ttl_on_read",
    ];
    type Args = Args;
    type Config = Config;

    fn common(args: &Args) -> &CommonArgs {
        &args.common
    }

    fn log_filter(config: &Config) -> &str {
        &config.log
    }

    fn check(config: &Config) -> Result<(), BoxError> {
        config.server.check()?;
        if config.max_runs == 0 {
            return Err("`max_runs` must be more than zero".into());
        }
        if config.worker_lease < SHORTEST_LEASE {
            return Err(format!("`worker_lease` must be at least {SHORTEST_LEASE:?}").into());
        }
        let found = models(config)?.find(&config.default_model);
        found.map_err(|why| format!("`--default-model {}` {why}", config.default_model))?;
        Ok(())
    }

    async fn bind(config: Config) -> Result<Self, BoxError> {
        let listeners = Listeners::bind(config.listen, config.admin_listen).await?;
        let models = models(&config)?;
        let memory = MemoryClient::new(&config.memory_url, config.memory_timeout)?;
        let folder = config.data_dir.join("workflow");
        let store = tokio::task::spawn_blocking(move || SqliteStore::open(&folder)).await??;
        let services = Services {
            memory,
            models,
            default_model: config.default_model.clone(),
        };
        let settings = EngineSettings {
            max_runs: config.max_runs,
            cancel_grace: config.cancel_grace,
            task_wait: config.task_wait,
            retention: config.retention(),
        };
        let engine = Engine::new(Arc::new(store), targets::all(&services), settings);
        let (chat, agent) = (
            Chat {
                services: services.clone(),
            },
            Agent { services },
        );
        for known in engine.store().known_entrypoints().await? {
            engine.recall(recalled(known));
        }
        engine.host(
            Worker::new()
                .entrypoint(chat.entrypoint())
                .entrypoint(agent.entrypoint()),
        );
        Ok(Self {
            config,
            listeners,
            engine,
        })
    }

    fn grpc_addr(&self) -> SocketAddr {
        self.listeners.grpc_addr()
    }

    fn admin_addr(&self) -> SocketAddr {
        self.listeners.admin_addr()
    }

    async fn serve(self, shutdown: impl Future<Output = ()> + Send) -> Result<(), BoxError> {
        let Self {
            config,
            listeners,
            engine,
        } = self;
        let server = Server::new(Self::NAME, listeners, &config.server);
        let times = WorkerTimes {
            lease: config.worker_lease,
            grace: config.worker_grace,
        };
        let connections = Connections::new(engine.clone(), server.draining(), times);
        let workflows = Workflows::new(engine.clone(), server.draining(), config.default_timeout);
        let server = server
            .add_service(
                WorkflowServiceServer::new(workflows).max_decoding_message_size(MAX_REQUEST_BYTES),
            )
            .add_service(
                ThreadServiceServer::new(Threads::new(engine.clone()))
                    .max_decoding_message_size(MAX_REQUEST_BYTES),
            )
            .add_service(TellsResets(
                WorkerServiceServer::new(connections.clone())
                    .max_decoding_message_size(wire::MAX_REQUEST_BYTES),
            ));
        engine.start();
        let (readiness, store) = (server.readiness(), Arc::clone(engine.store()));
        let mut watching = JoinSet::new();
        watching.spawn(async move { readiness.follow_store(|| store.check_writes()).await });
        let served = server.serve(shutdown).await;
        watching.shutdown().await;
        connections.closed().await;
        engine.stop().await;
        Ok(served?)
    }
}

/// The models that a configuration and the environment of the process make.
fn models(config: &Config) -> Result<Models, BadProvider> {
    Models::new(&config.providers, |name| std::env::var(name).ok())
}
