//! What the engine has to do so that a plan holds.

use std::collections::BTreeMap;

use qdrant_edge::{
    Payload, PayloadOps, PointId as EngineId, PointInsertOperations, PointOperations, SetPayloadOp,
    UpdateOperation,
};
use serde_json::Map;

use super::point::encode;
use crate::{
    domain::Time,
    store::{index::Index, plan::Plan, point::EXPIRE_TIME},
};

/// What the engine of an index has to do for a plan. What has no vectors for it is left out.
pub(super) fn operations(plan: &Plan, index: Index) -> Vec<UpdateOperation> {
    let mut upserts = Vec::new();
    let mut deletes = Vec::new();
    let mut refreshes: BTreeMap<Time, Vec<EngineId>> = BTreeMap::new();
    for change in plan.changes() {
        let point = EngineId::Uuid(change.point.0);
        match (change.after, change.body) {
            (None, _) => deletes.push(point),
            (Some(version), Some(body)) => {
                if body.vectors.get(index).is_some() {
                    upserts.push(encode(change.tenant, change.id, version, body, index));
                }
            }
            (Some(version), None) => {
                if let Some(expiry) = version.expire_time {
                    refreshes.entry(expiry).or_default().push(point);
                }
            }
        }
    }
    let mut operations = Vec::new();
    if !upserts.is_empty() {
        let points = PointInsertOperations::PointsList(upserts);
        operations.push(UpdateOperation::PointOperation(
            PointOperations::UpsertPoints(points),
        ));
    }
    if !deletes.is_empty() {
        operations.push(delete_points(deletes));
    }
    for (expiry, points) in refreshes {
        let payload = Map::from_iter([(EXPIRE_TIME.to_owned(), expiry.micros().into())]);
        operations.push(UpdateOperation::PayloadOperation(PayloadOps::SetPayload(
            SetPayloadOp {
                payload: Payload(payload),
                points: Some(points),
                filter: None,
                key: None,
            },
        )));
    }
    operations
}

/// The operation that removes points.
pub(super) fn delete_points(ids: Vec<EngineId>) -> UpdateOperation {
    UpdateOperation::PointOperation(PointOperations::DeletePoints { ids })
}
