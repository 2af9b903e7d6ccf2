//! Requests as domain values: the one place that looks at what callers sent. Everything that is
//! wrong with a request is gathered before it is refused.

use service_runtime::Tenant;
use weft_proto::{common::v1::PayloadForm, memory::v1 as pb};

use super::{
    page_token::ItemListing,
    reader::{Limit, Reader, duration},
    status::CallError,
};
use crate::{
    domain::{Filter, ItemId, LabelPattern, NamespacePrefix, NamespaceQuery, Precondition},
    request::{ListRequest, PutRequest, Ranking, SearchRequest},
};

/// Items of a search that asks for no number, and at most.
const SEARCH_LIMIT: Limit = Limit {
    default: 10,
    max: 1000,
};

/// Namespaces of a listing that asks for no number, and at most.
const NAMESPACES_LIMIT: Limit = Limit {
    default: 100,
    max: 10_000,
};

/// Items of a page that asks for no number, and at most.
const PAGE_SIZE: Limit = Limit {
    default: 100,
    max: 1000,
};

/// How deep a query can be paged: every page costs the pages before it.
const MAX_QUERY_DEPTH: usize = 10_000;

/// Longest query, in bytes: many times what a person writes, a fraction of what an engine takes.
const MAX_QUERY_BYTES: usize = 32 << 10;

/// Reads a `PutItemRequest`.
pub(super) fn put(request: pb::PutItemRequest) -> Result<PutRequest, CallError> {
    let pb::PutItemRequest {
        namespace,
        key,
        value,
        indexing,
        ttl,
        precondition,
    } = request;
    let mut reader = Reader::default();
    let id = reader.item_id(namespace, key);
    let value = reader.document(value.as_ref());
    let indexing = reader.indexing(indexing);
    let lifetime = reader.lifetime(ttl);
    let precondition = reader.precondition(precondition);
    let request = id.zip(value).map(|(id, value)| PutRequest {
        id,
        value,
        indexing,
        lifetime,
        precondition,
    });
    reader.finish(request)
}

/// A `GetItemRequest` as domain values.
pub(super) struct Get {
    pub(super) id: ItemId,
    pub(super) refresh_ttl: Option<bool>,
    pub(super) form: PayloadForm,
}

/// Reads a `GetItemRequest`.
pub(super) fn get(request: pb::GetItemRequest) -> Result<Get, CallError> {
    let pb::GetItemRequest {
        namespace,
        key,
        refresh_ttl,
        payload_form,
    } = request;
    let mut reader = Reader::default();
    let id = reader.item_id(namespace, key);
    let form = reader.payload_form(payload_form);
    reader.finish(id.map(|id| Get {
        id,
        refresh_ttl,
        form,
    }))
}

/// Reads a `DeleteItemRequest`.
pub(super) fn delete(request: pb::DeleteItemRequest) -> Result<(ItemId, Precondition), CallError> {
    let pb::DeleteItemRequest {
        namespace,
        key,
        precondition,
    } = request;
    let mut reader = Reader::default();
    let id = reader.item_id(namespace, key);
    let precondition = reader.precondition(precondition);
    reader.finish(id.map(|id| (id, precondition)))
}

/// Reads a `SearchItemsRequest`.
pub(super) fn search(
    request: pb::SearchItemsRequest,
) -> Result<(SearchRequest, PayloadForm), CallError> {
    let pb::SearchItemsRequest {
        namespace_prefix,
        query,
        filter,
        limit,
        offset,
        refresh_ttl,
        ranking,
        min_score,
        recency_half_life,
        diversity,
        payload_form,
    } = request;
    let mut reader = Reader::default();
    let prefix = reader.take(NamespacePrefix::try_new(
        "namespace_prefix",
        namespace_prefix,
    ));
    let filter = reader.filter(filter.as_ref());
    let limit = reader.limit("limit", limit, SEARCH_LIMIT);
    let offset = reader.offset(offset);
    let form = reader.payload_form(payload_form);
    let ranking = pb::Ranking::try_from(ranking).unwrap_or_else(|_| {
        reader.fault(
            "ranking",
            format!("must be a known `Ranking`, not {ranking}"),
        );
        pb::Ranking::Unspecified
    });
    let words = (!query.is_empty()).then_some(query);
    if let Some(words) = &words {
        if words.len() > MAX_QUERY_BYTES {
            let actual = words.len();
            reader.fault(
                "query",
                format!("must be at most {MAX_QUERY_BYTES} bytes long, not {actual}"),
            );
        }
        if offset + limit > MAX_QUERY_DEPTH {
            let description =
                format!("and `limit` must be at most {MAX_QUERY_DEPTH} together with a query");
            reader.fault("offset", description);
        }
    }
    if min_score.is_some_and(f64::is_nan) {
        reader.fault("min_score", "must be a number, not NaN");
    }
    let half_life = recency_half_life.as_ref().map(duration);
    if half_life.is_some_and(|half| half.is_none_or(|half| half.is_zero())) {
        reader.fault("recency_half_life", "must be more than zero");
    }
    if !(0.0..=1.0).contains(&diversity) {
        reader.fault("diversity", "must be between 0 and 1");
    }
    let request = prefix.map(|prefix| SearchRequest {
        prefix,
        words,
        ranking: match ranking {
            pb::Ranking::Unspecified => Ranking::Best,
            pb::Ranking::Semantic => Ranking::Semantic,
            pb::Ranking::Lexical => Ranking::Lexical,
            pb::Ranking::Hybrid => Ranking::Hybrid,
        },
        filter,
        half_life: half_life.flatten(),
        diversity,
        min_score,
        offset,
        limit,
        refresh_ttl,
    });
    let request = reader.finish(request)?;
    Ok((request, form))
}

