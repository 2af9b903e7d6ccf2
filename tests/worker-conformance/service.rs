//! The service's side of the protocol, word by word.

use std::{collections::HashMap, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use e2e::payload;
use serde_json::Value;
use tokio::{net::TcpListener, sync::mpsc, task::JoinSet, time::timeout};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Request, Response, Status, Streaming, transport::Server};
use uuid::Uuid;
use weft_proto::workflow::v1::{
    Ack, Call, ConnectRequest, ConnectResponse, Emit, Hello, HostedEntrypoint, JournalEntry,
    Outcome, Ping, StartRun, Welcome, call,
    connect_request::Message as Heard,
    connect_response::Message as Say,
    outcome,
    worker_service_server::{WorkerService, WorkerServiceServer},
};

use crate::told;

/// The worker hosts something else: no scenario is of use.
#[derive(Debug, thiserror::Error)]
#[error(
    "it does not host the entrypoint `conformance` of version `1`, but {0}; its head says what that does"
)]
pub(crate) struct NotHosted(String);

/// Bounds every wait for the worker: long enough for one that reconnects on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(20);

struct Stream {
    requests: Streaming<ConnectRequest>,
    responses: mpsc::Sender<Result<ConnectResponse, Status>>,
}

struct Door(mpsc::Sender<Stream>);

#[tonic::async_trait]
impl WorkerService for Door {
    type ConnectStream = ReceiverStream<Result<ConnectResponse, Status>>;

    async fn connect(
        &self,
        request: Request<Streaming<ConnectRequest>>,
    ) -> Result<Response<Self::ConnectStream>, Status> {
        let (responses, receiver) = mpsc::channel(64);
        let stream = Stream {
            requests: request.into_inner(),
            responses,
        };
        let sent = self.0.send(stream).await;
        sent.map_err(|_| Status::unavailable("the scenario is over"))?;
        Ok(Response::new(ReceiverStream::new(receiver)))
    }
}

/// The service of one scenario.
pub(crate) struct Service {
    url: String,
    streams: mpsc::Receiver<Stream>,
    /// Whether a worker has connected.
    pub(crate) is_reached: bool,
    _serving: JoinSet<()>,
}

impl Service {
    pub(crate) async fn bind() -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let (sender, streams) = mpsc::channel(8);
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let server = Server::builder().add_service(WorkerServiceServer::new(Door(sender)));
            // Ends with the scenario.
            let _ = server
                .serve_with_incoming(TcpListenerStream::new(listener))
                .await;
        });
        Ok(Self {
            url,
            streams,
            is_reached: false,
            _serving: serving,
        })
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The next stream of the worker, with its Hello.
    pub(crate) async fn hello(&mut self) -> Result<(Connection, Hello)> {
        let stream = timeout(PATIENCE, self.streams.recv()).await;
        let Stream {
            mut requests,
            responses,
        } = stream
            .context("the worker does not connect")?
            .context("the server is gone")?;
        self.is_reached = true;
        let first = timeout(PATIENCE, requests.message())
            .await
            .context("the worker says nothing")?;
        let first = first?.context("the worker ends its stream before Hello")?;
        let Some(Heard::Hello(hello)) = first.message else {
            bail!(
                "the first message is not Hello but {}",
                told::message(first.message.as_ref())
            );
        };
        ensure!(first.execution_id == 0, "Hello is about no execution");
        let is_it =
            |hosted: &HostedEntrypoint| (&*hosted.name, &*hosted.version) == ("conformance", "1");
        if !hello.entrypoints.iter().any(is_it) {
            let hosted = hello.entrypoints.iter();
            let named: Vec<_> = hosted
                .map(|hosted| format!("`{}` of version `{}`", hosted.name, hosted.version))
                .collect();
            let named = match named.is_empty() {
                true => "none".to_owned(),
                false => named.join(", "),
            };
            return Err(NotHosted(named).into());
        }
        let connection = Connection {
            requests,
            responses,
            sent: 0,
            received: 0,
            hello_received: first.received,
            has_session: !hello.session_id.is_empty(),
            journals: HashMap::new(),
        };
        Ok((connection, hello))
    }

    /// A worker that was made welcome in a new session.
    pub(crate) async fn welcome(&mut self) -> Result<Connection> {
        let (mut worker, _) = self.hello().await?;
        worker.greet(false).await?;
        Ok(worker)
    }
}

