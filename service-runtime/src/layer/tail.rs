//! A response body that can be ended from outside, and holds what must live as long.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use http::HeaderMap;
use http_body::Frame;
use tonic::{Status, body::Body};

/// When to end a body early, and with which status.
pub(super) type End = Pin<Box<dyn Future<Output = Status> + Send>>;

/// `body`, cut short with a status in its trailers if `end` comes first. `held` is dropped before
/// the caller can see the end.
pub(super) fn tail<T: Unpin + Send + 'static>(body: Body, end: Option<End>, held: T) -> Body {
    Body::new(Tail {
        body: Some(body),
        end,
        held: Some(held),
    })
}

struct Tail<T> {
    body: Option<Body>,
    end: Option<End>,
    held: Option<T>,
}

impl<T: Unpin> http_body::Body for Tail<T> {
    type Data = <Body as http_body::Body>::Data;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Status>>> {
        let Self { body, end, held } = &mut *self;
        let Some(inner) = body else {
            return Poll::Ready(None);
        };
        // First, so that a body that always has data can be ended as well.
        if let Some(Poll::Ready(status)) = end.as_mut().map(|end| end.as_mut().poll(cx)) {
            *body = None;
            *held = None;
            let mut trailers = HeaderMap::new();
            return Poll::Ready(Some(
                status
                    .add_header(&mut trailers)
                    .map(|()| Frame::trailers(trailers)),
            ));
        }
        let frame = Pin::new(inner).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &frame
            && frame.is_trailers()
        {
            *held = None;
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body
            .as_ref()
            .is_none_or(http_body::Body::is_end_stream)
    }
}
