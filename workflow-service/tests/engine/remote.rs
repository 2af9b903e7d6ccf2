//! What the engine promises, with all entrypoints hosted by a worker that connects through
//! WorkerService: the same tests, over the other link.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod caches;
mod cancel;
mod harness;
mod interrupts;
#[path = "link_remote.rs"]
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
