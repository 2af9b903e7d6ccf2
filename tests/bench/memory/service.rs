//! Calls of the service, as its clients make them.

use std::{path::Path, sync::Arc};

use futures::future::BoxFuture;
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
use tonic::transport::Channel;
use weft_proto::{
    common::v1::{Payload, PayloadForm, payload::Form},
    memory::v1::{
        self as pb, batch_operation::Operation, memory_service_client::MemoryServiceClient,
    },
};

use crate::{Kind, Subject, USERS, document, user, words};

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
    client: MemoryServiceClient<Channel>,
    memory: Arc<Memory>,
    items: usize,
    stop: CancellationToken,
    serving: JoinSet<()>,
}

impl Service {
    /// Serves so many items.
    pub(crate) async fn start(folder: &Path, dims: usize, items: usize) -> Self {
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
        let memory = Memory::new(
            store,
            Arc::new(SystemClock),
            bm25,
            Some(embedding),
            defaults,
        );
        let memory = Arc::new(memory);
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
        let channel = Channel::from_shared(address).unwrap();
        let channel = channel.connect().await.unwrap();
        let client = MemoryServiceClient::new(channel).max_decoding_message_size(64 << 20);
        let service = Self {
            client,
            memory,
            items,
            stop,
            serving,
        };
        service.fill().await;
        service
    }

    async fn fill(&self) {
        for first in (0..self.items).step_by(FILL) {
            let numbers = first..self.items.min(first + FILL);
            let put = |number| pb::BatchOperation {
                operation: Some(Operation::Put(self.put(number))),
            };
            let operations = numbers.map(put).collect();
            let batch = pb::BatchRequest { operations };
            self.client.clone().batch(batch).await.unwrap();
        }
    }

    pub(crate) async fn stop(mut self) {
        drop(self.client);
        self.stop.cancel();
        while self.serving.join_next().await.is_some() {}
        self.memory.close().await.unwrap();
    }

    fn put(&self, number: usize) -> pb::PutItemRequest {
        pb::PutItemRequest {
            namespace: vec!["bench".to_owned(), user(number, self.items)],
            key: format!("k{number}"),
            value: Some(text(document(number))),
            ..pb::PutItemRequest::default()
        }
    }

    async fn search(&self, request: pb::SearchItemsRequest) {
        let request = pb::SearchItemsRequest {
            payload_form: PayloadForm::Text.into(),
            ..request
        };
        let found = self.client.clone().search_items(request).await.unwrap();
        assert!(!found.into_inner().hits.is_empty());
    }
}

fn text(json: String) -> Payload {
    Payload {
        form: Some(Form::JsonText(json)),
    }
}

impl Subject for Service {
    fn call(&self, kind: Kind, number: usize) -> BoxFuture<'_, ()> {
        let number = number % self.items;
        let mut client = self.client.clone();
        let under = |prefix: &[&str]| prefix.iter().map(|label| (*label).to_owned()).collect();
        let ranked = move |ranking: pb::Ranking, namespace_prefix| pb::SearchItemsRequest {
            namespace_prefix,
            query: words(number + 1),
            ranking: ranking.into(),
            ..pb::SearchItemsRequest::default()
        };
        Box::pin(async move {
            let user = user(number, self.items);
            match kind {
                Kind::Get => {
                    let request = pb::GetItemRequest {
                        namespace: under(&["bench", &user]),
                        key: format!("k{number}"),
                        payload_form: PayloadForm::Text.into(),
                        ..pb::GetItemRequest::default()
                    };
                    client.get_item(request).await.unwrap();
                }
                Kind::Put => drop(client.put_item(self.put(number)).await.unwrap()),
                Kind::Lexical => {
                    self.search(ranked(pb::Ranking::Lexical, under(&["bench"])))
                        .await
                }
                Kind::Semantic => {
                    self.search(ranked(pb::Ranking::Semantic, under(&["bench"])))
                        .await
                }
                Kind::Hybrid => {
                    self.search(ranked(pb::Ranking::Hybrid, under(&["bench"])))
                        .await
                }
                Kind::HybridOfUser => {
                    let prefix = under(&["bench", &user]);
                    self.search(ranked(pb::Ranking::Hybrid, prefix)).await;
                }
                Kind::Filtered => {
                    let filter = format!(r#"{{"kind":{}}}"#, number % 100);
                    let request = pb::SearchItemsRequest {
                        namespace_prefix: under(&["bench"]),
                        filter: Some(text(filter)),
                        ..pb::SearchItemsRequest::default()
                    };
                    self.search(request).await;
                }
                Kind::Namespace => {
                    let request = pb::SearchItemsRequest {
                        namespace_prefix: under(&["bench", &user]),
                        ..pb::SearchItemsRequest::default()
                    };
                    self.search(request).await;
                }
                Kind::Namespaces => {
                    let request = pb::ListNamespacesRequest {
                        limit: USERS as i32,
                        ..pb::ListNamespacesRequest::default()
                    };
                    let listed = client.list_namespaces(request).await.unwrap().into_inner();
                    assert_eq!(listed.namespaces.len(), USERS.min(self.items));
                }
            }
        })
    }
}
