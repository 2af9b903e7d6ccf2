use std::time::Duration;

use service_runtime::{ChannelSettings, Deadline, RequestContext, ServerSettings, client};
use tokio::net::TcpListener;
use tonic::Code;
use weft_proto::memory::v1::{GetItemRequest, memory_service_client::MemoryServiceClient};

use crate::harness::{assert_status, get, start, within};

#[tokio::test]
async fn a_request_carries_the_deadline_less_the_way_back_and_the_id() {
    let server = start(ServerSettings::default()).await;
    let url = format!("http://{}", server.grpc);
    let channel = client::connect_lazy(&url, &ChannelSettings::default()).unwrap();
    let context = RequestContext::of(&get(""));
    let deadline = context.deadline.remaining().as_millis();

    let request = client::request_within(GetItemRequest::default(), &context);
    let answer = MemoryServiceClient::new(channel)
        .get_item(request)
        .await
        .unwrap();
    let item = answer.into_inner().item.unwrap();
    let seen: u128 = item.namespace[2].parse().unwrap();
    assert!(
        seen <= deadline - 50 && seen > deadline / 2,
        "{seen} of {deadline} ms"
    );
    assert_eq!(item.etag, context.request_id.to_string());
}

#[tokio::test]
async fn a_client_that_gives_up_says_deadline_exceeded() {
    // Takes connections, and says nothing.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let channel = client::connect_lazy(&url, &ChannelSettings::default()).unwrap();
    let request = client::request(GetItemRequest::default(), Deadline::in_(Duration::ZERO));
    let status = within(MemoryServiceClient::new(channel).get_item(request))
        .await
        .unwrap_err();
    let status = client::clarify(status);
    assert_status(&status, Code::DeadlineExceeded, "DEADLINE_EXCEEDED");
}

#[tokio::test]
async fn a_call_timeout_holds_whatever_the_deadline() {
    let server = start(ServerSettings::default()).await;
    let settings = ChannelSettings {
        call_timeout: Duration::from_millis(20),
        ..Default::default()
    };
    let url = format!("http://{}", server.grpc);
    let channel = client::connect_lazy(&url, &settings).unwrap();
    let status = within(MemoryServiceClient::new(channel).get_item(get("never"))).await;
    let status = client::clarify(status.unwrap_err());
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status:?}");
}

#[tokio::test]
async fn a_url_that_leads_nowhere_is_refused_with_the_form_to_write() {
    let settings = ChannelSettings::default();
    for url in [
        "",
        "localhost:50051",
        "ftp://localhost",
        "http://",
        "/path",
        "http:// x",
    ] {
        let error = client::connect_lazy(url, &settings)
            .unwrap_err()
            .to_string();
        assert!(error.starts_with(&format!("`{url}`")) && error.contains("http://host:port"));
    }
    assert!(client::connect_lazy("http://localhost:50051", &settings).is_ok());
}

#[tokio::test]
async fn tls_is_set_up_without_asking_anything_of_the_process() {
    let settings = ChannelSettings::default();
    assert!(client::connect_lazy("https://localhost:50051", &settings).is_ok());
}
