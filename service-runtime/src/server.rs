//! The one way to serve tonic services.
//!
//! # Layout
//! - [`ServerSettings`]: the `[server]` section of a configuration
//! - `drain`: from the wish to stop to the end of the last connection

mod drain;
mod settings;

use std::{convert::Infallible, io, sync::Arc, time::Duration};

use axum::response::IntoResponse;
use futures::TryStreamExt as _;
use http::Request;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::{
    body::Body,
    server::NamedService,
    service::Routes,
    transport::{self, server::TcpIncoming},
};
use tonic_health::pb::health_server::HealthServer;
use tonic_reflection::pb as reflection;
use tower::{Service, ServiceBuilder};

use self::drain::Drain;
pub use self::settings::ServerSettings;
use crate::{
    Listeners, Readiness, admin,
    connection::Connection,
    health::HealthService,
    layer::{
        admission::Admit, call::Observe, catch_panic::CatchPanic, context::GiveContext,
        drain::StopCalls, explain::Explain, layer,
    },
    methods::Methods,
    metrics,
};

/// HTTP/2 lets this much of a message be under way unconfirmed. The standard's 64 KiB would make
/// a message of 4 MiB wait for its receiver 64 times.
const WINDOW_BYTES: u32 = 1 << 20;

/// How long what has ended may take to say so: the last bytes of calls and connections.
const FLUSH: Duration = Duration::from_secs(1);

/// Services on their way to be served on one pair of sockets.
pub struct Server {
    name: &'static str,
    listeners: Listeners,
    settings: ServerSettings,
    routes: Routes,
    services: Vec<&'static str>,
    readiness: Readiness,
    drain: Drain,
}

impl Server {
    /// A server without services, that is not ready.
    #[must_use]
    pub fn new(name: &'static str, listeners: Listeners, settings: &ServerSettings) -> Self {
        metrics::install();
        Self {
            name,
            listeners,
            settings: settings.clone(),
            routes: Routes::default(),
            services: Vec::new(),
            readiness: Readiness::new(),
            drain: Drain::default(),
        }
    }

    /// Adds a generated service; health and reflection tell of it.
    #[must_use]
    pub fn add_service<S>(mut self, service: S) -> Self
    where
        S: Service<
                Request<Body>,
                Response: IntoResponse,
                Error = Infallible,
                Future: Send + 'static,
            > + NamedService
            + Clone
            + Send
            + Sync
            + 'static,
    {
        self.routes = self.routes.add_service(service);
        self.services.push(S::NAME);
        self
    }

    /// Cancelled when a drain starts: streams that would go on for long end by it.
    #[must_use]
    pub fn draining(&self) -> CancellationToken {
        self.drain.draining.clone()
    }

