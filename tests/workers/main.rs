//! What workers in other processes can rely on, and what the service can survive of them.
//!
//! Build the binaries first (`make test` does).
//!
//! # Layout
//! - [`loss`]: workers that are killed, stand still, lose their connection or their service
//! - [`versions`]: several workers, and several versions of one entrypoint
//! - [`lies`]: workers that make no sense
//! - [`conformance`]: the driver that checks any worker, and the one in Rust
//! - [`typescript`]: the example of a worker without a library

mod conformance;
mod lies;
mod loss;
mod stage;
mod typescript;
mod versions;
