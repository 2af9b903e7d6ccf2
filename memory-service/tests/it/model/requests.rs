//! Operations of the model as requests of the API.

use weft_proto::{common::v1::PayloadForm, memory::v1 as pb};

use super::{
    filter::Filter,
    operation::{Indexing, Name, Namespaces, Put, Ranking, Search},
    texts,
};
use crate::support::text;

pub(super) fn labels(labels: &[&str]) -> Vec<String> {
    labels.iter().map(|label| (*label).to_owned()).collect()
}

pub(super) fn put(put: &Put, precondition: Option<pb::Precondition>) -> pb::PutItemRequest {
    let indexing = match &put.indexing {
        Indexing::Configured => None,
        Indexing::Disabled => Some(pb::Indexing {
            disabled: true,
            paths: Vec::new(),
        }),
        Indexing::Paths(paths) => Some(pb::Indexing {
            disabled: false,
            paths: paths.iter().map(|path| texts::path(*path)).collect(),
        }),
    };
    pb::PutItemRequest {
        namespace: labels(put.name.0),
        key: put.name.1.into(),
        value: Some(text(&put.document.json())),
        indexing,
        ttl: put.ttl.map(milliseconds),
        precondition,
    }
}

pub(super) fn get(name: &Name, refresh_ttl: Option<bool>) -> pb::GetItemRequest {
    pb::GetItemRequest {
        namespace: labels(name.0),
        key: name.1.into(),
        refresh_ttl,
        payload_form: PayloadForm::Text.into(),
    }
}

pub(super) fn delete(name: &Name, precondition: Option<pb::Precondition>) -> pb::DeleteItemRequest {
    pb::DeleteItemRequest {
        namespace: labels(name.0),
        key: name.1.into(),
        precondition,
    }
}

pub(super) fn search(search: &Search) -> pb::SearchItemsRequest {
    let ranking = match search.ranking {
        Ranking::Best => pb::Ranking::Unspecified,
        Ranking::Semantic => pb::Ranking::Semantic,
        Ranking::Lexical => pb::Ranking::Lexical,
        Ranking::Hybrid => pb::Ranking::Hybrid,
    };
    pb::SearchItemsRequest {
        namespace_prefix: labels(search.prefix),
        query: search.query.unwrap_or_default().into(),
        filter: search.filter.as_ref().map(|filter| text(&filter.json())),
        limit: search.limit,
        offset: search.offset,
        refresh_ttl: search.refresh,
        ranking: ranking.into(),
        min_score: search.min_score,
        recency_half_life: search.half_life.map(milliseconds),
        diversity: 0.0,
        payload_form: PayloadForm::Text.into(),
    }
}

pub(super) fn list(
    prefix: &[&str],
    filter: Option<&Filter>,
    page_size: i32,
    page_token: String,
) -> pb::ListItemsRequest {
    pb::ListItemsRequest {
        namespace_prefix: labels(prefix),
        filter: filter.map(|filter| text(&filter.json())),
        page_size,
        page_token,
        payload_form: PayloadForm::Text.into(),
    }
}

pub(super) fn namespaces(query: &Namespaces) -> pb::ListNamespacesRequest {
    pb::ListNamespacesRequest {
        prefix: labels(query.prefix),
        suffix: labels(query.suffix),
        max_depth: query.max_depth,
        limit: query.limit,
        offset: query.offset,
    }
}

fn milliseconds(millis: i64) -> prost_types::Duration {
    prost_types::Duration {
        seconds: millis / 1_000,
        nanos: (millis % 1_000) as i32 * 1_000_000,
    }
}
