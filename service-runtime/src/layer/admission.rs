//! Refuses calls beyond what the process can take, at once: queues only make callers wait for
//! answers that they no longer want.

use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::{Request, Response};
use tokio::sync::Semaphore;
use tonic::{Code, Status, body::Body};
use tower::{Layer, Service};

use super::{Answer, Inner, tail::tail};
use crate::{StatusBuilder, methods::Method, status::DOMAIN};

/// How long to wait before another try: long enough for most of the calls in flight to end.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Separate limits, so that streams that stay open do not take the place of calls.
#[derive(Clone)]
pub(crate) struct AdmissionLayer {
    calls: Arc<Semaphore>,
    streams: Arc<Semaphore>,
}

impl AdmissionLayer {
    pub(crate) fn new(max_calls: usize, max_streams: usize) -> Self {
        let semaphore =
            |permits: usize| Arc::new(Semaphore::new(permits.min(Semaphore::MAX_PERMITS)));
        Self {
            calls: semaphore(max_calls),
            streams: semaphore(max_streams),
        }
    }
}

impl<S> Layer<S> for AdmissionLayer {
    type Service = Admission<S>;

    fn layer(&self, inner: S) -> Admission<S> {
        Admission {
            layer: self.clone(),
            inner,
        }
    }
}

#[derive(Clone)]
pub(crate) struct Admission<S> {
    layer: AdmissionLayer,
    inner: S,
}

impl<S: Inner> Service<Request<Body>> for Admission<S> {
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Answer;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Answer {
        let method = request.extensions().get::<Arc<Method>>();
        if method.is_some_and(|method| method.infrastructure) {
            return Box::pin(self.inner.call(request));
        }
        let semaphore = if method.is_some_and(|method| method.streaming) {
            &self.layer.streams
        } else {
            &self.layer.calls
        };
        let Ok(permit) = Arc::clone(semaphore).try_acquire_owned() else {
            return Box::pin(async { Ok(overloaded().into_http()) });
        };
        let answer = self.inner.call(request);
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
