//! What a server does that its callers may not expect.

use std::collections::HashSet;

use qdrant_client::qdrant::{
    FacetCounts, Filter, OrderBy, QueryPoints, ScrollPoints, SearchParams, UpdateMode,
    UpdateStatus, UpsertPoints,
};
use tonic::Code;

use crate::fixture::{
    COLLECTION, Fixture, connect, count, fixture, indexed, multi, nearest, no_vectors, of_kind,
    point, points, upsert,
};

#[tokio::test]
async fn an_update_filter_keeps_nothing_out_that_is_not_there_yet() {
    let mut fixture = indexed().await;
    for (id, mode, there) in [
        (1, None, 1),
        (2, Some(UpdateMode::UpdateOnly), 1),
        (3, Some(UpdateMode::InsertOnly), 2),
    ] {
        let request = UpsertPoints {
            update_filter: Some(of_kind("another")),
            update_mode: mode.map(Into::into),
            ..points(vec![point(id, "x", no_vectors())])
        };
        let done = fixture.points.upsert(request).await.unwrap().into_inner();
        assert_eq!(done.result.unwrap().status(), UpdateStatus::Completed);
        assert_eq!(fixture.count(of_kind("x")).await, there, "{mode:?}");
    }
    // A mismatch keeps what is there, and is not told either.
    let request = UpsertPoints {
        update_filter: Some(of_kind("another")),
        ..points(vec![point(1, "y", no_vectors())])
    };
    let done = fixture.points.upsert(request).await.unwrap().into_inner();
    assert_eq!(done.result.unwrap().status(), UpdateStatus::Completed);
    assert_eq!(fixture.count(of_kind("y")).await, 0);
}

#[tokio::test]
async fn of_points_with_a_bad_one_among_them_the_good_ones_are_stored() {
    let mut fixture = indexed().await;
    let request = points(vec![
        point(1, "x", multi("m", &[&[1.0, 0.0, 0.0]])),
        point(2, "x", multi("m", &[&[1.0, 0.0]])),
    ]);
    let refused = fixture.points.upsert(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert_eq!(fixture.count(of_kind("x")).await, 1);
}

#[tokio::test]
async fn numbers_that_are_none_are_taken() {
    let mut fixture = indexed().await;
    let request = points(vec![
        point(1, "x", multi("m", &[&[f32::NAN, 0.0]])),
        point(2, "x", multi("m", &[&[f32::INFINITY, 0.0]])),
    ]);
    fixture.points.upsert(request).await.unwrap();
    assert_eq!(fixture.count(of_kind("x")).await, 2);
}

#[tokio::test]
async fn facets_name_ten_values_and_those_that_no_point_has() {
    let mut fixture = indexed().await;
    let many = (0..12).map(|id| point(id, &format!("kind{id}"), no_vectors()));
    fixture.points.upsert(points(many.collect())).await.unwrap();
    let facet = |filter: Option<Filter>, limit| FacetCounts {
        collection_name: COLLECTION.into(),
        key: "kind".into(),
        filter,
        limit,
        exact: Some(true),
        ..FacetCounts::default()
    };
    let mut hits = async |request| {
        let hits = fixture
            .points
            .facet(request)
            .await
            .unwrap()
            .into_inner()
            .hits;
        hits.iter().map(|hit| hit.count).collect::<Vec<_>>()
    };
    assert_eq!(hits(facet(None, None)).await, [1; 10]);
    assert_eq!(hits(facet(None, Some(100))).await, [1; 12]);
    let one = hits(facet(Some(of_kind("kind3")), Some(100))).await;
    assert_eq!(one.iter().sum::<u64>(), 1);
    assert!(one.contains(&0), "{one:?}");
}

#[tokio::test]
async fn what_is_equal_has_no_order() {
    let mut fixture = indexed().await;
    let many = (0..40).map(|id| point(id, "x", multi("m", &[&[1.0, 0.0]])));
    fixture.points.upsert(points(many.collect())).await.unwrap();
    let scroll = ScrollPoints {
        collection_name: COLLECTION.into(),
        limit: Some(10),
        order_by: Some(OrderBy {
            key: "level".into(),
            ..OrderBy::default()
        }),
        ..ScrollPoints::default()
    };
    let query = QueryPoints {
        collection_name: COLLECTION.into(),
        using: Some("m".into()),
        limit: Some(10),
        query: Some(nearest(&[1.0, 0.0])),
        ..QueryPoints::default()
    };
    let (mut scrolled, mut queried) = (HashSet::new(), HashSet::new());
    for _ in 0..4 {
        let answer = fixture
            .points
            .scroll(scroll.clone())
            .await
            .unwrap()
            .into_inner();
        assert!(answer.next_page_offset.is_none());
        let ids = answer.result.iter().map(|point| format!("{:?}", point.id));
        scrolled.insert(ids.collect::<Vec<_>>());
        let answer = fixture
            .points
            .query(query.clone())
            .await
            .unwrap()
            .into_inner();
        let ids = answer.result.iter().map(|point| format!("{:?}", point.id));
        queried.insert(ids.collect::<Vec<_>>());
    }
    assert!(scrolled.iter().chain(&queried).all(|page| page.len() == 10));
    assert!(scrolled.len() > 1 && queried.len() > 1);
}

#[tokio::test]
async fn a_search_that_is_not_exact_misses_one_of_the_nearest() {
    let mut fixture = indexed().await;
    let many = (0..10).map(|id| point(id, "x", multi("m", &[&[1.0, id as f32]])));
    fixture.points.upsert(points(many.collect())).await.unwrap();
    let mut found = async |exact| {
        let query = QueryPoints {
            collection_name: COLLECTION.into(),
            using: Some("m".into()),
            limit: Some(20),
            query: Some(nearest(&[1.0, 0.0])),
            params: Some(SearchParams {
                exact,
                ..SearchParams::default()
            }),
            ..QueryPoints::default()
        };
        let answer = fixture.points.query(query).await.unwrap().into_inner();
        answer.result.len()
    };
    assert_eq!(found(Some(true)).await, 10);
    for inexact in [None, Some(false)] {
        assert_eq!(found(inexact).await, 9);
    }
}

#[tokio::test]
async fn a_write_that_is_not_waited_for_is_only_acknowledged() {
    let mut fixture = fixture().await;
    let request = UpsertPoints {
        wait: None,
        ..upsert(Some(no_vectors()))
    };
    let done = fixture.points.upsert(request).await.unwrap().into_inner();
    assert_eq!(done.result.unwrap().status(), UpdateStatus::Acknowledged);
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
