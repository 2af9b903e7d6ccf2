//! The point that says what the collection is: its format, its embedder, its secret.

use std::collections::HashMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use qdrant_client::qdrant::{GetPoints, ScrollPoints, UpdateMode, UpsertPoints};
use ring::rand::{SecureRandom as _, SystemRandom};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{
    connection::{Connection, strong},
    open::OpenError,
    point::{fields, point, wire_id},
};
use crate::{
    domain::EmbedderIdentity,
    store::{PointId, StoreError},
};

/// Version of what is stored: raised when older data needs to be converted.
const FORMAT: &str = "weft-memory-qdrant 1";

/// Bytes of the collection's secret: as many as HMAC-SHA256 makes use of.
pub(super) const SECRET_BYTES: usize = 32;

/// The point that says what the collection is.
const DESCRIPTION: PointId = PointId(Uuid::from_u128(0x2f7d_41a3_98c6_4e0b_b5d8_70e9_6a13_c2f4));

/// Fields of that point.
const FORMAT_FIELD: &str = "format";
const EMBEDDER_FIELD: &str = "embedder";
const SECRET_FIELD: &str = "secret";

/// The point that says what the collection is, if it is there.
pub(super) async fn read(
    connection: &Connection,
) -> Result<Option<Map<String, Value>>, StoreError> {
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
    Ok(found.map(|point| fields(point.payload)))
}

/// Says what the collection is, unless another replica said so before.
pub(super) async fn write(
    connection: &Connection,
    embedder: Option<&EmbedderIdentity>,
) -> Result<(), StoreError> {
    let internal = |cause: &str| StoreError::Internal(cause.to_owned());
    let mut secret = [0; SECRET_BYTES];
    SystemRandom::new()
        .fill(&mut secret)
        .map_err(|_| internal("the operating system has no random numbers"))?;
    let mut payload = Map::from_iter([
        (FORMAT_FIELD.to_owned(), FORMAT.into()),
        (SECRET_FIELD.to_owned(), STANDARD.encode(secret).into()),
    ]);
    if let Some(embedder) = embedder {
        let text = serde_json::to_string(embedder).map_err(|error| internal(&error.to_string()))?;
        payload.insert(EMBEDDER_FIELD.to_owned(), text.into());
    }
    let request = UpsertPoints {
        collection_name: connection.collection.clone(),
        wait: Some(true),
        points: vec![point(DESCRIPTION, payload, HashMap::new())],
        ordering: strong(),
        update_mode: Some(UpdateMode::InsertOnly.into()),
        ..UpsertPoints::default()
    };
    let mut points = connection.points();
    connection.answer(points.upsert(request)).await?;
    Ok(())
}

/// Checks that the collection is one that we read, and whose vectors are of this embedder; answers
/// with its secret.
pub(super) fn check(
    connection: &Connection,
    description: &Map<String, Value>,
    configured: Option<&EmbedderIdentity>,
) -> Result<[u8; SECRET_BYTES], OpenError> {
    let text = |name: &str| description.get(name).and_then(|value| value.as_str());
    let collection = || connection.collection.clone();
    let found = text(FORMAT_FIELD).unwrap_or_default();
    let embedder: Option<Option<EmbedderIdentity>> = match text(EMBEDDER_FIELD) {
        None => Some(None),
        Some(text) => serde_json::from_str(text).ok().map(Some),
    };
    let secret = STANDARD.decode(text(SECRET_FIELD).unwrap_or_default()).ok();
    let secret: Option<[u8; SECRET_BYTES]> = secret.and_then(|bytes| bytes.try_into().ok());
    let (Some(embedder), Some(secret), FORMAT) = (embedder, secret, found) else {
        return Err(OpenError::Format {
            collection: collection(),
            found: found.to_owned(),
            read: FORMAT,
        });
    };
    if embedder.as_ref() == configured {
        return Ok(secret);
    }
    Err(OpenError::Embedder {
        collection: collection(),
        found: EmbedderIdentity::shown(embedder.as_ref()),
        configured: EmbedderIdentity::shown(configured),
    })
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
