//! Row "limits": numbers out of range and unknown choices are refused by name, all at once.

use prost_types::Duration;
use weft_proto::memory::v1 as pb;

use super::{
    calls::Calls as _,
    list_items::{list, page},
};
use crate::support::{Running, get, labels, put, query, search, violations};

#[tokio::test]
async fn numbers_and_choices_of_a_search_must_be_in_range() {
    let mut running = Running::start().await;
    let client = &mut running.client;
    let half = |seconds| Some(Duration { seconds, nanos: 0 });
    for (request, expected) in [
        (
            pb::SearchItemsRequest {
                limit: -1,
                ..search("")
            },
            "limit: must not be negative",
        ),
        (
            pb::SearchItemsRequest {
                limit: 1001,
                ..search("")
            },
            "limit: must be at most 1000, not 1001",
        ),
        (
            pb::SearchItemsRequest {
                offset: -1,
                ..search("")
            },
            "offset: must not be negative",
        ),
        (
            pb::SearchItemsRequest {
                offset: 9_991,
                ..query("", "x")
            },
            "offset: and `limit` must be at most 10000",
        ),
        (
            pb::SearchItemsRequest {
                ranking: 99,
                ..search("")
            },
            "ranking: must be a known `Ranking`, not 99",
        ),
        (
            pb::SearchItemsRequest {
                payload_form: 7,
                ..search("")
            },
            "payload_form: must be a known `PayloadForm`, not 7",
        ),
        (
            pb::SearchItemsRequest {
                min_score: Some(f64::NAN),
                ..search("")
            },
            "min_score: must be a number",
        ),
        (
            pb::SearchItemsRequest {
                diversity: 1.5,
                ..search("")
            },
            "diversity: must be between 0 and 1",
        ),
        (
            pb::SearchItemsRequest {
                diversity: f64::NAN,
                ..search("")
            },
            "diversity: must be between",
        ),
        (
            pb::SearchItemsRequest {
                recency_half_life: half(0),
                ..search("")
            },
            "recency_half_life: must be more than zero",
        ),
        (
            pb::SearchItemsRequest {
                recency_half_life: half(-5),
                ..search("")
            },
            "recency_half_life: must be",
        ),
        (
            query("", &"x".repeat(32_769)),
            "query: must be at most 32768 bytes long, not 32769",
        ),
    ] {
        let violations = violations(&client.hits(request).await.unwrap_err());
        assert!(
            violations.len() == 1 && violations[0].starts_with(expected),
            "{violations:?}"
        );
    }
    let form = pb::GetItemRequest {
        payload_form: 2,
        ..get("a", "k")
    };
    let error = client.get(form).await.unwrap_err();
    assert!(violations(&error)[0].starts_with("payload_form: must be a known"));
    // Without a query, pages may be as deep as there are items.
    let deep = pb::SearchItemsRequest {
        offset: i32::MAX,
        limit: 1000,
        ..search("")
    };
    assert!(client.hits(deep).await.unwrap().is_empty());
}

#[tokio::test]
async fn listings_refuse_negative_numbers_and_no_depth() {
    let mut running = Running::start().await;
    let client = &mut running.client;
    let list = pb::ListNamespacesRequest::default;
    for (request, expected) in [
        (
            pb::ListNamespacesRequest {
                limit: -1,
                ..list()
            },
            "limit: must not be negative",
        ),
        (
            pb::ListNamespacesRequest {
                limit: 10_001,
                ..list()
            },
            "limit: must be at most 10000",
        ),
        (
            pb::ListNamespacesRequest {
                offset: -1,
                ..list()
            },
            "offset: must not be negative",
        ),
        (
            pb::ListNamespacesRequest {
                max_depth: Some(0),
                ..list()
            },
            "max_depth: must be at least 1",
        ),
        (
            pb::ListNamespacesRequest {
                max_depth: Some(-3),
                ..list()
            },
            "max_depth: must be at least 1",
        ),
        (
            pb::ListNamespacesRequest {
                suffix: labels("a.."),
                ..list()
            },
            "suffix[1]: must not be empty",
        ),
    ] {
        let violations = violations(&client.namespaces(request).await.unwrap_err());
        assert!(violations[0].starts_with(expected), "{violations:?}");
    }
}

#[tokio::test]
async fn pages_of_items_have_at_most_1000_and_no_negative_number() {
    let mut running = Running::start().await;
    let client = &mut running.client;
    for (page_size, expected) in [
        (-1, "page_size: must not be negative; 0 is for 100"),
        (i32::MIN, "page_size: must not be negative; 0 is for 100"),
        (1001, "page_size: must be at most 1000, not 1001"),
    ] {
        let error = page(client, &list("", page_size), "").await.unwrap_err();
        assert_eq!(violations(&error), [expected]);
    }
}

#[tokio::test]
async fn nothing_said_is_10_hits_100_items_and_100_namespaces() {
    let mut running = Running::start().await;
    let client = &mut running.client;
    let mut operations = Vec::new();
    for index in 0..101 {
        let put = put(&format!("n{index:03}"), "k", r#"{"text":"word"}"#);
        operations.push(pb::BatchOperation {
            operation: Some(pb::batch_operation::Operation::Put(put)),
        });
    }
    client.batch(pb::BatchRequest { operations }).await.unwrap();
    assert_eq!(client.keys(search("")).await.len(), 10);
    assert_eq!(client.keys(query("", "words")).await.len(), 10);
    let (items, next) = page(client, &list("", 0), "").await.unwrap();
    assert!(items.len() == 100 && !next.is_empty());
    let all = pb::ListNamespacesRequest::default();
    assert_eq!(client.listed(all.clone()).await.len(), 100);
    let most = pb::ListNamespacesRequest {
        limit: 10_000,
        ..all
    };
    assert_eq!(client.listed(most).await.len(), 101);
}
