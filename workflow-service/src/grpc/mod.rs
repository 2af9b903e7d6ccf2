//! The gRPC API: convert, call, convert. The only place that knows the API's messages.
//!
//! # Layout
//! - `workflow`, `thread`: what callers ask
//! - `worker`: what workers say
//! - `request`: requests to domain types, with everything that is wrong with them
//! - `response`: domain types to responses
//! - `status`: the one mapping of errors to statuses
//! - `page`: page tokens

mod page;
mod request;
mod response;
mod status;
mod thread;
mod worker;
mod workflow;

pub use thread::Threads;
pub use worker::{Connections, TellsResets, WorkerTimes, recalled};
pub use workflow::Workflows;
