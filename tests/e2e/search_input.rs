//! What memory-service refuses of calls on many items, and how: code, reason, and each wrong field.

use anyhow::Result;
use e2e::{Refusal, payload, refusal::refused};
use tonic::Code;
use weft_proto::memory::v1::{
    BatchOperation, BatchRequest, CountItemsRequest, DeleteNamespaceRequest, GetItemRequest,
    ListItemsRequest, ListNamespacesRequest, PutItemRequest, Ranking, SearchItemsRequest,
    batch_operation::Operation,
};

use crate::item_input::{item, labels, memory, number};

#[tokio::test]
async fn search_items_names_everything_that_is_wrong() -> Result<()> {
    let (cluster, mut client) = memory().await?;
    let everything = SearchItemsRequest {
        namespace_prefix: labels(&["a", ""]),
        filter: Some(payload::text("[]")),
        limit: -1,
        offset: -1,
        ranking: 9,
        min_score: Some(f64::NAN),
        recency_half_life: Some(prost_types::Duration::default()),
        diversity: f64::NAN,
        payload_form: 9,
        ..SearchItemsRequest::default()
    };
    let fields = [
        "namespace_prefix[1]",
        "filter",
        "limit",
        "offset",
        "ranking",
        "min_score",
        "recency_half_life",
        "diversity",
        "payload_form",
    ];
    refused("everything", client.search_items(everything).await, &fields)?;

    let search = SearchItemsRequest::default;
    let filter = |text: &str| SearchItemsRequest {
        filter: Some(payload::text(text)),
        ..search()
    };
    for (field, request) in [
        (
            "limit",
            SearchItemsRequest {
                limit: 1001,
                ..search()
            },
        ),
        (
            "diversity",
            SearchItemsRequest {
                diversity: 1.5,
                ..search()
            },
        ),
        (
            "query",
            SearchItemsRequest {
                query: "x".repeat(33 << 10),
                ..search()
            },
        ),
        (
            "offset",
            SearchItemsRequest {
                query: "x".into(),
                offset: 10_000,
                ..search()
            },
        ),
        ("filter", filter(r#"{"a":{"$near":1}}"#)),
        ("filter", filter(r#"{"a..b":1}"#)),
        ("filter", filter(r#"{"$and":1}"#)),
        ("filter", filter("{")),
        (
            "filter",
            SearchItemsRequest {
                filter: Some(number(f64::NAN)),
                ..search()
            },
        ),
    ] {
        refused(field, client.search_items(request).await, &[field])?;
    }

    for ranking in [Ranking::Semantic, Ranking::Hybrid] {
        let request = SearchItemsRequest {
            query: "x".into(),
            ranking: ranking.into(),
            ..search()
        };
        let refusal = Refusal::of(client.search_items(request).await)?;
        refusal.is(Code::FailedPrecondition, "EMBEDDER_MISSING")?;
    }
    cluster.finish().await
}

#[tokio::test]
async fn namespace_calls_name_everything_that_is_wrong() -> Result<()> {
    let (cluster, mut client) = memory().await?;
    let list = ListNamespacesRequest {
        prefix: labels(&["langgraph"]),
        suffix: labels(&["a.b"]),
        max_depth: Some(0),
        limit: -1,
        offset: -1,
    };
    let fields = ["prefix[0]", "suffix[0]", "max_depth", "limit", "offset"];
    refused("list", client.list_namespaces(list).await, &fields)?;
    let list = ListNamespacesRequest {
        max_depth: Some(-1),
        limit: 10_001,
        ..Default::default()
    };
    refused(
        "list",
        client.list_namespaces(list).await,
        &["max_depth", "limit"],
    )?;

    let filter = Some(payload::text("1"));
    let count = CountItemsRequest {
        namespace_prefix: labels(&[""]),
        filter,
    };
    refused(
        "count",
        client.count_items(count).await,
        &["namespace_prefix[0]", "filter"],
    )?;

    for (prefix, field) in [
        (labels(&[]), "namespace_prefix"),
        (labels(&["a", ""]), "namespace_prefix[1]"),
    ] {
        let delete = DeleteNamespaceRequest {
            namespace_prefix: prefix,
        };
        refused("delete", client.delete_namespace(delete).await, &[field])?;
    }
    cluster.finish().await
}

#[tokio::test]
async fn batch_names_the_operation_that_is_wrong_and_runs_none() -> Result<()> {
    let (cluster, mut client) = memory().await?;
    let operation = |operation| BatchOperation {
        operation: Some(operation),
    };
    let batch = BatchRequest {
        operations: vec![
            operation(Operation::Put(item(payload::text("{}")))),
            operation(Operation::Put(PutItemRequest::default())),
            BatchOperation::default(),
            operation(Operation::Get(GetItemRequest {
                payload_form: 9,
                ..GetItemRequest::default()
            })),
        ],
    };
    let fields = [
        "operations[1].put.namespace",
        "operations[1].put.key",
        "operations[1].put.value",
        "operations[2]",
        "operations[3].get.namespace",
        "operations[3].get.key",
        "operations[3].get.payload_form",
    ];
    refused("batch", client.batch(batch).await, &fields)?;
    let many = BatchRequest {
        operations: vec![BatchOperation::default(); 1001],
    };
    refused("many", client.batch(many).await, &["operations"])?;
    let count = client
        .count_items(CountItemsRequest::default())
        .await?
        .into_inner()
        .count;
    assert_eq!(count, 0, "nothing of this is stored");
    cluster.finish().await
}

#[tokio::test]
async fn list_items_names_everything_that_is_wrong() -> Result<()> {
    let (cluster, mut client) = memory().await?;
    let list = ListItemsRequest {
        namespace_prefix: labels(&["a", ""]),
        filter: Some(payload::text("[]")),
        page_size: -1,
        payload_form: 9,
        ..ListItemsRequest::default()
    };
    let fields = ["namespace_prefix[1]", "filter", "page_size", "payload_form"];
    refused("list", client.list_items(list).await, &fields)?;

    for key in ["1", "2"] {
        let put = PutItemRequest {
            key: key.into(),
            ..item(payload::text("{}"))
        };
        client.put_item(put).await?;
    }
    let list = ListItemsRequest {
        page_size: 1,
        ..ListItemsRequest::default()
    };
    let page = client.list_items(list).await?.into_inner();
    assert!(!page.next_page_token.is_empty(), "{page:?}");
    for (page_token, namespace_prefix) in [
        ("x", vec![]),
        ("====", vec![]),
        (page.next_page_token.as_str(), labels(&["a"])),
    ] {
        let page_token = page_token.to_owned();
        let list = ListItemsRequest {
            page_token,
            namespace_prefix,
            ..Default::default()
        };
        let refusal = Refusal::of(client.list_items(list).await)?;
        let refusal = refusal.is(Code::InvalidArgument, "PAGE_TOKEN_INVALID")?;
        assert_eq!(refusal.fields(), ["page_token"]);
    }
    cluster.finish().await
}
