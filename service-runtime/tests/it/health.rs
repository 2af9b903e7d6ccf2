use service_runtime::ServerSettings;
use tonic::Code;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::harness::{Running, assert_status, start, within};

const NAMES: [&str; 3] = [
    "",
    "weft.memory.v1.MemoryService",
    "weft.workflow.v1.WorkflowService",
];

fn of(service: &str) -> HealthCheckRequest {
    HealthCheckRequest {
        service: service.to_owned(),
    }
}

async fn statuses(server: &Running) -> Vec<ServingStatus> {
    let mut client = HealthClient::new(server.channel());
    let mut statuses = Vec::new();
    for name in NAMES {
        statuses.push(client.check(of(name)).await.unwrap().into_inner().status());
    }
    statuses
}

#[tokio::test]
async fn no_service_is_serving_until_the_server_is_ready() {
    let server = start(ServerSettings::default()).await;
    assert_eq!(statuses(&server).await, [ServingStatus::NotServing; 3]);
    server.readiness.set_ready();
    assert_eq!(statuses(&server).await, [ServingStatus::Serving; 3]);
    server.readiness.set_not_ready("store away");
    assert_eq!(statuses(&server).await, [ServingStatus::NotServing; 3]);
}

#[tokio::test]
async fn a_watch_tells_every_change_once() {
    let server = start(ServerSettings::default()).await;
    let mut client = HealthClient::new(server.channel());
    let mut watch = client.watch(of("")).await.unwrap().into_inner();
    let mut next = async || within(watch.message()).await.unwrap().unwrap().status();

    assert_eq!(next().await, ServingStatus::NotServing);
    server.readiness.set_not_ready("another reason");
    server.readiness.set_ready();
    assert_eq!(next().await, ServingStatus::Serving);
    server.readiness.set_not_ready("store away");
    assert_eq!(next().await, ServingStatus::NotServing);
}

#[tokio::test]
async fn an_unknown_service_is_not_found_and_watched_as_unknown() {
    let server = start(ServerSettings::default()).await;
    let mut client = HealthClient::new(server.channel());
    let status = client.check(of("weft.none")).await.unwrap_err();
    assert_status(&status, Code::NotFound, "SERVICE_UNKNOWN");
    let mut watch = client.watch(of("weft.none")).await.unwrap().into_inner();
    let first = within(watch.message()).await.unwrap().unwrap();
    assert_eq!(first.status(), ServingStatus::ServiceUnknown);
}

#[tokio::test]
async fn admin_tells_liveness_always_and_readiness_with_the_reason() {
    let server = start(ServerSettings::default()).await;
    assert!(server.admin_get("/livez").await.starts_with("HTTP/1.1 200"));
    let answer = server.admin_get("/readyz").await;
    assert!(answer.starts_with("HTTP/1.1 503") && answer.ends_with("not ready: starting\n"));

    server.readiness.set_not_ready("store away");
    assert!(
        server
            .admin_get("/readyz")
            .await
            .ends_with("not ready: store away\n")
    );
    assert!(server.admin_get("/livez").await.starts_with("HTTP/1.1 200"));

    server.readiness.set_ready();
    assert!(
        server
            .admin_get("/readyz")
            .await
            .starts_with("HTTP/1.1 200")
    );
}
