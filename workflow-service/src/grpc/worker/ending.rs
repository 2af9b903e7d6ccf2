//! How the requests of a stream end.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use http_body::{Frame, SizeHint};
use tonic::{
    Status,
    body::Body,
    codegen::{Bytes, Service, http::Request},
    server::NamedService,
};

/// TellsResets is a gRPC service that is told of a stream that was reset. By itself it is not: tonic
/// ends the requests of one that was cancelled as if the client had closed its side.
#[derive(Clone, Debug)]
pub struct TellsResets<S>(pub S);

impl<S: NamedService> NamedService for TellsResets<S> {
    const NAME: &'static str = S::NAME;
}

impl<S: Service<Request<Body>>> Service<Request<Body>> for TellsResets<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> S::Future {
        self.0.call(request.map(|body| Body::new(Requests(body))))
    }
}

/// The body of a request. To be cut off is an error of it, and not an end.
struct Requests(Body);

impl http_body::Body for Requests {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = ready!(Pin::new(&mut self.0).poll_frame(cx));
        let lost = |_| Status::unavailable("the stream was reset, or its connection lost");
        Poll::Ready(frame.map(|frame| frame.map_err(lost)))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}
