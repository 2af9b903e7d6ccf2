//! `chat`: a conversation that remembers its users across threads. The reference program.

use std::{sync::Arc, time::Duration};

use futures::StreamExt as _;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;
use weft_worker::{
    Context, Entrypoint, Failure, Final, InvalidArgument, RetryPolicy, Task, TaskContext, json,
    protocol::MessagePiece,
};

use super::arguments;
use crate::{
    llm::{
        ChatRequest, ModelName, Models,
        echo::{USER_INFO, asks_to_remember},
        message::{Message, NewMessages, Role, add_messages},
    },
    memory::MemoryClient,
};

/// Memory may be away for about a minute, as during a rollout, before a run fails.
const MEMORY_RETRY: RetryPolicy =
    RetryPolicy::exponential(16, Duration::from_millis(200), Duration::from_secs(5));
/// A model gets a second and a third chance.
const MODEL_RETRY: RetryPolicy =
    RetryPolicy::exponential(3, Duration::from_millis(500), Duration::from_secs(8));
/// Memories in the system prompt, unless the run's config says otherwise.
const DEFAULT_MEMORY_LIMIT: i32 = 10;
/// What a message is about shows in its first 8 KiB; memory-service takes queries of up to 32 KiB.
const MAX_QUERY_BYTES: usize = 8 * 1024;
/// Longest user id in bytes: it becomes a namespace label.
const MAX_USER_ID_BYTES: usize = 256;

/// Chat is what the entrypoint needs from the service.
#[derive(Clone)]
pub struct Chat {
    /// Where memories are.
    pub memory: MemoryClient,
    /// The models.
    pub models: Models,
    /// Model of runs that name none.
    pub default_model: ModelName,
}

/// Settings of a run. Other keys are the caller's own.
#[derive(Clone, Debug, Deserialize)]
struct Config {
    #[serde(default)]
    user_id: Option<String>,
    #[serde(default)]
    model: Option<String>,
    #[serde(default)]
    memory: MemoryConfig,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct MemoryConfig {
    mode: MemoryMode,
    limit: i32,
}

impl Default for MemoryConfig {
    fn default() -> Self {
        Self {
            mode: MemoryMode::Keyword,
            limit: DEFAULT_MEMORY_LIMIT,
        }
    }
}

/// What decides what is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum MemoryMode {
    /// A message that says "remember" is stored.
    Keyword,
    /// Nothing is recalled or stored.
    Off,
}

#[derive(Serialize, Deserialize)]
struct Recall {
    namespace: Vec<String>,
    query: String,
    limit: i32,
}

#[derive(Serialize, Deserialize)]
struct Remember {
    namespace: Vec<String>,
    data: String,
}

#[derive(Serialize, Deserialize)]
struct CallModel {
    model: String,
    system: String,
    messages: Vec<Message>,
}

/// The form memories are stored in: that of the reference program.
#[derive(Serialize, Deserialize)]
struct Memory {
    data: String,
}

impl Chat {
    /// The entrypoint.
    pub fn entrypoint(self) -> Entrypoint {
        let (run, check) = (self.clone(), self);
        let entrypoint = Entrypoint::new("chat", "1", move |context, messages| {
            run.clone().run(context, messages)
        })
        .description("A conversation that remembers its users across threads.")
        .check(move |input, config| check.check(input, config));
        let schema = schemars::schema_for!(NewMessages);
        match json::encode("the schema", &schema) {
            Ok(schema) => entrypoint.input_schema(schema),
            Err(_) => entrypoint,
        }
    }

    async fn run(
        self,
        context: Context,
        NewMessages(new): NewMessages,
    ) -> Result<Final<Message, Vec<Message>>, Failure> {
        let config: Config = context.config()?;
        let namespace = vec!["memories".to_owned(), config.user_id.unwrap_or_default()];
        let previous: Vec<Message> = context.previous()?.unwrap_or_default();
        let messages = add_messages(previous, with_ids(context.run_id(), new));
        let last = messages
            .last()
            .map_or("", |message| &message.content)
            .to_owned();

        let mut memories = Vec::new();
        if config.memory.mode == MemoryMode::Keyword {
            let recall = Recall {
                namespace: namespace.clone(),
                query: beginning(&last).to_owned(),
                limit: config.memory.limit,
            };
            memories = context.call(&self.recall(), recall).await?;
            if asks_to_remember(&last) {
                context
                    .call(
                        &self.remember(),
                        Remember {
                            namespace,
                            data: last,
                        },
                    )
                    .await?;
            }
        }
        let question = CallModel {
            model: config
                .model
                .unwrap_or_else(|| self.default_model.to_string()),
            system: system_prompt(&memories),
            messages: messages.clone(),
        };
        let answer = context.call(&self.call_model(), question).await?;
        let saved = add_messages(messages, vec![answer.clone()]);
        Ok(Final {
            value: answer,
            saved,
        })
    }

    /// Finds what is known about the user.
    fn recall(&self) -> Task<Recall, Vec<String>> {
        let memory = self.memory.clone();
        Task::new(
            "recall",
            move |_,
                  Recall {
                      namespace,
                      query,
                      limit,
                  }| {
                let memory = memory.clone();
                async move {
                    let values = memory.search(&namespace, &query, limit).await?;
                    // Others may keep items of other forms in the namespace: those say nothing here.
                    let memories = values.iter().filter_map(|value| {
                        serde_json::from_str::<Memory>(value.get())
                            .ok()
                            .map(|memory| memory.data)
                    });
                    Ok(memories.collect())
                }
            },
        )
        .retry(MEMORY_RETRY)
    }

