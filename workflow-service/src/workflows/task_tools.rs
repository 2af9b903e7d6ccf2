//! Tasks that workers offer, as tools of a model.

use futures::{FutureExt as _, future::BoxFuture};
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor, value::MapAccessDeserializer},
};
use serde_json::{Value, json};
use weft_worker::{Context, Failure, Target};

use super::tool::{Tool, text_of};
use crate::llm::options::ToolSpec;

/// What the name of a task begins with where tools are named.
const PREFIX: &str = "task/";
/// The argument of a task that takes no object, in the object that a model has to give.
const WRAPPED: &str = "input";

/// ToolChoice is a tool as a config names it: `"recall"`, `"task/lookup"`, or an object for a task.
#[derive(Clone, Debug, PartialEq)]
pub enum ToolChoice {
    /// One of the service.
    Named(String),
    /// A task that a worker offers.
    Task(TaskChoice),
}

/// TaskChoice is a task that is to be a tool.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskChoice {
    /// Name that workers offer it by.
    pub task: String,
    /// Name that the model knows it by; absent for the same.
    #[serde(default)]
    pub name: Option<String>,
    /// What the model is told of it; absent for what its worker says.
    #[serde(default)]
    pub description: Option<String>,
    /// Whether a person has to approve its calls.
    #[serde(default)]
    pub approve: bool,
}

impl TaskChoice {
    /// Name of the tool.
    pub fn name(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.task)
    }
}

impl<'de> Deserialize<'de> for ToolChoice {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Choice;

        impl<'de> Visitor<'de> for Choice {
            type Value = ToolChoice;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("the name of a tool, `task/NAME`, or an object with a `task`")
            }

            fn visit_str<E>(self, name: &str) -> Result<ToolChoice, E> {
                Ok(match name.strip_prefix(PREFIX) {
                    Some(task) => ToolChoice::Task(TaskChoice {
                        task: task.to_owned(),
                        name: None,
                        description: None,
                        approve: false,
                    }),
                    None => ToolChoice::Named(name.to_owned()),
                })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ToolChoice, A::Error> {
                TaskChoice::deserialize(MapAccessDeserializer::new(map)).map(ToolChoice::Task)
            }
        }

        deserializer.deserialize_any(Choice)
    }
}

/// TaskSpec is what a worker says of a task that it offers.
#[derive(Clone, Debug, Deserialize)]
pub struct TaskSpec {
    name: String,
    description: String,
    #[serde(default)]
    input_schema: Option<Value>,
}

/// What workers say of these tasks. Recorded, so that a model is told the same after a crash.
///
/// # Errors
/// `TASK_NOT_HOSTED` if no worker offers one of them, nor will in a while.
pub async fn described(context: &Context, tasks: Vec<&str>) -> Result<Vec<TaskSpec>, Failure> {
    if tasks.is_empty() {
        return Ok(Vec::new());
    }
    let describe = Target::<Value, Vec<TaskSpec>>::new("tasks/describe");
    context
        .call_target(&describe, &json!({ "tasks": tasks }))
        .await
}

/// TaskTool is a tool that has a task done.
pub struct TaskTool {
    spec: ToolSpec,
    target: String,
    /// Whether the task takes no object: what it takes is within the one that the model gives.
    is_wrapped: bool,
}

impl TaskTool {
    /// The tool that a config asks for, as far as `described` knows its task.
    pub fn new(choice: &TaskChoice, described: &[TaskSpec]) -> Self {
        let known = described.iter().find(|known| known.name == choice.task);
        let schema = known.and_then(|known| known.input_schema.clone());
        let schema = schema.unwrap_or_else(|| json!({ "type": "object" }));
        let is_wrapped = schema["type"] != "object";
        let description = known.map_or("", |known| &known.description);
        let description = choice.description.as_deref().unwrap_or(description);
        Self {
            spec: ToolSpec {
                name: choice.name().to_owned(),
                description: description.to_owned(),
                input_schema: if is_wrapped { wrapped(schema) } else { schema },
            },
            target: format!("{PREFIX}{}", choice.task),
            is_wrapped,
        }
    }
}

/// The schema of an object that holds what has this schema. Its definitions stay where it refers to
/// them.
fn wrapped(mut schema: Value) -> Value {
    let mut object = json!({
        "type": "object",
        "required": [WRAPPED],
        "additionalProperties": false,
    });
    if let Some(fields) = schema.as_object_mut() {
        for shared in ["$schema", "$defs", "definitions"] {
            if let Some(value) = fields.shift_remove(shared) {
                object[shared] = value;
            }
        }
    }
    object["properties"] = json!({ WRAPPED: schema });
    object
}

impl Tool for TaskTool {
    fn spec(&self) -> ToolSpec {
        self.spec.clone()
    }

    fn call(
        &self,
        context: Context,
        mut arguments: Value,
    ) -> BoxFuture<'static, Result<String, Failure>> {
        if self.is_wrapped {
            arguments = arguments[WRAPPED].take();
        }
        let target = Target::<Value, Value>::new(&self.target);
        async move { Ok(text_of(context.call_target(&target, &arguments).await?)) }.boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choice(written: Value) -> Result<ToolChoice, String> {
        serde_json::from_value(written).map_err(|error| error.to_string())
    }

    fn tool(described: Value) -> TaskTool {
        let Ok(ToolChoice::Task(choice)) = choice(json!("task/t")) else {
            panic!("a task")
        };
        TaskTool::new(&choice, &[serde_json::from_value(described).unwrap()])
    }

    #[test]
    fn tools_are_chosen_by_name_or_as_tasks() {
        assert_eq!(
            choice(json!("recall")),
            Ok(ToolChoice::Named("recall".to_owned()))
        );
        let short = choice(json!("task/lookup"));
        assert_eq!(short, choice(json!({ "task": "lookup" })));
        assert!(matches!(short, Ok(ToolChoice::Task(task)) if task.name() == "lookup"));
        for wrong in [json!({ "tusk": "x" }), json!({}), json!(7)] {
            let why = choice(wrong.clone()).unwrap_err();
            assert!(why.contains("task"), "{wrong}: {why}");
        }
    }

    #[test]
    fn a_task_that_takes_no_object_is_given_one_that_holds_it() {
        let schema = json!({
            "$defs": { "city": { "type": "string" } },
            "type": "array", "items": { "$ref": "#/$defs/city" },
        });
        let tool = tool(json!({ "name": "t", "description": "d", "input_schema": schema }));
        let schema = tool.spec().input_schema;
        let validator = jsonschema::validator_for(&schema).unwrap();
        assert!(tool.is_wrapped);
        assert!(validator.is_valid(&json!({ "input": ["Rome"] })));
        assert!(!validator.is_valid(&json!({ "input": [1] })), "{schema}");
        assert!(!validator.is_valid(&json!(["Rome"])));
    }

    #[test]
    fn a_task_that_takes_anything_is_given_an_object() {
        let tool = tool(json!({ "name": "t", "description": "d" }));
        assert_eq!(
            (tool.is_wrapped, tool.spec().input_schema),
            (false, json!({ "type": "object" }))
        );
        assert_eq!(tool.spec().description, "d");
    }
}
