//! ThreadService.

use service_runtime::{Listing, RequestContext};
use tonic::{Request, Response, Status};
use weft_proto::{
    common::v1::PayloadForm,
    workflow::v1::{
        DeleteThreadRequest, DeleteThreadResponse, ForkThreadRequest, ForkThreadResponse,
        GetThreadRequest, GetThreadResponse, ListCheckpointsRequest, ListCheckpointsResponse,
        ListThreadsRequest, ListThreadsResponse, PruneThreadRequest, PruneThreadResponse,
        UpdateThreadRequest, UpdateThreadResponse, thread_service_server::ThreadService,
    },
};

use super::{
    page, request,
    response::{self, Payloads},
    status,
};
use crate::{
    domain::{CheckpointId, Timestamp},
    engine::Engine,
};

/// Checkpoints of a page, unless the caller asks for fewer or more.
const DEFAULT_PAGE: u32 = 20;
const MAX_PAGE: u32 = 100;
/// Threads of a page, likewise.
const DEFAULT_THREADS: u32 = 50;
const MAX_THREADS: u32 = 1000;
/// Form of payloads where a request cannot ask for one.
const SERVERS_CHOICE: Payloads = Payloads::In(PayloadForm::Unspecified);

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
        let id = request::required_thread_id(&request.thread_id);
        let checkpoint_id = request::optional_checkpoint_id(&request.checkpoint_id);
        let form = request::payload_form(request.payload_form);
        let ((id, checkpoint_id), form) =
            request::both(request::both(id, checkpoint_id), form).map_err(status::invalid)?;
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
        let id = request::required_thread_id(&request.thread_id);
        let size = request::page_size(request.page_size, DEFAULT_PAGE, MAX_PAGE);
        let form = request::payload_form(request.payload_form);
        let ((id, size), form) =
            request::both(request::both(id, size), form).map_err(status::invalid)?;
        let store = self.engine.store();
        let parts = ["checkpoints", context.tenant().as_str(), id.as_str()];
        let listing = Listing::new(store.secret(), parts);
        let before = page::uuid(&listing, &request.page_token)
            .map_err(status::foreign_page_token)?
            .map(CheckpointId);
        let thread = store
            .thread(context.tenant(), &id)
            .await
            .map_err(status::store)?;
        thread.ok_or_else(|| status::no_such_thread(&id))?;
        let mut checkpoints = store
            .list_checkpoints(context.tenant(), &id, before, size + 1)
            .await
            .map_err(status::store)?;
        let is_more = checkpoints.len() > size as usize;
        checkpoints.truncate(size as usize);
        let last = checkpoints.last().filter(|_| is_more);
        let next_page_token = last
            .map(|last| listing.token(last.id.0.as_bytes()))
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
        request: Request<ListThreadsRequest>,
    ) -> Result<Response<ListThreadsResponse>, Status> {
        let context = RequestContext::of(&request);
        let request = request.into_inner();
        let states = request::thread_states(&request.states);
        let size = request::page_size(request.page_size, DEFAULT_THREADS, MAX_THREADS);
        let (states, size) = request::both(states, size).map_err(status::invalid)?;
        let store = self.engine.store();
        let described = format!("{states:?}");
        let parts = ["threads", context.tenant().as_str(), &described];
        let listing = Listing::new(store.secret(), parts);
        let before =
            page::thread(&listing, &request.page_token).map_err(status::foreign_page_token)?;
        let threads = store
            .list_threads(context.tenant(), states, before, size + 1)
            .await;
        let mut threads = threads.map_err(status::store)?;
        let is_more = threads.len() > size as usize;
        threads.truncate(size as usize);
        let last = threads.last().filter(|_| is_more);
        let next_page_token = last.map(|last| page::token_of_thread(&listing, last));
        let threads = threads
            .iter()
            .map(|thread| response::thread(thread, Payloads::Omitted));
        Ok(Response::new(ListThreadsResponse {
            threads: threads.collect(),
            next_page_token: next_page_token.unwrap_or_default(),
        }))
    }

    async fn update_thread(
        &self,
        request: Request<UpdateThreadRequest>,
    ) -> Result<Response<UpdateThreadResponse>, Status> {
        let context = RequestContext::of(&request);
        let request = request.into_inner();
        let id = request::required_thread_id(&request.thread_id);
        let parent = request::optional_checkpoint_id(&request.checkpoint_id);
        let values = request::checkpoint_values(&request);
        let ((id, parent), values) =
            request::both(request::both(id, parent), values).map_err(status::invalid)?;
        let store = self.engine.store();
        let now = Timestamp::now();
        let checkpoint = store
            .update_thread(context.tenant(), &id, parent, values, now)
            .await;
        let checkpoint = checkpoint.map_err(status::store)?;
        let checkpoint = response::checkpoint(&checkpoint, SERVERS_CHOICE);
        Ok(Response::new(UpdateThreadResponse {
            checkpoint: Some(checkpoint),
        }))
    }

    async fn fork_thread(
        &self,
        request: Request<ForkThreadRequest>,
    ) -> Result<Response<ForkThreadResponse>, Status> {
        let context = RequestContext::of(&request);
        let request = request.into_inner();
        let id = request::required_thread_id(&request.thread_id);
        let last = request::optional_checkpoint_id(&request.checkpoint_id);
        let copy = request::new_thread_id(&request.new_thread_id);
        let ((id, last), copy) =
            request::both(request::both(id, last), copy).map_err(status::invalid)?;
        let store = self.engine.store();
        let thread = store
            .fork_thread(context.tenant(), &id, last, &copy, Timestamp::now())
            .await;
        let thread = response::thread(&thread.map_err(status::store)?, SERVERS_CHOICE);
        Ok(Response::new(ForkThreadResponse {
            thread: Some(thread),
        }))
    }

    async fn prune_thread(
        &self,
        request: Request<PruneThreadRequest>,
    ) -> Result<Response<PruneThreadResponse>, Status> {
        let context = RequestContext::of(&request);
        let request = request.into_inner();
        let id = request::required_thread_id(&request.thread_id);
        let keep = request::keep_checkpoints(request.keep_checkpoints);
        let (id, keep) = request::both(id, keep).map_err(status::invalid)?;
        let pruned = self
            .engine
            .store()
            .prune_thread(context.tenant(), &id, keep)
            .await;
        let pruned = pruned.map_err(status::store)?;
        Ok(Response::new(PruneThreadResponse {
            checkpoint_count: i64::try_from(pruned.checkpoints).unwrap_or(i64::MAX),
            run_count: i64::try_from(pruned.runs).unwrap_or(i64::MAX),
        }))
    }

    async fn delete_thread(
        &self,
        request: Request<DeleteThreadRequest>,
    ) -> Result<Response<DeleteThreadResponse>, Status> {
        let context = RequestContext::of(&request);
        let id = request::required_thread_id(&request.get_ref().thread_id);
        let id = id.map_err(status::invalid)?;
        let deleted = self
            .engine
            .store()
            .delete_thread(context.tenant(), &id)
            .await;
        deleted.map_err(status::store)?;
        Ok(Response::new(DeleteThreadResponse {}))
    }
}
