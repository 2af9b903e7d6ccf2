//! `MemoryService` over gRPC: each handler converts, calls the core, and converts back.
//!
//! # Layout
//! - `convert`: requests as domain values
//! - `convert_batch`: those of a batch
//! - `reader`: their fields, and what is wrong with them
//! - `page_token`: where a listing goes on
//! - `answer`: domain values as responses
//! - [`status`]: errors as statuses

mod answer;
mod convert;
mod convert_batch;
mod page_token;
mod reader;
pub mod status;

use std::sync::Arc;

use service_runtime::RequestContext;
use tonic::{Request, Response, Status};
use weft_proto::memory::v1::{
    self as pb,
    memory_service_server::{MemoryService, MemoryServiceServer},
};

use self::status::CallError;
use crate::{batch, memory::Memory};

/// Largest request: a document of 1 MiB of JSON text, such as an array of short numbers, takes up
/// to seven times that as a `google.protobuf.Value`.
const MAX_REQUEST_BYTES: usize = 16 << 20;

/// The handlers.
#[derive(Clone)]
pub struct Handlers(Arc<Memory>);

/// The service for a tonic server.
#[must_use]
pub fn service(memory: Arc<Memory>) -> MemoryServiceServer<Handlers> {
    MemoryServiceServer::new(Handlers(memory)).max_decoding_message_size(MAX_REQUEST_BYTES)
}

#[tonic::async_trait]
impl MemoryService for Handlers {
    async fn put_item(
        &self,
        request: Request<pb::PutItemRequest>,
    ) -> Result<Response<pb::PutItemResponse>, Status> {
        let context = RequestContext::of(&request);
        let put = convert::put(request.into_inner())?;
        let id = put.id.clone();
        match self.0.put(context.tenant(), put).await {
            Ok(version) => Ok(Response::new(pb::PutItemResponse {
                item: Some(answer::version(id, &version)),
            })),
            Err(failure) => Err(CallError::Write { id, failure }.into()),
        }
    }

    async fn get_item(
        &self,
        request: Request<pb::GetItemRequest>,
    ) -> Result<Response<pb::GetItemResponse>, Status> {
        let context = RequestContext::of(&request);
        let convert::Get {
            id,
            refresh_ttl,
            form,
        } = convert::get(request.into_inner())?;
        let item = self
            .0
            .get(context.tenant(), &id, refresh_ttl)
            .await
            .map_err(CallError::Store)?;
        let item = item.ok_or(CallError::NotFound(id))?;
        Ok(Response::new(pb::GetItemResponse {
            item: Some(answer::item(item, form)),
        }))
    }

    async fn delete_item(
        &self,
        request: Request<pb::DeleteItemRequest>,
    ) -> Result<Response<pb::DeleteItemResponse>, Status> {
        let context = RequestContext::of(&request);
        let (id, precondition) = convert::delete(request.into_inner())?;
        match self
            .0
            .delete(context.tenant(), id.clone(), precondition)
            .await
        {
            Ok(()) => Ok(Response::new(pb::DeleteItemResponse {})),
            Err(failure) => Err(CallError::Write { id, failure }.into()),
        }
    }

    async fn search_items(
        &self,
        request: Request<pb::SearchItemsRequest>,
    ) -> Result<Response<pb::SearchItemsResponse>, Status> {
        let context = RequestContext::of(&request);
        let (search, form) = convert::search(request.into_inner())?;
        let scored = search.words.is_some();
        let hits = self.0.search(context.tenant(), search).await;
        let hits = hits.map_err(CallError::Failed)?;
        Ok(Response::new(answer::hits(hits, scored, form)))
    }

    async fn list_items(
        &self,
        request: Request<pb::ListItemsRequest>,
    ) -> Result<Response<pb::ListItemsResponse>, Status> {
        let context = RequestContext::of(&request);
        let convert::List {
            request,
            listing,
            form,
        } = convert::list(self.0.secret(), context.tenant(), request.into_inner())?;
        let listed = self.0.list(context.tenant(), request).await;
        let listed = listed.map_err(CallError::Store)?;
        Ok(Response::new(answer::listed(listed, &listing, form)))
    }

    async fn count_items(
        &self,
        request: Request<pb::CountItemsRequest>,
    ) -> Result<Response<pb::CountItemsResponse>, Status> {
        let context = RequestContext::of(&request);
        let (prefix, filter) = convert::count(request.into_inner())?;
        let count = self
            .0
            .count(context.tenant(), &prefix, filter.as_ref())
            .await;
        let count = answer::signed(count.map_err(CallError::Store)?);
        Ok(Response::new(pb::CountItemsResponse { count }))
    }

    async fn list_namespaces(
        &self,
        request: Request<pb::ListNamespacesRequest>,
    ) -> Result<Response<pb::ListNamespacesResponse>, Status> {
        let context = RequestContext::of(&request);
        let query = convert::list_namespaces(request.into_inner())?;
        let counts = self.0.namespaces(context.tenant(), query).await;
        Ok(Response::new(answer::namespaces(
            counts.map_err(CallError::Store)?,
        )))
    }

    async fn delete_namespace(
        &self,
        request: Request<pb::DeleteNamespaceRequest>,
    ) -> Result<Response<pb::DeleteNamespaceResponse>, Status> {
        let context = RequestContext::of(&request);
        let prefix = convert::delete_namespace(request.into_inner())?;
        let deleted = self.0.delete_namespace(context.tenant(), prefix).await;
        let deleted_count = answer::signed(deleted.map_err(CallError::Store)?);
        Ok(Response::new(pb::DeleteNamespaceResponse { deleted_count }))
    }

    async fn batch(
        &self,
        request: Request<pb::BatchRequest>,
    ) -> Result<Response<pb::BatchResponse>, Status> {
        let context = RequestContext::of(&request);
        let (operations, forms): (Vec<_>, Vec<_>) = convert_batch::batch(request.into_inner())?
            .into_iter()
            .unzip();
        let outcomes = batch::run(&self.0, context.tenant(), operations).await;
        let outcomes = outcomes.map_err(CallError::Batch)?;
        let results = outcomes.into_iter().zip(forms);
        let results = results
            .map(|(outcome, form)| answer::outcome(outcome, form))
            .collect();
        Ok(Response::new(pb::BatchResponse { results }))
    }
}