/// A `ListItemsRequest` as domain values.
pub(super) struct List {
    pub(super) request: ListRequest,
    pub(super) listing: ItemListing,
    pub(super) form: PayloadForm,
}

/// Reads a `ListItemsRequest`.
pub(super) fn list(
    secret: &[u8],
    tenant: &Tenant,
    request: pb::ListItemsRequest,
) -> Result<List, CallError> {
    let pb::ListItemsRequest {
        namespace_prefix,
        filter,
        page_size,
        page_token,
        payload_form,
    } = request;
    let mut reader = Reader::default();
    let prefix = reader.take(NamespacePrefix::try_new(
        "namespace_prefix",
        namespace_prefix,
    ));
    let (json, filter) = reader.filter_with_json(filter.as_ref()).unzip();
    let limit = reader.limit("page_size", page_size, PAGE_SIZE);
    let form = reader.payload_form(payload_form);
    let prefix = reader.finish(prefix)?;
    // Only a request that is right otherwise can tell whether a token is its own.
    let listing = ItemListing::new(secret, tenant, &prefix, json.as_ref());
    let after = listing
        .position(&page_token)
        .map_err(CallError::PageToken)?;
    Ok(List {
        request: ListRequest {
            prefix,
            filter,
            after,
            limit,
        },
        listing,
        form,
    })
}

/// Reads a `CountItemsRequest`.
pub(super) fn count(
    request: pb::CountItemsRequest,
) -> Result<(NamespacePrefix, Option<Filter>), CallError> {
    let pb::CountItemsRequest {
        namespace_prefix,
        filter,
    } = request;
    let mut reader = Reader::default();
    let prefix = reader.take(NamespacePrefix::try_new(
        "namespace_prefix",
        namespace_prefix,
    ));
    let filter = reader.filter(filter.as_ref());
    reader.finish(prefix.map(|prefix| (prefix, filter)))
}

/// Reads a `ListNamespacesRequest`.
pub(super) fn list_namespaces(
    request: pb::ListNamespacesRequest,
) -> Result<NamespaceQuery, CallError> {
    let pb::ListNamespacesRequest {
        prefix,
        suffix,
        max_depth,
        limit,
        offset,
    } = request;
    let mut reader = Reader::default();
    let prefix = reader.take(LabelPattern::prefix("prefix", prefix));
    let suffix = reader.take(LabelPattern::suffix("suffix", suffix));
    let depth = max_depth.map(|depth| usize::try_from(depth).unwrap_or(0));
    if depth == Some(0) {
        reader.fault(
            "max_depth",
            "must be at least 1; leave it out for whole namespaces",
        );
    }
    let limit = reader.limit("limit", limit, NAMESPACES_LIMIT);
    let offset = reader.offset(offset);
    let query = prefix.zip(suffix).map(|(prefix, suffix)| NamespaceQuery {
        prefix,
        suffix,
        max_depth: depth,
        offset,
        limit,
    });
    reader.finish(query)
}

/// Reads a `DeleteNamespaceRequest`.
pub(super) fn delete_namespace(
    request: pb::DeleteNamespaceRequest,
) -> Result<NamespacePrefix, CallError> {
    let pb::DeleteNamespaceRequest { namespace_prefix } = request;
    let mut reader = Reader::default();
    if namespace_prefix.is_empty() {
        reader.fault("namespace_prefix", "must have at least one label");
    }
    let prefix = reader.take(NamespacePrefix::try_new(
        "namespace_prefix",
        namespace_prefix,
    ));
    reader.finish(prefix)
}
