//! What is remembered of a user: items `{"data": "…"}` under the namespace ("memories", user id).

use std::time::Duration;

use serde::{Deserialize, Serialize};
use weft_proto::memory::v1::Ranking;
use weft_worker::{Failure, InvalidArgument, RetryPolicy, Task, TaskContext, json};

use super::{Services, derived_id};
use crate::{llm::echo::USER_INFO, memory::MemoryQuery};

/// Memory may be away for about a minute, as during a rollout, before a run fails.
const PATIENT: RetryPolicy =
    RetryPolicy::exponential(16, Duration::from_millis(200), Duration::from_secs(5));
/// Runs that go on without memory do not wait for it.
const BRIEF: RetryPolicy =
    RetryPolicy::exponential(3, Duration::from_millis(200), Duration::from_secs(1));
/// Memories in the system prompt, unless the run's config says otherwise.
const DEFAULT_LIMIT: i32 = 10;
/// What a message is about shows in its first 8 KiB; memory-service takes queries of up to 32 KiB.
const MAX_QUERY_BYTES: usize = 8 * 1024;
/// Where a system prompt has the memories.
const PLACE: &str = "{memories}";
/// The reference program's system prompt.
const SYSTEM_PROMPT: &str =
    "You are a helpful assistant talking to the user. User info: {memories}";

/// Settings of memory.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MemorySettings {
    /// What decides what is remembered.
    pub mode: MemoryMode,
    /// Most memories that the model is told.
    pub limit: i32,
    /// Leave out those that score less.
    pub min_score: Option<f64>,
    /// How they are ranked.
    pub ranking: RankingName,
    /// What to do if memory-service is away.
    pub when_away: WhenAway,
}

impl Default for MemorySettings {
    fn default() -> Self {
        Self {
            mode: MemoryMode::Keyword,
            limit: DEFAULT_LIMIT,
            min_score: None,
            ranking: RankingName::Default,
            when_away: WhenAway::Fail,
        }
    }
}

/// What decides what is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MemoryMode {
    /// A message that says "remember" is stored: the reference program's rule.
    Keyword,
    /// The model calls a tool.
    Tool,
    /// The model is asked after its answer what there was to remember.
    Extract,
    /// Nothing is recalled or stored.
    Off,
}

/// How memories are ranked, as people write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RankingName {
    /// As memory-service is configured.
    Default,
    /// By meaning.
    Semantic,
    /// By words.
    Lexical,
    /// By both.
    Hybrid,
}

impl From<RankingName> for Ranking {
    fn from(name: RankingName) -> Self {
        match name {
            RankingName::Default => Self::Unspecified,
            RankingName::Semantic => Self::Semantic,
            RankingName::Lexical => Self::Lexical,
            RankingName::Hybrid => Self::Hybrid,
        }
    }
}

/// What to do if memory-service is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WhenAway {
    /// Wait for about a minute, then fail.
    Fail,
    /// Wait for a second or so, then go on without it, and say so.
    Continue,
}

/// Whether a message asks for something to be remembered: the reference program's rule.
pub fn asks_to_remember(text: &str) -> bool {
    text.to_lowercase().contains("remember")
}

impl MemorySettings {
    /// All that is wrong with the settings.
    pub fn check(&self, invalid: &mut Vec<InvalidArgument>) {
        if !(1..=1000).contains(&self.limit) {
            let why = "must be from 1 to 1000";
            invalid.push(InvalidArgument::new("config.memory.limit", why));
        }
    }

    /// The policy of the tasks that need memory.
    pub const fn retry(&self) -> RetryPolicy {
        match self.when_away {
            WhenAway::Fail => PATIENT,
            WhenAway::Continue => BRIEF,
        }
    }

    /// What to recall for a text.
    pub fn recall(&self, user_id: &str, text: &str) -> Recall {
        Recall {
            namespace: namespace(user_id),
            query: beginning(text).to_owned(),
            limit: self.limit,
            min_score: self.min_score,
            ranking: self.ranking,
        }
    }
}

/// Where the memories of a user are.
pub fn namespace(user_id: &str) -> Vec<String> {
    vec!["memories".to_owned(), user_id.to_owned()]
}

/// As much of a message as is used to find memories.
fn beginning(text: &str) -> &str {
    let end = (0..=MAX_QUERY_BYTES.min(text.len()))
        .rev()
        .find(|at| text.is_char_boundary(*at));
    &text[..end.unwrap_or_default()]
}

