//! The Prometheus recorder, and the names of what this crate records.

use std::sync::OnceLock;

use metrics::{describe_counter, describe_gauge, describe_histogram, gauge};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

/// Calls begun, by service and method.
pub(crate) const STARTED: &str = "grpc_server_started_total";
/// Calls ended, by service, method and code.
pub(crate) const HANDLED: &str = "grpc_server_handled_total";
/// How long calls took until their last byte, by service and method.
pub(crate) const HANDLING: &str = "grpc_server_handling_seconds";
/// Calls begun and not ended.
pub(crate) const IN_FLIGHT: &str = "grpc_server_in_flight";
const BUILD_INFO: &str = "build_info";

/// OpenTelemetry's boundaries for durations, and three below: a call on loopback takes less
/// than its lowest, 5 ms.
const SECONDS: [f64; 17] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0,
    7.5, 10.0,
];

/// Installs the recorder of this process, the first time it is called; gives its handle.
///
/// Instruments made before are lost, so a service calls this before it makes any. Metrics whose
/// name ends in `_seconds` are histograms over fixed buckets.
pub fn install() -> &'static PrometheusHandle {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    HANDLE.get_or_init(|| {
        let builder = PrometheusBuilder::new();
        // Fails for an empty list only.
        let builder = builder
            .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)
            .unwrap_or_default();
        let recorder = builder.build_recorder();
        let handle = recorder.handle();
        if metrics::set_global_recorder(recorder).is_err() {
            tracing::warn!("another metrics recorder is installed: /metrics will be empty");
        }
        describe();
        handle
    })
}

fn describe() {
    describe_counter!(STARTED, "calls begun");
    describe_counter!(HANDLED, "calls ended");
    describe_histogram!(HANDLING, "time from a call's first to its last byte");
    describe_gauge!(IN_FLIGHT, "calls begun and not ended");
    describe_gauge!(BUILD_INFO, "1; the labels say what runs");
    let revision = option_env!("GIT_REVISION").unwrap_or("unknown");
    gauge!(BUILD_INFO, "version" => env!("CARGO_PKG_VERSION"), "revision" => revision).set(1.0);
}
