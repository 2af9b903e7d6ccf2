//! The API over a real socket, with entrypoints made for the test.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod cancels;
mod interrupts;
mod late_retries;
mod readers;
mod server;
mod threads;
mod unfinished;
