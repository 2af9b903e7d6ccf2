//! What workers in other processes can rely on, and what the service can survive of them.
//!
//! Build the binaries first (`make test` does).
//!
//! # Layout
//! - [`loss`]: workers that are killed, stand still, lose their connection or their service
//! - [`versions`]: several workers, and several versions of one entrypoint
//! - [`states`]: workers that are killed whatever they do
//! - [`takeover`]: how soon the runs of a worker that is lost go on elsewhere
//! - [`leaving`]: workers that end in good order
//! - [`lies`]: workers that make no sense
//! - [`bounds`]: workers that say more than is taken
//! - [`sessions`]: streams that are reset or taken over
//! - [`floods`]: workers that say too much, or hear nothing
//! - [`offers`]: tasks on offer
//! - [`values`]: values that cannot be kept
//! - [`schemas`]: inputs that do not fit
//! - [`conformance`]: the driver that checks any worker, and the one in Rust
//! - [`typescript`]: the example of a worker without a library

mod bounds;
mod conformance;
mod floods;
mod leaving;
mod lies;
mod loss;
mod offers;
mod schemas;
mod sessions;
mod stage;
mod states;
mod takeover;
mod typescript;
mod values;
mod versions;
