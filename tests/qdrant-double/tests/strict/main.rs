//! The double refuses what a real server refuses, with the same codes, and does what surprises.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod fixture;
mod further_vectors;
mod habits;
mod refusals;
