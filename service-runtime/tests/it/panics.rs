use service_runtime::ServerSettings;
use tonic::Code;

use crate::harness::{assert_status, get, start, stream_of, within};

#[tokio::test]
async fn a_panic_in_a_handler_becomes_internal_and_the_next_call_works() {
    let server = start(ServerSettings::default()).await;
    let mut client = server.memory();
    let status = within(client.get_item(get("panic"))).await.unwrap_err();
    assert_status(&status, Code::Internal, "INTERNAL");
    assert!(
        !status.message().contains("as the test wishes"),
        "tells callers of its insides"
    );
    within(client.get_item(get("echo"))).await.unwrap();
}

#[tokio::test]
async fn a_panic_in_a_stream_becomes_internal_after_what_was_sent() {
    let server = start(ServerSettings::default()).await;
    let mut client = server.workflow();
    let mut stream = client
        .stream_run(stream_of("panic"))
        .await
        .unwrap()
        .into_inner();
    assert!(within(stream.message()).await.unwrap().is_some());
    server.release();
    let status = within(stream.message()).await.unwrap_err();
    assert_status(&status, Code::Internal, "INTERNAL");
    within(client.stream_run(stream_of("stuck"))).await.unwrap();
}
