//! Refuses calls after a drain began, and ends those that outlast it.

use std::{sync::Arc, time::Duration};

use http::Request;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status, body::Body};

use super::{
    Answer, Around, Inner,
    tail::{End, tail},
};
use crate::{StatusBuilder, methods::Method, status::DOMAIN};

/// The reason that callers are told.
pub(super) const SHUTTING_DOWN: &str = "SHUTTING_DOWN";

#[derive(Clone)]
pub(crate) struct StopCalls {
    /// No new calls from here on.
    pub(crate) draining: CancellationToken,
    /// No calls at all from here on.
    pub(crate) aborted: CancellationToken,
}

impl Around for StopCalls {
    fn answer(&self, request: Request<Body>, inner: &mut impl Inner) -> Answer {
        let method = request.extensions().get::<Arc<Method>>();
        let infrastructure = method.is_some_and(|method| method.infrastructure);
        let watch = infrastructure && method.is_some_and(|method| method.streaming);

        let StopCalls { draining, aborted } = self.clone();
        if draining.is_cancelled() && !infrastructure {
            return Box::pin(async { Ok(shutting_down().into_http()) });
        }
        // Who watches health or reflects has nothing to finish.
        let ended = if watch { draining } else { aborted };
        let answer = inner.call(request);
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
    StatusBuilder::new(Code::Unavailable, DOMAIN, SHUTTING_DOWN, message)
        .retry_after(Duration::ZERO)
        .build()
}
