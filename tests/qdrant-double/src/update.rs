//! What points are asked to change.

use std::collections::HashMap;

use qdrant_client::qdrant::{
    DeletePoints, Filter as WireFilter, PointStruct, PointVectors, PointsSelector,
    PointsUpdateOperation, UpdateMode as WireMode, UpsertPoints, Value,
    points_selector::PointsSelectorOneOf,
    points_update_operation::{Operation, PointStructList, SetPayload, UpdateVectors},
};
use qdrant_edge::{
    ConditionalInsertOperation, Filter, PayloadOps, PointInsertOperations, PointOperations,
    PointStructPersisted, PointVectorsPersisted, SetPayloadOp, UpdateMode, UpdateOperation,
    UpdateVectorsOp, VectorOperations,
};
use tonic::Status;

use crate::{
    collection::Collection,
    filter::{self, id},
    payload,
    refusal::{engine, invalid, unknown},
    vector,
};

/// Does one operation of a batch.
pub(crate) fn operation(
    collection: &Collection,
    operation: PointsUpdateOperation,
) -> Result<(), Status> {
    match operation.operation {
        Some(Operation::Upsert(PointStructList {
            points,
            shard_key_selector: None,
            update_filter,
            update_mode,
        })) => {
            let request = UpsertPoints {
                points,
                update_filter,
                update_mode,
                ..UpsertPoints::default()
            };
            upsert(collection, request)
        }
        Some(Operation::SetPayload(SetPayload {
            payload,
            points_selector,
            shard_key_selector: None,
            key: None,
        })) => set_payload(collection, payload, points_selector),
        Some(Operation::UpdateVectors(UpdateVectors {
            points,
            shard_key_selector: None,
            update_filter,
        })) => update_vectors(collection, points, update_filter),
        Some(_) => Err(unknown("this operation")),
        None => Err(invalid("Bad request: no operation")),
    }
}

/// Writes points.
pub(crate) fn upsert(collection: &Collection, request: UpsertPoints) -> Result<(), Status> {
    let mode = request.update_mode();
    let condition = filter::read_optional(request.update_filter, &collection.schema())?;
    let points = request.points.into_iter().map(point);
    let mut points: Vec<_> = points.collect::<Result<_, _>>()?;
    // A server finds out while it writes, and has written others by then.
    let (layout, mut refusal) = (collection.layout(), Ok(()));
    points.retain(|point| {
        let fits = vector::check(&point.vector, &layout);
        let keep = fits.is_ok();
        refusal = std::mem::replace(&mut refusal, Ok(())).and(fits);
        keep
    });
    let points = PointInsertOperations::PointsList(points);
    let mode = match mode {
        WireMode::Upsert => UpdateMode::Upsert,
        WireMode::InsertOnly => UpdateMode::InsertOnly,
        WireMode::UpdateOnly => UpdateMode::UpdateOnly,
    };
    let operation = match (mode, condition) {
        (UpdateMode::Upsert, None) => PointOperations::UpsertPoints(points),
        (mode, condition) => PointOperations::UpsertPointsConditional(ConditionalInsertOperation {
            points_op: points,
            condition: condition.unwrap_or_default(),
            update_mode: Some(mode),
        }),
    };
    update(collection, UpdateOperation::PointOperation(operation))?;
    refusal
}

fn point(point: PointStruct) -> Result<PointStructPersisted, Status> {
    Ok(PointStructPersisted {
        id: id(point.id)?,
        vector: vector::read(point.vectors)?,
        payload: Some(payload::read(point.payload)),
    })
}

/// Writes some vectors of points that are there.
fn update_vectors(
    collection: &Collection,
    points: Vec<PointVectors>,
    update_filter: Option<WireFilter>,
) -> Result<(), Status> {
    let layout = collection.layout();
    let vectors = points.into_iter().map(|point| {
        let vector = vector::read(point.vectors)?;
        vector::check(&vector, &layout)?;
        Ok(PointVectorsPersisted {
            id: id(point.id)?,
            vector,
        })
    });
    let operation = VectorOperations::UpdateVectors(UpdateVectorsOp {
        points: vectors.collect::<Result<_, Status>>()?,
        update_filter: filter::read_optional(update_filter, &collection.schema())?,
    });
    update(collection, UpdateOperation::VectorOperation(operation))
}

fn set_payload(
    collection: &Collection,
    payload: HashMap<String, Value>,
    selector: Option<PointsSelector>,
) -> Result<(), Status> {
    let (points, filter) = selected(collection, selector)?;
    let operation = PayloadOps::SetPayload(SetPayloadOp {
        payload: payload::read(payload),
        points,
        filter,
        key: None,
    });
    update(collection, UpdateOperation::PayloadOperation(operation))
}

/// Deletes points.
pub(crate) fn delete(collection: &Collection, request: DeletePoints) -> Result<(), Status> {
    let operation = match selected(collection, request.points)? {
        (Some(ids), _) => PointOperations::DeletePoints { ids },
        (None, filter) => PointOperations::DeletePointsByFilter(filter.unwrap_or_default()),
    };
    update(collection, UpdateOperation::PointOperation(operation))
}

type Selected = (Option<Vec<qdrant_edge::PointId>>, Option<Filter>);

fn selected(collection: &Collection, selector: Option<PointsSelector>) -> Result<Selected, Status> {
    match selector.and_then(|selector| selector.points_selector_one_of) {
        Some(PointsSelectorOneOf::Points(list)) => {
            let ids = list.ids.into_iter().map(|one| id(Some(one)));
            Ok((Some(ids.collect::<Result<_, _>>()?), None))
        }
        Some(PointsSelectorOneOf::Filter(filter)) => {
            Ok((None, Some(filter::read(filter, &collection.schema())?)))
        }
        None => Err(invalid("PointsSelector is missing")),
    }
}

fn update(collection: &Collection, operation: UpdateOperation) -> Result<(), Status> {
    collection.shard.update(operation).map_err(engine)
}
