//! The point that says what the collection is: its format, its indexes, its secret.

use std::collections::HashMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use qdrant_client::qdrant::{
    Condition as WireCondition, Filter, GetPoints, ScrollPoints, UpdateMode, UpsertPoints,
};
use ring::rand::{SecureRandom as _, SystemRandom};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{
    connection::{Connection, done, strong},
    filter::still,
    indexes::Indexes,
    open::OpenError,
    point::{fields, point, wire_id},
};
use crate::{
    domain::{EmbedderIdentity, Etag, IndexIdentity},
    store::{PointId, StoreError, point::ETAG},
};

/// Version of what is stored: raised when older data needs to be converted.
const FORMAT: &str = "weft-memory-qdrant 2";

/// The version before, which knew one index only.
const FORMAT_OF_ONE_INDEX: &str = "weft-memory-qdrant 1";

/// Bytes of the collection's secret: as many as HMAC-SHA256 makes use of.
pub(super) const SECRET_BYTES: usize = 32;

/// The point that says what the collection is.
pub(super) const DESCRIPTION: PointId =
    PointId(Uuid::from_u128(0x2f7d_41a3_98c6_4e0b_b5d8_70e9_6a13_c2f4));

/// Fields of that point.
const FORMAT_FIELD: &str = "format";
const EMBEDDER_FIELD: &str = "embedder";
const INDEXES_FIELD: &str = "indexes";
const SECRET_FIELD: &str = "secret";

/// What the collection says of itself.
#[derive(Clone, Debug)]
pub(super) struct Description {
    pub(super) secret: [u8; SECRET_BYTES],
    pub(super) indexes: Indexes,
    /// Changes whenever the indexes do; `None` if they never did.
    pub(super) version: Option<Etag>,
}

impl Description {
    /// Reads it; the format if it is of another version.
    pub(super) fn decode(payload: &Map<String, Value>) -> Result<Self, String> {
        let text = |name: &str| payload.get(name).and_then(|value| value.as_str());
        let format = text(FORMAT_FIELD).unwrap_or_default();
        let indexes: Option<Indexes> = match format {
            FORMAT => text(INDEXES_FIELD).and_then(|text| serde_json::from_str(text).ok()),
            FORMAT_OF_ONE_INDEX => {
                let embedder: Option<Option<EmbedderIdentity>> = match text(EMBEDDER_FIELD) {
                    None => Some(None),
                    Some(text) => serde_json::from_str(text).ok().map(Some),
                };
                let index = |embedder| IndexIdentity {
                    embedder,
                    paths: None,
                };
                embedder.map(|embedder| Indexes::new(index(embedder)))
            }
            _ => None,
        };
        let secret = STANDARD.decode(text(SECRET_FIELD).unwrap_or_default()).ok();
        let secret: Option<[u8; SECRET_BYTES]> = secret.and_then(|bytes| bytes.try_into().ok());
        let (Some(indexes), Some(secret)) = (indexes, secret) else {
            return Err(format.to_owned());
        };
        Ok(Self {
            secret,
            indexes,
            version: text(ETAG).and_then(Etag::parse),
        })
    }

    fn encode(&self, version: Etag) -> Result<Map<String, Value>, StoreError> {
        let indexes = serde_json::to_string(&self.indexes);
        let indexes = indexes.map_err(|error| StoreError::Internal(error.to_string()))?;
        Ok(Map::from_iter([
            (FORMAT_FIELD.to_owned(), FORMAT.into()),
            (SECRET_FIELD.to_owned(), STANDARD.encode(self.secret).into()),
            (INDEXES_FIELD.to_owned(), indexes.into()),
            (ETAG.to_owned(), version.to_string().into()),
        ]))
    }
}

/// What the collection says of itself, if it does, and learns it; the format if that is of another
/// version.
pub(super) async fn read(
    connection: &Connection,
) -> Result<Option<Result<Description, String>>, StoreError> {
    let request = GetPoints {
        collection_name: connection.collection.clone(),
        ids: vec![wire_id(DESCRIPTION)],
        with_payload: Some(true.into()),
        read_consistency: connection.read_consistency(),
        ..GetPoints::default()
    };
    let mut points = connection.points();
    let answer = connection.answer(points.get(request)).await?;
    let found = answer.result.into_iter().next();
    Ok(found.map(|point| learn(connection, &fields(point.payload))))
}

