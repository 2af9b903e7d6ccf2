//! What the tests have in common: a clock they control, the service on free ports, a client.

use std::{
    fs::File,
    net::SocketAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use memory_service::{
    MemoryService,
    config::Config,
    domain::{Clock, Time},
};
use service_runtime::Service as _;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::oneshot,
    task::JoinSet,
};
use tonic::{Code, Status, transport::Channel};
use tonic_types::StatusExt as _;
use weft_proto::{
    common::v1::{Payload, PayloadForm, payload::Form},
    memory::v1::{self as pb, memory_service_client::MemoryServiceClient},
};

use crate::qdrant_server::QdrantServer;

/// Midnight of 2026-11-01, in microseconds.
pub(crate) const START: i64 = 1_793_491_200_000_000;

/// A clock that moves only when it is told to.
#[derive(Clone)]
pub(crate) struct ManualClock(Arc<AtomicI64>);

impl ManualClock {
    pub(crate) fn new() -> Self {
        Self(Arc::new(AtomicI64::new(START)))
    }

    pub(crate) fn advance(&self, duration: Duration) {
        self.0.fetch_add(
            i64::try_from(duration.as_micros()).unwrap(),
            Ordering::SeqCst,
        );
    }

    pub(crate) fn step_back(&self, duration: Duration) {
        self.0.fetch_sub(
            i64::try_from(duration.as_micros()).unwrap(),
            Ordering::SeqCst,
        );
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Time {
        Time::from_micros(self.0.load(Ordering::SeqCst))
    }
}

pub(crate) type Client = MemoryServiceClient<Channel>;

/// The service on free ports, its data in a temporary folder; or, if `WEFT_TEST_ENGINE` is
/// `qdrant`, on a Qdrant server.
pub(crate) struct Running {
    pub(crate) client: Client,
    pub(crate) clock: ManualClock,
    /// Where it serves `/readyz`.
    pub(crate) admin: SocketAddr,
    config: Config,
    server: Option<Arc<QdrantServer>>,
    stop: oneshot::Sender<()>,
    served: JoinSet<()>,
    folder: TempDir,
}

impl Running {
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub(crate) async fn start_with(configure: impl FnOnce(&mut Config)) -> Self {
        let server = engine_is_qdrant().then(|| Arc::new(QdrantServer::start()));
        Self::start_on(server, configure).await
    }

    /// One of several replicas on a Qdrant server.
    pub(crate) async fn replica(server: &Arc<QdrantServer>) -> Self {
        Self::start_on(Some(server.clone()), |_| {}).await
    }

    /// On this server; without one, with the embedded engine.
    pub(crate) async fn start_on(
        server: Option<Arc<QdrantServer>>,
        configure: impl FnOnce(&mut Config),
    ) -> Self {
        let (config, folder) = Self::config_on(server.as_deref(), configure);
        Self::serve(config, ManualClock::new(), folder, server).await
    }

    fn config_on(
        server: Option<&QdrantServer>,
        configure: impl FnOnce(&mut Config),
    ) -> (Config, TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config {
            listen: "127.0.0.1:0".parse().unwrap(),
            admin_listen: "127.0.0.1:0".parse().unwrap(),
            data_dir: folder.path().into(),
            ..Config::default()
        };
        if let Some(server) = server {
            server.configure(&mut config);
        }
        configure(&mut config);
        (config, folder)
    }

    /// Why a service on this server, or with the embedded engine, does not start.
    pub(crate) async fn refused_on(
        server: Option<Arc<QdrantServer>>,
        configure: impl FnOnce(&mut Config),
    ) -> String {
        let (config, _folder) = Self::config_on(server.as_deref(), configure);
        let bound = MemoryService::bind_with_clock(config, Arc::new(ManualClock::new())).await;
        bound.err().unwrap().to_string()
    }

