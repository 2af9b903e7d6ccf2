//! What conversations are given and keep.

use serde::Deserialize;
use uuid::Uuid;
use weft_worker::{Context, Failure, InvalidArgument};

use super::{Services, derived_id};
use crate::llm::{
    history::{Budget, add_messages},
    message::{Change, Message},
    options::Options,
};

/// Longest user id in bytes: it becomes a namespace label.
const MAX_USER_ID_BYTES: usize = 256;

/// Settings that a run of any conversation has.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// Whose memories to use.
    pub user_id: Option<String>,
    /// Model, as `provider:model`.
    pub model: Option<String>,
    /// What the model is told about its role.
    pub system: Option<String>,
    /// What else is asked of the model.
    pub options: Options,
    /// How much of a long conversation the model is given.
    pub history: HistorySettings,
}

/// How much of a long conversation a model is given.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HistorySettings {
    /// At most this many messages.
    pub max_messages: Option<usize>,
    /// At most this many tokens, roughly.
    pub max_tokens: Option<usize>,
    /// Whether older messages are replaced by a summary. If not, they are kept, and the model is
    /// not given them.
    pub summarize: bool,
}

impl HistorySettings {
    /// The budget.
    pub const fn budget(self) -> Budget {
        Budget {
            messages: self.max_messages,
            tokens: self.max_tokens,
        }
    }
}

/// The conversation of the thread, with what is said now.
///
/// # Errors
/// `NO_SUCH_MESSAGE` if a message is to be removed that is not there.
pub fn continued(context: &Context, changes: Vec<Change>) -> Result<Vec<Message>, Failure> {
    let previous: Vec<Message> = context.previous()?.unwrap_or_default();
    let changes = with_ids(context.run_id(), changes);
    add_messages(previous, changes)
        .map_err(|error| Failure::new("NO_SUCH_MESSAGE", error.to_string()))
}

/// Gives messages without an id one that is the same in every replay.
fn with_ids(run_id: Uuid, changes: Vec<Change>) -> Vec<Change> {
    let numbered = changes.into_iter().enumerate();
    numbered
        .map(|(index, change)| match change {
            Change::Say(message) if message.id.is_none() => {
                Change::Say(message.with_id(derived_id(&format!("{run_id}/input/{index}"))))
            }
            change => change,
        })
        .collect()
}

impl Settings {
    /// All that is wrong with the settings.
    pub fn check(&self, services: &Services, invalid: &mut Vec<InvalidArgument>) {
        let mut refuse = |field: &str, why: String| {
            invalid.push(InvalidArgument::new(format!("config.{field}"), why));
        };
        if let Err(why) = check_user_id(self.user_id.as_deref()) {
            refuse("user_id", why);
        }
        for (field, why) in services.check_question(self.model.as_deref(), &self.options) {
            refuse(&field, why);
        }
        for (field, most) in [
            ("history.max_messages", self.history.max_messages),
            ("history.max_tokens", self.history.max_tokens),
        ] {
            if most == Some(0) {
                refuse(field, "must be more than zero".to_owned());
            }
        }
        if self.history.summarize
            && self.history.max_messages.is_none()
            && self.history.max_tokens.is_none()
        {
            refuse(
                "history.summarize",
                "needs `max_messages` or `max_tokens`, to know what is too long".to_owned(),
            );
        }
    }
}

fn check_user_id(id: Option<&str>) -> Result<(), String> {
    match id {
        Some("") => Err("must not be empty".to_owned()),
        Some(id) if id.len() > MAX_USER_ID_BYTES => {
            Err(format!("must be at most {MAX_USER_ID_BYTES} bytes long"))
        }
        Some(id) if id.contains(['.', '\0']) => {
            Err("must not contain `.` or NUL; it names a namespace".to_owned())
        }
        Some(_) | None => Ok(()),
    }
}
