//! Plain HTTP for machines that look after the process: `/metrics`, `/livez`, `/readyz`.

use std::{future, io, time::Duration};

use axum::{
    Router,
    http::{StatusCode, header::CONTENT_TYPE},
    routing::get,
};
use tokio::{
    net::TcpListener,
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

use crate::{metrics, readiness::Readiness};

/// How often histograms are folded, so that they do not grow between two scrapes. What the
/// exporter does itself when it is the one who serves.
const UPKEEP: Duration = Duration::from_secs(5);

/// Version 0.0.4 of Prometheus' text format.
const PROMETHEUS_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Serves until `stop` is cancelled, or until the socket fails.
pub(crate) async fn serve(
    listener: TcpListener,
    readiness: Readiness,
    stop: CancellationToken,
) -> io::Result<()> {
    let ready = move || future::ready(readyz(&readiness));
    let render = || async {
        (
            [(CONTENT_TYPE, PROMETHEUS_TEXT)],
            metrics::install().render(),
        )
    };
    let router = Router::new()
        .route("/metrics", get(render))
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(ready));
    let server = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned());
    tokio::select! {
        result = server => result,
        never = upkeep() => never,
    }
}

fn readyz(readiness: &Readiness) -> (StatusCode, String) {
    match readiness.state().obstacle() {
        None => (StatusCode::OK, "ok\n".to_owned()),
        Some(reason) => (
            StatusCode::SERVICE_UNAVAILABLE,
            format!("not ready: {reason}\n"),
        ),
    }
}

async fn upkeep() -> io::Result<()> {
    let mut ticks = interval(UPKEEP);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        metrics::install().run_upkeep();
    }
}
