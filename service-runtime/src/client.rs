//! Channels to other services, and requests that carry their deadline on.

use std::{error::Error as _, time::Duration};

use http::{Uri, uri::Scheme};
use serde::{Deserialize, Serialize};
use tonic::{
    Code, Request, Status, TimeoutExpired,
    metadata::MetadataValue,
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint},
};

use crate::{Deadline, RequestContext, StatusBuilder, config::human, status::DOMAIN};

/// Left of a deadline for the way back, so that a caller learns from us what did not answer
/// before its own patience ends.
const HOP_MARGIN: Duration = Duration::from_millis(50);

/// The least time that is sent on. Zero would be refused before it is tried.
const MIN_TIMEOUT: Duration = Duration::from_millis(1);

/// As on the server: messages of megabytes should not wait for 64 KiB windows.
const WINDOW_BYTES: u32 = 1 << 20;

/// How to reach another service. Durations are written as `10s`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ChannelSettings {
    /// How long a connection may take to come about.
    #[serde(with = "human::duration")]
    pub connect_timeout: Duration,
    /// How long any call may take until its answer begins, whatever its deadline.
    #[serde(with = "human::duration")]
    pub call_timeout: Duration,
    /// How often a silent connection is asked whether it lives, also when it is idle.
    #[serde(with = "human::duration")]
    pub keepalive_interval: Duration,
    /// How long it may take to answer before it is closed.
    #[serde(with = "human::duration")]
    pub keepalive_timeout: Duration,
}

impl Default for ChannelSettings {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(2),
            call_timeout: Duration::from_secs(10),
            keepalive_interval: Duration::from_secs(30),
            keepalive_timeout: Duration::from_secs(10),
        }
    }
}

/// A channel to `url` that connects when it is first used, and again when it was lost.
///
/// `https` is checked against the roots of the operating system. Must be called in a tokio runtime.
///
/// # Errors
/// [`ChannelError`] if `url` is not of the form `http://host:port` or `https://host:port`.
pub fn connect_lazy(url: &str, settings: &ChannelSettings) -> Result<Channel, ChannelError> {
    connect_lazy_trusting(url, None, settings)
}

/// As [`connect_lazy`], where `https` is checked against these roots, in PEM, as well as against
/// those of the operating system.
///
/// # Errors
/// As [`connect_lazy`]; and if the roots cannot be read.
pub fn connect_lazy_trusting(
    url: &str,
    roots: Option<&[u8]>,
    settings: &ChannelSettings,
) -> Result<Channel, ChannelError> {
    let invalid = || ChannelError::InvalidUrl(url.to_owned());
    let uri: Uri = url.parse().map_err(|_| invalid())?;
    let secure = uri.scheme() == Some(&Scheme::HTTPS);
    if uri.host().is_none() || !(secure || uri.scheme() == Some(&Scheme::HTTP)) {
        return Err(invalid());
    }
    let mut endpoint = Endpoint::from(uri)
        .connect_timeout(settings.connect_timeout)
        .timeout(settings.call_timeout)
        .http2_keep_alive_interval(settings.keepalive_interval)
        .keep_alive_timeout(settings.keepalive_timeout)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES);
    if secure {
        let system = ClientTlsConfig::new().with_native_roots();
        let trusted = roots.map(Certificate::from_pem);
        endpoint = endpoint.tls_config(system.ca_certificates(trusted))?;
    }
    Ok(endpoint.connect_lazy())
}

/// An address that no channel leads to.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// Not an address of a gRPC server.
    #[error(
        "`{0}` is no address of a gRPC service; write `http://host:port` or `https://host:port`"
    )]
    InvalidUrl(String),
    /// TLS cannot be set up.
    #[error("cannot set up TLS")]
    Tls(#[from] tonic::transport::Error),
}

/// A request that must be answered 50 ms before `deadline`.
pub fn request<T>(message: T, deadline: Deadline) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(
        deadline
            .remaining()
            .saturating_sub(HOP_MARGIN)
            .max(MIN_TIMEOUT),
    );
    request
}

/// A request made on behalf of the call that `context` is of: its deadline and its id go along.
pub fn request_within<T>(message: T, context: &RequestContext) -> Request<T> {
    let mut request = request(message, context.deadline);
    if let Ok(id) = MetadataValue::try_from(context.request_id.to_string()) {
        request.metadata_mut().insert("x-request-id", id);
    }
    request
}

/// `status` as the protocol means it, where tonic's client says CANCELLED for what nobody
/// cancelled: DEADLINE_EXCEEDED if it gave up waiting, UNAVAILABLE if the connection was lost,
/// as it is when the other side drains. Pass every status of a client through it before looking
/// at its code.
#[must_use]
pub fn clarify(status: Status) -> Status {
    let causes = || std::iter::successors(status.source(), |&error| error.source());
    // What the other side answered has no cause on this side.
    if status.code() != Code::Cancelled || causes().next().is_none() {
        return status;
    }
    let (code, reason, message) = if causes().any(|error| error.is::<TimeoutExpired>()) {
        (
            Code::DeadlineExceeded,
            "DEADLINE_EXCEEDED",
            "the called service did not answer in time",
        )
    } else {
        (
            Code::Unavailable,
            "CONNECTION_LOST",
            "the connection to the called service was lost",
        )
    };
    StatusBuilder::new(code, DOMAIN, reason, message).build()
}
