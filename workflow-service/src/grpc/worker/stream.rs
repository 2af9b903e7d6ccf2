//! One stream of a session.

use std::time::Duration;

use futures::future::OptionFuture;
use tokio::{
    select,
    sync::{OwnedSemaphorePermit, mpsc},
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status, Streaming};
use weft_proto::workflow::v1::ConnectRequest;
use weft_worker::protocol::ToWorker;

use super::{Arrival, outgoing::Outgoing, session::Session};
use crate::grpc::status;

/// How long runs may go on at workers once a drain has begun. Well within the drain's own bound.
const DRAIN_PATIENCE: Duration = Duration::from_secs(5);

/// Stream is one connection of a worker.
pub(super) struct Stream {
    pub(super) incoming: Streaming<ConnectRequest>,
    pub(super) outgoing: Outgoing,
}

/// Why a stream is over.
pub(super) enum Over {
    /// The worker will not come back, or is not to.
    Ended(String),
    /// It may come back.
    Lost(String),
    /// It has come back, and perhaps left this stream half open.
    Replaced(Box<Arrival>),
}

/// What happens next on a stream.
#[expect(clippy::large_enum_variant, reason = "one lives at a time")]
enum Next {
    Heard(Result<Option<ConnectRequest>, Status>),
    Said(Option<ToWorker>),
    RoomOutside(OwnedSemaphorePermit),
    RoomInside,
    Closed,
    Ask,
    Silence,
    Deafness,
    Arrived(Box<Arrival>),
    Drain,
    DrainOverdue,
}

impl Stream {
    /// Carries messages between a worker and the engine until the stream is over.
    pub(super) async fn pump(
        mut self,
        session: &mut Session,
        arrivals: &mut mpsc::Receiver<Box<Arrival>>,
        draining: &CancellationToken,
    ) -> Over {
        let (lease, mut heard_at) = (session.times.lease, Instant::now());
        let mut asks = tokio::time::interval_at(heard_at + lease / 3, lease / 3);
        let mut drained_at = None;
        // Since when there is something for the worker that it does not take.
        let mut deaf_since = heard_at;
        loop {
            let is_draining = drained_at.is_some();
            if is_draining && session.is_idle() && session.leaving.is_empty() {
                return self.end(status::worker_shutdown(), "the service shuts down");
            }
            // One that does not take the answers is not heard: what it says is answered too.
            let hears = !session.arrived.is_full() && !session.leaving.is_heavy();
            let speaks = !session.leaving.is_full();
            if !hears {
                heard_at = Instant::now();
            }
            if session.leaving.is_empty() {
                deaf_since = Instant::now();
            }
            let next = select! {
                heard = self.incoming.message(), if hears => Next::Heard(heard),
                said = session.link.inbox.recv(), if speaks => Next::Said(said),
                room = self.outgoing.room_for(session.leaving.next_bytes()),
                    if !session.leaving.is_empty() => Next::RoomOutside(room),
                Ok(_) = session.link.outbox.reserve(), if !session.arrived.is_empty() => {
                    Next::RoomInside
                }
                () = self.outgoing.closed() => Next::Closed,
                _ = asks.tick() => Next::Ask,
                () = sleep_until(heard_at + lease), if hears => Next::Silence,
                () = sleep_until(deaf_since + lease), if !session.leaving.is_empty() => {
                    Next::Deafness
                }
                Some(arrival) = arrivals.recv() => Next::Arrived(arrival),
                () = draining.cancelled(), if !is_draining => Next::Drain,
                Some(()) = OptionFuture::from(drained_at.map(sleep_until)) => Next::DrainOverdue,
            };
            match next {
                Next::Heard(Ok(Some(heard))) => {
                    heard_at = Instant::now();
                    if let Err(malformed) = session.hear(heard) {
                        let why = format!("it broke the protocol: {malformed}");
                        return self.end(status::protocol_violation(&malformed.0), &why);
                    }
                }
                Next::Heard(Ok(None)) => return Over::Ended("it left".to_owned()),
                Next::Heard(Err(status)) if is_too_large(&status) => {
                    let status = status::message_too_large();
                    let why = format!(
                        "it sent a message that cannot be read: {}",
                        status.message()
                    );
                    return self.end(status, &why);
                }
                Next::Heard(Err(status)) if is_senseless(&status) => {
                    let why = format!("it broke the protocol: {}", status.message());
                    return self.end(status::protocol_violation(status.message()), &why);
                }
                Next::Heard(Err(_)) | Next::Closed => {
                    return Over::Lost("its connection was lost".to_owned());
                }
                // The engine has stopped.
                Next::Said(None) => {
                    return self.end(status::worker_shutdown(), "the service shuts down");
                }
                Next::Said(Some(said)) => {
                    if let Err(malformed) = session.say(said) {
                        let why = format!("it broke the protocol: {malformed}");
                        return self.end(status::protocol_violation(&malformed.0), &why);
                    }
                }
                Next::RoomOutside(room) => {
                    deaf_since = Instant::now();
                    if let Some(response) = session.next_to_send() {
                        self.outgoing.send(response, room);
                    }
                }
                Next::RoomInside => session.pass_on(),
                Next::Ask => session.ping(),
                Next::Silence => {
                    let why = format!("it was silent for {lease:?}");
                    return self.end(status::lease_lost(&why), &why);
                }
                Next::Deafness => {
                    let why = format!("it took no message for {lease:?}");
                    return self.end(status::lease_lost(&why), &why);
                }
                Next::Arrived(arrival) => {
                    // This stream may be half open. If it is not, another process has the same session.
                    self.outgoing.end(status::session_taken());
                    return Over::Replaced(arrival);
                }
                Next::Drain => {
                    session.close();
                    drained_at = Some(Instant::now() + DRAIN_PATIENCE);
                }
                Next::DrainOverdue => {
                    return self.end(status::worker_shutdown(), "the service shuts down");
                }
            }
        }
    }

    /// Tells the worker why its stream ends, if it still listens.
    fn end(self, status: Status, why: &str) -> Over {
        self.outgoing.end(status);
        Over::Ended(why.to_owned())
    }
}

/// Whether a message arrives that has more bytes than are read. Nobody knows what it is about.
fn is_too_large(status: &Status) -> bool {
    is_ours(status) && matches!(status.code(), Code::OutOfRange | Code::ResourceExhausted)
}

/// Whether what arrived is no message, as opposed to nothing that arrives any more.
fn is_senseless(status: &Status) -> bool {
    is_ours(status) && status.code() == Code::Internal
}

/// Why there is no first message: a Hello that cannot be read makes no more sense the next time.
pub(super) fn of_first(status: Status) -> Status {
    match is_too_large(&status) || is_senseless(&status) {
        true => status::protocol_violation(status.message()),
        false => status,
    }
}

fn is_ours(status: &Status) -> bool {
    std::error::Error::source(status).is_none()
}
