//! The entrypoints that come with the service.
//!
//! # Layout
//! - [`chat`]: a conversation that remembers its users; the reference program
//! - [`agent`]: a model that calls tools until it is done
//! - [`conversation`]: what both are given and keep
//! - [`model`]: the task that asks a model
//! - [`turn`]: a model and its tools, taking turns
//! - [`tool`], [`toolbox`], [`approval`]: tools, and who may call them
//! - [`task_tools`]: tasks that workers offer, as tools
//! - [`memories`], [`memory_tools`], [`extraction`]: what is remembered, and who decides it
//! - [`summary`]: what becomes of conversations that are too long
//! - [`arguments`]: what is wrong with an input

pub mod agent;
pub mod approval;
pub mod arguments;
pub mod chat;
pub mod conversation;
pub mod extraction;
pub mod memories;
pub mod memory_tools;
pub mod model;
pub mod summary;
pub mod task_tools;
pub mod tool;
pub mod toolbox;
pub mod turn;

use uuid::Uuid;

use crate::{
    llm::{ModelName, Models},
    memory::MemoryClient,
};

/// Services is what the entrypoints need from the service. Cheap to clone.
#[derive(Clone)]
pub struct Services {
    /// Where memories are.
    pub memory: MemoryClient,
    /// The models.
    pub models: Models,
    /// Model of runs that name none.
    pub default_model: ModelName,
}

/// A UUIDv5 of a name that is unique in Weft.
pub(crate) fn derived_id(name: &str) -> String {
    Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes()).to_string()
}
