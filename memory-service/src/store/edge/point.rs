//! Items as points of the engine, and back.

use std::collections::HashMap;

use qdrant_edge::{
    Payload, PayloadSelector, PayloadSelectorExclude, PayloadSelectorInclude, PointId as EngineId,
    PointStructPersisted, SparseVector, VectorInternal, VectorPersisted, VectorStructInternal,
    VectorStructPersisted, WithPayloadInterface,
};
use serde_json::{Map, Value};
use service_runtime::Tenant;
use uuid::Uuid;

use super::schema::{
    CREATE_TIME, ETAG, EXPIRE_TIME, INDEX, KEY, MEANINGS, NAMESPACE, SCOPES, TENANT, TERMS, TTL,
    UPDATE_TIME, VALUE, WORDS, field,
};
use crate::{
    domain::{
        Document, Etag, Indexing, Item, ItemId, Key, Namespace, NamespacePrefix, Time, Ttl,
        Version, filter::terms::Term,
    },
    lexical::WordVector,
    store::{PointId, StoreError, Vectors},
};

/// Space of the ids that are derived from (tenant, namespace, key).
const ITEM_SPACE: Uuid = Uuid::from_u128(0x5f0c_9b2e_64d1_5c83_a7be_1d8f_36e2_90a4);

/// Where the item of this name is.
///
/// Neither tenants nor namespaces hold NUL, and labels no `.`, so that no two names are one text.
pub(super) fn point_id(tenant: &Tenant, id: &ItemId) -> PointId {
    let name = format!("{tenant}\0{}\0{}", id.namespace, id.key);
    PointId(Uuid::new_v5(&ITEM_SPACE, name.as_bytes()))
}

/// The value of [`SCOPES`] that everything under `prefix` has; `None` for a whole tenant.
pub(super) fn scope(tenant: &Tenant, prefix: &NamespacePrefix) -> Option<String> {
    (!prefix.labels().is_empty()).then(|| format!("{tenant}.{prefix}"))
}

/// What a put gives an item besides its version.
#[derive(Clone, Debug)]
pub(super) struct Body {
    pub(super) value: Document,
    pub(super) terms: Vec<Term>,
    pub(super) indexing: Indexing,
    pub(super) words: Option<WordVector>,
    pub(super) meanings: Vec<Vec<f32>>,
}

/// Makes the point of an item.
pub(super) fn encode(
    tenant: &Tenant,
    id: &ItemId,
    version: &Version,
    body: &Body,
) -> PointStructPersisted {
    let scopes: Vec<Value> = id
        .namespace
        .dotted_prefixes()
        .map(|prefix| format!("{tenant}.{prefix}").into())
        .collect();
    let mut payload = Map::new();
    let mut set = |name: &str, value: Value| payload.insert(name.to_owned(), value);
    set(TENANT, tenant.as_str().into());
    set(NAMESPACE, id.namespace.to_string().into());
    set(SCOPES, scopes.into());
    set(KEY, id.key.as_str().into());
    set(VALUE, body.value.text().into());
    set(TERMS, body.terms.clone().into());
    match &body.indexing {
        Indexing::Configured => None,
        Indexing::Disabled => set(INDEX, false.into()),
        Indexing::Paths(paths) => set(
            INDEX,
            paths
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .into(),
        ),
    };
    set(CREATE_TIME, version.create_time.micros().into());
    set(UPDATE_TIME, version.update_time.micros().into());
    if let (Some(expiry), Some(ttl)) = (version.expire_time, version.ttl) {
        set(EXPIRE_TIME, expiry.micros().into());
        set(TTL, ttl.micros().into());
    }
    set(ETAG, version.etag.to_string().into());

    let mut vectors = HashMap::new();
    if let Some(WordVector { words, weights }) = &body.words {
        let vector = SparseVector {
            indices: words.clone(),
            values: weights.clone(),
        };
        vectors.insert(WORDS.to_owned(), VectorPersisted::Sparse(vector));
    }
    if !body.meanings.is_empty() {
        let meanings = VectorPersisted::MultiDense(body.meanings.clone());
        vectors.insert(MEANINGS.to_owned(), meanings);
    }
    PointStructPersisted {
        id: EngineId::Uuid(point_id(tenant, id).0),
        vector: VectorStructPersisted::Named(vectors),
        payload: Some(Payload(payload)),
    }
}

/// Reads the vectors of a point back.
pub(super) fn decode_vectors(vectors: Option<VectorStructInternal>) -> Vectors {
    let mut decoded = Vectors::default();
    let Some(VectorStructInternal::Named(vectors)) = vectors else {
        return decoded;
    };
    for vector in vectors.into_values() {
        match vector {
            VectorInternal::Sparse(SparseVector { indices, values }) => {
                decoded.words = Some(WordVector {
                    words: indices,
                    weights: values,
                });
            }
            VectorInternal::MultiDense(vectors) => {
                let meanings = vectors.flattened_vectors.chunks(vectors.dim.max(1));
                decoded.meanings = meanings.map(<[f32]>::to_vec).collect();
            }
            VectorInternal::Dense(vector) => decoded.meanings = vec![vector],
        }
    }
    decoded
}