/// Takes note of what the collection says of itself.
pub(super) fn learn(
    connection: &Connection,
    payload: &Map<String, Value>,
) -> Result<Description, String> {
    let description = Description::decode(payload)?;
    connection.indexing.learn(&description.indexes);
    Ok(description)
}

/// What the collection says of itself while it is in use.
pub(super) async fn look(connection: &Connection) -> Result<Description, StoreError> {
    match read(connection).await? {
        Some(Ok(description)) => Ok(description),
        Some(Err(found)) => Err(StoreError::Unavailable(format!(
            "the collection has format `{found}` by now"
        ))),
        None => Err(emptied()),
    }
}

pub(super) fn emptied() -> StoreError {
    StoreError::Unavailable("the collection was emptied".into())
}

/// Says what the collection is, unless another replica said so before.
pub(super) async fn write(connection: &Connection) -> Result<(), StoreError> {
    let mut secret = [0; SECRET_BYTES];
    SystemRandom::new().fill(&mut secret).map_err(|_| {
        StoreError::Internal("the operating system has no random numbers".to_owned())
    })?;
    let description = Description {
        secret,
        indexes: Indexes::new(connection.indexing.present().clone()),
        version: None,
    };
    let payload = description.encode(Etag::fresh())?;
    upsert(connection, payload, UpdateMode::InsertOnly, None).await
}

/// Says that the collection has other indexes now, unless another replica changed them before.
pub(super) async fn change(
    connection: &Connection,
    before: &Description,
    indexes: Indexes,
) -> Result<(), StoreError> {
    let unchanged = match before.version {
        Some(version) => still(&[DESCRIPTION], &[version]),
        None => Filter::must([
            WireCondition::has_id([wire_id(DESCRIPTION)]),
            WireCondition::is_empty(ETAG),
        ]),
    };
    let after = Description {
        indexes,
        ..before.clone()
    };
    let payload = after.encode(Etag::fresh())?;
    upsert(connection, payload, UpdateMode::UpdateOnly, Some(unchanged)).await
}

async fn upsert(
    connection: &Connection,
    payload: Map<String, Value>,
    mode: UpdateMode,
    only: Option<Filter>,
) -> Result<(), StoreError> {
    let request = UpsertPoints {
        collection_name: connection.collection.clone(),
        wait: Some(true),
        points: vec![point(DESCRIPTION, payload, HashMap::new())],
        ordering: strong(),
        update_filter: only,
        update_mode: Some(mode.into()),
        ..UpsertPoints::default()
    };
    let mut points = connection.points();
    let answer = connection.answer(points.upsert(request)).await?;
    done(&answer.result)
}

/// Checks that the collection is one that we read, and is searched by an index that is configured.
pub(super) fn check(
    connection: &Connection,
    found: Result<Description, String>,
) -> Result<Description, OpenError> {
    let collection = || connection.collection.clone();
    let description = found.map_err(|found| OpenError::Format {
        collection: collection(),
        found,
        read: FORMAT,
    })?;
    match connection.indexing.roles_of(&description.indexes) {
        Some(_) => Ok(description),
        None => Err(OpenError::Embedder {
            collection: collection(),
            found: description.indexes.searched.index.to_string(),
            configured: connection.indexing.present().to_string(),
        }),
    }
}

/// Whether the collection holds anything at all.
pub(super) async fn holds_points(connection: &Connection) -> Result<bool, StoreError> {
    let request = ScrollPoints {
        collection_name: connection.collection.clone(),
        limit: Some(1),
        with_payload: Some(false.into()),
        read_consistency: connection.read_consistency(),
        ..ScrollPoints::default()
    };
    let mut points = connection.points();
    let answer = connection.answer(points.scroll(request)).await?;
    Ok(!answer.result.is_empty())
}
