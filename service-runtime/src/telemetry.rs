//! Logs: on stderr, for people on a terminal, as JSON otherwise.

use std::{
    io::{self, IsTerminal as _},
    panic,
};

use tracing_subscriber::{
    EnvFilter, Layer as _,
    filter::ParseError,
    fmt,
    layer::SubscriberExt as _,
    util::{SubscriberInitExt as _, TryInitError},
};

/// A filter that tracing cannot read.
#[derive(Debug, thiserror::Error)]
#[error("`{filter}` is no log filter such as `info` or `warn,memory_service=debug`: {cause}")]
pub struct InvalidFilter {
    filter: String,
    cause: ParseError,
}

/// Checks a log filter without using it.
///
/// # Errors
/// [`InvalidFilter`] if it has none of the forms that `tracing` knows.
pub fn check_filter(filter: &str) -> Result<(), InvalidFilter> {
    parse(filter).map(|_| ())
}

/// Sends logs that pass `filter` to stderr, those of the `log` crate too, and panics as errors.
/// Does nothing if logs go somewhere already.
///
/// # Errors
/// [`InvalidFilter`] as [`check_filter`].
pub fn init(filter: &str) -> Result<(), InvalidFilter> {
    let filter = parse(filter)?;
    let lines = fmt::layer().with_writer(io::stderr);
    let lines = if io::stderr().is_terminal() {
        lines.boxed()
    } else {
        lines
            .json()
            .flatten_event(true)
            .with_span_list(false)
            .boxed()
    };
    let installed: Result<(), TryInitError> = tracing_subscriber::registry()
        .with(lines.with_filter(filter))
        .try_init();
    if installed.is_ok() {
        panic::set_hook(Box::new(|panic| {
            let message = panic.payload_as_str().unwrap_or("not a text");
            let location = panic.location().map(tracing::field::display);
            tracing::error!(location, panic = message, "panicked");
        }));
    }
    Ok(())
}

fn parse(filter: &str) -> Result<EnvFilter, InvalidFilter> {
    EnvFilter::try_new(filter).map_err(|cause| InvalidFilter {
        filter: filter.to_owned(),
        cause,
    })
}
