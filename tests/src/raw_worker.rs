//! A worker that speaks the protocol word by word, so that it can say anything.

use anyhow::{Context as _, Result};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming, transport::Channel};
use weft_proto::workflow::v1::{
    Call, ConnectRequest, ConnectResponse, Finish, Heartbeat, Hello, HostedEntrypoint, Outcome,
    Record, Returned, StartRun, call, connect_request::Message as Say,
    connect_response::Message as Heard, finish, outcome,
    worker_service_client::WorkerServiceClient,
};

use crate::{payload, within};

/// Largest message that is heard, in bytes: as much as the protocol asks of workers.
const MAX_RESPONSE_BYTES: usize = 40 * 1024 * 1024;

/// A stream of `WorkerService.Connect`.
#[derive(Debug)]
pub struct RawWorker {
    /// What is said.
    pub requests: mpsc::Sender<ConnectRequest>,
    /// What is heard.
    pub responses: Streaming<ConnectResponse>,
}

/// A Hello of a worker without a session that hosts `entrypoint`@1.
#[must_use]
pub fn hello(entrypoint: &str) -> Hello {
    Hello {
        protocol: 1,
        worker_name: "raw".to_owned(),
        entrypoints: vec![HostedEntrypoint {
            name: entrypoint.to_owned(),
            version: "1".to_owned(),
            ..HostedEntrypoint::default()
        }],
        max_runs: 10,
        ..Hello::default()
    }
}

/// A message about an execution.
#[must_use]
pub fn about(execution_id: i64, message: Say) -> ConnectRequest {
    ConnectRequest {
        execution_id,
        message: Some(message),
        ..ConnectRequest::default()
    }
}

/// That the task call `id` returned the JSON `text`.
#[must_use]
pub fn record(id: &str, text: &str) -> Record {
    Record {
        call: Some(Call {
            id: id.to_owned(),
            kind: call::Kind::Task.into(),
            task: "step".to_owned(),
            input_hash: Vec::new(),
        }),
        attempt: 1,
        outcome: Some(Outcome {
            result: Some(outcome::Result::Value(payload::text(text))),
        }),
        ..Record::default()
    }
}

/// That the entrypoint returned the JSON `text`, having made `replayed` recorded calls again.
#[must_use]
pub fn returned(text: &str, replayed: i32) -> Finish {
    Finish {
        end: Some(finish::End::Returned(Returned {
            value: Some(payload::text(text)),
            saved: None,
        })),
        replayed_count: replayed,
    }
}

impl RawWorker {
    /// Connects and says Hello; the first answer is not read yet.
    ///
    /// # Errors
    /// The status that the stream is refused with.
    pub async fn greet(channel: Channel, first: ConnectRequest) -> Result<Self, Status> {
        let (requests, receiver) = mpsc::channel(1024);
        let _ = requests.try_send(first);
        let mut client =
            WorkerServiceClient::new(channel).max_decoding_message_size(MAX_RESPONSE_BYTES);
        let opening = client.connect(ReceiverStream::new(receiver));
        let responses = within("the stream to open", opening)
            .await
            .map_err(|error| Status::new(Code::DeadlineExceeded, error.to_string()))??;
        Ok(Self {
            requests,
            responses: responses.into_inner(),
        })
    }

    /// Connects, says Hello, and reads the Welcome.
    ///
    /// # Errors
    /// If it is not welcome.
    pub async fn connect(channel: Channel, hello: Hello) -> Result<Self> {
        let mut worker = Self::greet(channel, about(0, Say::Hello(hello))).await?;
        let welcome = worker.next().await?;
        anyhow::ensure!(
            matches!(welcome, (0, Heard::Welcome(_))),
            "no welcome: {welcome:?}"
        );
        Ok(worker)
    }

    /// Says something about an execution.
    ///
    /// # Errors
    /// If the stream is over.
    pub async fn say(&self, execution_id: i64, message: Say) -> Result<()> {
        Ok(self.requests.send(about(execution_id, message)).await?)
    }

    /// What is heard next: the execution and the message.
    ///
    /// # Errors
    /// The status that ended the stream.
    pub async fn next(&mut self) -> Result<(i64, Heard)> {
        let heard = within("the service to say something", self.responses.message()).await??;
        let heard = heard.context("the service ended the stream")?;
        Ok((
            heard.execution_id,
            heard.message.context("a message that says nothing")?,
        ))
    }

    /// What is heard next about executions. Pings are answered: `at_work` are the executions.
    ///
    /// # Errors
    /// The status that ended the stream.
    pub async fn next_answering(&mut self, at_work: &[i64]) -> Result<(i64, Heard)> {
        loop {
            match self.next().await? {
                (_, Heard::Ping(_)) => {
                    let execution_ids = at_work.to_vec();
                    self.say(0, Say::Heartbeat(Heartbeat { execution_ids }))
                        .await?;
                }
                other => return Ok(other),
            }
        }
    }

    /// The run that is handed over next, and its execution.
    ///
    /// # Errors
    /// If something else is said.
    pub async fn started(&mut self) -> Result<(i64, StartRun)> {
        match self.next_answering(&[]).await? {
            (execution, Heard::StartRun(start)) => Ok((execution, start)),
            other => anyhow::bail!("not a run: {other:?}"),
        }
    }

    /// The status that the service ends the stream with.
    ///
    /// # Errors
    /// If it ends without one.
    pub async fn ended(&mut self) -> Result<Status> {
        loop {
            match within("the stream to end", self.responses.message()).await? {
                Ok(Some(_)) => {}
                Ok(None) => anyhow::bail!("the stream ended without a status"),
                Err(status) => return Ok(status),
            }
        }
    }
}
