//! What every call goes through, outermost first.
//!
//! # Layout
//! - [`call`]: one log line, metrics and the request id
//! - [`catch_panic`]: a panic becomes INTERNAL
//! - [`explain`]: answers that reach no handler carry `ErrorInfo` too
//! - [`drain`]: refuses calls after a drain began, ends those that outlast it
//! - [`admission`]: refuses calls beyond what the process can take
//! - [`context`]: deadline and principal
//! - [`tail`]: a response body that can be ended from outside

pub(crate) mod admission;
pub(crate) mod call;
pub(crate) mod catch_panic;
pub(crate) mod context;
pub(crate) mod drain;
pub(crate) mod explain;
mod tail;

use std::{convert::Infallible, pin::Pin};

use http::{Request, Response};
use tonic::body::Body;
use tower::Service;

/// A service as layers wrap and make it. Errors are responses too, so that it never fails.
pub(crate) trait Inner:
    Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send + 'static>
    + Clone
    + Send
    + 'static
{
}

impl<S> Inner for S where
    S: Service<
            Request<Body>,
            Response = Response<Body>,
            Error = Infallible,
            Future: Send + 'static,
        > + Clone
        + Send
        + 'static
{
}

/// The future of a layer.
type Answer = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;
