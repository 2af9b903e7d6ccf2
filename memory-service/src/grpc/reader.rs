//! Fields of requests as domain values; what is wrong with them is gathered.

use std::time::Duration;

use service_runtime::{Violations, payload};
use weft_proto::{
    common::v1::{Payload, PayloadForm},
    memory::v1::{self as pb, precondition::Condition},
};

use super::status::CallError;
use crate::{
    domain::{
        Document, Filter, IndexPath, Indexing, ItemId, Json, Key, Namespace, Precondition, Ttl,
        document::DOCUMENT_LIMITS, time::MAX_TTL,
    },
    request::Lifetime,
};

/// Most index paths of one put.
const MAX_INDEX_PATHS: usize = 64;

/// A request in the making: takes field by field, and keeps what is wrong.
#[derive(Default)]
pub(super) struct Reader(Violations);

/// How much a request may ask for.
#[derive(Clone, Copy)]
pub(super) struct Limit {
    /// What 0 asks for.
    pub(super) default: usize,
    /// The most.
    pub(super) max: usize,
}

impl Reader {
    /// The value of a field, unless something is wrong with it.
    pub(super) fn take<T>(&mut self, field: Result<T, Violations>) -> Option<T> {
        field.map_err(|violations| self.0.append(violations)).ok()
    }

    /// Keeps a fault.
    pub(super) fn fault(&mut self, field: &str, description: impl Into<String>) {
        self.0.push(field, description);
    }

    /// The request, if all its fields are right.
    pub(super) fn finish<T>(self, request: Option<T>) -> Result<T, CallError> {
        let violations = self.0;
        match request {
            Some(request) if violations.is_empty() => Ok(request),
            _ => Err(CallError::Invalid(violations)),
        }
    }

    /// The name of an item.
    pub(super) fn item_id(&mut self, namespace: Vec<String>, key: String) -> Option<ItemId> {
        let namespace = self.take(Namespace::try_new("namespace", namespace));
        let key = self.take(Key::try_new("key", key));
        Some(ItemId {
            namespace: namespace?,
            key: key?,
        })
    }

    /// A document.
    pub(super) fn document(&mut self, value: Option<&Payload>) -> Option<Document> {
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

    /// A filter, if there is one.
    pub(super) fn filter(&mut self, filter: Option<&Payload>) -> Option<Filter> {
        self.filter_with_json(filter).map(|(_, filter)| filter)
    }

    /// A filter as it was sent and as it is understood, if there is one.
    pub(super) fn filter_with_json(&mut self, filter: Option<&Payload>) -> Option<(Json, Filter)> {
        let read = |filter| -> Result<(Json, Filter), String> {
            let json =
                payload::decode(filter, &DOCUMENT_LIMITS).map_err(|error| error.to_string())?;
            let json = Json::parse(json.get()).map_err(|error| error.to_string())?;
            let filter = Filter::parse(&json).map_err(|fault| fault.to_string())?;
            Ok((json, filter))
        };
        read(filter?)
            .map_err(|fault| self.fault("filter", fault))
            .ok()
    }

    /// How to index.
    pub(super) fn indexing(&mut self, indexing: Option<pb::Indexing>) -> Indexing {
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

    /// How long to live.
    pub(super) fn lifetime(&mut self, ttl: Option<prost_types::Duration>) -> Lifetime {
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

    /// What must hold.
    pub(super) fn precondition(&mut self, precondition: Option<pb::Precondition>) -> Precondition {
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

    /// The form of payloads.
    pub(super) fn payload_form(&mut self, form: i32) -> PayloadForm {
        PayloadForm::try_from(form).unwrap_or_else(|_| {
            self.fault(
                "payload_form",
                format!("must be a known `PayloadForm`, not {form}"),
            );
            PayloadForm::Unspecified
        })
    }

    /// How many.
    pub(super) fn limit(&mut self, field: &str, value: i32, limit: Limit) -> usize {
        let Limit { default, max } = limit;
        match usize::try_from(value) {
            Ok(0) => default,
            Ok(value) if value <= max => value,
            Ok(_) => {
                self.fault(field, format!("must be at most {max}, not {value}"));
                default
            }
            Err(_) => {
                self.fault(field, format!("must not be negative; 0 is for {default}"));
                default
            }
        }
    }

    /// How many to skip.
    pub(super) fn offset(&mut self, value: i32) -> usize {
        usize::try_from(value).unwrap_or_else(|_| {
            self.fault("offset", "must not be negative");
            0
        })
    }
}

/// `None` if it is negative or out of range.
pub(super) fn duration(duration: &prost_types::Duration) -> Option<Duration> {
    let seconds = u64::try_from(duration.seconds).ok()?;
    let nanos = u32::try_from(duration.nanos)
        .ok()
        .filter(|nanos| *nanos < 1_000_000_000)?;
    Some(Duration::new(seconds, nanos))
}
