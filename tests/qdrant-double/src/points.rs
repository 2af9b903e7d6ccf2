//! The service that reads and writes points.

use std::sync::Arc;

use qdrant_client::qdrant::{
    ClearPayloadPoints, CountPoints, CountResponse, CountResult, CreateFieldIndexCollection,
    CreateVectorNameRequest, DeleteFieldIndexCollection, DeletePayloadPoints, DeletePointVectors,
    DeletePoints, DeleteVectorNameRequest, DiscoverBatchPoints, DiscoverBatchResponse,
    DiscoverPoints, DiscoverResponse, FacetCounts, FacetResponse, GetPoints, GetResponse,
    PointsOperationResponse, QueryBatchPoints, QueryBatchResponse, QueryGroupsResponse,
    QueryPointGroups, QueryPoints, QueryResponse, RecommendBatchPoints, RecommendBatchResponse,
    RecommendGroupsResponse, RecommendPointGroups, RecommendPoints, RecommendResponse,
    ScrollPoints, ScrollResponse, SearchBatchPoints, SearchBatchResponse, SearchGroupsResponse,
    SearchMatrixOffsetsResponse, SearchMatrixPairsResponse, SearchMatrixPoints, SearchPointGroups,
    SearchPoints, SearchResponse, SetPayloadPoints, UpdateBatchPoints, UpdateBatchResponse,
    UpdatePointVectors, UpdateResult, UpdateStatus, UpsertPoints, points_server::Points,
};
use tonic::{Request, Response, Status, async_trait};

use crate::{
    catalog::Catalog, collection::Collection, read, schema::Index, unserved::unserved, update,
};

/// The service.
pub(crate) struct PointsService(pub(crate) Arc<Catalog>);

impl PointsService {
    /// Does something with a collection on a thread that may block.
    async fn with<T: Send + 'static>(
        &self,
        collection: &str,
        act: impl FnOnce(&Collection) -> Result<T, Status> + Send + 'static,
    ) -> Result<T, Status> {
        let collection = self.0.find(collection)?;
        blocking(move || act(&collection)).await
    }
}

/// Does something on a thread that may block.
pub(crate) async fn blocking<T: Send + 'static>(
    act: impl FnOnce() -> Result<T, Status> + Send + 'static,
) -> Result<T, Status> {
    let done = tokio::task::spawn_blocking(act).await;
    done.map_err(|error| Status::unknown(error.to_string()))?
}

fn completed() -> UpdateResult {
    UpdateResult {
        operation_id: Some(0),
        status: UpdateStatus::Completed.into(),
    }
}

fn done() -> Response<PointsOperationResponse> {
    Response::new(PointsOperationResponse {
        result: Some(completed()),
        ..PointsOperationResponse::default()
    })
}

#[async_trait]
impl Points for PointsService {
    async fn upsert(
        &self,
        request: Request<UpsertPoints>,
    ) -> Result<Response<PointsOperationResponse>, Status> {
        let request = request.into_inner();
        let name = request.collection_name.clone();
        self.with(&name, move |collection| update::upsert(collection, request))
            .await?;
        Ok(done())
    }

    async fn delete(
        &self,
        request: Request<DeletePoints>,
    ) -> Result<Response<PointsOperationResponse>, Status> {
        let request = request.into_inner();
        let name = request.collection_name.clone();
        self.with(&name, move |collection| update::delete(collection, request))
            .await?;
        Ok(done())
    }

    async fn update_batch(
        &self,
        request: Request<UpdateBatchPoints>,
    ) -> Result<Response<UpdateBatchResponse>, Status> {
        let request = request.into_inner();
        let name = request.collection_name;
        let operations = request.operations;
        // One after the other, and not all or nothing, as on a server.
        let act = move |collection: &Collection| {
            let operations = operations.into_iter();
            let results = operations.map(|one| update::operation(collection, one));
            results.map(|done| done.map(|()| completed())).collect()
        };
        Ok(Response::new(UpdateBatchResponse {
            result: self.with(&name, act).await?,
            ..UpdateBatchResponse::default()
        }))
    }