    async fn serve(
        config: Config,
        clock: ManualClock,
        folder: TempDir,
        server: Option<Arc<QdrantServer>>,
    ) -> Self {
        let service = MemoryService::bind_with_clock(config.clone(), Arc::new(clock.clone()))
            .await
            .unwrap();
        let client = connect(&service.grpc_addr().to_string()).await;
        let admin = service.admin_addr();
        let (stop, stopped) = oneshot::channel();
        let mut served = JoinSet::new();
        served.spawn(async move {
            let shutdown = async { drop(stopped.await) };
            service.serve(shutdown).await.unwrap();
        });
        Self {
            client,
            clock,
            admin,
            config,
            server,
            stop,
            served,
            folder,
        }
    }

    /// What `/metrics` says of `name`, all labels taken together; 0 for nothing.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        let mut connection = TcpStream::connect(self.admin).await.unwrap();
        let asked = connection.write_all(b"GET /metrics HTTP/1.0\r\n\r\n");
        asked.await.unwrap();
        let mut text = String::new();
        connection.read_to_string(&mut text).await.unwrap();
        let values = text.lines().filter_map(|line| {
            let rest = line.strip_prefix(name)?;
            let is_named = rest.starts_with([' ', '{']);
            is_named.then(|| rest.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
        });
        values.sum()
    }

    /// Waits until no data is written anew; while it is, what was changed since it began counts
    /// twice in the statistics of words.
    pub(crate) async fn settled(&self) {
        while self.metric("memory_optimising").await > 0.0 {
            tokio::task::yield_now().await;
        }
    }

    /// Stops the service gracefully.
    pub(crate) async fn stop(mut self) {
        drop(self.client);
        self.stop.send(()).unwrap();
        self.served.join_next().await.unwrap().unwrap();
    }

    /// Stops the service gracefully and starts it anew on the same data.
    pub(crate) async fn restart(self) -> Self {
        let Self {
            client,
            clock,
            admin: _,
            config,
            server,
            stop,
            mut served,
            folder,
        } = self;
        drop(client);
        stop.send(()).unwrap();
        served.join_next().await.unwrap().unwrap();
        if server.is_none() {
            let_go(&config.data_dir).await;
        }
        Self::serve(config, clock, folder, server).await
    }
}

/// Waits until nobody has this data folder. A stop leaves what takes longer than a few seconds to the
/// end of the process, which is not at hand here.
async fn let_go(data_dir: &Path) {
    let lock = File::open(data_dir.join("memory/LOCK")).unwrap();
    let waited = tokio::task::spawn_blocking(move || {
        lock.lock()?;
        lock.unlock()
    });
    waited.await.unwrap().unwrap();
}

/// Whether the engine under test is a Qdrant server.
pub(crate) fn engine_is_qdrant() -> bool {
    std::env::var("WEFT_TEST_ENGINE").is_ok_and(|engine| engine == "qdrant")
}

pub(crate) async fn connect(address: &str) -> Client {
    let channel = Channel::from_shared(format!("http://{address}"))
        .unwrap()
        .connect_lazy();
    MemoryServiceClient::new(channel).max_decoding_message_size(64 << 20)
}

pub(crate) fn labels(dotted: &str) -> Vec<String> {
    if dotted.is_empty() {
        vec![]
    } else {
        dotted.split('.').map(str::to_owned).collect()
    }
}

pub(crate) fn text(json: &str) -> Payload {
    Payload {
        form: Some(Form::JsonText(json.to_owned())),
    }
}

pub(crate) fn put(namespace: &str, key: &str, value: &str) -> pb::PutItemRequest {
    pb::PutItemRequest {
        namespace: labels(namespace),
        key: key.to_owned(),
        value: Some(text(value)),
        ..Default::default()
    }
}

pub(crate) fn get(namespace: &str, key: &str) -> pb::GetItemRequest {
    pb::GetItemRequest {
        namespace: labels(namespace),
        key: key.to_owned(),
        payload_form: PayloadForm::Text.into(),
        ..Default::default()
    }
}

pub(crate) fn delete(namespace: &str, key: &str) -> pb::DeleteItemRequest {
    pb::DeleteItemRequest {
        namespace: labels(namespace),
        key: key.to_owned(),
        ..Default::default()
    }
}

pub(crate) fn search(prefix: &str) -> pb::SearchItemsRequest {
    pb::SearchItemsRequest {
        namespace_prefix: labels(prefix),
        ..Default::default()
    }
}

pub(crate) fn query(prefix: &str, words: &str) -> pb::SearchItemsRequest {
    pb::SearchItemsRequest {
        query: words.to_owned(),
        ..search(prefix)
    }
}

pub(crate) fn exists(exists: bool) -> Option<pb::Precondition> {
    Some(pb::Precondition {
        condition: Some(pb::precondition::Condition::Exists(exists)),
    })
}

pub(crate) fn etag(etag: &str) -> Option<pb::Precondition> {
    let condition = pb::precondition::Condition::Etag(etag.to_owned());
    Some(pb::Precondition {
        condition: Some(condition),
    })
}

/// Short forms of calls whose answers matter only in parts.
pub(crate) trait Calls {
    async fn put(&mut self, request: pb::PutItemRequest) -> Result<pb::Item, Status>;
    async fn get(&mut self, request: pb::GetItemRequest) -> Result<pb::Item, Status>;
    async fn hits(&mut self, request: pb::SearchItemsRequest)
    -> Result<Vec<pb::SearchHit>, Status>;
    /// The keys that a search finds, in order.
    async fn keys(&mut self, request: pb::SearchItemsRequest) -> Vec<String>;
    /// The namespaces of a listing as `a.b=count`, in order.
    async fn listed(&mut self, request: pb::ListNamespacesRequest) -> Vec<String>;
}

impl Calls for Client {
    async fn put(&mut self, request: pb::PutItemRequest) -> Result<pb::Item, Status> {
        self.put_item(request)
            .await
            .map(|response| response.into_inner().item.unwrap())
    }

