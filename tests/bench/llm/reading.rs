//! One stream, read from the provider itself or through StreamRun.

use std::{
    future::Future,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result, ensure};
use e2e::{Process, payload};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::Instant,
};
use tonic::transport::Endpoint;
use weft_proto::workflow::v1::{
    StartRunRequest, StreamMode, StreamRunRequest, event::Kind, stream_run_request::Target,
    workflow_service_client::WorkflowServiceClient,
};

use crate::cell::Pace;

/// Streams of one connection: the service lets a connection have 256.
const STREAMS_OF_A_CONNECTION: u32 = 200;

/// What was heard of one stream.
#[derive(Debug)]
pub(crate) struct Heard {
    /// From the request to the first token.
    pub(crate) first: Duration,
    /// From the provider's write to the reader, of each token.
    pub(crate) delays: Vec<Duration>,
}

/// Notes tokens as they are heard.
struct Ear {
    begin: Instant,
    heard: Option<Heard>,
    tokens: u32,
}

impl Ear {
    fn new(pace: Pace) -> Self {
        Self {
            begin: Instant::now(),
            heard: None,
            tokens: pace.tokens,
        }
    }

    /// Takes a text of tokens, each the time at which it was sent, in nanoseconds.
    fn hear(&mut self, text: &str) -> Result<()> {
        if text.is_empty() {
            return Ok(());
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
        let first = self.begin.elapsed();
        let heard = self.heard.get_or_insert_with(|| Heard {
            first,
            delays: Vec::with_capacity(self.tokens as usize),
        });
        for token in text.split_ascii_whitespace() {
            let sent = Duration::from_nanos(token.parse()?);
            heard.delays.push(now.saturating_sub(sent));
        }
        Ok(())
    }

    fn all(self) -> Result<Heard> {
        self.heard.context("nothing was heard")
    }
}

/// Reads a stream of the provider at `address`.
pub(crate) fn directly(
    address: &str,
    pace: Pace,
) -> impl Future<Output = Result<Heard>> + Send + 'static + use<> {
    const TEXT: &[u8] = b"\"text\":\"";
    let address = address.to_owned();
    async move {
        let mut ear = Ear::new(pace);
        let mut connection = TcpStream::connect(&address).await?;
        let body = json!({ "model": pace.to_string() }).to_string();
        let request = format!(
            "POST /v1/messages HTTP/1.1\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        connection.write_all(request.as_bytes()).await?;
        let mut read = Vec::new();
        // The provider's last chunk.
        while !read.ends_with(b"\r\n0\r\n\r\n") {
            let more = connection.read_buf(&mut read).await?;
            ensure!(more > 0, "the provider went away");
            let mut heard = 0;
            while let Some(begin) = find(&read[heard..], TEXT).map(|at| heard + at + TEXT.len())
                && let Some(length) = find(&read[begin..], b"\"")
            {
                heard = begin + length;
                ear.hear(std::str::from_utf8(&read[begin..heard])?)?;
            }
            read.drain(..heard);
        }
        ear.all()
    }
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}

/// Connections to the service.
pub(crate) struct Service(Vec<WorkflowServiceClient<tonic::transport::Channel>>);

impl Service {
    /// Connects often enough for that many streams.
    pub(crate) async fn connect(process: &Process, streams: u32) -> Result<Self> {
        let mut clients = Vec::new();
        for _ in 0..streams.div_ceil(STREAMS_OF_A_CONNECTION) {
            let channel = Endpoint::from_shared(process.url())?.connect().await?;
            clients.push(WorkflowServiceClient::new(channel));
        }
        Ok(Self(clients))
    }

    /// Reads the stream of this number, of a run of its own.
    pub(crate) fn read(
        &self,
        number: u32,
        pace: Pace,
    ) -> impl Future<Output = Result<Heard>> + Send + 'static + use<> {
        let client = self.0.get(number as usize % self.0.len()).cloned();
        async move {
            let mut client = client.context("no connection")?;
            let config = json!({ "user_id": "1", "memory": { "mode": "off" },
                "model": format!("paced:{pace}") });
            let start = StartRunRequest {
                entrypoint: "chat".to_owned(),
                input: Some(payload::json(&json!("hello"))),
                config: Some(payload::json(&config)),
                ..StartRunRequest::default()
            };
            let request = StreamRunRequest {
                target: Some(Target::Start(start)),
                modes: vec![StreamMode::Messages.into()],
                ..StreamRunRequest::default()
            };
            let mut ear = Ear::new(pace);
            let mut events = client.stream_run(request).await?.into_inner();
            while let Some(response) = events.message().await? {
                if let Some(Kind::Message(piece)) = response.event.and_then(|event| event.kind) {
                    ensure!(!piece.reset, "the provider was asked twice");
                    ear.hear(&piece.text)?;
                }
            }
            ear.all()
        }
    }
}
