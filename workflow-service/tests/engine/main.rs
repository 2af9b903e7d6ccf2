//! What the engine promises, on a real store, with entrypoints made for the test.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod arguments;
mod caches;
mod cancel;
mod harness;
mod interrupts;
#[path = "link_in_memory.rs"]
mod link;
mod offered;
mod programs;
mod recovery;
mod replacements;
mod retry;
mod runs;
mod streams;
mod targets;
mod time;