/// A stream of the worker.
pub(crate) struct Connection {
    requests: Streaming<ConnectRequest>,
    responses: mpsc::Sender<Result<ConnectResponse, Status>>,
    /// Number of the last message sent in the session.
    pub(crate) sent: i64,
    /// Number of the last message received in the session.
    pub(crate) received: i64,
    /// What the worker had received when it said Hello.
    pub(crate) hello_received: i64,
    /// Whether it counts what it says.
    has_session: bool,
    /// How many recorded calls each execution was handed.
    journals: HashMap<i64, i32>,
}

impl Connection {
    pub(crate) async fn greet(&mut self, resumed: bool) -> Result<()> {
        let seconds = |seconds| Some(prost_types::Duration { seconds, nanos: 0 });
        let welcome = Welcome {
            resumed,
            heartbeat_interval: seconds(5),
            lease: seconds(30),
            grace: seconds(30),
        };
        self.send(0, 0, Say::Welcome(welcome)).await
    }

    async fn send(&mut self, sequence: i64, execution_id: i64, message: Say) -> Result<()> {
        let response = ConnectResponse {
            sequence,
            received: self.received,
            execution_id,
            message: Some(message),
        };
        Ok(self.responses.send(Ok(response)).await?)
    }

    /// Says something about an execution, with the next number.
    pub(crate) async fn say(&mut self, execution_id: i64, message: Say) -> Result<()> {
        if let Say::StartRun(start) = &message {
            self.journals.insert(execution_id, start.journal_length);
        }
        self.sent += 1;
        self.send(self.sent, execution_id, message).await
    }

    /// Says something with the number of the last message, as if that was sent again.
    pub(crate) async fn say_again(&mut self, execution_id: i64, message: Say) -> Result<()> {
        self.send(self.sent, execution_id, message).await
    }

    pub(crate) async fn ping(&mut self) -> Result<()> {
        self.send(0, 0, Say::Ping(Ping {})).await
    }

    /// Starts a run of these steps.
    pub(crate) async fn start(
        &mut self,
        execution: i64,
        steps: &Value,
        journal: Vec<JournalEntry>,
    ) -> Result<()> {
        self.say(execution, Say::StartRun(start_run(steps, journal)))
            .await
    }

    /// Records a call: code may see this outcome.
    pub(crate) async fn ack(&mut self, execution: i64, id: &str, outcome: Outcome) -> Result<()> {
        let ack = Ack {
            call_id: id.to_owned(),
            outcome: Some(outcome),
        };
        self.say(execution, Say::Ack(ack)).await
    }

    /// What the worker streams next about `execution`, before it says anything else.
    pub(crate) async fn next_emitted(&mut self, execution: i64) -> Result<Emit> {
        let heard = timeout(PATIENCE, self.requests.message())
            .await
            .context("the worker says nothing")??;
        match heard.map(|heard| (heard.execution_id, heard.message)) {
            Some((about, Some(Heard::Emit(emit)))) if about == execution => Ok(emit),
            Some((about, said)) => bail!(
                "not an Emit of {execution}, but of {about} {}",
                told::message(said.as_ref())
            ),
            None => bail!("the worker ends its stream"),
        }
    }

    /// The executions that the worker says it works at.
    pub(crate) async fn heartbeat(&mut self) -> Result<Vec<i64>> {
        self.ping().await?;
        match self.next_of(0).await? {
            Heard::Heartbeat(heartbeat) => Ok(heartbeat.execution_ids),
            other => bail!(
                "a Ping is not answered by a Heartbeat but by {}",
                told::message(Some(&other))
            ),
        }
    }

