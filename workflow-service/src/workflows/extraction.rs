//! Memory mode `extract`: after its answer the model is asked what there was to remember.

use futures::future::try_join_all;
use serde::{Deserialize, Serialize};
use serde_json::json;
use weft_worker::{Context, Failure, Task};

use super::{
    Services,
    memories::{Forget, Memory, MemorySettings, Remember, namespace},
    model::Question,
};
use crate::llm::{
    message::{Message, Role},
    options::{Options, OutputSchema},
    retry,
};

/// A model that writes nonsense gets two more chances.
const MOST_ASKED: u32 = 3;
/// Reason of an answer that is not what was asked for.
const UNREADABLE: &str = "EXTRACTION_UNREADABLE";

const INSTRUCTIONS: &str = "You decide what to remember about a user in the long run. You are given \
     what is known, with its keys, and what was just said. Add facts that are new, update those that \
     changed, under their keys, and delete those that are no longer true. Say each fact in one \
     sentence that is understood without the conversation. Leave out what only matters now, and \
     answer with an empty list if there is nothing to do.";

/// What is to be done about memories.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Edits {
    memories: Vec<Edit>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Edit {
    action: Action,
    #[serde(default)]
    key: Option<String>,
    #[serde(default)]
    data: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Action {
    Add,
    Update,
    Delete,
}

fn schema() -> OutputSchema {
    let edit = json!({
        "type": "object",
        "properties": {
            "action": { "type": "string", "enum": ["add", "update", "delete"] },
            "key": { "type": ["string", "null"] },
            "data": { "type": ["string", "null"] },
        },
        "required": ["action", "key", "data"],
        "additionalProperties": false,
    });
    OutputSchema {
        name: "memories".to_owned(),
        schema: json!({
            "type": "object",
            "properties": { "memories": { "type": "array", "items": edit } },
            "required": ["memories"],
            "additionalProperties": false,
        }),
    }
}

/// Asks for an answer in the form of [`schema`], so that a check can be made of it too.
pub fn options() -> Options {
    Options {
        output: Some(schema()),
        stream: Some(false),
        ..Options::default()
    }
}

/// What was said in a run, and what is known.
pub struct Exchange<'a> {
    /// Model to ask.
    pub model: Option<String>,
    /// User who said it.
    pub user_id: &'a str,
    /// What the user said.
    pub said: &'a str,
    /// What was answered.
    pub answer: &'a Message,
    /// What is known.
    pub known: &'a [Memory],
}

/// Has the model say what to remember of an exchange, and does it. Nothing is lost if the model
/// cannot say it in JSON: what the user said is stored as it is then, and the reader told.
///
/// # Errors
/// If the model or memory-service fails.
pub async fn extract(
    services: &Services,
    context: &Context,
    settings: &MemorySettings,
    exchange: Exchange<'_>,
) -> Result<Option<String>, Failure> {
    let question = question(&exchange);
    let written = context.call(&services.extract(), question).await;
    let (edits, notice) = match written {
        Ok(edits) => (edits, None),
        Err(failure) if failure.reason == UNREADABLE => {
            let edit = Edit {
                action: Action::Add,
                key: None,
                data: Some(exchange.said.to_owned()),
            };
            let notice = format!("what was said was stored as it is: {}", failure.message);
            let memories = vec![edit];
            (Edits { memories }, Some(notice))
        }
        Err(failure) => return Err(failure),
    };
    let (remember, forget) = merged(edits, &exchange);
    let (storing, deleting) = (
        services.remember(settings.retry()),
        services.forget(settings.retry()),
    );
    let remember = remember
        .into_iter()
        .map(|each| context.call(&storing, each));
    let remember: Vec<_> = remember.collect();
    let forget = forget.into_iter().map(|each| context.call(&deleting, each));
    let forget: Vec<_> = forget.collect();
    try_join_all(remember).await?;
    try_join_all(forget).await?;
    Ok(notice)
}

fn question(exchange: &Exchange<'_>) -> Question {
    let text = json!({
        "known": exchange.known,
        "user": exchange.said,
        "assistant": exchange.answer.content.text(),
    });
    Question {
        model: exchange.model.clone(),
        system: INSTRUCTIONS.to_owned(),
        messages: vec![Message::new(Role::User, text.to_string())],
        tools: Vec::new(),
        options: options(),
    }
}

