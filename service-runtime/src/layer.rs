//! What every call goes through, outermost first.
//!
//! # Layout
//! - [`call`]: one log line, metrics and the request id
//! - [`catch_panic`]: a panic becomes INTERNAL
//! - [`explain`]: answers that reach no handler carry `ErrorInfo` too
//! - [`drain`]: refuses calls after a drain began, ends those that outlast it
//! - [`admission`]: refuses calls beyond what the process can take
//! - [`context`]: deadline and principal
//! - `tail`: a response body that can be ended from outside

pub(crate) mod admission;
pub(crate) mod call;
pub(crate) mod catch_panic;
pub(crate) mod context;
pub(crate) mod drain;
pub(crate) mod explain;
mod tail;

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response};
use tonic::body::Body;
use tower::{Layer, Service, layer::layer_fn};

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

/// The future of a layered service.
pub(crate) type Answer = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

/// What one layer does around the services inside of it.
pub(crate) trait Around: Send + Sync + 'static {
    /// Answers `request`, usually by what `inner` answers. `inner` is ready.
    fn answer(self: &Arc<Self>, request: Request<Body>, inner: &mut impl Inner) -> Answer;
}

/// Makes a tower layer of what goes around.
pub(crate) fn layer<A, S>(around: A) -> impl Layer<S, Service = Layered<A, S>> {
    let around = Arc::new(around);
    layer_fn(move |inner| Layered {
        around: Arc::clone(&around),
        inner,
    })
}

/// A service with one layer around it. Services are cloned for every call.
pub(crate) struct Layered<A, S> {
    around: Arc<A>,
    inner: S,
}

impl<A, S: Clone> Clone for Layered<A, S> {
    fn clone(&self) -> Self {
        Self {
            around: Arc::clone(&self.around),
            inner: self.inner.clone(),
        }
    }
}

impl<A: Around, S: Inner> Service<Request<Body>> for Layered<A, S> {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Answer {
        self.around.answer(request, &mut self.inner)
    }
}
