//! Language models: what is sent to providers, what their answers become, and what a run makes of
//! them.
//!
//! # Layout
//! - [`support`]: a model behind a double, and what it answers
//! - [`answers`]: answers of every wire format, by a double that others wrote
//! - [`streams`]: streams byte for byte
//! - [`requests`]: what is sent, field by field
//! - [`trouble`]: what goes wrong, and what that means
//! - [`reference`]: the reference conversation with a provider and an embedder
//! - [`kills`]: workflow-service is killed in the middle of an answer
//! - [`memory_modes`]: what is remembered, and who decides it
//! - [`agents`]: models that call tools
//! - [`task_tools`]: tasks of workers as such tools
//! - [`conversations`]: long ones, edited ones
//! - [`pieces`]: what is shown of an answer while it is written
//! - [`many_streams`]: many answers at once
//! - [`waiting`]: runs that wait for a provider, and say so
//! - [`usage`]: what answers took
//! - [`targets`]: calls of `llm/chat` and `memory/*`

mod agents;
mod answers;
mod conversations;
mod kills;
mod many_streams;
mod memory_modes;
mod pieces;
mod reference;
mod requests;
mod streams;
mod support;
mod targets;
mod task_tools;
mod trouble;
mod usage;
mod waiting;
