//! The service that reads and writes points.

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
    UpdatePointVectors, UpdateResult, UpsertPoints, points_server::Points,
};
use tonic::{Request, Response, Status, async_trait};

use crate::{
    calls::PointsService, collection::Collection, query, read, schema::Index, unserved::unserved,
    update,
};

fn done(result: UpdateResult) -> Response<PointsOperationResponse> {
    Response::new(PointsOperationResponse {
        result: Some(result),
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
        let (name, wait, ordering) = (
            request.collection_name.clone(),
            request.wait,
            request.ordering,
        );
        let act = move |collection: &Collection| update::upsert(collection, request);
        let ((), result) = self.write(&name, wait, ordering, act).await?;
        Ok(done(result))
    }

    async fn delete(
        &self,
        request: Request<DeletePoints>,
    ) -> Result<Response<PointsOperationResponse>, Status> {
        let request = request.into_inner();
        let (name, wait, ordering) = (
            request.collection_name.clone(),
            request.wait,
            request.ordering,
        );
        let act = move |collection: &Collection| update::delete(collection, request);
        let ((), result) = self.write(&name, wait, ordering, act).await?;
        Ok(done(result))
    }

    async fn update_batch(
        &self,
        request: Request<UpdateBatchPoints>,
    ) -> Result<Response<UpdateBatchResponse>, Status> {
        let UpdateBatchPoints {
            collection_name,
            wait,
            operations,
            ordering,
            timeout: _,
        } = request.into_inner();
        // One after the other, and not all or nothing, as on a server.
        let act = move |collection: &Collection| {
            let operations = operations.into_iter();
            let results = operations.map(|one| update::operation(collection, one));
            results.collect::<Result<Vec<()>, _>>()
        };
        let (operations, result) = self.write(&collection_name, wait, ordering, act).await?;
        Ok(Response::new(UpdateBatchResponse {
            result: operations.iter().map(|()| result).collect(),
            ..UpdateBatchResponse::default()
        }))
    }

    async fn create_field_index(
        &self,
        request: Request<CreateFieldIndexCollection>,
    ) -> Result<Response<PointsOperationResponse>, Status> {
        let request = request.into_inner();
        let index = Index::read(&request)?;
        let CreateFieldIndexCollection {
            collection_name,
            wait,
            field_name,
            ordering,
            ..
        } = request;
        let act = move |collection: &Collection| collection.create_index(&field_name, index);
        let ((), result) = self.write(&collection_name, wait, ordering, act).await?;
        Ok(done(result))
    }

    async fn delete_field_index(
        &self,
        request: Request<DeleteFieldIndexCollection>,
    ) -> Result<Response<PointsOperationResponse>, Status> {
        let DeleteFieldIndexCollection {
            collection_name,
            wait,
            field_name,
            ordering,
            ..
        } = request.into_inner();
        let act = move |collection: &Collection| collection.delete_index(&field_name);
        let ((), result) = self.write(&collection_name, wait, ordering, act).await?;
        Ok(done(result))
    }

    async fn create_vector_name(
        &self,
        request: Request<CreateVectorNameRequest>,
    ) -> Result<Response<PointsOperationResponse>, Status> {
        let request = request.into_inner();
        let (name, wait, ordering) = (
            request.collection_name.clone(),
            request.wait,
            request.ordering,
        );
        let act = move |collection: &Collection| collection.create_vectors(request);
        let ((), result) = self.write(&name, wait, ordering, act).await?;
        Ok(done(self.hurried(result)))
    }

    async fn delete_vector_name(
        &self,
        request: Request<DeleteVectorNameRequest>,
    ) -> Result<Response<PointsOperationResponse>, Status> {
        let DeleteVectorNameRequest {
            collection_name,
            wait,
            vector_name,
            ordering,
            ..
        } = request.into_inner();
        let act = move |collection: &Collection| collection.delete_vectors(&vector_name);
        let ((), result) = self.write(&collection_name, wait, ordering, act).await?;
        Ok(done(self.hurried(result)))
    }

    async fn get(&self, request: Request<GetPoints>) -> Result<Response<GetResponse>, Status> {
        let request = request.into_inner();
        let (name, consistency) = (request.collection_name.clone(), request.read_consistency);
        let act = move |collection: &Collection| read::get(collection, request);
        Ok(Response::new(GetResponse {
            result: self.read(&name, consistency, act).await?,
            ..GetResponse::default()
        }))
    }

    async fn scroll(
        &self,
        request: Request<ScrollPoints>,
    ) -> Result<Response<ScrollResponse>, Status> {
        let request = request.into_inner();
        let (name, consistency) = (request.collection_name.clone(), request.read_consistency);
        let act = move |collection: &Collection| read::scroll(collection, request);
        self.read(&name, consistency, act).await.map(Response::new)
    }

    async fn query(
        &self,
        request: Request<QueryPoints>,
    ) -> Result<Response<QueryResponse>, Status> {
        let request = request.into_inner();
        let (name, consistency) = (request.collection_name.clone(), request.read_consistency);
        let act = move |collection: &Collection| query::query(collection, request);
        Ok(Response::new(QueryResponse {
            result: self.read(&name, consistency, act).await?,
            ..QueryResponse::default()
        }))
    }

    async fn count(
        &self,
        request: Request<CountPoints>,
    ) -> Result<Response<CountResponse>, Status> {
        let request = request.into_inner();
        let (name, consistency) = (request.collection_name.clone(), request.read_consistency);
        let act = move |collection: &Collection| read::count(collection, request);
        let count = self.read(&name, consistency, act).await?;
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
        let (name, consistency) = (request.collection_name.clone(), request.read_consistency);
        let act = move |collection: &Collection| read::facet(collection, request);
        Ok(Response::new(FacetResponse {
            hits: self.read(&name, consistency, act).await?,
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
