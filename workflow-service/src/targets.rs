//! What the service does itself when a run, in any language, calls it: workers need no keys.
//!
//! # Layout
//! - [`chat`]: `llm/chat` asks a model
//! - [`memory`]: `memory/get`, `memory/put`, `memory/delete` and `memory/search`

pub mod chat;
pub mod memory;

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use weft_worker::Failure;

use self::{chat::ChatTarget, memory::MemoryTarget};
use crate::{
    engine::Targets,
    workflows::{Services, arguments},
};

/// All call targets.
pub fn all(services: &Services) -> Targets {
    let chat = ChatTarget {
        services: services.clone(),
    };
    let targets = Targets::default().with("llm/chat", chat);
    MemoryTarget::all(&services.memory)
        .into_iter()
        .fold(targets, |targets, (name, target)| {
            targets.with(name, target)
        })
}

/// Reads the argument of a target.
fn read<T: DeserializeOwned>(input: &RawValue) -> Result<T, Failure> {
    arguments::read("input", input).map_err(|invalid| {
        let text = format!("`{}` {}", invalid.field, invalid.description);
        Failure::new("INVALID_ARGUMENT", text).with("field", invalid.field)
    })
}
