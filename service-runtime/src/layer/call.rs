//! One log line and one set of metrics for every call, and its request id.

use std::{
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    thread,
    time::Instant,
};

use http::{HeaderName, HeaderValue, Request};
use http_body::Frame;
use tokio_util::task::{TaskTracker, task_tracker::TaskTrackerToken};
use tonic::{Code, Status, body::Body, transport::server::TcpConnectInfo};
use tonic_types::StatusExt as _;
use tracing::{Instrument as _, Span, debug, error, field, info, warn};
use uuid::Uuid;

use super::{Answer, Around, Inner, drain::SHUTTING_DOWN};
use crate::methods::{Method, Methods, name_of};

/// Names a call in logs on both sides.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The id of a call, for inner layers.
#[derive(Clone, Copy)]
pub(crate) struct RequestId(pub(crate) Uuid);

pub(crate) struct Observe {
    pub(crate) methods: Arc<Methods>,
    /// Holds a token for every call until its last byte.
    pub(crate) calls: TaskTracker,
}

impl Around for Observe {
    fn answer(self: &Arc<Self>, mut request: Request<Body>, inner: &mut impl Inner) -> Answer {
        let request_id = request_id(&request);
        let call = Call::begin(self, &request, request_id);
        request.extensions_mut().insert(RequestId(request_id));
        request.extensions_mut().insert(call.method.kind);

        let answer = call
            .span
            .in_scope(|| inner.call(request))
            .instrument(call.span.clone());
        Box::pin(async move {
            let mut call = call;
            let mut response = answer.await?;
            call.end(Status::from_header_map(response.headers()));
            if let Ok(value) = HeaderValue::try_from(request_id.to_string()) {
                response.headers_mut().insert(REQUEST_ID, value);
            }
            Ok(response.map(|body| Body::new(CallBody { body, call })))
        })
    }
}

fn request_id(request: &Request<Body>) -> Uuid {
    let sent = request.headers().get(REQUEST_ID);
    sent.and_then(|id| Uuid::try_parse_ascii(id.as_bytes()).ok())
        .unwrap_or_else(Uuid::now_v7)
}

/// A call that has begun; recorded as ended when dropped, since that is how calls end that are
/// abandoned by their callers.
struct Call {
    method: Arc<Method>,
    span: Span,
    peer: Option<SocketAddr>,
    started: Instant,
    /// The status that was sent, or is about to be.
    end: Option<(Code, String)>,
    _token: TaskTrackerToken,
}

impl Call {
    fn begin(layer: &Observe, request: &Request<Body>, request_id: Uuid) -> Self {
        let path = request.uri().path();
        let method = layer.methods.at(path);
        method.record_start();
        // Of the highest level, so that what is logged inside of a call can always be told apart.
        let span = tracing::error_span!(
            "call",
            method = path.trim_start_matches('/'),
            %request_id,
            principal = field::Empty,
        );
        let connection = request.extensions().get::<TcpConnectInfo>();
        Self {
            method,
            span,
            peer: connection.and_then(TcpConnectInfo::remote_addr),
            started: Instant::now(),
            end: None,
            _token: layer.calls.token(),
        }
    }

    fn end(&mut self, status: Option<Status>) {
        self.end = status.map(|status| {
            let reason = match status.code() {
                Code::Ok => None,
                _ => status.get_details_error_info().map(|info| info.reason),
            };
            (status.code(), reason.unwrap_or_default())
        });
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let abandoned = if thread::panicking() {
            Code::Internal
        } else {
            Code::Cancelled
        };
        let (code, reason) = self.end.take().unwrap_or((abandoned, String::new()));
        let duration = self.started.elapsed();
        self.method.record_end(code, duration);

        let _entered = self.span.enter();
        let (name, ms) = (name_of(code), duration.as_micros() as f64 / 1000.0);
        let peer = self.peer.map(field::display);
        macro_rules! log {
            ($level:ident) => {
                $level!(code = name, reason, ms, peer, "call")
            };
        }
        match code {
            // Nothing is wrong with a restart.
            Code::Unavailable if reason == SHUTTING_DOWN => log!(info),
            // Probes come every few seconds.
            Code::Ok if self.method.kind.infrastructure => log!(debug),
            Code::Cancelled => log!(debug),
            Code::Unknown | Code::Internal | Code::DataLoss => log!(error),
            Code::ResourceExhausted | Code::Unavailable => log!(warn),
            Code::Ok
            | Code::InvalidArgument
            | Code::DeadlineExceeded
            | Code::NotFound
            | Code::AlreadyExists
            | Code::PermissionDenied
            | Code::FailedPrecondition
            | Code::Aborted
            | Code::OutOfRange
            | Code::Unimplemented
            | Code::Unauthenticated => log!(info),
        }
    }
}

struct CallBody {
    body: Body,
    call: Call,
}

impl http_body::Body for CallBody {
    type Data = <Body as http_body::Body>::Data;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Status>>> {
        let Self { body, call } = &mut *self;
        let frame = call.span.in_scope(|| Pin::new(body).poll_frame(cx));
        if let Poll::Ready(Some(Ok(frame))) = &frame
            && let Some(trailers) = frame.trailers_ref()
        {
            call.end(Status::from_header_map(trailers));
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}
