//! `memory/*`: what entrypoints without a connection to memory-service do with it.

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::{json, value::RawValue};
use weft_worker::{Failure, Json, json, protocol::Outcome};

use crate::{
    engine::{CallTarget, TargetContext},
    memory::{MemoryClient, MemoryQuery},
    workflows::{derived_id, memories::RankingName},
};

/// MemoryTarget is one of the targets.
pub struct MemoryTarget {
    memory: MemoryClient,
    operation: Operation,
}

#[derive(Clone, Copy)]
enum Operation {
    Get,
    Put,
    Delete,
    Search,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Key {
    namespace: Vec<String>,
    key: String,
}

/// An item to store; without a key it gets one that is the same in every attempt.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Item {
    namespace: Vec<String>,
    #[serde(default)]
    key: Option<String>,
    value: Box<RawValue>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Search {
    namespace: Vec<String>,
    #[serde(default)]
    query: String,
    #[serde(default)]
    filter: Option<Box<RawValue>>,
    #[serde(default)]
    limit: i32,
    #[serde(default)]
    offset: i32,
    #[serde(default)]
    min_score: Option<f64>,
    #[serde(default = "default_ranking")]
    ranking: RankingName,
}

const fn default_ranking() -> RankingName {
    RankingName::Default
}

impl MemoryTarget {
    /// All of them, by name.
    pub fn all(memory: &MemoryClient) -> [(&'static str, Self); 4] {
        [
            ("memory/get", Operation::Get),
            ("memory/put", Operation::Put),
            ("memory/delete", Operation::Delete),
            ("memory/search", Operation::Search),
        ]
        .map(|(name, operation)| {
            let memory = memory.clone();
            (name, Self { memory, operation })
        })
    }

    async fn perform(&self, context: &TargetContext, input: &RawValue) -> Result<Json, Failure> {
        match self.operation {
            Operation::Get => {
                let Key { namespace, key } = super::read(input)?;
                let item = self.memory.get(&namespace, &key).await?;
                json::encode("the item", &item)
            }
            Operation::Put => {
                let item: Item = super::read(input)?;
                let key = item
                    .key
                    .unwrap_or_else(|| derived_id(&context.idempotency_key()));
                self.memory.put(&item.namespace, &key, &item.value).await?;
                json::encode("the key", &json!({ "key": key }))
            }
            Operation::Delete => {
                let Key { namespace, key } = super::read(input)?;
                self.memory.delete(&namespace, &key).await?;
                Ok(json::null())
            }
            Operation::Search => {
                let search: Search = super::read(input)?;
                let query = MemoryQuery {
                    text: search.query,
                    filter: search.filter.map(Json::from),
                    limit: search.limit,
                    offset: search.offset,
                    min_score: search.min_score,
                    ranking: search.ranking.into(),
                };
                let items = self.memory.search(&search.namespace, query).await?;
                json::encode("the items", &items)
            }
        }
    }
}

#[async_trait]
impl CallTarget for MemoryTarget {
    async fn call(&self, context: TargetContext, input: Json) -> Outcome {
        self.perform(&context, &input).await
    }
}
