//! Sessions: what ends one, and what does not.

use anyhow::{Context as _, Result, ensure};
use e2e::{
    Cluster, Refusal,
    raw_worker::{RawWorker, about, hello, record, returned},
};
use prost::Message as _;
use serde_json::json;
use tokio::{net::TcpStream, task::JoinSet};
use tonic::codegen::{Bytes, http::Request};
use weft_proto::workflow::v1::{
    ConnectRequest, ConnectResponse, Heartbeat, Hello, connect_request::Message as Say,
    connect_response::Message as Heard,
};

use crate::stage::{output, service, start, still_works};

fn session(id: &str) -> Hello {
    Hello {
        session_id: id.to_owned(),
        ..hello("odd")
    }
}

/// Whether a stream on which nothing was heard yet goes on with its session.
async fn is_resumed(worker: &mut RawWorker) -> Result<bool> {
    match worker.next().await? {
        (0, Heard::Welcome(welcome)) => Ok(welcome.resumed),
        other => anyhow::bail!("no welcome: {other:?}"),
    }
}

/// A stream of HTTP/2 that can be reset, which no client of gRPC lets one do at will.
struct Bare {
    requests: h2::SendStream<Bytes>,
    responses: h2::RecvStream,
    heard: Vec<u8>,
    _connection: JoinSet<()>,
}

impl Bare {
    async fn open(cluster: &Cluster, first: &ConnectRequest) -> Result<Self> {
        let socket = TcpStream::connect(cluster.workflow()?.grpc()).await?;
        let (client, connection) = h2::client::handshake(socket).await?;
        let mut driving = JoinSet::new();
        driving.spawn(async move {
            let _ = connection.await;
        });
        let path = "weft.workflow.v1.WorkerService/Connect";
        let request = Request::post(format!("http://{}/{path}", cluster.workflow()?.grpc()))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(())?;
        let (response, mut requests) = client.ready().await?.send_request(request, false)?;
        // The service answers once it has heard the first message.
        requests.send_data(framed(first), false)?;
        Ok(Self {
            requests,
            responses: response.await?.into_body(),
            heard: Vec::new(),
            _connection: driving,
        })
    }

    fn say(&mut self, message: &ConnectRequest) -> Result<()> {
        Ok(self.requests.send_data(framed(message), false)?)
    }

    async fn next(&mut self) -> Result<ConnectResponse> {
        loop {
            if let Some((head, rest)) = self.heard.split_first_chunk::<5>() {
                let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
                if rest.len() >= length {
                    let message = ConnectResponse::decode(&rest[..length])?;
                    self.heard.drain(..5 + length);
                    return Ok(message);
                }
            }
            let more = e2e::within("the service to say something", self.responses.data());
            let more = more.await?.context("the stream ended")??;
            self.responses.flow_control().release_capacity(more.len())?;
            self.heard.extend_from_slice(&more);
        }
    }
}

fn framed(message: &ConnectRequest) -> Bytes {
    let length = u32::try_from(message.encoded_len()).unwrap_or(u32::MAX);
    let mut frame = vec![0];
    frame.extend(length.to_be_bytes());
    frame.extend(message.encode_to_vec());
    frame.into()
}

#[tokio::test]
async fn a_worker_whose_stream_was_reset_comes_back_to_its_session() -> Result<()> {
    let cluster = service().await?;
    let mut worker = Bare::open(&cluster, &about(0, Say::Hello(session("reset")))).await?;
    let welcome = worker.next().await?;
    ensure!(matches!(welcome.message, Some(Heard::Welcome(_))));
    let run = start(&cluster, "odd", "", json!(1)).await?;
    let started = loop {
        let heard = worker.next().await?;
        match heard.message {
            Some(Heard::StartRun(_)) => break heard,
            _ => worker.say(&about(0, Say::Heartbeat(Heartbeat::default())))?,
        }
    };
    worker.requests.send_reset(h2::Reason::CANCEL);
    let again = ConnectRequest {
        received: started.sequence,
        ..about(0, Say::Hello(session("reset")))
    };
    let mut worker = RawWorker::greet(cluster.workflow()?.channel()?, again).await?;
    assert!(is_resumed(&mut worker).await?);
    let finish = ConnectRequest {
        sequence: 1,
        ..about(started.execution_id, Say::Finish(returned("7", 0)))
    };
    worker.requests.send(finish).await?;
    assert_eq!(output(&cluster, &run).await?, json!(7));
    still_works(cluster).await
}

#[tokio::test]
async fn a_worker_that_closed_its_side_has_left_its_session() -> Result<()> {
    let cluster = service().await?;
    let channel = cluster.workflow()?.channel()?;
    let leaving = RawWorker::connect(channel.clone(), session("left")).await?;
    let RawWorker {
        requests,
        mut responses,
    } = leaving;
    drop(requests);
    while let Ok(Some(_)) = responses.message().await {}
    let first = about(0, Say::Hello(session("left")));
    let mut again = RawWorker::greet(channel, first).await?;
    assert!(!is_resumed(&mut again).await?);
    still_works(cluster).await
}

#[tokio::test]
async fn a_stream_that_loses_its_session_to_another_one_is_told_so() -> Result<()> {
    let cluster = service().await?;
    let channel = cluster.workflow()?.channel()?;
    let mut first = RawWorker::connect(channel.clone(), session("shared")).await?;
    let hello = about(0, Say::Hello(session("shared")));
    let mut second = RawWorker::greet(channel, hello).await?;
    assert!(is_resumed(&mut second).await?);
    let refusal = Refusal::from_status(first.ended().await?)?;
    assert_eq!(
        (refusal.code(), refusal.reason()),
        (tonic::Code::Aborted, "SESSION_TAKEN")
    );
    let log = std::fs::read_to_string(cluster.folder().join("workflow-service.log"))?;
    assert!(log.contains("another stream took over a session"), "{log}");
    // It is no worse for that.
    let run = start(&cluster, "odd", "", json!(1)).await?;
    let (execution, _) = second.started().await?;
    second.say(execution, Say::Record(record("0", "1"))).await?;
    second.say(execution, Say::Finish(returned("7", 0))).await?;
    assert_eq!(output(&cluster, &run).await?, json!(7));
    still_works(cluster).await
}
