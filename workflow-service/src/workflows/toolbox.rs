//! The tools of a run: which there are, what they take, and who has to approve.

use std::{collections::BTreeSet, sync::Arc};

use jsonschema::Validator;
use serde_json::Value;
use weft_worker::{Context, Failure};

use super::{
    approval::{self, Decision},
    tool::Tool,
};
use crate::llm::{content::ToolCall, message::Message, options::ToolSpec};

/// Most complaints about arguments that a model is told at once.
const MAX_COMPLAINTS: usize = 5;
/// Stands for all tools where tools are named.
const ALL: &str = "*";

/// Toolbox holds the tools of a run.
#[derive(Default)]
pub struct Toolbox {
    tools: Vec<Entry>,
    to_approve: BTreeSet<String>,
}

struct Entry {
    spec: ToolSpec,
    validator: Validator,
    tool: Arc<dyn Tool>,
}

impl Toolbox {
    /// Adds a tool.
    ///
    /// # Errors
    /// A sentence, if its name is taken or its schema is none.
    pub fn add(&mut self, tool: Arc<dyn Tool>) -> Result<(), String> {
        let spec = tool.spec();
        let name = &spec.name;
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if name.is_empty() || name.len() > 64 || !name.chars().all(is_name) {
            return Err(format!(
                "`{name}` must be 1 to 64 letters, digits, `_` and `-`"
            ));
        }
        if self.tools.iter().any(|other| other.spec.name == *name) {
            return Err(format!("`{name}` is the name of another tool"));
        }
        let validator = jsonschema::validator_for(&spec.input_schema)
            .map_err(|error| format!("the schema of `{name}` is none: {error}"))?;
        self.tools.push(Entry {
            spec,
            validator,
            tool,
        });
        Ok(())
    }

    /// Lets a person approve the calls of these tools; `*` is all of them.
    ///
    /// # Errors
    /// A sentence, if there is no such tool.
    pub fn approve(&mut self, names: &[String]) -> Result<(), String> {
        for name in names {
            if name != ALL && self.tools.iter().all(|tool| tool.spec.name != *name) {
                return Err(format!(
                    "there is no tool `{name}`; there are {}",
                    self.names()
                ));
            }
        }
        self.to_approve.extend(names.iter().cloned());
        Ok(())
    }

    /// What the model is told of the tools.
    pub fn specs(&self) -> Vec<ToolSpec> {
        self.tools.iter().map(|tool| tool.spec.clone()).collect()
    }

    fn names(&self) -> String {
        let names = self.tools.iter();
        let names: Vec<_> = names.map(|tool| format!("`{}`", tool.spec.name)).collect();
        match names.is_empty() {
            true => "none".to_owned(),
            false => names.join(", "),
        }
    }

    /// Does what the model wants, if it may: what to tell it.
    ///
    /// # Errors
    /// If the run was cancelled. Every other failure is told to the model.
    pub async fn call(&self, context: &Context, mut call: ToolCall) -> Result<Message, Failure> {
        let known = self.tools.iter().find(|tool| tool.spec.name == call.name);
        let Some(entry) = known else {
            let what = format!(
                "there is no tool `{}`; there are {}",
                call.name,
                self.names()
            );
            return Ok(Message::tool_result(&call, what, true));
        };
        if let Err(complaint) = entry.complaint(&call) {
            return Ok(Message::tool_result(&call, complaint, true));
        }
        if self.to_approve.contains(ALL) || self.to_approve.contains(&call.name) {
            let valid = |arguments: &Value| {
                entry.complaint(&ToolCall {
                    arguments: arguments.clone(),
                    ..call.clone()
                })
            };
            match approval::ask(context, &call, valid).await? {
                Decision::Approve => {}
                Decision::Edit { arguments } => call.arguments = arguments,
                Decision::Refuse { note } => {
                    let what = match note {
                        Some(note) => format!("a person refused this call: {note}"),
                        None => "a person refused this call".to_owned(),
                    };
                    return Ok(Message::tool_result(&call, what, true));
                }
            }
        }
        match entry
            .tool
            .call(context.clone(), call.arguments.clone())
            .await
        {
            Ok(text) => Ok(Message::tool_result(&call, text, false)),
            Err(failure) if failure.reason == Failure::CANCELLED => Err(failure),
            Err(failure) => Ok(Message::tool_result(&call, failure.to_string(), true)),
        }
    }
}

impl Entry {
    /// What is wrong with the arguments of a call, for the model to mend.
    fn complaint(&self, call: &ToolCall) -> Result<(), String> {
        if let Some(text) = &call.malformed_arguments {
            return Err(format!("the arguments are no JSON: {text}"));
        }
        let errors = self.validator.iter_errors(&call.arguments);
        let complaints: Vec<_> = errors
            .take(MAX_COMPLAINTS)
            .map(|error| match error.instance_path().to_string() {
                path if path.is_empty() => error.to_string(),
                path => format!("{path}: {error}"),
            })
            .collect();
        match complaints.is_empty() {
            true => Ok(()),
            false => Err(format!(
                "the arguments do not fit the schema: {}",
                complaints.join("; ")
            )),
        }
    }
}
