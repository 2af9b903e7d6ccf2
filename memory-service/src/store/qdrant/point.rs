//! Items as points of the server, and back.

use std::collections::HashMap;

use qdrant_client::qdrant::{
    PointId as WireId, PointStruct, Value as WireValue, Vector, point_id::PointIdOptions,
};
use serde_json::{Map, Value};
use service_runtime::Tenant;
use uuid::Uuid;

use super::{
    indexes::Roles,
    wire_vectors::{encode_vectors, wire_vectors},
};
use crate::{
    domain::{Etag, ItemId, Key, Time, Version},
    store::{
        PointId, StoreError,
        index::Index,
        point::{
            Body, CREATE_TIME, ETAG, EXPIRE_TIME, Head, KEY, NAMESPACE, SCOPES, TENANT, TTL,
            UPDATE_TIME, payload, point_id, scopes,
        },
    },
};

/// The etags before the present one, the newest first.
pub(super) const RECENT: &str = "recent";
/// When an item was removed; what is left of it has [`EXPIRE_TIME`] 0.
pub(super) const REMOVED: &str = "removed";
/// The moment at which everything is live but what is left of removed items.
pub(super) const NOT_REMOVED: Time = Time::from_micros(0);
/// The first bytes of the key as numbers in the same order: the server keeps no order of texts.
pub(super) const ORDER: [&str; 3] = ["order_0", "order_1", "order_2"];

/// The number of the index that a point was put into while there was another one.
pub(super) const INDEXED: &str = "indexed";

/// Bytes in one number: it stays below 2^53, up to where the server compares numbers exactly.
const ORDER_BYTES: usize = 6;

/// How many etags an item remembers. A writer that reads back after its write still finds its own
/// if no more writes than that came in between, which takes as many replicas.
const REMEMBERED: usize = 16;

/// A stored item as writes see it; also one that was removed, for as long as others may still look
/// for what became of their writes.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub(super) head: Head,
    recent: Vec<Value>,
    pub(super) removed: Option<Time>,
}

impl Stored {
    /// Reads the fields of a point back, other than those of its document.
    pub(super) fn decode(payload: HashMap<String, WireValue>) -> Result<Self, StoreError> {
        let mut payload = fields(payload);
        let recent = match payload.remove(RECENT) {
            Some(Value::Array(recent)) => recent,
            _ => Vec::new(),
        };
        let removed = payload.get(REMOVED).and_then(Value::as_i64);
        Ok(Self {
            head: Head::decode(&mut payload)?,
            recent,
            removed: removed.map(Time::from_micros),
        })
    }

    /// An item that remembers these etags.
    #[cfg(test)]
    pub(super) fn of(head: Head, recent: Vec<Value>) -> Self {
        Self {
            head,
            recent,
            removed: None,
        }
    }

    /// Whether the write that made this etag happened.
    pub(super) fn knows(&self, etag: Etag) -> bool {
        let text = etag.to_string();
        self.head.version.etag == etag || self.recent.iter().any(|recent| recent == text.as_str())
    }

    /// What the next version remembers.
    fn remembered(&self) -> Value {
        let present = Value::from(self.head.version.etag.to_string());
        let etags = std::iter::once(present).chain(self.recent.iter().cloned());
        etags.take(REMEMBERED).collect()
    }
}

/// Makes the point of an item in place of what is there.
pub(super) fn encode(
    tenant: &Tenant,
    id: &ItemId,
    version: &Version,
    body: &Body,
    before: Option<&Stored>,
    roles: &Roles,
) -> PointStruct {
    let mut payload = payload(tenant, id, version, body);
    if let Some(before) = before {
        payload.insert(RECENT.to_owned(), before.remembered());
    }
    for (level, name) in ORDER.into_iter().enumerate() {
        payload.insert(name.to_owned(), order(&id.key, level).into());
    }
    let mut vectors = HashMap::new();
    for index in Index::ALL {
        let number = roles.number(index).ok();
        let made = body.vectors.get(index);
        if let (Some(number), Some(made)) = (number, made.filter(|_| roles.stage.needs(index))) {
            vectors.extend(encode_vectors(made, number));
        }
    }
    let is_present = roles.stage.needs(Index::Present) && body.vectors.present.is_some();
    if let Some(mark) = roles.mark().filter(|_| is_present) {
        payload.insert(INDEXED.to_owned(), mark.into());
    }
    point(point_id(tenant, id), payload, vectors)
}