    /// Stores what the user said. The key is that of the call: a second attempt stores nothing
    /// twice.
    fn remember(&self) -> Task<Remember, String> {
        let memory = self.memory.clone();
        Task::new(
            "remember",
            move |task: TaskContext, Remember { namespace, data }| {
                let memory = memory.clone();
                async move {
                    let key = derived_id(&task.idempotency_key());
                    let value = json::encode("the memory", &Memory { data })?;
                    memory.put(&namespace, &key, &value).await?;
                    Ok(key)
                }
            },
        )
        .retry(MEMORY_RETRY)
    }

    /// Asks the model, and streams what it writes.
    fn call_model(&self) -> Task<CallModel, Message> {
        let models = self.models.clone();
        Task::new(
            "call_model",
            move |task: TaskContext, question: CallModel| {
                let models = models.clone();
                async move {
                    let unknown =
                        |why: String| Failure::new("UNKNOWN_MODEL", format!("the model {why}"));
                    let name: ModelName = question
                        .model
                        .parse()
                        .map_err(|why: &str| unknown(why.to_owned()))?;
                    let model = models.find(&name).map_err(unknown)?;
                    let id: Arc<str> = derived_id(&task.idempotency_key()).into();
                    let writer: Arc<str> = name.to_string().into();
                    let mut pieces = model.stream(ChatRequest {
                        model: name.model,
                        system: question.system,
                        messages: question.messages,
                    });
                    let mut content = String::new();
                    while let Some(text) = pieces.next().await.transpose()? {
                        content.push_str(&text);
                        task.write_message_piece(MessagePiece {
                            message_id: Arc::clone(&id),
                            text,
                            model: Arc::clone(&writer),
                        });
                    }
                    Ok(Message {
                        id: Some(id.to_string()),
                        role: Role::Assistant,
                        content,
                    })
                }
            },
        )
        .retry(MODEL_RETRY)
    }

    fn check(&self, input: &RawValue, config: &RawValue) -> Vec<InvalidArgument> {
        let mut invalid = Vec::new();
        if let Err(error) = arguments::read::<NewMessages>("input", input) {
            invalid.push(error);
        }
        match arguments::read::<Config>("config", config) {
            Err(error) => invalid.push(error),
            Ok(config) => self.check_config(&config, &mut invalid),
        }
        invalid
    }

    fn check_config(&self, config: &Config, invalid: &mut Vec<InvalidArgument>) {
        let mut refuse = |field: &str, why: String| {
            invalid.push(InvalidArgument::new(format!("config.{field}"), why));
        };
        match config.user_id.as_deref() {
            None => refuse(
                "user_id",
                "is required; say whose memories to use".to_owned(),
            ),
            Some("") => refuse("user_id", "must not be empty".to_owned()),
            Some(id) if id.len() > MAX_USER_ID_BYTES => {
                refuse(
                    "user_id",
                    format!("must be at most {MAX_USER_ID_BYTES} bytes long"),
                );
            }
            Some(id) if id.contains(['.', '\0']) => {
                refuse(
                    "user_id",
                    "must not contain `.` or NUL; it names a namespace".to_owned(),
                );
            }
            Some(_) => {}
        }
        if !(1..=1000).contains(&config.memory.limit) {
            refuse("memory.limit", "must be from 1 to 1000".to_owned());
        }
        if let Some(model) = &config.model {
            let found = model
                .parse::<ModelName>()
                .map_err(str::to_owned)
                .and_then(|name| self.models.find(&name).map(drop));
            if let Err(why) = found {
                refuse("model", why);
            }
        }
    }
}

/// As much of a message as is used to find memories.
fn beginning(text: &str) -> &str {
    let end = (0..=MAX_QUERY_BYTES.min(text.len()))
        .rev()
        .find(|at| text.is_char_boundary(*at));
    &text[..end.unwrap_or_default()]
}

/// The reference program's system prompt.
fn system_prompt(memories: &[String]) -> String {
    let info = memories.join("\n");
    format!("You are a helpful assistant talking to the user. {USER_INFO} {info}")
}

/// Gives messages without an id one that is the same in every replay.
fn with_ids(run_id: Uuid, messages: Vec<Message>) -> Vec<Message> {
    let numbered = messages.into_iter().enumerate();
    numbered
        .map(|(index, mut message)| {
            message
                .id
                .get_or_insert_with(|| derived_id(&format!("{run_id}/input/{index}")));
            message
        })
        .collect()
}

/// A UUIDv5 of a name that is unique in Weft.
fn derived_id(name: &str) -> String {
    Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_message_is_searched_for_by_its_beginning() {
        assert_eq!(beginning("short"), "short");
        let long = "é".repeat(MAX_QUERY_BYTES);
        assert_eq!(beginning(&long).len(), MAX_QUERY_BYTES);
        let odd = format!("x{long}");
        assert_eq!(beginning(&odd).len(), MAX_QUERY_BYTES - 1);
    }
}
