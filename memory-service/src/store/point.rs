//! Items as points: what every engine stores of an item, under which names, and back.

use serde_json::{Map, Value};
use service_runtime::Tenant;
use uuid::Uuid;

use super::{PointId, StoreError, index::IndexVectors};
use crate::domain::{
    Document, Etag, IndexPath, Indexing, Item, ItemId, Key, Namespace, NamespacePrefix, Time, Ttl,
    Version, filter::terms::Term,
};

/// The tenant.
pub(super) const TENANT: &str = "tenant";
/// The namespace with dots between its labels.
pub(super) const NAMESPACE: &str = "namespace";
/// The namespace and those above it, each as `tenant.label.label`.
pub(super) const SCOPES: &str = "scopes";
/// The key.
pub(super) const KEY: &str = "key";
/// The exact text of the document.
pub(super) const VALUE: &str = "value";
/// What filters narrow down by.
pub(super) const TERMS: &str = "terms";
/// What the put said about indexing: absent for nothing, `false` for none, else the paths.
pub(super) const INDEX: &str = "index";
/// Microseconds since the Unix epoch.
pub(super) const CREATE_TIME: &str = "create_time";
/// Microseconds since the Unix epoch.
pub(super) const UPDATE_TIME: &str = "update_time";
/// Microseconds since the Unix epoch; absent for never.
pub(super) const EXPIRE_TIME: &str = "expire_time";
/// Microseconds; absent for none.
pub(super) const TTL: &str = "ttl";
/// The version.
pub(super) const ETAG: &str = "etag";

/// The fields that are large, and that a write need not know of the item that is there.
pub(super) const LARGE: [&str; 4] = [VALUE, TERMS, SCOPES, INDEX];

/// The sparse vector of an item's words.
pub(super) const WORDS: &str = "words";
/// The vectors of an item's texts, as many as there are texts.
pub(super) const MEANINGS: &str = "meanings";

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
    pub(super) vectors: IndexVectors,
}

/// The values of [`SCOPES`] of a namespace.
pub(super) fn scopes(tenant: &Tenant, namespace: &Namespace) -> Value {
    let prefixes = namespace.dotted_prefixes();
    let scopes = prefixes.map(|prefix| format!("{tenant}.{prefix}"));
    scopes.collect::<Vec<_>>().into()
}

/// Makes the fields of an item.
pub(super) fn payload(
    tenant: &Tenant,
    id: &ItemId,
    version: &Version,
    body: &Body,
) -> Map<String, Value> {
    let scopes = scopes(tenant, &id.namespace);
    let mut payload = Map::new();
    let mut set = |name: &str, value: Value| payload.insert(name.to_owned(), value);
    set(TENANT, tenant.as_str().into());
    set(NAMESPACE, id.namespace.to_string().into());
    set(SCOPES, scopes);
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
    payload
}

/// When a point was updated last, if that is among the fields.
pub(super) fn update_time(payload: &Map<String, Value>) -> Option<Time> {
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
    pub(super) fn decode(payload: &mut Map<String, Value>) -> Result<Self, StoreError> {
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
    pub(super) fn decode_item(
        mut payload: Map<String, Value>,
    ) -> Result<(Tenant, Item), StoreError> {
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

/// What the put of an item said about indexing.
pub(super) fn indexing(payload: &Map<String, Value>) -> Result<Indexing, StoreError> {
    let paths = match payload.get(INDEX) {
        None => return Ok(Indexing::Configured),
        Some(Value::Bool(false)) => return Ok(Indexing::Disabled),
        Some(Value::Array(paths)) => paths,
        Some(_) => return Err(missing(INDEX)),
    };
    let path = |path: &Value| path.as_str().and_then(|path| IndexPath::parse(path).ok());
    let paths: Option<Vec<_>> = paths.iter().map(path).collect();
    paths.map(Indexing::Paths).ok_or_else(|| missing(INDEX))
}

fn missing(name: &str) -> StoreError {
    StoreError::Corrupt(format!("an item without a proper `{name}`"))
}

fn text(payload: &mut Map<String, Value>, name: &str) -> Result<String, StoreError> {
    match payload.get_mut(name).map(Value::take) {
        Some(Value::String(text)) => Ok(text),
        _ => Err(missing(name)),
    }
}

fn integer(payload: &Map<String, Value>, name: &str) -> Option<i64> {
    payload.get(name).and_then(Value::as_i64)
}

#[cfg(test)]
mod tests {
    use super::*;

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
            vectors: IndexVectors::default(),
        };
        let tenant = Tenant::default();
        let payload = payload(&tenant, &id("a.b", "k\0"), &version, &body);
        let (owner, item) = Head::decode_item(payload).unwrap();
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
        let mut payload = Map::new();
        assert!(matches!(
            Head::decode(&mut payload),
            Err(StoreError::Corrupt(_))
        ));
    }
}
