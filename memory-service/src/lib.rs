//! memory-service: JSON documents under hierarchical namespaces, found again by key, by filter or
//! by words and meaning, over gRPC, for many tenants; kept in an embedded Qdrant engine that loses no
//! acknowledged write when the process is killed, or on a Qdrant server that many replicas share.
//!
//! # Layout
//! - [`config`]: flags and configuration
//! - [`domain`]: names, documents, filters, index paths and versions, without transport or engine
//! - [`embed`]: texts as vectors of their meaning
//! - [`lexical`]: texts as BM25 word vectors
//! - [`store`]: where items are kept: one trait, two engines
//! - [`request`]: what the core is asked for
//! - [`prepare`]: puts made ready to be written
//! - `write`: puts, in a store that may move on to another index
//! - [`reindex`]: the way of a store that is served to another index
//! - `plan`: searches made ready to be run
//! - [`rank`]: candidates whose rank is settled
//! - `hybrid`: candidates of words and of meaning together
//! - [`fusion`]: one score out of two
//! - [`search`]: exact pages from an engine's candidates, each a `page`
//! - [`list`]: pages in order of names
//! - `diversity`: near duplicates make room for others
//! - [`room`]: how much one answer may hold
//! - [`memory`]: what calls mean: clock, lifetimes, what is configured
//! - [`failure`]: why the core cannot do what it was asked for
//! - [`maintenance`]: export, import, check and reindex
//! - [`batch`]: many operations in one call
//! - [`sweeper`]: removes what has expired
//! - [`grpc`]: requests in, responses and statuses out
//! - [`MemoryService`]: all of it bound to sockets and a folder, then served

pub mod batch;
pub mod config;
mod diversity;
pub mod domain;
pub mod embed;
pub mod failure;
pub mod fusion;
pub mod grpc;
mod hybrid;
pub mod lexical;
pub mod list;
pub mod maintenance;
pub mod memory;
mod page;
mod plan;
pub mod prepare;
pub mod rank;
pub mod reindex;
pub mod request;
pub mod room;
pub mod search;
pub mod store;
pub mod sweeper;
mod write;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use service_runtime::{BoxError, CommonArgs, Job, Listeners, Server, Service};
use tokio::task::JoinSet;

use crate::{
    config::{Args, Config},
    domain::{Clock, IndexIdentity, SystemClock},
    lexical::Bm25,
    memory::Memory,
    prepare::Indexer,
    store::{Store, edge::EdgeStore, qdrant::QdrantStore},
};

/// The service, bound to its sockets and its folder.
pub struct MemoryService {
    grpc_addr: SocketAddr,
    admin_addr: SocketAddr,
    server: Server,
    memory: Arc<Memory>,
    /// How long a search may take.
    longest: Duration,
}

impl MemoryService {
    /// Binds with another clock than the machine's, for tests that control time.
    ///
    /// # Errors
    /// If the configuration cannot be served, an address is taken, or the folder cannot be used.
    pub async fn bind_with_clock(config: Config, clock: Arc<dyn Clock>) -> Result<Self, BoxError> {
        let defaults = config.defaults()?;
        let indexer = config.indexer().await?;
        let listeners = Listeners::bind(config.listen, config.admin_listen).await?;
        let (grpc_addr, admin_addr) = (listeners.grpc_addr(), listeners.admin_addr());
        let former = former(&config, &indexer.identity()).await?;
        let identity = former.as_ref().map(Indexer::identity);
        let store = open(&config, indexer.identity(), identity).await?;
        let memory = Memory::new(store, clock, Bm25::new()?, indexer.embedding, defaults);
        let memory = Arc::new(memory.with_former(former));
        let server = Server::new(Self::NAME, listeners, &config.server)
            .add_service(grpc::service(memory.clone()));
        Ok(Self {
            grpc_addr,
            admin_addr,
            server,
            memory,
            longest: config.server.max_deadline,
        })
    }
}

/// Opens the store that is configured.
async fn open(
    config: &Config,
    index: IndexIdentity,
    former: Option<IndexIdentity>,
) -> Result<Arc<dyn Store>, BoxError> {
    let folder = config.data_dir.join("memory");
    Ok(match config.qdrant()? {
        Some(settings) => Arc::new(QdrantStore::open_for(&settings, index, former).await?),
        None => Arc::new(EdgeStore::open(&folder, config.edge_for(index, former)).await?),
    })
}

/// What the data is searched by; `None` if there is none yet.
async fn searched_by(config: &Config) -> Result<Option<IndexIdentity>, BoxError> {
    Ok(match config.qdrant()? {
        Some(settings) => QdrantStore::indexed_with(&settings).await?,
        None => EdgeStore::indexed_with(&config.data_dir.join("memory"))?,
    })
}

/// What made the index that the data is still searched by, if that is not the present one. It need
/// not work any more after that.
async fn former(config: &Config, present: &IndexIdentity) -> Result<Option<Indexer>, BoxError> {
    let found = searched_by(config).await?;
    if found.is_none_or(|found| found == *present) {
        return Ok(None);
    }
    Ok(config.former_indexer().await?)
}

impl Service for MemoryService {
    const NAME: &'static str = "memory-service";
    const SIBLING_KEYS: &'static [&'static str] = &[
        "memory_url",
        "memory_timeout",
        "default_model",
        "providers",
        "max_runs",
        "cancel_grace",
        "default_timeout",
        "thread_ttl",
        "run_ttl",
        "journal_ttl",
        "worker_lease",
        "worker_grace",
        "task_wait",
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
        config.defaults()?;
        config.embedding_source()?;
        config.check_former()?;
        config.qdrant()?;
        Ok(())
    }

    fn job(args: &Args, config: &Config) -> Option<Job> {
        let (command, config) = (args.command.clone()?, config.clone());
        Some(Box::pin(maintenance::run(command, config)))
    }

    async fn bind(config: Config) -> Result<Self, BoxError> {
        Self::bind_with_clock(config, Arc::new(SystemClock)).await
    }

    fn grpc_addr(&self) -> SocketAddr {
        self.grpc_addr
    }

    fn admin_addr(&self) -> SocketAddr {
        self.admin_addr
    }

    async fn serve(self, shutdown: impl Future<Output = ()> + Send) -> Result<(), BoxError> {
        let Self {
            grpc_addr: _,
            admin_addr: _,
            server,
            memory,
            longest,
        } = self;
        let mut tasks = JoinSet::new();
        tasks.spawn(sweeper::sweep_regularly(memory.clone()));
        tasks.spawn(reindex::reindex_until_settled(memory.clone(), longest));
        let (readiness, watched) = (server.readiness(), memory.clone());
        tasks.spawn(async move { readiness.follow_store(|| watched.probe()).await });
        let served = server.serve(shutdown).await;
        tasks.shutdown().await;
        let closed = memory.close().await;
        served?;
        closed?;
        Ok(())
    }
}
