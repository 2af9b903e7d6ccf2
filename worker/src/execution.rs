//! One execution of a run: the entrypoint's code, fed with outcomes in commit order.

use std::{panic::AssertUnwindSafe, sync::Arc, task::Poll, time::Duration};

use futures::FutureExt as _;
use tokio::{pin, select, sync::mpsc, time::Instant};

use crate::{
    CallId, Clock, Context, Entrypoint, Failure,
    pending::panicked,
    protocol::{Finish, FromWorker, Outcome, StartRun, Suspend, WorkerMessage},
    state::ExecutionState,
};

/// How long code may rest without making a call that is recorded before it counts as changed.
/// Long enough for anything an entrypoint does between calls, which should be next to nothing.
const HELD_BACK_LIMIT: Duration = Duration::from_secs(10);

/// What the worker passes on to an execution.
#[derive(Debug)]
pub(crate) enum Reply {
    /// A record is committed.
    Ack(CallId, Outcome),
    /// A task is to be tried again.
    Retry(CallId, Duration),
    /// The run is to stop, for this reason.
    Cancel(String),
}

/// Executes a run until it finishes. Dropping the future ends it without a word.
pub(crate) async fn execute(
    entrypoint: Entrypoint,
    start: StartRun,
    clock: Clock,
    outbox: mpsc::Sender<FromWorker>,
    mut replies: mpsc::Receiver<Reply>,
) {
    let input = Arc::clone(&start.input);
    let state = Arc::new(ExecutionState::new(start, clock, outbox));
    let context = Context::new(Arc::clone(&state));
    let code = AssertUnwindSafe(async { (entrypoint.function)(context, input).await });
    let code = code.catch_unwind();
    pin!(code);

    let mut last_progress = Instant::now();
    let last_word = loop {
        select! {
            biased;
            // The code goes first, so that it rests before it is given the next outcome.
            returned = &mut code => {
                let finish = match (state.replay().mismatch_at_end(), returned) {
                    (Some(mismatch), _) => Finish::Mismatch(mismatch),
                    (None, Ok(Ok(done))) => {
                        Finish::Returned { value: done.value, saved: done.saved }
                    }
                    (None, Ok(Err(failure))) => {
                        Finish::Failed { failure, retry: entrypoint.retry }
                    }
                    (None, Err(panic)) => Finish::Failed {
                        failure: panicked(panic.as_ref()),
                        retry: entrypoint.retry,
                    },
                };
                break WorkerMessage::Finish(Box::new(finish));
            }
            mismatch = found_mismatch(&state) => {
                break WorkerMessage::Finish(Box::new(Finish::Mismatch(mismatch)));
            }
            () = release_next(&state) => last_progress = Instant::now(),
            suspend = can_only_wait(&state) => break WorkerMessage::Suspend(Box::new(suspend)),
            reply = replies.recv() => match reply {
                Some(Reply::Ack(call, outcome)) => state.replay().acknowledge(call, outcome),
                Some(Reply::Retry(call, after)) => state.replay().retry(&call, after),
                Some(Reply::Cancel(reason)) => state.cancel(reason),
                // Fenced: nothing that happens here counts any longer.
                None => return,
            },
            () = tokio::time::sleep_until(last_progress + HELD_BACK_LIMIT),
                if state.replay().is_held_back() =>
            {
                // A task that is still at work may yet make the call.
                match state.replay().mismatch_at_end() {
                    Some(mismatch) if state.is_idle() => {
                        break WorkerMessage::Finish(Box::new(Finish::Mismatch(mismatch)));
                    }
                    _ => last_progress = Instant::now(),
                }
            }
        }
    };
    state.send(last_word).await;
}

/// Completes when an outcome was released. Polled anew whenever anything else happens.
async fn release_next(state: &ExecutionState) {
    std::future::poll_fn(|_| {
        if state.replay().release_next() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
}

/// Completes when the code can only wait for something outside.
async fn can_only_wait(state: &ExecutionState) -> Suspend {
    std::future::poll_fn(|_| state.suspension().map_or(Poll::Pending, Poll::Ready)).await
}

async fn found_mismatch(state: &ExecutionState) -> Failure {
    std::future::poll_fn(|_| state.replay().mismatch().map_or(Poll::Pending, Poll::Ready)).await
}
