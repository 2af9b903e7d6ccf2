//! Domain values as responses.

use prost_types::Timestamp;
use service_runtime::payload;
use weft_proto::{common::v1::PayloadForm, memory::v1 as pb};

use super::page_token::ItemListing;
use crate::{
    batch::Outcome,
    domain::{Item, ItemId, NamespaceCount, Time, Version},
    list::Listed,
    search::Hit,
};

/// An item without its value.
pub(super) fn version(id: ItemId, version: &Version) -> pb::Item {
    let Version {
        create_time,
        update_time,
        expire_time,
        ttl: _,
        etag,
    } = version;
    pb::Item {
        namespace: id.namespace.into_labels(),
        key: id.key.into_string(),
        value: None,
        create_time: Some(timestamp(*create_time)),
        update_time: Some(timestamp(*update_time)),
        expire_time: expire_time.map(timestamp),
        etag: etag.to_string(),
    }
}

/// An item with its value.
pub(super) fn item(item: Item, form: PayloadForm) -> pb::Item {
    let value = Some(payload::encode(item.value.raw(), form));
    pb::Item {
        value,
        ..version(item.id, &item.version)
    }
}

/// What a search found; scored if there was a query.
pub(super) fn hits(hits: Vec<Hit>, scored: bool, form: PayloadForm) -> pb::SearchItemsResponse {
    let hit = |hit: Hit| pb::SearchHit {
        item: Some(item(hit.item, form)),
        score: scored.then_some(hit.rank),
    };
    pb::SearchItemsResponse {
        hits: hits.into_iter().map(hit).collect(),
    }
}

/// One page of items, and the token of the next.
pub(super) fn listed(
    listed: Listed,
    listing: &ItemListing,
    form: PayloadForm,
) -> pb::ListItemsResponse {
    let Listed { items, more } = listed;
    let last = items.last().filter(|_| more);
    pb::ListItemsResponse {
        next_page_token: last.map_or_else(String::new, |last| listing.token(&last.id)),
        items: items.into_iter().map(|one| item(one, form)).collect(),
    }
}

/// A listing of namespaces.
pub(super) fn namespaces(counts: Vec<NamespaceCount>) -> pb::ListNamespacesResponse {
    let namespace = |NamespaceCount { labels, items }| pb::Namespace {
        labels,
        item_count: signed(items),
    };
    pb::ListNamespacesResponse {
        namespaces: counts.into_iter().map(namespace).collect(),
    }
}

/// How an operation of a batch wants its answer.
#[derive(Clone, Copy, Default)]
pub(super) struct Form {
    /// Form of the values.
    pub(super) payload: PayloadForm,
    /// Whether hits have scores.
    pub(super) scored: bool,
}

/// What came of one operation of a batch.
pub(super) fn outcome(outcome: Outcome, form: Form) -> pb::BatchResult {
    use pb::batch_result::Result as Answer;
    let result = match outcome {
        Outcome::Got(found) => Answer::Get(pb::GetItemResponse {
            item: found.map(|found| item(found, form.payload)),
        }),
        Outcome::Put(put) => Answer::Put(pb::PutItemResponse {
            item: put.map(|(id, put)| version(id, &put)),
        }),
        Outcome::Deleted => Answer::Delete(pb::DeleteItemResponse {}),
        Outcome::Found(found) => Answer::Search(hits(found, form.scored, form.payload)),
        Outcome::Listed(counts) => Answer::ListNamespaces(namespaces(counts)),
    };
    pb::BatchResult {
        result: Some(result),
    }
}

/// A count as the API has it.
pub(super) fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn timestamp(time: Time) -> Timestamp {
    let (seconds, micros) = (
        time.micros().div_euclid(1_000_000),
        time.micros().rem_euclid(1_000_000),
    );
    Timestamp {
        seconds,
        nanos: i32::try_from(micros * 1_000).unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_keep_their_microseconds() {
        for (micros, seconds, nanos) in [
            (1_700_000_000_123_456, 1_700_000_000, 123_456_000),
            (0, 0, 0),
            (-1, -1, 999_999_000),
        ] {
            assert_eq!(
                timestamp(Time::from_micros(micros)),
                Timestamp { seconds, nanos }
            );
        }
    }
}