/// What to store and what to delete. Keys that the model made up are not used, and what is known
/// already is not stored again.
fn merged(edits: Edits, exchange: &Exchange<'_>) -> (Vec<Remember>, Vec<Forget>) {
    let (mut remember, mut forget) = (Vec::new(), Vec::new());
    let is_key = |key: &String| exchange.known.iter().any(|memory| memory.key == *key);
    for edit in edits.memories {
        let key = edit.key.filter(is_key);
        let data = edit.data.filter(|data| !data.trim().is_empty());
        match (edit.action, key, data) {
            (Action::Delete, Some(key), _) => forget.push(Forget {
                namespace: namespace(exchange.user_id),
                key,
            }),
            (Action::Add | Action::Update, key, Some(data)) => {
                let is_known = exchange.known.iter().any(|memory| memory.data == data);
                if !is_known {
                    remember.push(Remember {
                        namespace: namespace(exchange.user_id),
                        key: key.filter(|_| edit.action == Action::Update),
                        data,
                    });
                }
            }
            (Action::Delete, None, _) | (Action::Add | Action::Update, _, None) => {}
        }
    }
    (remember, forget)
}

impl Services {
    /// Asks a model what to remember, and again with what is wrong with its answer.
    fn extract(&self) -> Task<Question, Edits> {
        let services = self.clone();
        Task::new("extract", move |task, mut question: Question| {
            let services = services.clone();
            async move {
                let mut asked = 0;
                loop {
                    let written = services.ask_within(&task, question.clone()).await?;
                    asked += 1;
                    let text = written.content.text().into_owned();
                    let error = match serde_json::from_str(unfenced(&text)) {
                        Ok(edits) => return Ok(edits),
                        Err(error) => error,
                    };
                    let what = format!("this is not the JSON that was asked for: {error}");
                    if asked == MOST_ASKED {
                        return Err(Failure::new(UNREADABLE, what));
                    }
                    question.messages.push(Message::new(Role::Assistant, text));
                    question.messages.push(Message::new(Role::User, what));
                }
            }
        })
        .retry(retry::ATTEMPTS)
    }
}

/// JSON without the fence that some models put around it whatever they are told.
fn unfenced(text: &str) -> &str {
    let text = text.trim();
    let Some(inner) = text.strip_prefix("```") else {
        return text;
    };
    let inner = inner.strip_prefix("json").unwrap_or(inner);
    inner.strip_suffix("```").unwrap_or(inner).trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edit(action: Action, key: Option<&str>, data: Option<&str>) -> Edit {
        Edit {
            action,
            key: key.map(str::to_owned),
            data: data.map(str::to_owned),
        }
    }

    #[test]
    fn edits_are_merged_with_what_is_known() {
        let answer = Message::new(Role::Assistant, "ok");
        let known = [
            ("k1", "The user likes tea."),
            ("k2", "The user lives in Rome."),
        ]
        .map(|(key, data)| Memory {
            key: key.into(),
            data: data.into(),
        });
        let exchange = Exchange {
            model: None,
            user_id: "1",
            said: "…",
            answer: &answer,
            known: &known,
        };
        let memories = vec![
            edit(Action::Add, None, Some("The user likes tea.")),
            edit(Action::Add, Some("k1"), Some("The user has a cat.")),
            edit(Action::Update, Some("k2"), Some("The user lives in Oslo.")),
            edit(Action::Update, Some("made up"), Some("The user is Bob.")),
            edit(Action::Delete, Some("k1"), None),
            edit(Action::Delete, Some("made up"), None),
            edit(Action::Add, None, Some(" ")),
        ];
        let (remember, forget) = merged(Edits { memories }, &exchange);
        let stored: Vec<_> = remember
            .iter()
            .map(|each| (each.key.as_deref(), each.data.as_str()))
            .collect();
        assert_eq!(
            stored,
            [
                (None, "The user has a cat."),
                (Some("k2"), "The user lives in Oslo."),
                (None, "The user is Bob."),
            ]
        );
        let deleted: Vec<_> = forget.iter().map(|each| each.key.as_str()).collect();
        assert_eq!(deleted, ["k1"]);
    }

    #[test]
    fn a_fence_around_json_is_taken_off() {
        assert_eq!(unfenced("```json\n{}\n```"), "{}");
        assert_eq!(unfenced(" {} "), "{}");
    }
}
