//! A double with a collection, and what it is asked.

use std::collections::HashMap;

use qdrant_client::qdrant::{
    Condition, CountPoints, CreateCollection, CreateFieldIndexCollection, DenseVector, Distance,
    FieldType, Filter, Modifier, MultiDenseVector, MultiVectorConfig, NamedVectors, PointStruct,
    Query, SparseVectorConfig, SparseVectorParams, UpsertPoints, Vector, VectorInput, VectorParams,
    VectorParamsMap, Vectors, VectorsConfig, collections_client::CollectionsClient,
    points_client::PointsClient, query, vector, vector_input, vectors::VectorsOptions,
    vectors_config::Config,
};
use qdrant_double::{Running, Settings};
use tempfile::TempDir;
use tonic::transport::Channel;

pub(crate) const COLLECTION: &str = "c";

pub(crate) struct Fixture {
    pub(crate) points: PointsClient<Channel>,
    pub(crate) collections: CollectionsClient<Channel>,
    pub(crate) running: Running,
    pub(crate) folder: TempDir,
}

pub(crate) async fn connect(folder: TempDir) -> Fixture {
    let settings = Settings::over(folder.path());
    connect_to(settings, folder).await
}

pub(crate) async fn connect_to(settings: Settings, folder: TempDir) -> Fixture {
    let running = Running::start(settings).unwrap();
    Fixture {
        points: PointsClient::connect(running.url()).await.unwrap(),
        collections: CollectionsClient::connect(running.url()).await.unwrap(),
        running,
        folder,
    }
}

pub(crate) fn collection() -> CreateCollection {
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

pub(crate) async fn fixture() -> Fixture {
    let mut fixture = connect(tempfile::tempdir().unwrap()).await;
    fixture.collections.create(collection()).await.unwrap();
    fixture
}

pub(crate) fn multi(name: &str, rows: &[&[f32]]) -> Vectors {
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

pub(crate) fn nearest(vector: &[f32]) -> Query {
    let vector = DenseVector {
        data: vector.to_vec(),
    };
    let multi = MultiDenseVector {
        vectors: vec![vector],
    };
    Query {
        variant: Some(query::Variant::Nearest(VectorInput {
            variant: Some(vector_input::Variant::MultiDense(multi)),
        })),
    }
}

pub(crate) fn no_vectors() -> Vectors {
    Vectors {
        vectors_options: Some(VectorsOptions::Vectors(NamedVectors::default())),
    }
}

pub(crate) fn upsert(vectors: Option<Vectors>) -> UpsertPoints {
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

pub(crate) fn count(filter: Filter) -> CountPoints {
    CountPoints {
        collection_name: COLLECTION.into(),
        filter: Some(filter),
        exact: Some(true),
        ..CountPoints::default()
    }
}

pub(crate) fn of_kind(kind: &str) -> Filter {
    Filter::must([Condition::matches("kind", kind.to_owned())])
}

pub(crate) fn point(id: u64, kind: &str, vectors: Vectors) -> PointStruct {
    PointStruct {
        id: Some(id.into()),
        payload: HashMap::from([
            ("kind".to_owned(), kind.into()),
            ("level".to_owned(), 1.into()),
        ]),
        vectors: Some(vectors),
    }
}

pub(crate) fn points(points: Vec<PointStruct>) -> UpsertPoints {
    UpsertPoints {
        points,
        ..upsert(None)
    }
}

/// A fixture with indexes of `kind` and `level`.
pub(crate) async fn indexed() -> Fixture {
    let mut fixture = fixture().await;
    for (field, field_type) in [("kind", FieldType::Keyword), ("level", FieldType::Integer)] {
        let index = CreateFieldIndexCollection {
            collection_name: COLLECTION.into(),
            field_name: field.into(),
            field_type: Some(field_type.into()),
            ..CreateFieldIndexCollection::default()
        };
        fixture.points.create_field_index(index).await.unwrap();
    }
    fixture
}

impl Fixture {
    pub(crate) async fn count(&mut self, filter: Filter) -> u64 {
        let counted = self.points.count(count(filter)).await.unwrap();
        counted.into_inner().result.unwrap().count
    }
}
