//! A real server on a free port, called over the network.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests may fail as tests do"
)]

mod admission;
mod clients;
mod deadline;
mod drain;
mod errors;
mod harness;
mod health;
mod observed;
mod panics;
mod reflection;
