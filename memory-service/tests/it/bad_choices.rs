//! Numbers out of range, unknown choices and malformed filters are refused by name.

use prost_types::Duration;
use tonic::Code;
use weft_proto::memory::v1 as pb;

use crate::support::{
    Calls as _, Running, assert_status, get, labels, query, search, text, violations,
};

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
        let violations = violations(&client.search_items(request).await.unwrap_err());
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
async fn filters_name_the_path_and_the_operator_at_fault() {
    let mut running = Running::start().await;
    let client = &mut running.client;
    for (filter, expected) in [
        ("[]", "filter: must be a JSON object"),
        ("{", "filter: must be one JSON value"),
        (
            r#"{"a":{"b":{"$near":1}}}"#,
            "filter: uses an unknown operator `$near` at `a.b`",
        ),
        (
            r#"{"a":{"$in":1}}"#,
            "filter: gives `$in` at `a` a wrong operand",
        ),
        (
            r#"{"a..b":1}"#,
            "filter: has a key `a..b` that is not a path: it has an empty segment",
        ),
        (r#"{"a[":1}"#, "filter: has a key `a[`"),
    ] {
        let searched = pb::SearchItemsRequest {
            filter: Some(text(filter)),
            ..search("")
        };
        let counted = pb::CountItemsRequest {
            filter: Some(text(filter)),
            ..Default::default()
        };
        for error in [
            client.search_items(searched).await.unwrap_err(),
            client.count_items(counted).await.unwrap_err(),
        ] {
            let violations = violations(&error);
            assert!(violations[0].starts_with(expected), "{violations:?}");
        }
    }
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
        let violations = violations(&client.list_namespaces(request).await.unwrap_err());
        assert!(violations[0].starts_with(expected), "{violations:?}");
    }
}

#[tokio::test]
async fn rankings_by_meaning_need_an_embedder() {
    let mut running = Running::start().await;
    let client = &mut running.client;
    for ranking in [pb::Ranking::Semantic, pb::Ranking::Hybrid] {
        let request = pb::SearchItemsRequest {
            ranking: ranking.into(),
            ..query("", "x")
        };
        let error = client.search_items(request).await.unwrap_err();
        assert_status(&error, Code::FailedPrecondition, "EMBEDDER_MISSING");
        assert!(
            error.message().contains("--embedder"),
            "{}",
            error.message()
        );
        // Nothing is ranked without a query.
        let request = pb::SearchItemsRequest {
            ranking: ranking.into(),
            ..search("")
        };
        assert!(client.hits(request).await.unwrap().is_empty());
    }
}
