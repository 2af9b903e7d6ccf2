//! Batches: many operations in one call. Reads see the state before the batch; of several writes
//! to one item the last one counts, and answers them all.

use std::collections::HashMap;

use futures::{StreamExt as _, TryFutureExt as _, TryStreamExt as _, stream};
use service_runtime::Tenant;
use tokio::try_join;

use crate::{
    domain::{Item, ItemId, NamespaceCount, NamespaceQuery, Precondition, Version},
    failure::Failure,
    memory::Memory,
    plan::Plan,
    request::{PutRequest, SearchRequest},
    room::Room,
    search::Hit,
    store::{Put, StoreError},
    write::after_writes,
};

/// Operations of one batch that are under way at once: enough to keep every processor and the
/// writer busy, few enough that a batch does not crowd out other calls.
const CONCURRENCY: usize = 64;

/// One operation of a batch.
#[derive(Clone, Debug)]
pub enum Operation {
    /// Read one item.
    Get {
        /// Which.
        id: ItemId,
        /// Whether to restart its lifetime; `None` as configured.
        refresh_ttl: Option<bool>,
    },
    /// Write one item.
    Put(PutRequest),
    /// Remove one item.
    Delete(ItemId),
    /// Search.
    Search(SearchRequest),
    /// List namespaces.
    Namespaces(NamespaceQuery),
}

/// What came of an operation.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// Of a get; `None` if there is no such item.
    Got(Option<Item>),
    /// Of a put: the item as it is after the batch; `None` if the batch removed it again.
    Put(Option<(ItemId, Version)>),
    /// Of a delete.
    Deleted,
    /// Of a search.
    Found(Vec<Hit>),
    /// Of a listing.
    Listed(Vec<NamespaceCount>),
}

/// What an operation writes.
enum Write {
    Put(ItemId),
    Delete(ItemId),
}

impl Write {
    fn of(operation: &Operation) -> Option<Self> {
        match operation {
            Operation::Put(put) => Some(Self::Put(put.id.clone())),
            Operation::Delete(id) => Some(Self::Delete(id.clone())),
            Operation::Get { .. } | Operation::Search(_) | Operation::Namespaces(_) => None,
        }
    }

    fn item(&self) -> &ItemId {
        match self {
            Self::Put(id) | Self::Delete(id) => id,
        }
    }

    /// What this write is answered with, if the last one of its item had this outcome.
    fn answered(&self, last: Outcome) -> Outcome {
        match (self, last) {
            (Self::Put(_), put @ Outcome::Put(_)) => put,
            (Self::Put(_), _) => Outcome::Put(None),
            (Self::Delete(_), _) => Outcome::Deleted,
        }
    }
}

/// Runs a batch; outcomes come in the order of the operations.
///
/// # Errors
/// [`Failure`] if a search cannot be ranked, texts cannot be embedded, what is read does not fit into
/// one answer, or the store fails. Only in the last case some of the writes may have happened by then.
pub async fn run(
    memory: &Memory,
    tenant: &Tenant,
    operations: Vec<Operation>,
) -> Result<Vec<Outcome>, Failure> {
    let writes: Vec<_> = operations.iter().map(Write::of).collect();
    let mut last = HashMap::new();
    for (index, write) in writes.iter().enumerate() {
        if let Some(write) = write {
            last.insert(write.item(), index);
        }
    }
    let (mut reads, mut final_writes) = (Vec::new(), Vec::new());
    let (mut put_indexes, mut puts) = (Vec::new(), Vec::new());
    let (mut search_indexes, mut searches) = (Vec::new(), Vec::new());
    for (index, operation) in operations.into_iter().enumerate() {
        let write = writes[index].as_ref();
        if write.is_some_and(|write| last.get(write.item()) != Some(&index)) {
            continue;
        }
        match operation {
            Operation::Get { id, refresh_ttl } => reads.push((index, Step::Get(id, refresh_ttl))),
            Operation::Search(search) => {
                search_indexes.push(index);
                searches.push(search);
            }
            Operation::Namespaces(query) => reads.push((index, Step::Namespaces(query))),
            Operation::Delete(id) => final_writes.push((index, Step::Delete(id))),
            Operation::Put(put) => {
                put_indexes.push(index);
                puts.push(put);
            }
        }
    }
    let prepared = memory
        .prepare(puts)
        .map_err(|failure| failure.among(|put| put_indexes.get(put).copied().unwrap_or_default()));
    let (plans, puts) = try_join!(memory.plan(searches), prepared)?;
    let plans = plans.into_iter().map(|plan| Step::Find(Box::new(plan)));
    reads.extend(search_indexes.into_iter().zip(plans));
    let puts = puts.into_iter().map(|put| Step::Write(Box::new(put)));
    final_writes.extend(put_indexes.into_iter().zip(puts));
    let mut outcomes = perform(memory, tenant, reads).await?;
    outcomes.extend(perform(memory, tenant, final_writes).await?);
    let outcome = |(index, write): (usize, &Option<Write>)| match write {
        None => outcomes.get(&index).cloned(),
        Some(write) => {
            let last = last.get(write.item()).and_then(|last| outcomes.get(last));
            last.map(|last| write.answered(last.clone()))
        }
    };
    Ok(writes.iter().enumerate().filter_map(outcome).collect())
}

/// An operation that is ready.
enum Step {
    Get(ItemId, Option<bool>),
    Find(Box<Plan>),
    Namespaces(NamespaceQuery),
    Write(Box<Put>),
    Delete(ItemId),
}

async fn perform(
    memory: &Memory,
    tenant: &Tenant,
    steps: Vec<(usize, Step)>,
) -> Result<HashMap<usize, Outcome>, Failure> {
    let room = Room::default();
    let one = |(index, step): (usize, Step)| {
        let room = room.clone();
        async move {
            let outcome = match step {
                Step::Get(id, refresh_ttl) => {
                    let found = memory.get(tenant, &id, refresh_ttl).await?;
                    room.take(found.as_ref().map_or(0, |item| item.value.text().len()))?;
                    Outcome::Got(found)
                }
                Step::Find(plan) => Outcome::Found(memory.find(tenant, *plan, room).await?),
                Step::Namespaces(query) => {
                    let counts = memory.namespaces(tenant, query).await?;
                    let labels = counts.iter().flat_map(|count| &count.labels);
                    room.take(labels.map(String::len).sum())?;
                    Outcome::Listed(counts)
                }
                Step::Write(put) => {
                    let id = put.id.clone();
                    let written = memory.write(tenant, *put).await;
                    Outcome::Put(Some((id, written.map_err(of_batch)?)))
                }
                Step::Delete(id) => {
                    let deleted = memory.delete(tenant, id, Precondition::None).await;
                    deleted.map_err(of_batch)?;
                    Outcome::Deleted
                }
            };
            Ok((index, outcome))
        }
    };
    stream::iter(steps)
        .map(one)
        .buffer_unordered(CONCURRENCY)
        .try_collect()
        .await
}

/// What a write of a batch fails with: it has no precondition, and others may have happened.
fn of_batch(failure: Failure) -> Failure {
    match failure {
        Failure::Conflict(conflict) => Failure::Store(StoreError::Internal(format!(
            "a write without a precondition was refused: {conflict}"
        ))),
        other => after_writes(other),
    }
}
