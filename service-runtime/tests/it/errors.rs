use http::uri::PathAndQuery;
use prost_types::Value;
use service_runtime::ServerSettings;
use tonic::{Code, Request, Status, client::Grpc, transport::Channel};
use tonic_prost::ProstCodec;
use weft_proto::{
    common::v1::{Payload, payload::Form},
    memory::v1::{GetItemRequest, GetItemResponse, PutItemRequest},
};

use crate::harness::{assert_status, get, start, within};

/// Calls `path` with a message of any type, as a client with another contract would.
async fn call<M: prost::Message + 'static>(
    channel: Channel,
    path: &'static str,
    message: M,
) -> Status {
    let mut client = Grpc::new(channel);
    client.ready().await.unwrap();
    let codec = ProstCodec::<M, GetItemResponse>::default();
    let path = PathAndQuery::from_static(path);
    within(client.unary(Request::new(message), path, codec))
        .await
        .unwrap_err()
}

#[tokio::test]
async fn methods_and_services_that_are_not_served_are_unimplemented() {
    let server = start(ServerSettings::default()).await;
    for path in [
        "/weft.memory.v1.MemoryService/Nothing",
        "/weft.nothing.v1.Nothing/GetItem",
        "/weft.workflow.v1.ThreadService/GetThread",
    ] {
        let status = call(server.channel(), path, GetItemRequest::default()).await;
        assert_status(&status, Code::Unimplemented, "METHOD_UNKNOWN");
        assert!(status.message().contains(path), "{status:?}");
    }
}

#[tokio::test]
async fn messages_that_cannot_be_taken_are_the_callers_fault() {
    const PUT: &str = "/weft.memory.v1.MemoryService/PutItem";
    let server = start(ServerSettings::default()).await;

    let huge = GetItemRequest {
        key: "k".repeat(5 << 20),
        ..Default::default()
    };
    let status = call(server.channel(), PUT, huge).await;
    assert_status(&status, Code::ResourceExhausted, "MESSAGE_TOO_LARGE");

    // Field 1 is text; a byte vector writes any bytes there.
    let malformed = b"\xff\xfe".to_vec();
    let status = call(server.channel(), PUT, malformed).await;
    assert_status(&status, Code::InvalidArgument, "MESSAGE_MALFORMED");

    let deep = (0..64).fold(Value::from(1.0), |inner, _| Value::from(vec![inner]));
    let value = Some(Payload {
        form: Some(Form::Json(deep)),
    });
    let put = PutItemRequest {
        value,
        ..Default::default()
    };
    let status = call(server.channel(), PUT, put).await;
    assert_status(&status, Code::InvalidArgument, "MESSAGE_MALFORMED");
    assert!(status.message().contains("`json_text`"), "{status:?}");
}

#[tokio::test]
async fn a_status_without_details_gets_a_reason() {
    let server = start(ServerSettings::default()).await;
    let status = within(server.memory().get_item(get("bare")))
        .await
        .unwrap_err();
    assert_status(&status, Code::NotFound, "NOT_FOUND");
    assert_eq!(status.message(), "no details");
}