/// Puts memories into a system prompt: at `{memories}`, or at its end if it does not say where.
pub fn system_prompt(template: Option<&str>, memories: &[Memory]) -> String {
    let template = template.unwrap_or(SYSTEM_PROMPT);
    let info: Vec<&str> = memories.iter().map(|memory| memory.data.as_str()).collect();
    let info = info.join("\n");
    match template.contains(PLACE) {
        true => template.replace(PLACE, &info),
        false if info.is_empty() => template.to_owned(),
        false => format!("{template}\n\n{USER_INFO} {info}"),
    }
}

/// Recall asks what is known.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Recall {
    namespace: Vec<String>,
    query: String,
    limit: i32,
    #[serde(default)]
    min_score: Option<f64>,
    ranking: RankingName,
}

/// Memory is something that is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// Key of its item.
    pub key: String,
    /// What is known.
    pub data: String,
}

/// Remember says what to store.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Remember {
    /// Where.
    pub namespace: Vec<String>,
    /// Key of the item to replace; absent for a new one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// What to store.
    pub data: String,
}

/// Forget says what to delete.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Forget {
    /// Where.
    pub namespace: Vec<String>,
    /// Key of the item.
    pub key: String,
}

/// The form memories are stored in: that of the reference program.
#[derive(Serialize, Deserialize)]
struct Stored {
    data: String,
}

impl Services {
    /// Finds what is known about the user.
    pub fn recall(&self, retry: RetryPolicy) -> Task<Recall, Vec<Memory>> {
        let memory = self.memory.clone();
        Task::new("recall", move |_, recall: Recall| {
            let memory = memory.clone();
            async move {
                let query = MemoryQuery {
                    text: recall.query,
                    limit: recall.limit,
                    min_score: recall.min_score,
                    ranking: recall.ranking.into(),
                    ..MemoryQuery::default()
                };
                let items = memory.search(&recall.namespace, query).await?;
                // Others may keep items of other forms in the namespace: those say nothing here.
                let memories = items.into_iter().filter_map(|item| {
                    let stored: Stored = serde_json::from_str(item.value.get()).ok()?;
                    Some(Memory {
                        key: item.key,
                        data: stored.data,
                    })
                });
                Ok(memories.collect())
            }
        })
        .retry(retry)
    }

    /// Stores something. The key of a new item is that of the call: a second attempt stores nothing
    /// twice.
    pub fn remember(&self, retry: RetryPolicy) -> Task<Remember, String> {
        let memory = self.memory.clone();
        Task::new("remember", move |task: TaskContext, remember: Remember| {
            let memory = memory.clone();
            async move {
                let key = remember
                    .key
                    .unwrap_or_else(|| derived_id(&task.idempotency_key()));
                let stored = Stored {
                    data: remember.data,
                };
                let value = json::encode("the memory", &stored)?;
                memory.put(&remember.namespace, &key, &value).await?;
                Ok(key)
            }
        })
        .retry(retry)
    }

    /// Deletes something.
    pub fn forget(&self, retry: RetryPolicy) -> Task<Forget, ()> {
        let memory = self.memory.clone();
        Task::new("forget", move |_, forget: Forget| {
            let memory = memory.clone();
            async move { memory.delete(&forget.namespace, &forget.key).await }
        })
        .retry(retry)
    }
}

/// What a run that goes on without memory tells its reader; the failure itself if it must not.
///
/// # Errors
/// The failure.
pub fn notice_of(failure: Failure, settings: &MemorySettings) -> Result<String, Failure> {
    match settings.when_away {
        WhenAway::Continue if failure.reason == "MEMORY_UNAVAILABLE" => Ok(format!(
            "memory was away: nothing was recalled or stored ({})",
            failure.message
        )),
        WhenAway::Continue | WhenAway::Fail => Err(failure),
    }
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

    #[test]
    fn memories_stand_where_the_system_prompt_wants_them() {
        let known = ["likes tea", "is Bob"].map(|data| Memory {
            key: "k".into(),
            data: data.into(),
        });
        assert_eq!(
            system_prompt(None, &known),
            "You are a helpful assistant talking to the user. User info: likes tea\nis Bob"
        );
        assert_eq!(
            system_prompt(Some("Known: {memories}!"), &known[..1]),
            "Known: likes tea!"
        );
        assert_eq!(system_prompt(Some("Be brief."), &[]), "Be brief.");
        assert_eq!(
            system_prompt(Some("Be brief."), &known[..1]),
            "Be brief.\n\nUser info: likes tea"
        );
    }
}
