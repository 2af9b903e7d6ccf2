use std::time::Duration;

use service_runtime::ServerSettings;
use tonic::Code;

use crate::harness::{assert_status, get, start, stream_of, with_timeout, within};

const SHORT: Duration = Duration::from_millis(20);

#[tokio::test]
async fn a_handler_that_never_answers_is_ended_at_the_callers_deadline() {
    let mut server = start(ServerSettings::default()).await;
    let mut client = server.patient_memory().await;
    let status = within(client.get_item(with_timeout(get("never"), "20m")))
        .await
        .unwrap_err();
    assert_status(&status, Code::DeadlineExceeded, "DEADLINE_EXCEEDED");
}

#[tokio::test]
async fn a_call_without_a_deadline_gets_the_default() {
    let server = start(ServerSettings {
        default_deadline: SHORT,
        ..Default::default()
    })
    .await;
    let status = within(server.memory().get_item(get("never")))
        .await
        .unwrap_err();
    assert_status(&status, Code::DeadlineExceeded, "DEADLINE_EXCEEDED");
}

#[tokio::test]
async fn a_caller_cannot_ask_for_more_than_the_cap() {
    let mut server = start(ServerSettings {
        max_deadline: SHORT,
        ..Default::default()
    })
    .await;
    let mut client = server.patient_memory().await;
    for ages in ["1H", "99999999H"] {
        let status = within(client.get_item(with_timeout(get("never"), ages)))
            .await
            .unwrap_err();
        assert_status(&status, Code::DeadlineExceeded, "DEADLINE_EXCEEDED");
    }
}

#[tokio::test]
async fn a_handler_sees_how_much_time_is_left() {
    let mut server = start(ServerSettings::default()).await;
    let mut client = server.patient_memory().await;
    for (timeout, limit) in [("100S", 100_000), ("1H", 300_000), ("nonsense", 30_000)] {
        let answer = client
            .get_item(with_timeout(get("echo"), timeout))
            .await
            .unwrap();
        let seen: u128 = answer.into_inner().item.unwrap().namespace[2]
            .parse()
            .unwrap();
        assert!(seen <= limit && seen > limit / 2, "{timeout}: {seen} ms");
    }
}

#[tokio::test]
async fn a_deadline_that_has_passed_is_answered_without_the_handler() {
    let mut server = start(ServerSettings::default()).await;
    let mut client = server.patient_memory().await;
    let status = within(client.get_item(with_timeout(get("never"), "0n")))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
}

#[tokio::test]
async fn a_stream_ends_at_its_callers_deadline() {
    let mut server = start(ServerSettings::default()).await;
    let mut client = server.patient_workflow().await;
    for kind in ["stuck", "flood"] {
        let request = with_timeout(stream_of(kind), "100m");
        let status = within(async {
            // On a loaded machine the deadline may come before the first message.
            let mut stream = client.stream_run(request).await?.into_inner();
            while stream.message().await?.is_some() {}
            Ok(())
        });
        assert_status(
            &status.await.unwrap_err(),
            Code::DeadlineExceeded,
            "DEADLINE_EXCEEDED",
        );
    }
}

#[tokio::test]
async fn a_stream_without_a_deadline_outlives_the_default() {
    let server = start(ServerSettings {
        default_deadline: 10 * SHORT,
        ..Default::default()
    })
    .await;
    let mut client = server.workflow();
    let mut stream = client
        .stream_run(stream_of("wait"))
        .await
        .unwrap()
        .into_inner();
    assert!(within(stream.message()).await.unwrap().is_some());

    // A call that began later has reached its deadline, so the stream is older than it.
    let status = within(server.memory().get_item(get("never")))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);

    server.release();
    assert!(within(stream.message()).await.unwrap().is_some());
    assert!(within(stream.message()).await.unwrap().is_none());
}
