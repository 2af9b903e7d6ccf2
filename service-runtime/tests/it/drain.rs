use std::{sync::Arc, time::Duration};

use service_runtime::{ServerSettings, client};
use tokio::net::TcpStream;
use tonic::Code;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::harness::{Running, assert_status, get, start, stream_of, within};

/// A drain that gives up at once.
fn impatient() -> ServerSettings {
    ServerSettings {
        drain_timeout: Duration::from_millis(20),
        ..Default::default()
    }
}

/// Waits until the socket is closed; the server closes it soon after a drain began.
async fn refuses_connections(server: &Running) {
    within(async { while TcpStream::connect(server.grpc).await.is_ok() {} }).await;
}

#[tokio::test]
async fn a_call_in_flight_finishes_and_a_new_one_is_refused() {
    let mut server = start(ServerSettings::default()).await;
    let (mut first, mut second) = (server.memory(), server.memory());
    within(second.get_item(get("echo"))).await.unwrap();
    let mut waiting = Box::pin(first.get_item(get("wait")));
    tokio::select! {
        _ = &mut waiting => panic!("did not wait"),
        () = server.entered() => {}
    }

    server.shutdown.cancel();
    within(server.draining.cancelled()).await;
    // On a connection from before, and on a new one.
    let status = client::clarify(within(second.get_item(get("echo"))).await.unwrap_err());
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    refuses_connections(&server).await;
    let status = within(server.memory().get_item(get("echo")))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");

    server.release();
    within(waiting).await.unwrap();
    server.stopped().await.unwrap();
}

#[tokio::test]
async fn calls_and_streams_that_do_not_end_are_told_so_and_hold_nothing() {
    let mut server = start(impatient()).await;
    let mut client = server.memory();
    let mut call = Box::pin(client.get_item(get("wait")));
    tokio::select! {
        _ = &mut call => panic!("did not wait"),
        () = server.entered() => {}
    }
    let mut streams = Vec::new();
    for kind in ["stuck", "flood"] {
        let stream = server.workflow().stream_run(stream_of(kind)).await.unwrap();
        streams.push(stream.into_inner());
    }
    let handlers = Arc::downgrade(&server.handlers);

    server.shutdown.cancel();
    assert_status(
        &within(call).await.unwrap_err(),
        Code::Unavailable,
        "SHUTTING_DOWN",
    );
    for mut stream in streams {
        let status = within(async {
            loop {
                if let Err(status) = stream.message().await {
                    break status;
                }
            }
        });
        assert_status(&status.await, Code::Unavailable, "SHUTTING_DOWN");
    }
    server.stopped().await.unwrap();
    drop(server);
    assert!(
        handlers.upgrade().is_none(),
        "something holds on to the services"
    );
}

#[tokio::test]
async fn watches_of_health_end_when_a_drain_begins() {
    let mut server = start(ServerSettings::default()).await;
    server.readiness.set_ready();
    let mut client = HealthClient::new(server.channel());
    let mut watch = client
        .watch(HealthCheckRequest::default())
        .await
        .unwrap()
        .into_inner();
    let status = within(watch.message()).await.unwrap().unwrap().status();
    assert_eq!(status, ServingStatus::Serving);

    server.shutdown.cancel();
    let mut last = Ok(ServingStatus::Serving);
    while let Ok(ServingStatus::Serving | ServingStatus::NotServing) = last {
        last = within(watch.message())
            .await
            .map(|message| message.unwrap().status());
    }
    assert_status(&last.unwrap_err(), Code::Unavailable, "SHUTTING_DOWN");
    server.stopped().await.unwrap();
}

#[tokio::test]
async fn streams_that_watch_for_the_drain_end_in_peace() {
    let mut server = start(ServerSettings::default()).await;
    let mut client = server.workflow();
    let mut stream = client
        .stream_run(stream_of("until drain"))
        .await
        .unwrap()
        .into_inner();
    assert!(within(stream.message()).await.unwrap().is_some());
    server.shutdown.cancel();
    assert!(within(stream.message()).await.unwrap().is_none());
    server.stopped().await.unwrap();
}

#[tokio::test]
async fn connections_whose_peers_say_nothing_are_cut() {
    let mut server = start(impatient()).await;
    let silent = TcpStream::connect(server.grpc).await.unwrap();
    // A reader that stops reading in the middle of a stream.
    let mut client = server.workflow();
    let mut stream = client
        .stream_run(stream_of("flood"))
        .await
        .unwrap()
        .into_inner();
    assert!(within(stream.message()).await.unwrap().is_some());

    server.shutdown.cancel();
    server.stopped().await.unwrap();
    drop((silent, stream));
}

#[tokio::test]
async fn calls_are_served_until_load_balancers_have_noticed() {
    let delay = Duration::from_secs(3600);
    let server = start(ServerSettings {
        drain_delay: delay,
        ..Default::default()
    })
    .await;
    server.readiness.set_ready();
    let mut client = HealthClient::new(server.channel());
    let mut watch = client
        .watch(HealthCheckRequest::default())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        watch.message().await.unwrap().unwrap().status(),
        ServingStatus::Serving
    );

    server.shutdown.cancel();
    let next = within(watch.message()).await.unwrap().unwrap();
    assert_eq!(next.status(), ServingStatus::NotServing);
    assert!(
        server
            .admin_get("/readyz")
            .await
            .ends_with("not ready: shutting down\n")
    );
    within(server.memory().get_item(get("echo"))).await.unwrap();
}
