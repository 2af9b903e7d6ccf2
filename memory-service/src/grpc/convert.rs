//! Requests as domain values: the one place that looks at what callers sent. Everything that is
//! wrong with a request is gathered before it is refused.

use std::time::Duration;

use service_runtime::{Violations, payload};
use weft_proto::{
    common::v1::{Payload, PayloadForm},
    memory::v1::{self as pb, precondition::Condition},
};

use super::status::CallError;
use crate::{
    domain::{
        Document, Filter, IndexPath, Indexing, ItemId, Json, Key, LabelPattern, Namespace,
        NamespacePrefix, NamespaceQuery, Precondition, Ttl, document::DOCUMENT_LIMITS,
        time::MAX_TTL,
    },
    memory::{Lifetime, PutRequest, SearchRequest},
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

/// How deep a query can be paged: every page costs the pages before it.
const MAX_QUERY_DEPTH: usize = 10_000;

/// Longest query, in bytes: many times what a person writes, a fraction of what an engine takes.
const MAX_QUERY_BYTES: usize = 32 << 10;

/// Most index paths of one put.
const MAX_INDEX_PATHS: usize = 64;

/// A request in the making: takes field by field, and keeps what is wrong.
#[derive(Default)]
struct Reader(Violations);

#[derive(Clone, Copy)]
struct Limit {
    default: usize,
    max: usize,
}

impl Reader {
    /// The value of a field, unless something is wrong with it.
    fn take<T>(&mut self, field: Result<T, Violations>) -> Option<T> {
        field.map_err(|violations| self.0.append(violations)).ok()
    }

    fn fault(&mut self, field: &str, description: impl Into<String>) {
        self.0.push(field, description);
    }

    /// The request, if all its fields are right.
    fn finish<T>(self, request: Option<T>) -> Result<T, CallError> {
        let violations = self.0;
        match request {
            Some(request) if violations.is_empty() => Ok(request),
            _ => Err(CallError::Invalid(violations)),
        }
    }

    fn item_id(&mut self, namespace: Vec<String>, key: String) -> Option<ItemId> {
        let namespace = self.take(Namespace::try_new("namespace", namespace));
        let key = self.take(Key::try_new("key", key));
        Some(ItemId {
            namespace: namespace?,
            key: key?,
        })
    }

    fn document(&mut self, value: Option<&Payload>) -> Option<Document> {
        let Some(value) = value else {
            self.fault("value", "must be set to a JSON object");
            return None;
        };
        match payload::decode(value, &DOCUMENT_LIMITS) {
            Ok(json) => {
                let document = Document::try_new(json);
                if document.is_none() {
                    self.fault("value", "must be a JSON object");
                }
                document
            }
            Err(error) => {
                self.fault("value", error.to_string());
                None
            }
        }
    }

    fn filter(&mut self, filter: Option<&Payload>) -> Option<Filter> {
        let read = |filter| -> Result<Filter, String> {
            let json =
                payload::decode(filter, &DOCUMENT_LIMITS).map_err(|error| error.to_string())?;
            let json = Json::parse(json.get()).map_err(|error| error.to_string())?;
            Filter::parse(&json).map_err(|fault| fault.to_string())
        };
        read(filter?)
            .map_err(|fault| self.fault("filter", fault))
            .ok()
    }

    fn indexing(&mut self, indexing: Option<pb::Indexing>) -> Indexing {
        let Some(pb::Indexing {
            disabled,
            paths: texts,
        }) = indexing
        else {
            return Indexing::Configured;
        };
        if texts.len() > MAX_INDEX_PATHS {
            let actual = texts.len();
            self.fault(
                "indexing.paths",
                format!("must be at most {MAX_INDEX_PATHS} paths, not {actual}"),
            );
            return Indexing::Configured;
        }
        let mut paths = Vec::with_capacity(texts.len());
        for (index, text) in texts.iter().enumerate() {
            match IndexPath::parse(text) {
                Ok(path) => paths.push(path),
                Err(error) => {
                    self.fault(
                        &format!("indexing.paths[{index}]"),
                        format!("`{text}` {error}"),
                    );
                }
            }
        }
        match (disabled, paths.is_empty()) {
            (true, _) => Indexing::Disabled,
            (false, true) => Indexing::Configured,
            (false, false) => Indexing::Paths(paths),
        }
    }

    fn lifetime(&mut self, ttl: Option<prost_types::Duration>) -> Lifetime {
        let Some(ttl) = ttl else {
            return Lifetime::Configured;
        };
        let Some(duration) = duration(&ttl) else {
            self.fault(
                "ttl",
                "must not be negative, and its `nanos` at most 999999999; 0 is for ever",
            );
            return Lifetime::Configured;
        };
        match Ttl::try_new(duration) {
            Some(ttl) => Lifetime::Limited(ttl),
            None if duration.is_zero() => Lifetime::Unlimited,
            None => {
                let max = MAX_TTL.as_secs();
                self.fault(
                    "ttl",
                    format!("must be at most {max} seconds (100 years); 0 is for ever"),
                );
                Lifetime::Configured
            }
        }
    }

    fn precondition(&mut self, precondition: Option<pb::Precondition>) -> Precondition {
        let Some(pb::Precondition { condition }) = precondition else {
            return Precondition::None;
        };
        match condition {
            Some(Condition::Exists(true)) => Precondition::Exists,
            Some(Condition::Exists(false)) => Precondition::Absent,
            Some(Condition::Etag(etag)) if etag.is_empty() => {
                self.fault(
                    "precondition.etag",
                    "must not be empty; give the etag of the item",
                );
                Precondition::None
            }
            Some(Condition::Etag(etag)) => Precondition::Etag(etag),
            // To ignore it would be to write although the caller said when not to.
            None => {
                self.fault("precondition", "must say `exists` or `etag`");
                Precondition::None
            }
        }
    }

    fn payload_form(&mut self, form: i32) -> PayloadForm {
        PayloadForm::try_from(form).unwrap_or_else(|_| {
            self.fault(
                "payload_form",
                format!("must be a known `PayloadForm`, not {form}"),
            );
            PayloadForm::Unspecified
        })
    }

    fn limit(&mut self, value: i32, limit: Limit) -> usize {
        let Limit { default, max } = limit;
        match usize::try_from(value) {
            Ok(0) => default,
            Ok(value) if value <= max => value,
            Ok(_) => {
                self.fault("limit", format!("must be at most {max}, not {value}"));
                default
            }
            Err(_) => {
                self.fault("limit", format!("must not be negative; 0 is for {default}"));
                default
            }
        }
    }

    fn offset(&mut self, value: i32) -> usize {
        usize::try_from(value).unwrap_or_else(|_| {
            self.fault("offset", "must not be negative");
            0
        })
    }
}

/// `None` if it is negative or out of range.
fn duration(duration: &prost_types::Duration) -> Option<Duration> {
    let seconds = u64::try_from(duration.seconds).ok()?;
    let nanos = u32::try_from(duration.nanos)
        .ok()
        .filter(|nanos| *nanos < 1_000_000_000)?;
    Some(Duration::new(seconds, nanos))
}

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
    let limit = reader.limit(limit, SEARCH_LIMIT);
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
    if recency_half_life
        .as_ref()
        .is_some_and(|half| duration(half).is_none_or(|half| half.is_zero()))
    {
        reader.fault("recency_half_life", "must be more than zero");
    }
    if !(0.0..=1.0).contains(&diversity) {
        reader.fault("diversity", "must be between 0 and 1");
    }
    let request = prefix.map(|prefix| SearchRequest {
        prefix,
        words: words.clone(),
        filter,
        min_score,
        offset,
        limit,
        refresh_ttl,
    });
    let request = reader.finish(request)?;
    if words.is_some() {
        match ranking {
            pb::Ranking::Unspecified | pb::Ranking::Lexical => {}
            pb::Ranking::Semantic | pb::Ranking::Hybrid => {
                return Err(CallError::EmbedderMissing(ranking.as_str_name()));
            }
        }
        if recency_half_life.is_some() {
            return Err(CallError::Unimplemented("`recency_half_life`"));
        }
        if diversity > 0.0 {
            return Err(CallError::Unimplemented("`diversity`"));
        }
    }
    Ok((request, form))
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
    let limit = reader.limit(limit, NAMESPACES_LIMIT);
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
