//! What a server refuses.

use std::collections::HashMap;

use qdrant_client::qdrant::{
    Condition, CountPoints, CreateFieldIndexCollection, Direction, FieldType, Filter,
    HealthCheckRequest, OrderBy, QueryPoints, ScrollPoints, Value, qdrant_client::QdrantClient,
};
use qdrant_double::Settings;
use serde_json::json;
use tonic::Code;

use crate::fixture::{
    COLLECTION, collection, connect_to, count, fixture, multi, nearest, no_vectors, upsert,
};

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
        (Some(multi("m", &[&[]])), "must be non-empty"),
        (
            Some(multi("m", &vec![[1.0, 0.0].as_slice(); 1 << 19])),
            "must be less than 1048576",
        ),
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
        query: Some(nearest(&[1.0, 0.0])),
        ..QueryPoints::default()
    };
    let refused = fixture.points.query(query).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn what_nests_too_deeply_for_the_wire() {
    let mut fixture = fixture().await;
    let objects = |depth| (0..depth).fold(json!(1), |inner, _| json!({ "a": inner }));
    let lists = |depth| (0..depth).fold(json!(1), |inner, _| json!([inner]));
    for (value, passes) in [
        (objects(32), true),
        (objects(33), false),
        (lists(48), true),
        (lists(56), false),
    ] {
        let mut request = upsert(Some(no_vectors()));
        let nested = HashMap::from([("nested".to_owned(), Value::from(value))]);
        request.points[0].payload = nested;
        let outcome = fixture.points.upsert(request).await;
        match outcome {
            Ok(_) => assert!(passes),
            Err(refused) => {
                assert!(!passes, "{refused:?}");
                assert_eq!(refused.code(), Code::Internal, "{refused:?}");
            }
        }
    }
}

#[tokio::test]
async fn what_a_cluster_needs_of_its_callers_if_it_is_told_to_insist() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings {
        insist: true,
        ..Settings::over(folder.path())
    };
    let mut fixture = connect_to(settings, folder).await;
    fixture.collections.create(collection()).await.unwrap();
    let refused = fixture.points.count(count(Filter::default())).await;
    assert!(refused.unwrap_err().message().contains("read_consistency"));
    let refused = fixture.points.upsert(upsert(Some(no_vectors()))).await;
    assert!(refused.unwrap_err().message().contains("ordering"));
}

#[tokio::test]
async fn callers_without_the_key_except_for_the_version() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings {
        api_key: Some("s3cret".into()),
        ..Settings::over(folder.path())
    };
    let mut fixture = connect_to(settings, folder).await;
    let mut server = QdrantClient::connect(fixture.running.url()).await.unwrap();
    let health = server.health_check(HealthCheckRequest {}).await.unwrap();
    assert_eq!(health.into_inner().version, "1.19.0");
    let refused = fixture.points.count(count(Filter::default())).await;
    assert_eq!(refused.unwrap_err().code(), Code::Unauthenticated);
    let refused = fixture.collections.create(collection()).await;
    assert_eq!(refused.unwrap_err().code(), Code::Unauthenticated);
}
