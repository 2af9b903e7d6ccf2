//! Services whose handlers do what a request's key says, and ways to call them.

use std::{future, net::SocketAddr, pin::Pin, sync::Arc, time::Duration};

use futures::{StreamExt as _, stream, stream::BoxStream};
use hyper::{body::Incoming, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use service_runtime::{Listeners, Readiness, RequestContext, ServeError, Server, ServerSettings};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::{Semaphore, mpsc},
    task::JoinSet,
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tonic::{
    Code, Request, Response, Status,
    body::Body,
    transport::{Channel, Endpoint},
};
use tonic_types::StatusExt as _;
use tower::util::BoxCloneSyncService;
use weft_proto::{
    memory::v1::{
        memory_service_client::MemoryServiceClient,
        memory_service_server::{MemoryService, MemoryServiceServer},
        *,
    },
    workflow::v1::{
        stream_run_request::Target,
        workflow_service_client::WorkflowServiceClient,
        workflow_service_server::{WorkflowService, WorkflowServiceServer},
        *,
    },
};

/// Longer than anything takes on a loaded machine: reached by a failing test only.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the handlers of one server share with its test.
pub(crate) struct Handlers {
    entered: mpsc::Sender<()>,
    released: Semaphore,
    draining: CancellationToken,
}

type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<Response<T>, Status>> + Send + 'a>>;

/// What `#[async_trait]` makes of a method; that attribute does not see through macros.
macro_rules! unused {
    ($($method:ident($request:ty) -> $response:ty;)*) => {
        $(fn $method<'a, 'b>(&'a self, _: Request<$request>) -> Answer<'b, $response>
        where
            'a: 'b,
            Self: 'b,
        {
            Box::pin(async { Err(Status::unimplemented("not in this test")) })
        })*
    };
}

/// The handlers of one server, as a type of this crate.
struct Scripted(Arc<Handlers>);

impl Scripted {
    async fn get(
        &self,
        request: Request<GetItemRequest>,
    ) -> Result<Response<GetItemResponse>, Status> {
        let context = RequestContext::of(&request);
        let key = request.into_inner().key;
        match key.as_str() {
            "panic" => panic!("as the test wishes"),
            "bare" => return Err(Status::not_found("no details")),
            "wait" => {
                self.0.entered.send(()).await.unwrap();
                self.0.released.acquire().await.unwrap().forget();
            }
            "never" => future::pending().await,
            _ => {}
        }
        // Tells what the handler saw of its context.
        let item = Item {
            namespace: vec![
                context.tenant().to_string(),
                context.principal.id.to_string(),
                context.deadline.remaining().as_millis().to_string(),
            ],
            key,
            etag: context.request_id.to_string(),
            ..Item::default()
        };
        Ok(Response::new(GetItemResponse { item: Some(item) }))
    }

    fn stream(
        &self,
        request: Request<StreamRunRequest>,
    ) -> BoxStream<'static, Result<StreamRunResponse, Status>> {
        let message = || Ok(StreamRunResponse::default());
        let first = stream::once(async move { message() });
        let handlers = Arc::clone(&self.0);
        let Some(Target::RunId(kind)) = request.into_inner().target else {
            panic!("tests stream runs by id");
        };
        match kind.as_str() {
            "panic" => first
                .chain(stream::once(async move {
                    handlers.released.acquire().await.unwrap().forget();
                    panic!("as the test wishes")
                }))
                .boxed(),
            "wait" => first
                .chain(stream::once(async move {
                    handlers.released.acquire().await.unwrap().forget();
                    message()
                }))
                .boxed(),
            "until drain" => first
                .chain(
                    stream::once(async move { handlers.draining.cancelled().await })
                        .filter_map(|()| future::ready(None)),
                )
                .boxed(),
            "flood" => stream::repeat_with(message).boxed(),
            _ => first.chain(stream::pending()).boxed(),
        }
    }
}

impl MemoryService for Scripted {
    fn get_item<'a, 'b>(&'a self, request: Request<GetItemRequest>) -> Answer<'b, GetItemResponse>
    where
        'a: 'b,
        Self: 'b,
    {
        Box::pin(self.get(request))
    }

    unused! {
        put_item(PutItemRequest) -> PutItemResponse;
        delete_item(DeleteItemRequest) -> DeleteItemResponse;
        search_items(SearchItemsRequest) -> SearchItemsResponse;
        list_items(ListItemsRequest) -> ListItemsResponse;
        count_items(CountItemsRequest) -> CountItemsResponse;
        list_namespaces(ListNamespacesRequest) -> ListNamespacesResponse;
        delete_namespace(DeleteNamespaceRequest) -> DeleteNamespaceResponse;
        batch(BatchRequest) -> BatchResponse;
    }
}

impl WorkflowService for Scripted {
    type StreamRunStream = BoxStream<'static, Result<StreamRunResponse, Status>>;

    fn stream_run<'a, 'b>(
        &'a self,
        request: Request<StreamRunRequest>,
    ) -> Answer<'b, Self::StreamRunStream>
    where
        'a: 'b,
        Self: 'b,
    {
        Box::pin(async { Ok(Response::new(self.stream(request))) })
    }

    unused! {
        list_entrypoints(ListEntrypointsRequest) -> ListEntrypointsResponse;
        list_tasks(ListTasksRequest) -> ListTasksResponse;
        start_run(StartRunRequest) -> StartRunResponse;
        invoke_run(InvokeRunRequest) -> InvokeRunResponse;
        get_run(GetRunRequest) -> GetRunResponse;
        wait_run(WaitRunRequest) -> WaitRunResponse;
        list_runs(ListRunsRequest) -> ListRunsResponse;
        resume_run(ResumeRunRequest) -> ResumeRunResponse;
        retry_run(RetryRunRequest) -> RetryRunResponse;
        cancel_run(CancelRunRequest) -> CancelRunResponse;
    }
}

/// A server that serves, in this process.
pub(crate) struct Running {
    pub(crate) grpc: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) readiness: Readiness,
    pub(crate) draining: CancellationToken,
    pub(crate) shutdown: CancellationToken,
    pub(crate) handlers: Arc<Handlers>,
    entered: mpsc::Receiver<()>,
    tasks: JoinSet<Result<(), ServeError>>,
    connections: JoinSet<Result<(), hyper::Error>>,
}

pub(crate) async fn start(settings: ServerSettings) -> Running {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let listeners = Listeners::bind(any, any).await.unwrap();
    let (grpc, admin) = (listeners.grpc_addr(), listeners.admin_addr());
    let server = Server::new("test-service", listeners, &settings);
    let (readiness, draining) = (server.readiness(), server.draining());

    let (sender, entered) = mpsc::channel(16);
    let released = Semaphore::new(0);
    let handlers = Arc::new(Handlers {
        entered: sender,
        released,
        draining: draining.clone(),
    });
    let server = server
        .add_service(MemoryServiceServer::new(Scripted(Arc::clone(&handlers))))
        .add_service(WorkflowServiceServer::new(Scripted(Arc::clone(&handlers))));

    let shutdown = CancellationToken::new();
    let mut tasks = JoinSet::new();
    tasks.spawn(server.serve(shutdown.clone().cancelled_owned()));
    let connections = JoinSet::new();
    Running {
        grpc,
        admin,
        readiness,
        draining,
        shutdown,
        handlers,
        entered,
        tasks,
        connections,
    }
}

impl Running {
    pub(crate) fn channel(&self) -> Channel {
        Endpoint::from_shared(format!("http://{}", self.grpc))
            .unwrap()
            .connect_lazy()
    }

    pub(crate) fn memory(&self) -> MemoryServiceClient<Channel> {
        MemoryServiceClient::new(self.channel())
    }

    pub(crate) fn workflow(&self) -> WorkflowServiceClient<Channel> {
        WorkflowServiceClient::new(self.channel())
    }

    /// A connection without tonic's client, which would end calls at their deadline itself.
    pub(crate) async fn patient_channel(&mut self) -> PatientChannel {
        let stream = TcpStream::connect(self.grpc).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
        self.connections.spawn(connection);
        let send = move |request| {
            let mut sender = sender.clone();
            async move {
                sender.ready().await?;
                sender.send_request(request).await
            }
        };
        BoxCloneSyncService::new(tower::service_fn(send))
    }

    pub(crate) async fn patient_memory(&mut self) -> MemoryServiceClient<PatientChannel> {
        let origin = format!("http://{}", self.grpc).parse().unwrap();
        MemoryServiceClient::with_origin(self.patient_channel().await, origin)
    }

    pub(crate) async fn patient_workflow(&mut self) -> WorkflowServiceClient<PatientChannel> {
        let origin = format!("http://{}", self.grpc).parse().unwrap();
        WorkflowServiceClient::with_origin(self.patient_channel().await, origin)
    }

    /// Waits until a handler has begun that waits.
    pub(crate) async fn entered(&mut self) {
        within(self.entered.recv()).await.unwrap();
    }

    /// Lets one waiting handler go on.
    pub(crate) fn release(&self) {
        self.handlers.released.add_permits(1);
    }

    /// Waits until `serve` returns.
    pub(crate) async fn stopped(&mut self) -> Result<(), ServeError> {
        within(self.tasks.join_next()).await.unwrap().unwrap()
    }

    /// The answer to `GET path` on the admin socket: its head and its body.
    pub(crate) async fn admin_get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.admin).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }
}

