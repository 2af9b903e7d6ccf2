//! Tools: what a model can have done.

use futures::future::BoxFuture;
use serde_json::Value;
use weft_worker::{Context, Failure};

use crate::llm::options::ToolSpec;

/// Tool is something that a model can have done. What it does, it does through calls of `context`,
/// which are recorded: after a crash nothing of it is done twice.
pub trait Tool: Send + Sync {
    /// What the model is told.
    fn spec(&self) -> ToolSpec;

    /// Does it. `arguments` fit the schema. What it returns the model is given; so is a failure,
    /// unless the run was cancelled.
    fn call(
        &self,
        context: Context,
        arguments: Value,
    ) -> BoxFuture<'static, Result<String, Failure>>;
}

/// A value as a model is told it: a string as it is, all else as JSON.
pub fn text_of(answer: Value) -> String {
    match answer {
        Value::String(text) => text,
        other => other.to_string(),
    }
}
