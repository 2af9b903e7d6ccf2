//! What every checkpoint store promises. One suite, run against each implementation.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod conformance;
mod sqlite;
