//! What the engine promises, on a real store, with entrypoints made for the test.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod harness;
mod recovery;
mod runs;
mod streams;