/// All fields but the large ones: what a write needs to know of the item that is there.
pub(super) fn without_value() -> WithPayloadInterface {
    let exclude = [VALUE, TERMS, SCOPES, INDEX].map(field).into();
    WithPayloadInterface::Selector(PayloadSelector::Exclude(PayloadSelectorExclude { exclude }))
}

/// Nothing but one field.
pub(super) fn only(name: &'static str) -> WithPayloadInterface {
    let include = vec![field(name)];
    WithPayloadInterface::Selector(PayloadSelector::Include(PayloadSelectorInclude { include }))
}

/// When a point was updated last, if that is among the fields.
pub(super) fn update_time(payload: &Payload) -> Option<Time> {
    integer(payload, UPDATE_TIME).map(Time::from_micros)
}

/// A stored item without its document.
#[derive(Clone, Debug)]
pub(super) struct Head {
    pub(super) tenant: Tenant,
    pub(super) id: ItemId,
    pub(super) version: Version,
}

impl Head {
    /// Reads everything but the document back.
    pub(super) fn decode(payload: &mut Payload) -> Result<Self, StoreError> {
        let tenant = Tenant::try_new(&text(payload, TENANT)?)
            .map_err(|error| StoreError::Corrupt(error.to_string()))?;
        let id = ItemId {
            namespace: Namespace::from_dotted(&text(payload, NAMESPACE)?),
            key: Key::stored(text(payload, KEY)?),
        };
        let etag = Etag::parse(&text(payload, ETAG)?).ok_or_else(|| missing(ETAG))?;
        let version = Version {
            create_time: Time::from_micros(
                integer(payload, CREATE_TIME).ok_or_else(|| missing(CREATE_TIME))?,
            ),
            update_time: Time::from_micros(
                integer(payload, UPDATE_TIME).ok_or_else(|| missing(UPDATE_TIME))?,
            ),
            expire_time: integer(payload, EXPIRE_TIME).map(Time::from_micros),
            ttl: integer(payload, TTL).map(Ttl::from_micros),
            etag,
        };
        Ok(Self {
            tenant,
            id,
            version,
        })
    }

    /// Reads a whole item back.
    pub(super) fn decode_item(mut payload: Payload) -> Result<(Tenant, Item), StoreError> {
        let Self {
            tenant,
            id,
            version,
        } = Self::decode(&mut payload)?;
        let value = Document::stored(text(&mut payload, VALUE)?)
            .map_err(|error| StoreError::Corrupt(format!("the value of {id}: {error}")))?;
        Ok((tenant, Item { id, value, version }))
    }
}

fn missing(name: &str) -> StoreError {
    StoreError::Corrupt(format!("an item without a proper `{name}`"))
}

fn text(payload: &mut Payload, name: &str) -> Result<String, StoreError> {
    match payload.0.get_mut(name).map(Value::take) {
        Some(Value::String(text)) => Ok(text),
        _ => Err(missing(name)),
    }
}

fn integer(payload: &Payload, name: &str) -> Option<i64> {
    payload.0.get(name).and_then(Value::as_i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::IndexPath;

    fn id(namespace: &str, key: &str) -> ItemId {
        ItemId {
            namespace: Namespace::from_dotted(namespace),
            key: Key::stored(key.into()),
        }
    }

    #[test]
    fn an_item_comes_back_as_it_was() {
        let value = Document::stored(r#"{"b":1.0,"a":1e400,"s":"\u0000"}"#.into()).unwrap();
        let version = Version {
            create_time: Time::from_micros(1),
            update_time: Time::from_micros(2),
            expire_time: Some(Time::from_micros(3)),
            ttl: Some(Ttl::from_micros(4)),
            etag: Etag::fresh(),
        };
        let body = Body {
            value: value.clone(),
            terms: vec![i64::MIN, i64::MAX],
            indexing: Indexing::Paths(vec![IndexPath::parse("a").unwrap()]),
            words: None,
            meanings: Vec::new(),
        };
        let tenant = Tenant::default();
        let point = encode(&tenant, &id("a.b", "k\0"), &version, &body);
        let (owner, item) = Head::decode_item(point.payload.unwrap()).unwrap();
        assert_eq!(
            (owner, item.id, item.version),
            (tenant, id("a.b", "k\0"), version)
        );
        assert_eq!(item.value.text(), value.text());
    }

    #[test]
    fn no_two_names_share_a_point() {
        let tenant = |name| Tenant::try_new(name).unwrap();
        let points = [
            point_id(&tenant("t"), &id("a.b", "c")),
            point_id(&tenant("t"), &id("a", "b.c")),
            point_id(&tenant("t"), &id("a", "b\0c")),
            point_id(&tenant("u"), &id("a.b", "c")),
            point_id(&tenant("t"), &id("a.bc", "")),
        ];
        for (index, point) in points.iter().enumerate() {
            assert!(!points[..index].contains(point));
        }
    }

    #[test]
    fn damaged_points_are_told_and_not_guessed() {
        let mut payload = Payload(Map::new());
        assert!(matches!(
            Head::decode(&mut payload),
            Err(StoreError::Corrupt(_))
        ));
    }
}
