//! Weft's functional API for Rust: durable *entrypoints* made of *tasks*.
//!
//! An entrypoint is an ordinary asynchronous function. The tasks it calls are recorded by
//! workflow-service before their results are seen, so that a run goes on where it stood after a
//! crash: the entrypoint is executed again from its start, and recorded tasks return what they
//! returned before, without running. What an entrypoint saves is the `previous` of the thread's
//! next run.
//!
//! ```
//! use weft_worker::{Context, Entrypoint, Failure, Final, Task, TaskContext, Worker};
//!
//! async fn call_model(_task: TaskContext, messages: Vec<String>) -> Result<String, Failure> {
//!     Ok(format!("you have said {} things", messages.len()))
//! }
//!
//! async fn chat(
//!     context: Context,
//!     said: String,
//! ) -> Result<Final<String, Vec<String>>, Failure> {
//!     let call_model = Task::new("call_model", call_model);
//!     let mut messages: Vec<String> = context.previous()?.unwrap_or_default();
//!     messages.push(said);
//!     let answer = context.call(&call_model, messages.clone()).await?;
//!     Ok(Final { value: answer, saved: messages })
//! }
//!
//! let worker = Worker::new().entrypoint(Entrypoint::new("chat", "1", chat));
//! assert_eq!(&*worker.describe()[0].name, "chat");
//! ```
//!
//! # Layout
//! - `entrypoint`, `task`: what user code defines
//! - `context`: what user code can ask and do while it runs
//! - `failure`, `retry`: how things fail, and when they are tried again
//! - `call`, `replay`: which recorded result belongs to which call, and in which order they are
//!   released
//! - `pending`, `state`: calls under way, and what code waits for
//! - `execution`, `worker`: run the code
//! - [`protocol`]: what a worker and the engine tell each other
//! - [`json`]: values as exact text

mod call;
mod context;
mod entrypoint;
mod execution;
mod failure;
pub mod json;
mod pending;
pub mod protocol;
mod replay;
mod retry;
mod state;
mod task;
mod worker;

pub use call::{Call, CallId, CallKind};
pub use context::{Context, TaskCall};
pub use entrypoint::{
    Entrypoint, EntrypointDescription, Final, IntoFinal, InvalidArgument, RecordedFinal,
};
pub use failure::{FailedCall, Failure};
pub use json::Json;
pub use retry::RetryPolicy;
pub use task::{Task, TaskContext};
pub use worker::Worker;
