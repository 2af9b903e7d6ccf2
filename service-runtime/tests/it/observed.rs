use std::{
    io::{self, Write},
    sync::{Arc, Mutex, PoisonError},
};

use service_runtime::ServerSettings;
use tonic::{Code, Request};
use tracing_subscriber::fmt::MakeWriter;
use weft_proto::memory::v1::BatchRequest;

use crate::harness::{get, start, with_timeout, within};

const ID: &str = "018f2d6e-7c1a-7b3e-9c55-0123456789ab";

/// Log lines of this thread.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    fn of_calls(&self) -> Vec<serde_json::Value> {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let lines = str::from_utf8(&bytes).unwrap().lines();
        let values = lines.map(|line| serde_json::from_str(line).unwrap());
        values
            .filter(|line: &serde_json::Value| line["message"] == "call")
            .collect()
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn every_call_is_one_log_line_whose_level_is_that_of_its_code() {
    let lines = Lines::default();
    let subscriber = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_writer(lines.clone())
        .with_max_level(tracing::Level::DEBUG)
        .finish();
    // All tasks of this test run on this thread.
    let _guard = tracing::subscriber::set_default(subscriber);

    let mut server = start(ServerSettings::default()).await;
    let mut client = server.patient_memory().await;
    let mut identified = get("echo");
    identified
        .metadata_mut()
        .insert("x-request-id", ID.parse().unwrap());
    client.get_item(identified).await.unwrap();
    client.get_item(get("panic")).await.unwrap_err();
    let late = client.get_item(with_timeout(get("never"), "10m")).await;
    late.unwrap_err();
    {
        let abandoned = client.get_item(get("wait"));
        tokio::select! {
            answer = abandoned => panic!("did not wait: {answer:?}"),
            () = server.entered() => {}
        }
    }
    server.shutdown.cancel();
    server.stopped().await.unwrap();

    let calls = lines.of_calls();
    let told: Vec<_> = calls
        .iter()
        .map(|line| ["level", "code", "reason"].map(|field| line[field].as_str().unwrap()))
        .collect();
    assert_eq!(
        told,
        [
            ["INFO", "OK", ""],
            ["ERROR", "INTERNAL", "INTERNAL"],
            ["INFO", "DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED"],
            ["DEBUG", "CANCELLED", ""],
        ]
    );
    for line in &calls {
        assert_eq!(
            line["span"]["method"],
            "weft.memory.v1.MemoryService/GetItem"
        );
        assert_eq!(line["span"]["principal"], "anonymous");
        assert!(line["peer"].as_str().unwrap().starts_with("127.0.0.1:"));
        assert!(line["ms"].as_f64().unwrap() > 0.0);
    }
    assert_eq!(calls[0]["span"]["request_id"], ID);
}

#[tokio::test]
async fn a_request_id_is_taken_if_it_is_a_uuid_and_always_returned() {
    let server = start(ServerSettings::default()).await;
    let mut client = server.memory();
    let with_id = |key, id: &str| {
        let mut request = get(key);
        request
            .metadata_mut()
            .insert("x-request-id", id.parse().unwrap());
        request
    };
    let answer = client.get_item(with_id("echo", ID)).await.unwrap();
    assert_eq!(answer.metadata().get("x-request-id").unwrap(), ID);
    assert_eq!(answer.into_inner().item.unwrap().etag, ID);

    let answer = client
        .get_item(with_id("echo", "not-a-uuid"))
        .await
        .unwrap();
    let minted = answer
        .metadata()
        .get("x-request-id")
        .unwrap()
        .to_str()
        .unwrap()
        .to_owned();
    assert_eq!(answer.into_inner().item.unwrap().etag, minted);

    let status = client.get_item(with_id("bare", ID)).await.unwrap_err();
    assert_eq!(status.metadata().get("x-request-id").unwrap(), ID);
}

#[tokio::test]
async fn calls_are_counted_by_method_and_code_and_unknown_methods_together() {
    let mut server = start(ServerSettings::default()).await;
    // No other test calls these.
    let status = server
        .memory()
        .batch(BatchRequest::default())
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
    let mut unknown = tonic::client::Grpc::new(server.channel());
    unknown.ready().await.unwrap();
    let path = http::uri::PathAndQuery::from_static("/made.up/Name");
    let codec = tonic_prost::ProstCodec::<BatchRequest, BatchRequest>::default();
    unknown
        .unary(Request::new(BatchRequest::default()), path, codec)
        .await
        .unwrap_err();
    // Counts are complete when a call is: wait for the last.
    server.shutdown.cancel();
    let metrics = within(server.admin_get("/metrics")).await;
    server.stopped().await.unwrap();

    let batch = "grpc_service=\"weft.memory.v1.MemoryService\",grpc_method=\"Batch\"";
    for expected in [
        format!("grpc_server_started_total{{{batch}}} 1\n"),
        format!("grpc_server_handled_total{{{batch},grpc_code=\"UNIMPLEMENTED\"}} 1\n"),
        format!("grpc_server_handling_seconds_bucket{{{batch},le=\"10\"}} 1\n"),
        "grpc_service=\"_OTHER\",grpc_method=\"_OTHER\"".to_owned(),
        "\ngrpc_server_in_flight ".to_owned(),
        "\nbuild_info{version=\"".to_owned(),
    ] {
        assert!(metrics.contains(&expected), "no {expected} in:\n{metrics}");
    }
    assert!(!metrics.contains("made.up"));
}
