//! Refuses calls after a drain began, and ends those that outlast it.

use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::{Request, Response};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status, body::Body};
use tower::{Layer, Service};

use super::{
    Answer, Inner,
    tail::{End, tail},
};
use crate::{StatusBuilder, methods::Method, status::DOMAIN};

#[derive(Clone)]
pub(crate) struct DrainLayer {
    /// No new calls from here on.
    pub(crate) draining: CancellationToken,
    /// No calls at all from here on.
    pub(crate) aborted: CancellationToken,
}

impl<S> Layer<S> for DrainLayer {
    type Service = Drain<S>;

    fn layer(&self, inner: S) -> Drain<S> {
        Drain {
            layer: self.clone(),
            inner,
        }
    }
}

#[derive(Clone)]
pub(crate) struct Drain<S> {
    layer: DrainLayer,
    inner: S,
}

impl<S: Inner> Service<Request<Body>> for Drain<S> {
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Answer;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Answer {
        let method = request.extensions().get::<Arc<Method>>();
        let infrastructure = method.is_some_and(|method| method.infrastructure);
        let watch = infrastructure && method.is_some_and(|method| method.streaming);

        let DrainLayer { draining, aborted } = self.layer.clone();
        if draining.is_cancelled() && !infrastructure {
            return Box::pin(async { Ok(shutting_down().into_http()) });
        }
        // Who watches health or reflects has nothing to finish.
        let ended = if watch { draining } else { aborted };
        let answer = self.inner.call(request);
        Box::pin(async move {
            tokio::select! {
                biased;
                response = answer => {
                    let end: End = Box::pin(async move {
                        ended.cancelled_owned().await;
                        shutting_down()
                    });
                    response.map(|response| response.map(|body| tail(body, Some(end), ())))
                }
                () = ended.cancelled() => Ok(shutting_down().into_http()),
            }
        })
    }
}

fn shutting_down() -> Status {
    let message = "the service is shutting down; try again, on another replica if there is one";
    StatusBuilder::new(Code::Unavailable, DOMAIN, "SHUTTING_DOWN", message)
        .retry_after(Duration::ZERO)
        .build()
}
