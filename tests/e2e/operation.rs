//! Health, metrics, request ids: what whoever operates the services relies on.

use anyhow::{Context as _, Result};
use e2e::{Cluster, Refusal, conversation::INTRODUCTION, http, memories::Memories, runs::invoke};
use tonic::Code;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use uuid::Uuid;
use weft_proto::{memory::v1::GetItemRequest, workflow::v1::ListEntrypointsRequest};

#[tokio::test]
async fn health_is_told_by_service_and_for_the_whole() -> Result<()> {
    let cluster = Cluster::start().await?;
    for (process, names) in [
        (cluster.memory()?, vec!["", "weft.memory.v1.MemoryService"]),
        (
            cluster.workflow()?,
            vec![
                "",
                "weft.workflow.v1.WorkflowService",
                "weft.workflow.v1.ThreadService",
            ],
        ),
    ] {
        let mut client = HealthClient::new(process.channel()?);
        for name in names {
            let request = HealthCheckRequest {
                service: name.to_owned(),
            };
            let answer = client.check(request).await?.into_inner();
            assert_eq!(answer.status(), ServingStatus::Serving, "{name}");
        }
        let unknown = HealthCheckRequest {
            service: "nobody".to_owned(),
        };
        assert_eq!(
            client.check(unknown).await.map_err(|s| s.code()).err(),
            Some(Code::NotFound)
        );
        for path in ["/livez", "/readyz", "/metrics"] {
            assert_eq!(
                http::get(process.admin(), path).await?.status,
                200,
                "{path}"
            );
        }
    }
    cluster.finish().await
}

#[tokio::test]
async fn metrics_count_the_calls() -> Result<()> {
    let cluster = Cluster::start().await?;
    invoke(&mut cluster.workflow_client()?, INTRODUCTION.to_run()).await?;
    for (process, method) in [
        (cluster.memory()?, "PutItem"),
        (cluster.workflow()?, "InvokeRun"),
    ] {
        let metrics = http::get(process.admin(), "/metrics").await?.body;
        let counted = metrics.lines().any(|line| {
            line.starts_with("grpc_server_handled_total{")
                && line.contains(&format!(r#"grpc_method="{method}""#))
                && line.contains(r#"grpc_code="OK""#)
                && line.ends_with(" 1")
        });
        assert!(counted, "{method}: {metrics}");
    }
    cluster.finish().await
}

#[tokio::test]
async fn every_answer_has_a_request_id_and_a_callers_own_is_kept() -> Result<()> {
    let cluster = Cluster::start().await?;
    let mut client = cluster.workflow_client()?;
    let response = client.list_entrypoints(ListEntrypointsRequest {}).await?;
    let id = response
        .metadata()
        .get("x-request-id")
        .context("no request id")?;
    Uuid::parse_str(id.to_str()?)?;

    let own = "0198a2c4-1111-7000-8000-000000000003";
    let mut request = tonic::Request::new(ListEntrypointsRequest {});
    request.metadata_mut().insert("x-request-id", own.parse()?);
    let response = client.list_entrypoints(request).await?;
    assert_eq!(
        response.metadata().get("x-request-id").context("none")?,
        own
    );
    cluster.finish().await
}

#[tokio::test]
async fn a_method_that_a_service_does_not_have_is_named() -> Result<()> {
    let cluster = Cluster::start().await?;
    let mut client = Memories::new(cluster.workflow()?.channel()?);
    let refusal = Refusal::of(client.get_item(GetItemRequest::default()).await)?;
    let refusal = refusal.is(Code::Unimplemented, "METHOD_UNKNOWN")?;
    assert!(
        refusal
            .message()
            .contains("weft.memory.v1.MemoryService/GetItem"),
        "{refusal:?}"
    );
    cluster.finish().await
}
