//! The way to a store's one writer.

use std::sync::{Mutex, PoisonError};

use tokio::sync::{mpsc, oneshot};

use super::StoreError;

/// The way to the one that writes, until the store is closed.
#[derive(Debug)]
pub(super) struct Commands<C>(Mutex<Option<mpsc::Sender<C>>>);

impl<C> Commands<C> {
    /// The way to whoever receives what is sent.
    pub(super) fn new(sender: mpsc::Sender<C>) -> Self {
        Self(Mutex::new(Some(sender)))
    }

    /// Sends a command and waits for its answer.
    pub(super) async fn ask<T, E: From<StoreError>>(
        &self,
        command: impl FnOnce(oneshot::Sender<Result<T, E>>) -> C,
    ) -> Result<T, E> {
        let sender = self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let (reply, answer) = oneshot::channel();
        let sent = match sender {
            Some(sender) => sender.send(command(reply)).await.is_ok(),
            None => false,
        };
        if !sent {
            return Err(closed().into());
        }
        let lost = || StoreError::Internal("the write ended without an answer".into());
        answer.await.unwrap_or_else(|_| Err(lost().into()))
    }

    /// Takes no more commands; the writer ends when it has done those that were sent.
    pub(super) fn close(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

/// What calls of a closed store fail with.
pub(super) fn closed() -> StoreError {
    StoreError::Unavailable("it is closed".into())
}
