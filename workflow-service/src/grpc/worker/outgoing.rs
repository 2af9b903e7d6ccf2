//! What waits for a worker's connection.

use std::sync::Arc;

use futures::{StreamExt as _, stream::Map};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::Status;
use weft_proto::workflow::v1::ConnectResponse;

/// Messages that may wait for the connection, if they are small.
const MAX_MESSAGES: u32 = 64;
/// What a message has of them, so that all together hold 32 MiB at most, or one larger message.
const BYTES_EACH: usize = 512 * 1024;

/// A message, and its room in the queue, or what the stream ends with.
type Waiting = Result<(ConnectResponse, OwnedSemaphorePermit), Status>;

/// What the connection takes, in order.
pub(super) type Responses =
    Map<UnboundedReceiverStream<Waiting>, fn(Waiting) -> Result<ConnectResponse, Status>>;

/// Outgoing sends to the connection. Each message takes its room first, by its size.
pub(super) struct Outgoing {
    sender: mpsc::UnboundedSender<Waiting>,
    room: Arc<Semaphore>,
}

impl Outgoing {
    pub(super) fn new() -> (Self, Responses) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let room = Arc::new(Semaphore::new(MAX_MESSAGES as usize));
        let sent: fn(Waiting) -> Result<ConnectResponse, Status> =
            |waiting| waiting.map(|(response, _room)| response);
        (
            Self { sender, room },
            UnboundedReceiverStream::new(receiver).map(sent),
        )
    }

    /// Waits until there is room for a message of so many bytes. Never, if the connection is gone.
    pub(super) async fn room_for(&self, bytes: usize) -> OwnedSemaphorePermit {
        let share = u32::try_from(bytes / BYTES_EACH).unwrap_or(MAX_MESSAGES);
        let share = share.saturating_add(1).min(MAX_MESSAGES);
        let room = Arc::clone(&self.room).acquire_many_owned(share).await;
        match room {
            Ok(room) => room,
            // It is never closed.
            Err(_) => std::future::pending().await,
        }
    }

    /// Sends a message for which there is room.
    pub(super) fn send(&self, response: ConnectResponse, room: OwnedSemaphorePermit) {
        // Whether the connection is gone, `closed` tells.
        let _ = self.sender.send(Ok((response, room)));
    }

    /// Ends the stream, after what is sent.
    pub(super) fn end(&self, status: Status) {
        let _ = self.sender.send(Err(status));
    }

    /// Completes when the connection is gone.
    pub(super) async fn closed(&self) {
        self.sender.closed().await;
    }
}
