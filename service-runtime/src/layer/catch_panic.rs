//! A panic in a handler becomes INTERNAL, and the process lives.
//!
//! tower-http has such a layer; it does not watch response bodies, which is where streams run.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures::FutureExt as _;
use http::{HeaderMap, Request};
use http_body::Frame;
use tonic::{Code, Status, body::Body};

use super::{Answer, Around, Inner};
use crate::{StatusBuilder, status::DOMAIN};

pub(crate) struct CatchPanic;

impl Around for CatchPanic {
    fn answer(self: &Arc<Self>, request: Request<Body>, inner: &mut impl Inner) -> Answer {
        let answer = inner.call(request);
        Box::pin(async move {
            match AssertUnwindSafe(answer).catch_unwind().await {
                Ok(response) => response.map(|response| {
                    response.map(|body| Body::new(CaughtBody { body: Some(body) }))
                }),
                Err(_) => Ok(internal().into_http()),
            }
        })
    }
}

/// What callers see of a panic. The panic hook has logged the rest.
fn internal() -> Status {
    let message = "the service failed to answer: this is a bug in it";
    StatusBuilder::new(Code::Internal, DOMAIN, "INTERNAL", message).build()
}

struct CaughtBody {
    body: Option<Body>,
}

impl http_body::Body for CaughtBody {
    type Data = <Body as http_body::Body>::Data;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Status>>> {
        let Some(body) = &mut self.body else {
            return Poll::Ready(None);
        };
        let poll = AssertUnwindSafe(|| Pin::new(body).poll_frame(cx));
        catch_unwind(poll).unwrap_or_else(|_| {
            self.body = None;
            let mut trailers = HeaderMap::new();
            Poll::Ready(Some(
                internal()
                    .add_header(&mut trailers)
                    .map(|()| Frame::trailers(trailers)),
            ))
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body
            .as_ref()
            .is_none_or(http_body::Body::is_end_stream)
    }
}
