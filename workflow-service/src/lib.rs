//! workflow-service: durable runs of entrypoints.
//!
//! A run executes an entrypoint on a thread. Each task result is recorded before the entrypoint
//! sees it, so that a run goes on where it stood after a crash; what the entrypoint saves becomes
//! the next run's `previous`. Entrypoints talk to the engine through the worker protocol: those of
//! workers over a stream, the built-in ones over a link in memory.
//!
//! # Layout
//! - [`domain`]: words and rules; knows no transport and no database
//! - [`engine`]: claims runs, hands them to workers, records and shows what they do
//! - [`store`]: where runs, journals and checkpoints are kept
//! - [`workflows`]: the entrypoints that come with the service
//! - [`targets`]: what the service does itself when a run, in any language, calls it
//! - [`llm`]: language models
//! - [`memory`]: client of memory-service
//! - [`turns`]: a queue in which those who wait take turns
//! - [`grpc`]: the API
//! - [`config`]: flags and settings
//! - [`service`]: wires the parts together

pub mod config;
pub mod domain;
pub mod engine;
pub mod grpc;
pub mod llm;
pub mod memory;
pub mod service;
pub mod store;
pub mod targets;
pub mod turns;
pub mod workflows;

pub use config::Config;
pub use service::WorkflowService;
