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
//! # #[derive(Clone)] struct Memories;
//! # impl Memories {
//! #     async fn search(&self, _: &str, _: &str) -> Result<Vec<String>, Failure> { Ok(vec![]) }
//! #     async fn put(&self, _: &str, _: &str, _: &str) -> Result<(), Failure> { Ok(()) }
//! # }
//! # async fn ask_model(_: &str, messages: &[String]) -> Result<String, Failure> {
//! #     Ok(messages.join(" "))
//! # }
//! async fn call_model(
//!     task: TaskContext,
//!     memories: Memories,
//!     (user, messages): (String, Vec<String>),
//! ) -> Result<String, Failure> {
//!     let last = messages.last().map_or("", String::as_str);
//!     let info = memories.search(&user, last).await?.join("\n");
//!     if last.to_lowercase().contains("remember") {
//!         // The same key in every attempt: nothing is stored twice.
//!         memories.put(&user, &task.idempotency_key(), last).await?;
//!     }
//!     let system = format!("You are a helpful assistant talking to the user. User info: {info}");
//!     ask_model(&system, &messages).await
//! }
//!
//! async fn chat(
//!     context: Context,
//!     memories: Memories,
//!     said: Vec<String>,
//! ) -> Result<Final<String, Vec<String>>, Failure> {
//!     let user: String = context.config::<std::collections::BTreeMap<String, String>>()?
//!         .remove("user_id")
//!         .unwrap_or_default();
//!     let mut messages: Vec<String> = context.previous()?.unwrap_or_default();
//!     messages.extend(said);
//!     let call_model =
//!         Task::new("call_model", move |task, input| call_model(task, memories.clone(), input));
//!     let answer = context.call(&call_model, (user, messages.clone())).await?;
//!     messages.push(answer.clone());
//!     Ok(Final { value: answer, saved: messages })
//! }
//!
//! let memories = Memories;
//! let chat = Entrypoint::new("chat", "1", move |context, said| {
//!     chat(context, memories.clone(), said)
//! });
//! let worker = Worker::new().entrypoint(chat);
//! assert_eq!(&*worker.describe()[0].name, "chat");
//! ```
//!
//! # Guarantees
//! - A task *runs at least once* and is *recorded exactly once*. After its result was recorded it
//!   never runs again for the same call, whatever is executed again around it: after a crash, an
//!   answer, a retry of the entrypoint, or [`RetryPolicy`]. A task that was at work during a crash
//!   runs again; [`TaskContext::idempotency_key`] is the same then.
//! - Results reach code in the order of their commits, also in every replay: a race has the same
//!   winner, and branches that are joined go on in the same order.
//! - A failure that code catches is recorded too, and replays as that failure.
//! - When a run fails, the calls beside the one that failed are given [`Entrypoint::sibling_grace`]
//!   to end, so that their results are recorded and a retry does not run them again.
//! - A replay that does not fit the journal is never guessed at: the run is PAUSED, and its error
//!   names both what is recorded and what the code does now.
//! - [`Context::interrupt`] and long [`Context::sleep`]s hold nothing while they wait.
//!
//! # What determinism asks of code
//! Between its calls, an entrypoint must do the same whenever it is executed. So:
//! - what comes from outside belongs into a task: files, networks, databases, environment;
//! - the time, ids and random numbers come from [`Context::now`], [`Context::uuid`] and
//!   [`Context::random`];
//! - order comes from `Vec`, `BTreeMap` and the like, not from the iteration order of a `HashMap`;
//! - calls are made by the entrypoint's own code and by futures that it joins or races, not by
//!   spawned tasks or threads.
//!
//! ```
//! # use std::time::Duration;
//! # use weft_worker::{Context, Entrypoint, Failure, RetryPolicy, Task, TaskContext};
//! async fn order(context: Context, amount: u32) -> Result<String, Failure> {
//!     let charge = Task::new("charge", |task: TaskContext, amount: u32| async move {
//!         Ok(format!("{amount} paid under {}", task.idempotency_key()))
//!     })
//!     .retry(RetryPolicy::exponential(5, Duration::from_millis(200), Duration::from_secs(10)))
//!     .timeout(Duration::from_secs(30));
//!
//!     // Waits for months at no cost.
//!     let approved: bool = context.interrupt("may this be charged?").await?;
//!     if !approved {
//!         return Err(Failure::new("REFUSED", "somebody said no"));
//!     }
//!     context.sleep(Duration::from_secs(24 * 60 * 60)).await?;
//!     context.call(&charge, amount).await
//! }
//! let entrypoint = Entrypoint::new("order", "1", order);
//! ```
//!
//! # Policies
//! A task can be retried, timed out as a whole or for want of a sign of life, and cached; the same
//! call can be given a key, so that it stays the same call when code around it changes. What the
//! service does itself is a [`Target`]. An entrypoint can be called like a task, and cached too.
//!
//! ```
//! # use std::time::Duration;
//! # use weft_worker::{Context, Entrypoint, Failure, RetryPolicy, Target, Task, TaskContext};
//! # async fn page(_: &str) -> Result<String, Failure> { Ok(String::new()) }
//! async fn digest(context: Context, urls: Vec<String>) -> Result<Vec<String>, Failure> {
//!     let fetch = Task::new("fetch", |task: TaskContext, url: String| async move {
//!         let text = page(&url).await?;
//!         task.heartbeat();
//!         Ok(text)
//!     })
//!     .retry(RetryPolicy::exponential(5, Duration::from_millis(200), Duration::from_secs(10)))
//!     .timeout(Duration::from_secs(120))
//!     .idle_timeout(Duration::from_secs(20))
//!     .cache(Duration::from_secs(3600));
//!     let summarise = Target::<String, String>::new("text/summarise");
//!
//!     let mut summaries = Vec::new();
//!     for url in urls {
//!         let text = context.call_keyed(&url, &fetch, url.clone()).await?;
//!         summaries.push(context.call_target(&summarise, &text).await?);
//!     }
//!     Ok(summaries)
//! }
//! let entrypoint = Entrypoint::new("digest", "1", digest).strict();
//! ```
//!
//! # Tasks on offer
//! A worker can offer a task on its own, so that runs of others can call it: an agent as a tool, an
//! entrypoint in any language as the target `task/NAME`. It is the same task that entrypoints call.
//! The service records its outcome, tries it again as its policy says, and gives it to another
//! worker if this one is lost. It makes no calls of its own, and what it caches is not shared.
//!
//! ```
//! # use serde::{Deserialize, Serialize};
//! # use weft_worker::{Context, Failure, Target, Task, TaskContext, Worker};
//! #[derive(Serialize, Deserialize, schemars::JsonSchema)]
//! struct Order {
//!     /// Number of the order.
//!     number: u32,
//! }
//!
//! let lookup = Task::new("lookup_order", |_: TaskContext, order: Order| async move {
//!     Ok(format!("order {} is on its way", order.number))
//! })
//! .description("Tells where an order is.")
//! .typed();
//! let worker = Worker::new().task(lookup);
//!
//! // Elsewhere:
//! async fn follow_up(context: Context, number: u32) -> Result<String, Failure> {
//!     let lookup = Target::<Order, String>::new("task/lookup_order");
//!     context.call_target(&lookup, &Order { number }).await
//! }
//! ```
//!
//! # Changing code under unfinished runs
//! A run stays with the version of the entrypoint that it started with. Give a changed entrypoint
//! another version and host both, until the runs of the old one are finished. Without a new
//! version, what happens *inside* of a task may change freely; which tasks are called, under which
//! names and in which order, may not. A call with a key may change its place. A call that is
//! recorded with another argument keeps its recorded result, and a warning is streamed; a
//! [`Entrypoint::strict`] one pauses the run instead.
//!
//! # Layout
//! - `entrypoint`, `task`, `target`: what user code defines, and what it can have the service do
//! - `offer`: tasks that runs of others can call
//! - `context`: what user code can ask and do while it runs
//! - `usage`: what calls of language models take
//! - `failure`, `retry`: how things fail, and when they are tried again
//! - `call`, `replay`: which recorded result belongs to which call, and in which order they are
//!   released
//! - `clock`: where the time comes from
//! - `pending`, `attempt`: calls under way
//! - `state`, `scope`: what code waits for, and where it makes its calls from
//! - `execution`, `worker`: run the code
//! - `outbox`: what an execution says, on its way to the engine
//! - [`protocol`]: what a worker and the engine tell each other
//! - `remote`: hosts a worker in a process of its own
//! - [`wire`]: the protocol as it travels between processes
//! - [`json`]: values as exact text

/// The README's examples, so that they compile.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

mod attempt;
mod call;
mod clock;
mod context;
mod entrypoint;
mod execution;
mod failure;
pub mod json;
mod offer;
mod outbox;
mod pending;
pub mod protocol;
mod remote;
mod replay;
mod retry;
mod scope;
mod state;
mod target;
mod task;
mod usage;
pub mod wire;
mod worker;

pub use call::{Call, CallId, CallKind, hash_input};
pub use clock::Clock;
pub use context::{Context, TaskCall};
pub use entrypoint::{
    Entrypoint, EntrypointDescription, Final, IntoFinal, InvalidArgument, RecordedFinal,
};
pub use failure::{FailedCall, Failure};
pub use json::Json;
pub use offer::TaskDescription;
pub use remote::{RemoteError, RemoteWorker};
pub use retry::RetryPolicy;
pub use target::Target;
pub use task::{Task, TaskContext};
pub use usage::{Usage, UsageMeter};
pub use worker::Worker;
