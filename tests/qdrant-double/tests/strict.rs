//! The double refuses what a real server refuses, with the same codes.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::HashMap;

use qdrant_client::qdrant::{
    Condition, CountPoints, CreateCollection, CreateFieldIndexCollection, DenseVector, Direction,
    Distance, FieldType, Filter, Modifier, MultiDenseVector, MultiVectorConfig, NamedVectors,
    OrderBy, PointStruct, QueryPoints, ScrollPoints, SparseVectorConfig, SparseVectorParams,
    UpsertPoints, Vector, VectorInput, VectorParams, VectorParamsMap, Vectors, VectorsConfig,
    collections_client::CollectionsClient, points_client::PointsClient, query, vector,
    vector_input, vectors::VectorsOptions, vectors_config::Config,
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
