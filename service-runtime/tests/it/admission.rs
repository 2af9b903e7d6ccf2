use std::time::Duration;

use futures::FutureExt as _;
use service_runtime::ServerSettings;
use tonic::Code;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tonic_types::StatusExt as _;

use crate::harness::{assert_status, get, start, stream_of, within};

#[tokio::test]
async fn calls_beyond_the_limit_are_refused_at_once_until_one_has_ended() {
    let mut server = start(ServerSettings {
        max_in_flight: 1,
        ..Default::default()
    })
    .await;
    let (mut first, mut second) = (server.memory(), server.memory());
    let mut waiting = Box::pin(first.get_item(get("wait")));
    tokio::select! {
        _ = &mut waiting => panic!("did not wait"),
        () = server.entered() => {}
    }

    let status = within(second.get_item(get("echo"))).await.unwrap_err();
    assert_status(&status, Code::ResourceExhausted, "OVERLOADED");
    let retry = status.get_details_retry_info().unwrap().retry_delay;
    assert_eq!(retry, Some(Duration::from_secs(1)));
    assert_eq!(
        status.metadata().get("grpc-retry-pushback-ms").unwrap(),
        "1000"
    );

    // Probes must not fail because there is much to do, and streams are counted by themselves.
    HealthClient::new(server.channel())
        .check(HealthCheckRequest::default())
        .await
        .unwrap();
    server
        .workflow()
        .stream_run(stream_of("stuck"))
        .await
        .unwrap();

    assert!(waiting.as_mut().now_or_never().is_none());
    server.release();
    within(waiting).await.unwrap();
    within(second.get_item(get("echo"))).await.unwrap();
}

#[tokio::test]
async fn streams_beyond_the_limit_are_refused_at_once_until_one_has_ended() {
    let server = start(ServerSettings {
        max_streams: 1,
        ..Default::default()
    })
    .await;
    let mut client = server.workflow();
    let mut open = client
        .stream_run(stream_of("wait"))
        .await
        .unwrap()
        .into_inner();
    assert!(within(open.message()).await.unwrap().is_some());

    let status = within(client.stream_run(stream_of("stuck")))
        .await
        .unwrap_err();
    assert_status(&status, Code::ResourceExhausted, "OVERLOADED");
    within(server.memory().get_item(get("echo"))).await.unwrap();

    server.release();
    assert!(within(open.message()).await.unwrap().is_some());
    assert!(within(open.message()).await.unwrap().is_none());
    within(client.stream_run(stream_of("stuck"))).await.unwrap();
}