/// Makes what is left of an item that is removed at `now` by the write that makes `etag`.
pub(super) fn remains(stored: &Stored, etag: Etag, now: Time) -> PointStruct {
    let Head {
        tenant,
        id,
        version,
    } = &stored.head;
    let payload = Map::from_iter([
        (TENANT.to_owned(), tenant.as_str().into()),
        (NAMESPACE.to_owned(), id.namespace.to_string().into()),
        (SCOPES.to_owned(), scopes(tenant, &id.namespace)),
        (KEY.to_owned(), id.key.as_str().into()),
        (CREATE_TIME.to_owned(), version.create_time.micros().into()),
        (UPDATE_TIME.to_owned(), version.update_time.micros().into()),
        // It has expired by everybody's clock.
        (EXPIRE_TIME.to_owned(), NOT_REMOVED.micros().into()),
        (TTL.to_owned(), 1.into()),
        (ETAG.to_owned(), etag.to_string().into()),
        (RECENT.to_owned(), stored.remembered()),
        (REMOVED.to_owned(), now.micros().into()),
    ]);
    point(point_id(tenant, id), payload, HashMap::new())
}

/// Makes a point. One without vectors has an empty map of them; the server refuses none at all.
pub(super) fn point(
    id: PointId,
    payload: Map<String, Value>,
    vectors: HashMap<String, Vector>,
) -> PointStruct {
    let payload = payload.into_iter();
    PointStruct {
        id: Some(wire_id(id)),
        payload: payload.map(|(name, value)| (name, value.into())).collect(),
        vectors: Some(wire_vectors(vectors)),
    }
}

/// The numbers that keys are ordered by, as far as they tell keys apart.
pub(super) fn order(key: &Key, level: usize) -> i64 {
    let rest = key.as_str().as_bytes().iter().skip(level * ORDER_BYTES);
    let bytes = rest.copied().chain(std::iter::repeat(0)).take(ORDER_BYTES);
    bytes.fold(0, |number, byte| number << 8 | i64::from(byte))
}

/// Payload as JSON.
pub(super) fn fields(payload: HashMap<String, WireValue>) -> Map<String, Value> {
    let payload = payload.into_iter();
    payload
        .map(|(name, value)| (name, value.into_json()))
        .collect()
}

/// A point as the server names it.
pub(super) fn wire_id(point: PointId) -> WireId {
    PointIdOptions::Uuid(point.0.to_string()).into()
}

/// A point as we name it.
pub(super) fn own_id(id: Option<WireId>) -> Result<PointId, StoreError> {
    let uuid = match id.and_then(|id| id.point_id_options) {
        Some(PointIdOptions::Uuid(text)) => Uuid::parse_str(&text).ok(),
        Some(PointIdOptions::Num(_)) | None => None,
    };
    let foreign = || StoreError::Corrupt("a point that is not ours".into());
    uuid.map(PointId).ok_or_else(foreign)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_in_the_order_of_keys() {
        let keys = [
            "\0",
            "0",
            "1",
            "10",
            "Z",
            "a",
            "a\0",
            "aaaaaa",
            "aaaaab",
            "é",
            "\u{10ffff}",
        ];
        let numbers: Vec<_> = keys
            .iter()
            .map(|key| order(&Key::stored((*key).to_owned()), 0))
            .collect();
        assert!(numbers.is_sorted(), "{numbers:?}");
        let levels = |key: &str| {
            let key = Key::stored(key.to_owned());
            [0, 1, 2].map(|level| order(&key, level))
        };
        assert_eq!(levels("memory-0001")[0], levels("memory-0002")[0]);
        assert!(levels("memory-0001") < levels("memory-0002"));
        assert!(
            levels(&"\u{10ffff}".repeat(5))
                .iter()
                .all(|number| *number < 1 << 53)
        );
    }
}
