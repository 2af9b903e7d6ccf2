//! One execution of a run: the entrypoint's code, fed with outcomes in commit order.

use std::{
    future::poll_fn, panic::AssertUnwindSafe, pin::Pin, sync::Arc, task::Poll, time::Duration,
};

use futures::{FutureExt as _, StreamExt as _, stream::FuturesUnordered};
use tokio::{
    pin, select,
    sync::mpsc,
    time::{Instant, Sleep},
};

use crate::{
    CallId, Clock, Context, Entrypoint, Failure,
    attempt::panicked,
    protocol::{Finish, FromWorker, Outcome, StartRun, Suspend, WorkerMessage},
    state::{DroppedCall, ExecutionState},
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
    let state = Arc::new(ExecutionState::new(
        start,
        clock,
        outbox,
        entrypoint.is_strict,
    ));
    // Outlives the code: what that lets go of when it is dropped refers to the state.
    let _dropped = StopDropped(Arc::clone(&state));
    let context = Context::new(Arc::clone(&state));
    let code = AssertUnwindSafe(async { (entrypoint.function)(context, input).await });
    let code = code.catch_unwind();
    pin!(code);
    // The calls that code lets go of and goes on are stopped. If it ends, they may end as well.
    let mut code = poll_fn(|context| {
        let polled = code.as_mut().poll(context);
        if polled.is_pending() {
            state.stop_dropped();
        }
        polled
    });
    // The failure of the code, while calls that it waited for end.
    let mut failing: Option<Failing> = None;

    let mut last_progress = Instant::now();
    let last_word = loop {
        select! {
            biased;
            // The code goes first, so that it rests before it is given the next outcome.
            returned = &mut code, if failing.is_none() => {
                let finish = match (state.replay().mismatch_at_end(), returned) {
                    (Some(mismatch), _) => Finish::Mismatch(mismatch),
                    (None, Ok(Ok(done))) => {
                        Finish::Returned { value: done.value, saved: done.saved }
                    }
                    (None, Ok(Err(failure))) => {
                        failing = Some(Failing::new(failure, &state, entrypoint.sibling_grace));
                        continue;
                    }
                    (None, Err(panic)) => {
                        let failure = panicked(panic.as_ref());
                        failing = Some(Failing::new(failure, &state, entrypoint.sibling_grace));
                        continue;
                    }
                };
                break WorkerMessage::Finish(Box::new(finish));
            }
            mismatch = found_mismatch(&state) => {
                break WorkerMessage::Finish(Box::new(Finish::Mismatch(mismatch)));
            }
            failure = siblings_end(&mut failing, &state) => {
                let retry = entrypoint.retry;
                break WorkerMessage::Finish(Box::new(Finish::Failed { failure, retry }));
            }
            () = release_next(&state) => last_progress = Instant::now(),
            // After the code, so that what it has just streamed is sent.
            never = state.outbox.forward() => match never {},
            suspend = can_only_wait(&state), if failing.is_none() => break WorkerMessage::Suspend(Box::new(suspend)),
            reply = replies.recv() => match reply {
                Some(Reply::Ack(call, outcome)) => state.replay().acknowledge(call, outcome),
                Some(Reply::Retry(call, after)) => state.replay().retry(&call, after),
                Some(Reply::Cancel(reason)) => state.cancel(reason),
                // Fenced: nothing that happens here counts any longer.
                None => return,
            },
            () = tokio::time::sleep_until(last_progress + HELD_BACK_LIMIT),
                if failing.is_none() && state.replay().is_held_back() =>
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
    state.outbox.send(last_word).await;
}

/// Failing is a failure of the code, and the calls that it was waiting for.
struct Failing {
    failure: Failure,
    siblings: FuturesUnordered<DroppedCall>,
    grace: Pin<Box<Sleep>>,
}

impl Failing {
    fn new(failure: Failure, state: &ExecutionState, grace: Duration) -> Self {
        Self {
            failure,
            siblings: state.take_dropped().into_iter().collect(),
            grace: Box::pin(tokio::time::sleep(grace)),
        }
    }
}

/// Completes with the failure of the code once nothing that it was waiting for is at work, or that
/// had time enough. What waits for an answer or a timer is not waited for.
async fn siblings_end(failing: &mut Option<Failing>, state: &ExecutionState) -> Failure {
    let Some(failing) = failing else {
        return std::future::pending().await;
    };
    poll_fn(|context| {
        while let Poll::Ready(Some(_)) = failing.siblings.poll_next_unpin(context) {}
        let is_over = failing.siblings.is_empty()
            || (state.is_idle() && state.replay().is_settled())
            || failing.grace.as_mut().poll(context).is_ready();
        if is_over {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
    failing.failure.clone()
}

/// Stops what code has let go of when the execution ends.
struct StopDropped(Arc<ExecutionState>);

impl Drop for StopDropped {
    fn drop(&mut self) {
        self.0.stop_dropped();
    }
}

/// Completes when an outcome was released. Polled anew whenever anything else happens.
async fn release_next(state: &ExecutionState) {
    poll_fn(|_| {
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
    poll_fn(|_| state.suspension().map_or(Poll::Pending, Poll::Ready)).await
}

async fn found_mismatch(state: &ExecutionState) -> Failure {
    poll_fn(|_| state.replay().mismatch().map_or(Poll::Pending, Poll::Ready)).await
}