    /// What the worker says next, but for what it streams.
    pub(crate) async fn next(&mut self) -> Result<ConnectRequest> {
        loop {
            let heard = timeout(PATIENCE, self.requests.message())
                .await
                .context("the worker says nothing")??;
            let heard = heard.context("the worker ends its stream")?;
            if matches!(heard.message, Some(Heard::Emit(_))) {
                ensure!(
                    heard.sequence == 0,
                    "Emit is never sent again, and has no number"
                );
                continue;
            }
            let is_counted = !matches!(heard.message, Some(Heard::Heartbeat(_)));
            ensure!(
                heard.sequence != 0 || !(self.has_session && is_counted),
                "a worker that gives a session_id counts what it says, and the `sequence` of {} is 0",
                told::message(heard.message.as_ref())
            );
            if let Some(Heard::Finish(finish)) = &heard.message {
                let handed = self.journals.get(&heard.execution_id).copied();
                ensure!(
                    finish.replayed_count <= handed.unwrap_or_default(),
                    "replayed_count is {}, more than the journal of {} recorded calls",
                    finish.replayed_count,
                    handed.unwrap_or_default()
                );
            }
            if heard.sequence > 0 {
                ensure!(
                    heard.sequence == self.received + 1,
                    "the message after {} has the number {}",
                    self.received,
                    heard.sequence
                );
                self.received = heard.sequence;
            }
            return Ok(heard);
        }
    }

    /// The next message, which must be about `execution`.
    pub(crate) async fn next_of(&mut self, execution: i64) -> Result<Heard> {
        let heard = self.next().await?;
        ensure!(
            heard.execution_id == execution,
            "execution {} speaks, not {execution}: {}",
            heard.execution_id,
            told::message(heard.message.as_ref())
        );
        heard.message.context("a message that says nothing")
    }

    /// The next message, which must be a Record of this call; its outcome.
    pub(crate) async fn record(&mut self, execution: i64, id: &str, task: &str) -> Result<Outcome> {
        match self.next_of(execution).await? {
            Heard::Record(record) => {
                let call = record.call.context("a Record without a call")?;
                ensure!(call.id == id, "call `{}` is recorded, not `{id}`", call.id);
                ensure!(
                    call.kind() == call::Kind::Task,
                    "its kind is {}",
                    call.kind().as_str_name()
                );
                ensure!(
                    call.task == task,
                    "its task is `{}`, not `{task}`",
                    call.task
                );
                record.outcome.context("a Record without an outcome")
            }
            other => bail!("not a Record of `{id}`: {}", told::message(Some(&other))),
        }
    }

    /// A Record of this call that is acknowledged as it is.
    pub(crate) async fn record_and_ack(
        &mut self,
        execution: i64,
        id: &str,
        task: &str,
    ) -> Result<Outcome> {
        let outcome = self.record(execution, id, task).await?;
        self.ack(execution, id, outcome.clone()).await?;
        Ok(outcome)
    }

    /// Nothing is said for a while.
    pub(crate) async fn silence(&mut self) -> Result<()> {
        match timeout(Duration::from_millis(500), self.next()).await {
            Err(_) => Ok(()),
            Ok(heard) => bail!(
                "the worker should be silent, and says {}",
                told::message(heard?.message.as_ref())
            ),
        }
    }
}

/// A run of these steps.
pub(crate) fn start_run(steps: &Value, journal: Vec<JournalEntry>) -> StartRun {
    StartRun {
        run_id: Uuid::now_v7().to_string(),
        thread_id: "conformance".to_owned(),
        entrypoint: "conformance".to_owned(),
        version: "1".to_owned(),
        attempt: 1,
        input: Some(payload::json(steps)),
        config: Some(payload::text("{}")),
        journal_length: i32::try_from(journal.len()).unwrap_or(i32::MAX),
        journal,
        ..StartRun::default()
    }
}

/// That a call returned this.
pub(crate) fn value(value: &Value) -> Outcome {
    Outcome {
        result: Some(outcome::Result::Value(payload::json(value))),
    }
}

/// A recorded call.
pub(crate) fn entry(id: &str, kind: call::Kind, task: &str, result: &Value) -> JournalEntry {
    JournalEntry {
        call: Some(Call {
            id: id.to_owned(),
            kind: kind.into(),
            task: task.to_owned(),
            input_hash: Vec::new(),
        }),
        outcome: Some(value(result)),
    }
}

/// A recorded call of `echo`.
pub(crate) fn echoed(id: &str, result: &Value) -> JournalEntry {
    entry(id, call::Kind::Task, "echo", result)
}
