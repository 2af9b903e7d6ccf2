//! The service, over an embedder that costs next to nothing.

use std::{path::Path, sync::Arc};

use memory_service::{
    domain::{IndexPath, SystemClock},
    embed::{Embedded, Embedder, Embedding, Template},
    grpc,
    lexical::Bm25,
    memory::Memory,
    request::Defaults,
    store::edge::{EdgeStore, Settings},
};
use service_runtime::{Listeners, Server, ServerSettings};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use weft_proto::memory::v1::{self as pb, batch_operation::Operation};

use crate::{calls::Calls, own::Own};

/// Puts of one batch while the service is filled.
const FILL: usize = 500;

/// An embedder that costs next to nothing.
pub(crate) struct Hashed(pub(crate) usize);

impl Hashed {
    pub(crate) fn vector(&self, text: &str) -> Vec<f32> {
        let seed = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let mut state = seed;
        let mut next = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 40) as f32 / (1 << 23) as f32 - 1.0
        };
        (0..self.0).map(|_| next()).collect()
    }
}

impl Embedder for Hashed {
    fn id(&self) -> &str {
        "bench"
    }

    fn dims(&self) -> usize {
        self.0
    }

    fn embed_documents<'a>(&'a self, texts: &'a [String]) -> Embedded<'a> {
        let vectors = texts.iter().map(|text| self.vector(text)).collect();
        Box::pin(std::future::ready(Ok(vectors)))
    }

    fn embed_queries<'a>(&'a self, texts: &'a [String]) -> Embedded<'a> {
        self.embed_documents(texts)
    }
}

/// The service, and a client of it.
pub(crate) struct Service {
    pub(crate) calls: Calls,
    memory: Arc<Memory>,
    stop: CancellationToken,
    serving: JoinSet<()>,
}

impl Service {
    /// Serves so many items.
    pub(crate) async fn start(folder: &Path, dims: usize, items: usize) -> Self {
        let memory = memory(folder, dims).await;
        let any = "127.0.0.1:0".parse().unwrap();
        let listeners = Listeners::bind(any, any).await.unwrap();
        let address = format!("http://{}", listeners.grpc_addr());
        let server = Server::new("bench", listeners, &ServerSettings::default());
        let server = server.add_service(grpc::service(memory.clone()));
        server.readiness().set_ready();
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        let mut serving = JoinSet::new();
        serving.spawn(async move { server.serve(stopped).await.unwrap() });
        let service = Self {
            calls: Calls::connect(address, items).await,
            memory,
            stop,
            serving,
        };
        service.fill().await;
        service
    }

    async fn fill(&self) {
        let items = self.calls.items();
        for first in (0..items).step_by(FILL) {
            let numbers = first..items.min(first + FILL);
            let put = |number| pb::BatchOperation {
                operation: Some(Operation::Put(self.calls.put(number))),
            };
            let operations = numbers.map(put).collect();
            let batch = pb::BatchRequest { operations };
            self.calls.client().batch(batch).await.unwrap();
        }
    }

    /// Its code, to be called without gRPC.
    pub(crate) fn own(&self) -> Own {
        Own {
            memory: self.memory.clone(),
            items: self.calls.items(),
        }
    }

    pub(crate) async fn stop(mut self) {
        drop(self.calls);
        self.stop.cancel();
        while self.serving.join_next().await.is_some() {}
        self.memory.close().await.unwrap();
    }
}

async fn memory(folder: &Path, dims: usize) -> Arc<Memory> {
    let embedding = Embedding {
        embedder: Arc::new(Hashed(dims)),
        template: Template::parse("{text}").unwrap(),
    };
    let settings = Settings {
        embedder: Some(embedding.identity()),
        ..Settings::default()
    };
    let store = Arc::new(EdgeStore::open(folder, settings).await.unwrap());
    let defaults = Defaults {
        index_paths: vec![IndexPath::parse("text").unwrap()],
        ..Defaults::default()
    };
    let bm25 = Bm25::new().unwrap();
    let clock = Arc::new(SystemClock);
    Arc::new(Memory::new(store, clock, bm25, Some(embedding), defaults))
}