    async fn create_field_index(
        &self,
        request: Request<CreateFieldIndexCollection>,
    ) -> Result<Response<PointsOperationResponse>, Status> {
        let request = request.into_inner();
        let index = Index::read(&request)?;
        let field = request.field_name;
        self.with(&request.collection_name, move |collection| {
            collection.create_index(&field, index)
        })
        .await?;
        Ok(done())
    }

    async fn create_vector_name(
        &self,
        request: Request<CreateVectorNameRequest>,
    ) -> Result<Response<PointsOperationResponse>, Status> {
        let request = request.into_inner();
        let name = request.collection_name.clone();
        self.with(&name, move |collection| collection.create_vectors(request))
            .await?;
        Ok(done())
    }

    async fn delete_vector_name(
        &self,
        request: Request<DeleteVectorNameRequest>,
    ) -> Result<Response<PointsOperationResponse>, Status> {
        let request = request.into_inner();
        let vectors = request.vector_name;
        self.with(&request.collection_name, move |collection| {
            collection.delete_vectors(&vectors)
        })
        .await?;
        Ok(done())
    }

    async fn get(&self, request: Request<GetPoints>) -> Result<Response<GetResponse>, Status> {
        let request = request.into_inner();
        let name = request.collection_name.clone();
        let result = self.with(&name, move |collection| read::get(collection, request));
        Ok(Response::new(GetResponse {
            result: result.await?,
            ..GetResponse::default()
        }))
    }

    async fn scroll(
        &self,
        request: Request<ScrollPoints>,
    ) -> Result<Response<ScrollResponse>, Status> {
        let request = request.into_inner();
        let name = request.collection_name.clone();
        let result = self.with(&name, move |collection| read::scroll(collection, request));
        result.await.map(Response::new)
    }

    async fn query(
        &self,
        request: Request<QueryPoints>,
    ) -> Result<Response<QueryResponse>, Status> {
        let request = request.into_inner();
        let name = request.collection_name.clone();
        let result = self.with(&name, move |collection| read::query(collection, request));
        Ok(Response::new(QueryResponse {
            result: result.await?,
            ..QueryResponse::default()
        }))
    }

    async fn count(
        &self,
        request: Request<CountPoints>,
    ) -> Result<Response<CountResponse>, Status> {
        let request = request.into_inner();
        let name = request.collection_name.clone();
        let count = self.with(&name, move |collection| read::count(collection, request));
        let count = count.await?;
        Ok(Response::new(CountResponse {
            result: Some(CountResult { count }),
            ..CountResponse::default()
        }))
    }

    async fn facet(
        &self,
        request: Request<FacetCounts>,
    ) -> Result<Response<FacetResponse>, Status> {
        let request = request.into_inner();
        let name = request.collection_name.clone();
        let hits = self.with(&name, move |collection| read::facet(collection, request));
        Ok(Response::new(FacetResponse {
            hits: hits.await?,
            ..FacetResponse::default()
        }))
    }

    unserved! {
        update_vectors(UpdatePointVectors) -> PointsOperationResponse;
        delete_vectors(DeletePointVectors) -> PointsOperationResponse;
        set_payload(SetPayloadPoints) -> PointsOperationResponse;
        overwrite_payload(SetPayloadPoints) -> PointsOperationResponse;
        delete_payload(DeletePayloadPoints) -> PointsOperationResponse;
        clear_payload(ClearPayloadPoints) -> PointsOperationResponse;
        delete_field_index(DeleteFieldIndexCollection) -> PointsOperationResponse;
        search(SearchPoints) -> SearchResponse;
        search_batch(SearchBatchPoints) -> SearchBatchResponse;
        search_groups(SearchPointGroups) -> SearchGroupsResponse;
        recommend(RecommendPoints) -> RecommendResponse;
        recommend_batch(RecommendBatchPoints) -> RecommendBatchResponse;
        recommend_groups(RecommendPointGroups) -> RecommendGroupsResponse;
        discover(DiscoverPoints) -> DiscoverResponse;
        discover_batch(DiscoverBatchPoints) -> DiscoverBatchResponse;
        query_batch(QueryBatchPoints) -> QueryBatchResponse;
        query_groups(QueryPointGroups) -> QueryGroupsResponse;
        search_matrix_pairs(SearchMatrixPoints) -> SearchMatrixPairsResponse;
        search_matrix_offsets(SearchMatrixPoints) -> SearchMatrixOffsetsResponse;
    }
}
