//! One stream, from its Hello to its end.

use std::{future::Future, pin::Pin, time::Duration};

use futures::future::OptionFuture;
use tokio::{
    select,
    sync::mpsc,
    time::{Instant, sleep_until, timeout},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming, transport::Channel};
use weft_proto::workflow::v1::{
    ConnectRequest, ConnectResponse, connect_response::Message as Heard,
    worker_service_client::WorkerServiceClient,
};

use super::{is_final, session::Session};
use crate::{
    protocol::{EngineLink, FromWorker},
    wire::{MAX_RESPONSE_BYTES, Malformed, decode},
};

/// Messages that may wait for the connection.
const OUTGOING: usize = 64;
/// Messages that may wait for room in either direction before no more are taken.
const MAX_WAITING: usize = 256;
/// How long the service may be silent if it does not say.
const DEFAULT_LEASE: Duration = Duration::from_secs(15);
/// How long the service may take to end the stream of a worker that leaves.
const FAREWELL: Duration = Duration::from_secs(2);

/// Why a stream is over.
#[derive(Debug)]
pub(super) enum Ended {
    /// The worker wants it so.
    Left,
    /// The connection is gone, for this reason.
    Lost(String),
    /// The service does not take this worker.
    Refused(Status),
}

/// When to stop.
pub(super) struct Shutdown<'a, F> {
    wish: Pin<&'a mut F>,
    drain_timeout: Duration,
    /// Once the wish is there: until when runs may go on.
    deadline: Option<Instant>,
}

impl<'a, F: Future<Output = ()>> Shutdown<'a, F> {
    pub(super) fn new(wish: Pin<&'a mut F>, drain_timeout: Duration) -> Self {
        Self {
            wish,
            drain_timeout,
            deadline: None,
        }
    }

    /// Completes when there is no more reason to connect: the worker is to stop, and has nothing
    /// under way or no time left.
    pub(super) async fn gives_up(&mut self, is_idle: bool) {
        if self.deadline.is_none() {
            self.wished().await;
        }
        if let Some(deadline) = self.deadline.filter(|_| !is_idle) {
            sleep_until(deadline).await;
        }
    }

    /// Completes once, when the worker is to stop.
    async fn wished(&mut self) {
        self.wish.as_mut().await;
        self.deadline = Some(Instant::now() + self.drain_timeout);
    }
}

/// A stream on which the service has said Welcome.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) resumed: bool,
    lease: Duration,
    incoming: Streaming<ConnectResponse>,
    outgoing: mpsc::Sender<ConnectRequest>,
}

/// Opens a stream.
pub(super) async fn open(channel: Channel, session: &mut Session) -> Result<Open, Ended> {
    let (outgoing, requests) = mpsc::channel(OUTGOING);
    // There is room for it.
    let _ = outgoing.try_send(session.hello());
    let mut client =
        WorkerServiceClient::new(channel).max_decoding_message_size(MAX_RESPONSE_BYTES);
    let answered = client.connect(ReceiverStream::new(requests)).await;
    let mut incoming = answered.map_err(ended)?.into_inner();
    let first = incoming.message().await.map_err(ended)?;
    let Some((received, Heard::Welcome(welcome))) =
        first.and_then(|first| Some((first.received, first.message?)))
    else {
        return Err(Ended::Lost("the service said no welcome".to_owned()));
    };
    session
        .welcomed(welcome.resumed, received)
        .map_err(nonsense)?;
    let lease = decode::optional_duration("lease", welcome.lease).map_err(nonsense)?;
    Ok(Open {
        resumed: welcome.resumed,
        lease: lease.unwrap_or(DEFAULT_LEASE),
        incoming,
        outgoing,
    })
}

fn nonsense(malformed: Malformed) -> Ended {
    Ended::Lost(format!("the service makes no sense: {malformed}"))
}

fn ended(status: Status) -> Ended {
    if is_final(&status) {
        Ended::Refused(status)
    } else {
        Ended::Lost(format!("{:?}: {}", status.code(), status.message()))
    }
}

/// What happens next on a stream.
enum Next {
    Heard(Result<Option<ConnectResponse>, Status>),
    Said(FromWorker),
    RoomOutside,
    RoomInside,
    Silence,
    Stop,
    Overdue,
}

impl Open {
    /// Carries messages between the service and the executions until the stream is over.
    pub(super) async fn pump<F: Future<Output = ()>>(
        mut self,
        session: &mut Session,
        link: &mut EngineLink,
        shutdown: &mut Shutdown<'_, F>,
    ) -> Ended {
        let mut silent_at = Instant::now() + self.lease;
        if shutdown.deadline.is_some() {
            session.close();
        }
        loop {
            let is_stopping = shutdown.deadline.is_some();
            if is_stopping && session.is_idle() && session.leaving.is_empty() {
                return self.leave().await;
            }
            let hears = session.arrived.len() < MAX_WAITING;
            let speaks = session.leaving.len() < MAX_WAITING;
            let overdue = shutdown.deadline.map(sleep_until);
            let next = select! {
                heard = self.incoming.message(), if hears => Next::Heard(heard),
                Some(said) = link.inbox.recv(), if speaks => Next::Said(said),
                Ok(_) = self.outgoing.reserve(), if !session.leaving.is_empty() => {
                    Next::RoomOutside
                }
                Ok(_) = link.outbox.reserve(), if !session.arrived.is_empty() => Next::RoomInside,
                () = sleep_until(silent_at), if hears => Next::Silence,
                () = shutdown.wished(), if !is_stopping => Next::Stop,
                Some(()) = OptionFuture::from(overdue) => Next::Overdue,
            };
            match next {
                Next::Heard(Ok(Some(heard))) => {
                    silent_at = Instant::now() + self.lease;
                    if let Err(malformed) = session.hear(heard) {
                        return nonsense(malformed);
                    }
                }
                Next::Heard(Ok(None)) => {
                    return Ended::Lost("the service ended the stream".to_owned());
                }
                Next::Heard(Err(status)) => {
                    if status.code() == Code::Aborted {
                        session.begin_anew();
                    }
                    return ended(status);
                }
                Next::Said(said) => session.say(said),
                // Nobody else sends here: the room that was found is there.
                Next::RoomOutside => {
                    if let Some(request) = session.next_to_send() {
                        let _ = self.outgoing.try_send(request);
                    }
                }
                Next::RoomInside => {
                    if let Some(message) = session.arrived.pop_front() {
                        let _ = link.outbox.try_send(message);
                    }
                }
                Next::Silence => {
                    return Ended::Lost(format!("the service was silent for {:?}", self.lease));
                }
                Next::Stop => session.close(),
                Next::Overdue => return self.leave().await,
            }
        }
    }

    /// Closes this side. What is left over goes to other workers.
    async fn leave(self) -> Ended {
        let Self {
            mut incoming,
            outgoing,
            ..
        } = self;
        drop(outgoing);
        let farewell = async { while let Ok(Some(_)) = incoming.message().await {} };
        // A service that is slow to hang up is not waited for.
        let _ = timeout(FAREWELL, farewell).await;
        Ended::Left
    }
}
