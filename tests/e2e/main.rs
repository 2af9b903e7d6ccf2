//! What Weft promises, seen from outside: real binaries, real clients, real faults.
//!
//! Build the binaries first (`make test` does). Nothing here sleeps; every wait has a bound.
//!
//! # Layout
//! - [`conversation`]: the reference program and its threads, by a Rust client
//! - [`grpcurl`]: the same by the command line client
//! - [`readme`]: what the README says to type
//! - [`restart`]: both services go and come back
//! - [`crash`]: workflow-service is killed in the middle of a run
//! - [`memory_away`]: memory-service is down, or stands still
//! - [`qdrant`]: memory-service on a Qdrant server
//! - [`drain`]: ending in good order, under load
//! - [`streams`]: following runs
//! - [`runs`]: starting, waiting for, listing runs
//! - [`control`]: stopping, replacing, retrying, putting off runs
//! - [`threads`]: threads written by hand, copied, cut short, deleted, listed
//! - [`retrieval`]: how much of what is known each ranking finds
//! - [`item_input`], [`search_input`]: what memory-service refuses, and how
//! - [`run_input`], [`command_input`], [`thread_input`]: what workflow-service refuses, and how
//! - [`operation`]: health, metrics, request ids
//! - [`configuration`]: flags, environment, files, and what is wrong with them
//! - [`make`]: `make run` and `make demo`

mod command_input;
mod configuration;
mod control;
mod conversation;
mod crash;
mod drain;
mod grpcurl;
mod item_input;
mod make;
mod memory_away;
mod operation;
mod qdrant;
mod readme;
mod restart;
mod retrieval;
mod run_input;
mod runs;
mod search_input;
mod storage;
mod streams;
mod thread_input;
mod threads;
