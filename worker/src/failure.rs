//! Why a task or an entrypoint failed.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use crate::CallId;

/// Longest message, in bytes.
const MAX_MESSAGE_BYTES: usize = 64 * 1024;
/// Longest reason, in characters.
const MAX_REASON_CHARS: usize = 64;
/// Longest name of a task, in bytes.
const MAX_TASK_BYTES: usize = 256;
/// Most bytes of all details together: those that do not fit are left out.
const MAX_METADATA_BYTES: usize = 1024 * 1024;
/// What a text ends with that was cut.
const CUT: &str = "…";

/// Failure is the recorded outcome of a task or an entrypoint that did not succeed.
///
/// It replays as it was recorded: code that catches it takes the same branch again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Stable UPPER_SNAKE_CASE reason, for programs.
    pub reason: String,
    /// Sentence for people.
    pub message: String,
    /// Whether another attempt may succeed. Only then a retry policy applies.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub retryable: bool,
    /// Earliest time until another attempt makes sense, if the cause said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<Duration>,
    /// Call that failed, if it was one: the innermost, where calls are nested.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<Box<FailedCall>>,
    /// Details for programs.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
}

/// FailedCall is the call that a failure comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedCall {
    /// Id of the call within the run.
    pub id: CallId,
    /// Name of the task.
    pub task: Arc<str>,
}

impl Failure {
    /// Reason of calls that fail because their run was cancelled.
    pub const CANCELLED: &'static str = "CANCELLED";

    /// The failure of a call whose run was cancelled.
    pub fn cancelled() -> Self {
        Self::new(Self::CANCELLED, "the run was cancelled")
    }

    /// A failure that no further attempt will mend.
    pub fn new(reason: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            message: message.into(),
            retryable: false,
            retry_after: None,
            call: None,
            metadata: BTreeMap::new(),
        }
    }

    /// A failure that may pass, such as a service that is away.
    pub fn transient(reason: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            retryable: true,
            ..Self::new(reason, message)
        }
    }

    /// Sets the earliest time until another attempt.
    #[must_use]
    pub fn retry_after(mut self, delay: Option<Duration>) -> Self {
        self.retry_after = delay;
        self
    }

    /// Names the call that failed, unless one is named already.
    #[must_use]
    pub fn of_call(mut self, id: &CallId, task: &Arc<str>) -> Self {
        self.call.get_or_insert_with(|| {
            Box::new(FailedCall {
                id: id.clone(),
                task: Arc::clone(task),
            })
        });
        self
    }

    /// The failure as it is kept, whatever code made of it: the reason is UPPER_SNAKE_CASE, and no part
    /// is so long that those who list failures could not be told.
    #[must_use]
    pub fn kept(mut self) -> Self {
        self.reason = kept_reason(&self.reason);
        cut(&mut self.message, MAX_MESSAGE_BYTES);
        if let Some(call) = &mut self.call
            && call.task.len() > MAX_TASK_BYTES
        {
            let mut task = call.task.to_string();
            cut(&mut task, MAX_TASK_BYTES);
            call.task = task.into();
        }
        let mut left = MAX_METADATA_BYTES;
        self.metadata.retain(|key, value| {
            let room = left.checked_sub(key.len() + value.len());
            left = room.unwrap_or(left);
            room.is_some()
        });
        self
    }

    /// Name of the task that failed, if it was one.
    pub fn task(&self) -> Option<&str> {
        self.call.as_ref().map(|call| &*call.task)
    }

    /// Adds a detail for programs.
    #[must_use]
    pub fn with(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata.insert(key.into(), value.into());
        self
    }
}

/// A reason with letters in upper case and `_` in place of what no reason has.
fn kept_reason(reason: &str) -> String {
    let kept = |letter: char| match letter.to_ascii_uppercase() {
        letter @ ('A'..='Z' | '0'..='9') => letter,
        _ => '_',
    };
    reason.chars().take(MAX_REASON_CHARS).map(kept).collect()
}

/// Cuts a text that has more than `most` bytes, and shows that it did.
pub(crate) fn cut(text: &mut String, most: usize) {
    if text.len() > most {
        text.truncate(text.floor_char_boundary(most - CUT.len()));
        text.push_str(CUT);
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason, self.message)
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_of_a_failure_is_short_and_has_a_reason_for_programs() {
        let long = Failure::new(
            "lower case\nünd more".repeat(9),
            "ä".repeat(MAX_MESSAGE_BYTES),
        )
        .with("a", "x".repeat(MAX_METADATA_BYTES - 1))
        .with("b", "y")
        .of_call(&CallId::new(None, 0), &"t".repeat(5000).into());
        let kept = long.kept();
        assert!(kept.reason.starts_with("LOWER_CASE__ND_MORE"), "{kept:?}");
        assert_eq!(kept.reason.len(), MAX_REASON_CHARS);
        assert!(kept.message.len() <= MAX_MESSAGE_BYTES && kept.message.ends_with("ä…"));
        assert_eq!(kept.metadata.keys().collect::<Vec<_>>(), ["a"]);
        assert_eq!(kept.task().map(str::len), Some(MAX_TASK_BYTES));
        // What is short stays as it is, also if it is kept again.
        let short = Failure::new("NOT_2_DAY", "later").with("until", "tomorrow");
        assert_eq!(short.clone().kept(), short);
        assert_eq!(kept.clone().kept(), kept);
    }
}
