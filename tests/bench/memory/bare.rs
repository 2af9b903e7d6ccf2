//! A bare tonic server that takes the same requests and answers with what was answered once.

use tokio::{net::TcpListener, sync::oneshot, task::JoinSet};
use tonic::{
    Request, Response, Status, async_trait,
    transport::{Server, server::TcpIncoming},
};
use weft_proto::memory::v1::{
    self as pb,
    memory_service_server::{MemoryService, MemoryServiceServer},
};

use crate::{
    Kind,
    calls::{Answer, Calls},
};

/// The server, and a client of it.
pub(crate) struct Bare {
    pub(crate) calls: Calls,
    stop: oneshot::Sender<()>,
    serving: JoinSet<()>,
}

impl Bare {
    /// Answers as a service did.
    pub(crate) async fn start(service: &Calls, kind: Kind) -> Self {
        let answer = service.answer(kind, 1).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let (stop, stopped) = oneshot::channel();
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            Server::builder()
                .add_service(MemoryServiceServer::new(Canned(answer)))
                .serve_with_incoming_shutdown(
                    TcpIncoming::from(listener).with_nodelay(Some(true)),
                    async { drop(stopped.await) },
                )
                .await
                .unwrap();
        });
        Self {
            calls: Calls::connect(address, service.items()).await,
            stop,
            serving,
        }
    }

    pub(crate) async fn stop(mut self) {
        drop(self.calls);
        self.stop.send(()).unwrap();
        while self.serving.join_next().await.is_some() {}
    }
}

struct Canned(Answer);

type Answered<T> = Result<Response<T>, Status>;

fn other<T>() -> Answered<T> {
    Err(Status::unimplemented("another kind of call is measured"))
}

#[async_trait]
impl MemoryService for Canned {
    async fn put_item(&self, _: Request<pb::PutItemRequest>) -> Answered<pb::PutItemResponse> {
        match self.0.clone() {
            Answer::Put(answer) => Ok(Response::new(answer)),
            _ => other(),
        }
    }

    async fn get_item(&self, _: Request<pb::GetItemRequest>) -> Answered<pb::GetItemResponse> {
        match self.0.clone() {
            Answer::Got(answer) => Ok(Response::new(answer)),
            _ => other(),
        }
    }

    async fn search_items(
        &self,
        _: Request<pb::SearchItemsRequest>,
    ) -> Answered<pb::SearchItemsResponse> {
        match self.0.clone() {
            Answer::Found(answer) => Ok(Response::new(answer)),
            _ => other(),
        }
    }

    async fn list_namespaces(
        &self,
        _: Request<pb::ListNamespacesRequest>,
    ) -> Answered<pb::ListNamespacesResponse> {
        match self.0.clone() {
            Answer::Listed(answer) => Ok(Response::new(answer)),
            _ => other(),
        }
    }

    async fn delete_item(
        &self,
        _: Request<pb::DeleteItemRequest>,
    ) -> Answered<pb::DeleteItemResponse> {
        other()
    }

    async fn list_items(
        &self,
        _: Request<pb::ListItemsRequest>,
    ) -> Answered<pb::ListItemsResponse> {
        other()
    }

    async fn count_items(
        &self,
        _: Request<pb::CountItemsRequest>,
    ) -> Answered<pb::CountItemsResponse> {
        other()
    }

    async fn delete_namespace(
        &self,
        _: Request<pb::DeleteNamespaceRequest>,
    ) -> Answered<pb::DeleteNamespaceResponse> {
        other()
    }

    async fn batch(&self, _: Request<pb::BatchRequest>) -> Answered<pb::BatchResponse> {
        other()
    }
}
