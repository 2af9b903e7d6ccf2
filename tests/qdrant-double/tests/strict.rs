//! The double refuses what a real server refuses, with the same codes.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::HashMap;

use qdrant_client::qdrant::{
    Condition, CountPoints, CreateCollection, CreateFieldIndexCollection, CreateVectorNameRequest,
    DeleteVectorNameRequest, DenseVector, DenseVectorCreationConfig, Direction, Distance,
    FieldType, Filter, GetPoints, GetResponse, Modifier, MultiDenseVector, MultiVectorConfig,
    NamedVectors, OrderBy, PointStruct, PointVectors, QueryPoints, ScrollPoints,
    SparseVectorConfig, SparseVectorParams, UpdateBatchPoints, UpsertPoints, Vector, VectorInput,
    VectorParams, VectorParamsMap, Vectors, VectorsConfig,
    collections_client::CollectionsClient,
    create_vector_name_request::VectorConfig,
    points_client::PointsClient,
    points_update_operation::{Operation, UpdateVectors},
    query, vector, vector_input,
    vectors::VectorsOptions,
    vectors_config::Config,
    vectors_output,
};
use qdrant_double::{Running, Settings};
use tempfile::TempDir;
use tonic::{Code, transport::Channel};

const COLLECTION: &str = "c";

struct Fixture {
    points: PointsClient<Channel>,
    collections: CollectionsClient<Channel>,
    running: Running,
    folder: TempDir,
}

async fn connect(folder: TempDir) -> Fixture {
    let running = Running::start(Settings::over(folder.path())).unwrap();
    Fixture {
        points: PointsClient::connect(running.url()).await.unwrap(),
        collections: CollectionsClient::connect(running.url()).await.unwrap(),
        running,
        folder,
    }
}

fn collection() -> CreateCollection {
    let dense = VectorParams {
        size: 2,
        distance: Distance::Cosine.into(),
        multivector_config: Some(MultiVectorConfig::default()),
        ..VectorParams::default()
    };
    let sparse = SparseVectorParams {
        modifier: Some(Modifier::Idf.into()),
        ..SparseVectorParams::default()
    };
    CreateCollection {
        collection_name: COLLECTION.into(),
        vectors_config: Some(VectorsConfig {
            config: Some(Config::ParamsMap(VectorParamsMap {
                map: HashMap::from([("m".to_owned(), dense)]),
            })),
        }),
        sparse_vectors_config: Some(SparseVectorConfig {
            map: HashMap::from([("w".to_owned(), sparse)]),
        }),
        ..CreateCollection::default()
    }
}

async fn fixture() -> Fixture {
    let mut fixture = connect(tempfile::tempdir().unwrap()).await;
    fixture.collections.create(collection()).await.unwrap();
    fixture
}

fn multi(name: &str, rows: &[&[f32]]) -> Vectors {
    let rows = rows.iter().map(|row| DenseVector { data: row.to_vec() });
    let vector = Vector {
        vector: Some(vector::Vector::MultiDense(MultiDenseVector {
            vectors: rows.collect(),
        })),
        ..Vector::default()
    };
    Vectors {
        vectors_options: Some(VectorsOptions::Vectors(NamedVectors {
            vectors: HashMap::from([(name.to_owned(), vector)]),
        })),
    }
}

fn no_vectors() -> Vectors {
    Vectors {
        vectors_options: Some(VectorsOptions::Vectors(NamedVectors::default())),
    }
}

fn upsert(vectors: Option<Vectors>) -> UpsertPoints {
    UpsertPoints {
        collection_name: COLLECTION.into(),
        wait: Some(true),
        points: vec![PointStruct {
            id: Some(7.into()),
            payload: HashMap::from([("kind".to_owned(), "x".into())]),
            vectors,
        }],
        ..UpsertPoints::default()
    }
}

fn count(filter: Filter) -> CountPoints {
    CountPoints {
        collection_name: COLLECTION.into(),
        filter: Some(filter),
        exact: Some(true),
        ..CountPoints::default()
    }
}

