//! Tools with which a model remembers, recalls and forgets what it knows of a user.

use std::sync::Arc;

use futures::{FutureExt as _, future::BoxFuture};
use serde::Deserialize;
use serde_json::{Value, json};
use weft_worker::{Context, Failure};

use super::{
    Services,
    memories::{Forget, MemorySettings, Remember, namespace},
    tool::Tool,
};
use crate::llm::options::ToolSpec;

/// A tool of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryTool {
    /// Stores something.
    Remember,
    /// Finds what is known.
    Recall,
    /// Deletes something.
    Forget,
}

impl MemoryTool {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Remember, Self::Recall, Self::Forget];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Remember => "remember",
            Self::Recall => "recall",
            Self::Forget => "forget",
        }
    }

    /// The tool for the memories of a user.
    pub fn of(
        self,
        services: &Services,
        settings: &MemorySettings,
        user_id: &str,
    ) -> Arc<dyn Tool> {
        Arc::new(OfUser {
            tool: self,
            services: services.clone(),
            settings: settings.clone(),
            user_id: user_id.to_owned(),
        })
    }
}

struct OfUser {
    tool: MemoryTool,
    services: Services,
    settings: MemorySettings,
    user_id: String,
}

#[derive(Deserialize)]
struct RememberArguments {
    data: String,
    #[serde(default)]
    key: Option<String>,
}

#[derive(Deserialize)]
struct RecallArguments {
    query: String,
}

#[derive(Deserialize)]
struct ForgetArguments {
    key: String,
}

fn read<'de, T: Deserialize<'de>>(arguments: &'de Value) -> Result<T, Failure> {
    T::deserialize(arguments).map_err(|error| Failure::new("INVALID_ARGUMENTS", error.to_string()))
}

impl Tool for OfUser {
    fn spec(&self) -> ToolSpec {
        let (description, properties, required) = match self.tool {
            MemoryTool::Remember => (
                "Stores a fact about the user, to be known in every later conversation. Give the \
                 key of a fact that is known to replace it.",
                json!({
                    "data": { "type": "string", "description": "the fact, in one sentence" },
                    "key": { "type": "string", "description": "key of the fact to replace" },
                }),
                json!(["data"]),
            ),
            MemoryTool::Recall => (
                "Finds facts about the user that were stored before, with their keys.",
                json!({ "query": { "type": "string", "description": "what to look for" } }),
                json!(["query"]),
            ),
            MemoryTool::Forget => (
                "Deletes a fact about the user.",
                json!({ "key": { "type": "string", "description": "key of the fact" } }),
                json!(["key"]),
            ),
        };
        ToolSpec {
            name: self.tool.name().to_owned(),
            description: description.to_owned(),
            input_schema: json!({
                "type": "object",
                "properties": properties,
                "required": required,
                "additionalProperties": false,
            }),
        }
    }

    fn call(
        &self,
        context: Context,
        arguments: Value,
    ) -> BoxFuture<'static, Result<String, Failure>> {
        let (tool, services) = (self.tool, self.services.clone());
        let (settings, user_id) = (self.settings.clone(), self.user_id.clone());
        async move {
            let (namespace, retry) = (namespace(&user_id), settings.retry());
            match tool {
                MemoryTool::Remember => {
                    let RememberArguments { data, key } = read(&arguments)?;
                    let remember = Remember {
                        namespace,
                        key,
                        data,
                    };
                    let key = context.call(&services.remember(retry), remember).await?;
                    Ok(format!("stored under the key {key}"))
                }
                MemoryTool::Recall => {
                    let RecallArguments { query } = read(&arguments)?;
                    let recall = settings.recall(&user_id, &query);
                    let known = context.call(&services.recall(retry), recall).await?;
                    Ok(json!(known).to_string())
                }
                MemoryTool::Forget => {
                    let ForgetArguments { key } = read(&arguments)?;
                    let forget = Forget { namespace, key };
                    context.call(&services.forget(retry), forget).await?;
                    Ok("deleted".to_owned())
                }
            }
        }
        .boxed()
    }
}
