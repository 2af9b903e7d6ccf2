//! Refuses calls beyond what the process can take, at once: queues only make callers wait for
//! answers that they no longer want.

use std::{sync::Arc, time::Duration};

use http::Request;
use tokio::sync::Semaphore;
use tonic::{Code, Status, body::Body};

use super::{Answer, Around, Inner, tail::tail};
use crate::{StatusBuilder, methods::Kind, status::DOMAIN};

/// How long to wait before another try: long enough for most of the calls in flight to end.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Separate limits, so that streams that stay open do not take the place of calls.
pub(crate) struct Admit {
    calls: Arc<Semaphore>,
    streams: Arc<Semaphore>,
}

impl Admit {
    pub(crate) fn new(max_calls: usize, max_streams: usize) -> Self {
        let semaphore =
            |permits: usize| Arc::new(Semaphore::new(permits.min(Semaphore::MAX_PERMITS)));
        Self {
            calls: semaphore(max_calls),
            streams: semaphore(max_streams),
        }
    }
}

impl Around for Admit {
    fn answer(self: &Arc<Self>, request: Request<Body>, inner: &mut impl Inner) -> Answer {
        let Kind {
            streaming,
            infrastructure,
        } = Kind::of(&request);
        if infrastructure {
            return Box::pin(inner.call(request));
        }
        let semaphore = if streaming {
            &self.streams
        } else {
            &self.calls
        };
        let Ok(permit) = Arc::clone(semaphore).try_acquire_owned() else {
            return Box::pin(async { Ok(overloaded().into_http()) });
        };
        let answer = inner.call(request);
        Box::pin(async move {
            let response = answer.await?;
            Ok(response.map(|body| tail(body, None, permit)))
        })
    }
}

fn overloaded() -> Status {
    let message = "the service has as many calls in flight as it takes; try again later";
    StatusBuilder::new(Code::ResourceExhausted, DOMAIN, "OVERLOADED", message)
        .retry_after(RETRY_AFTER)
        .build()
}
