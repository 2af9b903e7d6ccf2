//! ThreadService.

use service_runtime::RequestContext;
use tonic::{Request, Response, Status};
use weft_proto::workflow::v1::{
    DeleteThreadRequest, DeleteThreadResponse, ForkThreadRequest, ForkThreadResponse,
    GetThreadRequest, GetThreadResponse, ListCheckpointsRequest, ListCheckpointsResponse,
    ListThreadsRequest, ListThreadsResponse, PruneThreadRequest, PruneThreadResponse,
    UpdateThreadRequest, UpdateThreadResponse, thread_service_server::ThreadService,
};

use super::{
    page::Listing,
    request,
    response::{self, Payloads},
    status,
};
use crate::{domain::CheckpointId, engine::Engine};

/// Checkpoints of a page, unless the caller asks for fewer or more.
const DEFAULT_PAGE: u32 = 20;
const MAX_PAGE: u32 = 100;

/// Threads serves ThreadService.
#[derive(Clone)]
pub struct Threads {
    engine: Engine,
}

impl Threads {
    /// Serves the threads of this engine's store.
    pub fn new(engine: Engine) -> Self {
        Self { engine }
    }
}

#[tonic::async_trait]
impl ThreadService for Threads {
    async fn get_thread(
        &self,
        request: Request<GetThreadRequest>,
    ) -> Result<Response<GetThreadResponse>, Status> {
        let context = RequestContext::of(&request);
        let request = request.into_inner();
        let id = request::required_thread_id(&request.thread_id)?;
        let checkpoint_id = request::optional_checkpoint_id(&request.checkpoint_id)?;
        let form = request::payload_form(request.payload_form)?;
        let store = self.engine.store();
        let thread = store
            .thread(context.tenant(), &id)
            .await
            .map_err(status::store)?;
        let mut thread = thread.ok_or_else(|| status::no_such_thread(&id))?;
        if let Some(checkpoint_id) = checkpoint_id {
            let checkpoint = store.checkpoint(context.tenant(), &id, checkpoint_id).await;
            let checkpoint = checkpoint.map_err(status::store)?;
            let missing = || status::no_such_checkpoint(checkpoint_id);
            thread.checkpoint = Some(checkpoint.ok_or_else(missing)?);
        }
        let thread = response::thread(&thread, Payloads::In(form));
        Ok(Response::new(GetThreadResponse {
            thread: Some(thread),
        }))
    }

    async fn list_checkpoints(
        &self,
        request: Request<ListCheckpointsRequest>,
    ) -> Result<Response<ListCheckpointsResponse>, Status> {
        let context = RequestContext::of(&request);
        let request = request.into_inner();
        let id = request::required_thread_id(&request.thread_id)?;
        let size = request::page_size(request.page_size, DEFAULT_PAGE, MAX_PAGE)?;
        let form = request::payload_form(request.payload_form)?;
        let listing = Listing::of(["checkpoints", context.tenant().as_str(), id.as_str()]);
        let before = listing
            .position(&request.page_token)
            .map_err(status::foreign_page_token)?;
        let store = self.engine.store();
        let thread = store
            .thread(context.tenant(), &id)
            .await
            .map_err(status::store)?;
        thread.ok_or_else(|| status::no_such_thread(&id))?;
        let mut checkpoints = store
            .list_checkpoints(context.tenant(), &id, before.map(CheckpointId), size + 1)
            .await
            .map_err(status::store)?;
        let is_more = checkpoints.len() > size as usize;
        checkpoints.truncate(size as usize);
        let last = checkpoints.last().filter(|_| is_more);
        let next_page_token = last
            .map(|last| listing.token(last.id.0))
            .unwrap_or_default();
        let checkpoints = checkpoints
            .iter()
            .map(|checkpoint| response::checkpoint(checkpoint, Payloads::In(form)))
            .collect();
        Ok(Response::new(ListCheckpointsResponse {
            checkpoints,
            next_page_token,
        }))
    }

    async fn list_threads(
        &self,
        _: Request<ListThreadsRequest>,
    ) -> Result<Response<ListThreadsResponse>, Status> {
        Err(status::not_served("ListThreads"))
    }

    async fn update_thread(
        &self,
        _: Request<UpdateThreadRequest>,
    ) -> Result<Response<UpdateThreadResponse>, Status> {
        Err(status::not_served("UpdateThread"))
    }

    async fn fork_thread(
        &self,
        _: Request<ForkThreadRequest>,
    ) -> Result<Response<ForkThreadResponse>, Status> {
        Err(status::not_served("ForkThread"))
    }

    async fn prune_thread(
        &self,
        _: Request<PruneThreadRequest>,
    ) -> Result<Response<PruneThreadResponse>, Status> {
        Err(status::not_served("PruneThread"))
    }

    async fn delete_thread(
        &self,
        _: Request<DeleteThreadRequest>,
    ) -> Result<Response<DeleteThreadResponse>, Status> {
        Err(status::not_served("DeleteThread"))
    }
}