    /// Tells callers whether to call. A server is not ready until `set_ready` is called.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        self.readiness.clone()
    }

    /// Serves until `shutdown` is done and the drain after it: readiness off, `drain_delay`, no
    /// new connections and calls, at most `drain_timeout` for the calls in flight, then the rest
    /// is ended with UNAVAILABLE.
    ///
    /// When it returns, nothing holds on to the services any more, unless a handler blocks.
    ///
    /// # Errors
    /// [`ServeError`] if it cannot start, or a socket fails.
    pub async fn serve(self, shutdown: impl Future<Output = ()>) -> Result<(), ServeError> {
        let Self {
            name,
            listeners,
            settings,
            routes,
            services,
            readiness,
            drain,
        } = self;
        let methods = methods(&services)?;
        let routes = with_infrastructure(routes, &services, &readiness)?;
        let service = ServiceBuilder::new()
            .layer(layer(Observe {
                methods: Arc::new(methods),
                calls: drain.calls.clone(),
            }))
            .layer(layer(CatchPanic))
            .layer(layer(Explain))
            .layer(layer(StopCalls {
                draining: drain.draining.clone(),
                aborted: drain.aborted.clone(),
            }))
            .layer(layer(Admit::new(
                settings.max_in_flight,
                settings.max_streams,
            )))
            .layer(layer(GiveContext {
                default_deadline: settings.default_deadline,
                max_deadline: settings.max_deadline,
            }))
            .service(routes.prepare());

        let (grpc, admin_at) = (listeners.grpc_addr(), listeners.admin_addr());
        tracing::info!(service = name, %grpc, admin = %admin_at, "serving");
        let severed = drain.severed.clone();
        let incoming = TcpIncoming::from(listeners.grpc)
            .with_nodelay(Some(true))
            .map_ok(move |stream| Connection::new(stream, severed.clone()));
        let serving = transport(&settings).serve_with_incoming_shutdown(
            service,
            incoming,
            drain.draining.clone().cancelled_owned(),
        );

        let stop_admin = CancellationToken::new();
        let mut admin = Box::pin(admin::serve(
            listeners.admin,
            readiness.clone(),
            stop_admin.clone(),
        ));
        tokio::select! {
            served = serving => served?,
            () = drain.run(shutdown, &readiness, &settings) => {
                tracing::warn!("connections did not close in time");
            }
            result = &mut admin => result?,
        }
        drain.settle().await;
        stop_admin.cancel();
        // Scrapes that take longer are of no use.
        let _ = timeout(FLUSH, admin).await;
        tracing::info!(service = name, "stopped");
        Ok(())
    }
}

/// What kept a server from serving.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The descriptors that the contract was compiled to cannot be read.
    #[error("cannot read the service descriptors")]
    Descriptors(#[from] prost::DecodeError),
    /// Reflection cannot be built from them.
    #[error("cannot serve reflection")]
    Reflection(#[from] tonic_reflection::server::Error),
    /// gRPC cannot be served.
    #[error("cannot serve gRPC")]
    Transport(#[from] transport::Error),
    /// The admin socket failed.
    #[error("cannot serve admin HTTP")]
    Admin(#[from] io::Error),
}

fn transport(settings: &ServerSettings) -> transport::Server {
    transport::Server::builder()
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .max_concurrent_streams(settings.max_concurrent_streams)
        .http2_keepalive_interval(Some(settings.keepalive_interval))
        .http2_keepalive_timeout(Some(settings.keepalive_timeout))
}

const DESCRIPTORS: [&[u8]; 5] = [
    weft_proto::FILE_DESCRIPTOR_SET,
    tonic_health::pb::FILE_DESCRIPTOR_SET,
    reflection::v1::FILE_DESCRIPTOR_SET,
    reflection::v1alpha::FILE_DESCRIPTOR_SET,
    // Error details: with them, grpcurl shows reasons and fields instead of bytes.
    tonic_types::pb::FILE_DESCRIPTOR_SET,
];

const INFRASTRUCTURE: [&str; 3] = [
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
];

fn methods(services: &[&'static str]) -> Result<Methods, ServeError> {
    let served: Vec<&str> = services.iter().copied().chain(INFRASTRUCTURE).collect();
    Ok(Methods::new(&DESCRIPTORS, &served)?)
}

/// Adds health, and reflection in both versions: tools of some years ago know `v1alpha` only.
fn with_infrastructure(
    routes: Routes,
    services: &[&'static str],
    readiness: &Readiness,
) -> Result<Routes, ServeError> {
    let reflection = || {
        let builder = tonic_reflection::server::Builder::configure();
        let builder = DESCRIPTORS.iter().fold(builder, |builder, set| {
            builder.register_encoded_file_descriptor_set(set)
        });
        services.iter().copied().chain(INFRASTRUCTURE).fold(
            builder,
            tonic_reflection::server::Builder::with_service_name,
        )
    };
    Ok(routes
        .add_service(HealthServer::new(HealthService::new(
            readiness.clone(),
            services,
        )))
        .add_service(reflection().build_v1()?)
        .add_service(reflection().build_v1alpha()?))
}
