//! Refuses calls after a drain began, and ends those that outlast it.

use std::{sync::Arc, time::Duration};

use http::Request;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status, body::Body};

use super::{
    Answer, Around, Inner,
    tail::{End, tail},
};
use crate::{StatusBuilder, methods::Kind, status::DOMAIN};

/// The reason that callers are told.
pub(super) const SHUTTING_DOWN: &str = "SHUTTING_DOWN";

pub(crate) struct StopCalls {
    /// No new calls from here on.
    pub(crate) draining: CancellationToken,
    /// No calls at all from here on.
    pub(crate) aborted: CancellationToken,
}

impl Around for StopCalls {
    fn answer(self: &Arc<Self>, request: Request<Body>, inner: &mut impl Inner) -> Answer {
        let Kind {
            streaming,
            infrastructure,
        } = Kind::of(&request);
        if self.draining.is_cancelled() && !infrastructure {
            return Box::pin(async { Ok(shutting_down().into_http()) });
        }
        // Who watches health or reflects has nothing to finish.
        let watches = streaming && infrastructure;
        let stop = Arc::clone(self);
        let stopped = async move {
            let ended = if watches {
                &stop.draining
            } else {
                &stop.aborted
            };
            ended.cancelled().await;
            shutting_down()
        };
        let answer = inner.call(request);
        Box::pin(async move {
            let mut stopped: End = Box::pin(stopped);
            tokio::select! {
                biased;
                response = answer => response.map(|response| match streaming {
                    true => response.map(|body| tail(body, Some(stopped), ())),
                    false => response,
                }),
                status = &mut stopped => Ok(status.into_http()),
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
