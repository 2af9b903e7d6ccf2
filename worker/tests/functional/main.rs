//! What the functional API promises to the code of entrypoints and tasks.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod calls;
mod engine;
mod replay;
mod suspend;