    async fn get(&mut self, request: pb::GetItemRequest) -> Result<pb::Item, Status> {
        self.get_item(request)
            .await
            .map(|response| response.into_inner().item.unwrap())
    }

    async fn hits(
        &mut self,
        request: pb::SearchItemsRequest,
    ) -> Result<Vec<pb::SearchHit>, Status> {
        self.search_items(request)
            .await
            .map(|response| response.into_inner().hits)
    }

    async fn keys(&mut self, request: pb::SearchItemsRequest) -> Vec<String> {
        let hits = self.hits(request).await.unwrap();
        hits.into_iter().map(|hit| hit.item.unwrap().key).collect()
    }

    async fn listed(&mut self, request: pb::ListNamespacesRequest) -> Vec<String> {
        let response = self.list_namespaces(request).await.unwrap().into_inner();
        let shown = |namespace: pb::Namespace| {
            format!("{}={}", namespace.labels.join("."), namespace.item_count)
        };
        response.namespaces.into_iter().map(shown).collect()
    }
}

/// The JSON text of an item that was asked for as text.
pub(crate) fn value(item: &pb::Item) -> &str {
    match item
        .value
        .as_ref()
        .and_then(|payload| payload.form.as_ref())
    {
        Some(Form::JsonText(text)) => text,
        other => panic!("not a text: {other:?}"),
    }
}

/// Code and reason of an error.
#[track_caller]
pub(crate) fn assert_status(status: &Status, code: Code, reason: &str) {
    assert_eq!(status.code(), code, "{status:?}");
    let info = status.get_details_error_info().unwrap();
    assert_eq!(
        (info.reason.as_str(), info.domain.as_str()),
        (reason, "memory.weft.dev")
    );
}

/// The fields that a refused request violates, and why, as `field: description`.
#[track_caller]
pub(crate) fn violations(status: &Status) -> Vec<String> {
    assert_status(status, Code::InvalidArgument, "INVALID_REQUEST");
    let details = status.get_details_bad_request().unwrap();
    let shown = |violation: tonic_types::FieldViolation| {
        format!("{}: {}", violation.field, violation.description)
    };
    details.field_violations.into_iter().map(shown).collect()
}