#[tokio::test]
async fn collections_that_are_not_there_or_are_there_already() {
    let mut fixture = fixture().await;
    let created = fixture.collections.create(collection()).await;
    assert_eq!(created.unwrap_err().code(), Code::AlreadyExists);
    let elsewhere = CountPoints {
        collection_name: "other".into(),
        ..CountPoints::default()
    };
    let counted = fixture.points.count(elsewhere).await.unwrap_err();
    assert_eq!(counted.code(), Code::NotFound);
    assert!(counted.message().contains("`other`"), "{counted:?}");
}

#[tokio::test]
async fn points_with_vectors_that_do_not_fit() {
    let mut fixture = fixture().await;
    for (vectors, expected) in [
        (None, "Expected some vectors"),
        (
            Some(multi("unheard-of", &[&[1.0, 0.0]])),
            "Not existing vector name",
        ),
        (
            Some(multi("m", &[&[1.0, 0.0, 0.0]])),
            "expected dim: 2, got 3",
        ),
        (Some(multi("m", &[])), "must not be empty"),
    ] {
        let refused = fixture.points.upsert(upsert(vectors)).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
        assert!(refused.message().contains(expected), "{refused:?}");
    }
    for vectors in [no_vectors(), multi("m", &[&[1.0, 0.0], &[0.0, 1.0]])] {
        fixture.points.upsert(upsert(Some(vectors))).await.unwrap();
    }
}

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
        points.create_vector_name(create("m", 2)).await.unwrap_err(),
        points.create_vector_name(create("n", 0)).await.unwrap_err(),
        points.delete_vector_name(delete("n")).await.unwrap_err(),
    ] {
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
    }
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

#[tokio::test]
async fn conditions_and_orders_without_their_index() {
    let mut fixture = fixture().await;
    fixture
        .points
        .upsert(upsert(Some(no_vectors())))
        .await
        .unwrap();
    let of_kind = || count(Filter::must([Condition::matches("kind", "x".to_owned())]));
    let refused = fixture.points.count(of_kind()).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().contains("\"kind\""), "{refused:?}");

    let index = CreateFieldIndexCollection {
        collection_name: COLLECTION.into(),
        field_name: "kind".into(),
        field_type: Some(FieldType::Keyword.into()),
        ..CreateFieldIndexCollection::default()
    };
    fixture.points.create_field_index(index).await.unwrap();
    let counted = fixture.points.count(of_kind()).await.unwrap().into_inner();
    assert_eq!(counted.result.unwrap().count, 1);
    let scroll = ScrollPoints {
        collection_name: COLLECTION.into(),
        order_by: Some(OrderBy {
            key: "kind".into(),
            direction: Some(Direction::Asc.into()),
            start_from: None,
        }),
        ..ScrollPoints::default()
    };
    let refused = fixture.points.scroll(scroll).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn pages_and_kinds_of_conditions_that_servers_do_not_have() {
    let mut fixture = fixture().await;
    let scroll = ScrollPoints {
        collection_name: COLLECTION.into(),
        offset: Some(1.into()),
        order_by: Some(OrderBy::default()),
        ..ScrollPoints::default()
    };
    let refused = fixture.points.scroll(scroll).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    // Older servers drop what they do not know, and select everything.
    let sliced = count(Filter::must([Condition::slice(2, 0)]));
    let refused = fixture.points.count(sliced).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unimplemented);
    let query = QueryPoints {
        collection_name: COLLECTION.into(),
        using: Some("unheard-of".into()),
        query: Some(qdrant_client::qdrant::Query {
            variant: Some(query::Variant::Nearest(VectorInput {
                variant: Some(vector_input::Variant::MultiDense(MultiDenseVector {
                    vectors: vec![DenseVector {
                        data: vec![1.0, 0.0],
                    }],
                })),
            })),
        }),
        ..QueryPoints::default()
    };
    let refused = fixture.points.query(query).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn what_was_written_is_there_after_it_was_cut_off() {
    let mut fixture = fixture().await;
    let vectors = multi("m", &[&[1.0, 0.0]]);
    fixture.points.upsert(upsert(Some(vectors))).await.unwrap();
    let Fixture {
        running, folder, ..
    } = fixture;
    running.stop().await;
    let mut fixture = connect(folder).await;
    let counted = fixture
        .points
        .count(count(Filter::default()))
        .await
        .unwrap();
    assert_eq!(counted.into_inner().result.unwrap().count, 1);
}
