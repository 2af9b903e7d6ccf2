//! Vectors that come and go while points are there.

use qdrant_client::qdrant::{
    Condition, CreateVectorNameRequest, DeleteVectorNameRequest, DenseVectorCreationConfig,
    Distance, Filter, GetPoints, GetResponse, MultiVectorConfig, PointVectors, UpdateBatchPoints,
    create_vector_name_request::VectorConfig,
    points_update_operation::{Operation, UpdateVectors},
    vectors_output,
};
use tonic::Code;

use crate::fixture::{COLLECTION, Fixture, connect, fixture, multi, upsert};

#[tokio::test]
async fn vectors_that_come_and_go_while_points_are_there() {
    let mut fixture = fixture().await;
    fixture
        .points
        .upsert(upsert(Some(multi("m", &[&[1.0, 0.0]]))))
        .await
        .unwrap();
    let create = |name: &str, size| CreateVectorNameRequest {
        collection_name: COLLECTION.into(),
        vector_name: name.into(),
        vector_config: Some(VectorConfig::DenseConfig(DenseVectorCreationConfig {
            size,
            distance: Distance::Cosine.into(),
            multivector_config: Some(MultiVectorConfig::default()),
            ..DenseVectorCreationConfig::default()
        })),
        ..CreateVectorNameRequest::default()
    };
    let update = |name: &str, id: u64, only: Option<Filter>| UpdateBatchPoints {
        collection_name: COLLECTION.into(),
        wait: Some(true),
        operations: vec![
            Operation::UpdateVectors(UpdateVectors {
                points: vec![PointVectors {
                    id: Some(id.into()),
                    vectors: Some(multi(name, &[&[0.0, 0.0, 1.0]])),
                }],
                shard_key_selector: None,
                update_filter: only,
            })
            .into(),
        ],
        ..UpdateBatchPoints::default()
    };
    let delete = |name: &str| DeleteVectorNameRequest {
        collection_name: COLLECTION.into(),
        vector_name: name.into(),
        ..DeleteVectorNameRequest::default()
    };
    let points = &mut fixture.points;
    for refused in [
        points.update_batch(update("n", 7, None)).await.unwrap_err(),
        points.create_vector_name(create("m", 3)).await.unwrap_err(),
        points.create_vector_name(create("n", 0)).await.unwrap_err(),
    ] {
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
    }
    // What is there already, or is not, may be asked for again.
    points.create_vector_name(create("m", 2)).await.unwrap();
    points.delete_vector_name(delete("n")).await.unwrap();
    points.create_vector_name(create("n", 3)).await.unwrap();
    // A point that is not there has no vectors to update.
    assert!(points.update_batch(update("n", 8, None)).await.is_err());
    let other = Filter::must([Condition::has_id([8])]);
    points
        .update_batch(update("n", 7, Some(other)))
        .await
        .unwrap();
    let get = || GetPoints {
        collection_name: COLLECTION.into(),
        ids: vec![7.into()],
        with_vectors: Some(true.into()),
        ..GetPoints::default()
    };
    let names = |answer: GetResponse| {
        let vectors = answer.result[0].vectors.clone().unwrap().vectors_options;
        let Some(vectors_output::VectorsOptions::Vectors(named)) = vectors else {
            return Vec::new();
        };
        let mut names: Vec<_> = named.vectors.into_keys().collect();
        names.sort();
        names
    };
    let got = points.get(get()).await.unwrap().into_inner();
    assert_eq!(names(got), ["m"]);
    points.update_batch(update("n", 7, None)).await.unwrap();
    let got = points.get(get()).await.unwrap().into_inner();
    assert_eq!(names(got), ["m", "n"]);
    points.delete_vector_name(delete("m")).await.unwrap();
    let got = points.get(get()).await.unwrap().into_inner();
    assert_eq!(names(got), ["n"]);
    let refused = points
        .upsert(upsert(Some(multi("m", &[&[1.0, 0.0]]))))
        .await;
    assert_eq!(refused.unwrap_err().code(), Code::InvalidArgument);

    // It is all there after it was cut off.
    let Fixture {
        running, folder, ..
    } = fixture;
    running.stop().await;
    let mut fixture = connect(folder).await;
    let got = fixture.points.get(get()).await.unwrap().into_inner();
    assert_eq!(names(got), ["n"]);
}