pub(crate) type PatientChannel =
    BoxCloneSyncService<http::Request<Body>, http::Response<Incoming>, hyper::Error>;

/// `future`, which must not take forever.
pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.expect("took too long")
}

pub(crate) fn get(key: &str) -> Request<GetItemRequest> {
    Request::new(GetItemRequest {
        key: key.to_owned(),
        ..GetItemRequest::default()
    })
}

pub(crate) fn stream_of(kind: &str) -> Request<StreamRunRequest> {
    Request::new(StreamRunRequest {
        target: Some(Target::RunId(kind.to_owned())),
        ..StreamRunRequest::default()
    })
}

/// Sends `grpc-timeout` as it is written.
pub(crate) fn with_timeout<T>(mut request: Request<T>, timeout: &'static str) -> Request<T> {
    request
        .metadata_mut()
        .insert("grpc-timeout", timeout.parse().unwrap());
    request
}

#[track_caller]
pub(crate) fn assert_status(status: &Status, code: Code, reason: &str) {
    let details = status.get_error_details();
    let info = details
        .error_info()
        .unwrap_or_else(|| panic!("no ErrorInfo: {status:?}"));
    assert_eq!(
        (status.code(), info.reason.as_str()),
        (code, reason),
        "{status:?}"
    );
    assert_eq!(info.domain, "weft.dev");
}
