//! Everything indexed anew: further vectors of every point, beside those that are searched.
//!
//! Every replica that is configured for the present index takes part: it looks for points that are
//! not in it, and puts them into it unless somebody wrote them meanwhile. What replicas write that
//! do not take part, or do not know yet how far it is, is found like that, too.

use futures::FutureExt as _;
use qdrant_client::qdrant::{
    Filter, PointVectors, PointsSelector, PointsUpdateOperation, RetrievedPoint,
    points_selector::PointsSelectorOneOf,
    points_update_operation::{Operation, SetPayload, UpdateVectors},
};

use super::{
    QdrantStore,
    archive::items,
    connection::Connection,
    description::{self, Description},
    filter::{number_is, still},
    indexes::{Numbered, Roles, Way},
    point::{INDEXED, fields, own_id, wire_id},
    query::{count, scroll},
    swap::update,
    vectors,
    wire_vectors::{encode_vectors, wire_vectors},
};
use crate::store::{
    Answer, PointId, StoreError, Vectors,
    archive::{Record, Records},
    index::{Progress, Renewal, Stage},
};

/// Tries to change what the collection says while others do.
const TRIES: usize = 16;

impl Renewal for QdrantStore {
    fn stage(&self) -> Stage {
        // Whoever is not configured for what is searched has nothing to do, and is told so by calls.
        let roles = self.connection.indexing.roles();
        roles.map_or(Stage::Settled, |roles| roles.stage)
    }

    fn look(&self) -> Answer<'_, Stage> {
        async move {
            let connection = self.open_connection()?;
            description::look(connection).await?;
            Ok(connection.indexing.roles()?.stage)
        }
        .boxed()
    }

    fn progress(&self) -> Answer<'_, Progress> {
        async move {
            let connection = self.open_connection()?;
            let roles = connection.indexing.roles()?;
            Ok(Progress {
                left: count(connection, unindexed(&roles)).await?,
                items: count(connection, items()).await?,
            })
        }
        .boxed()
    }

    fn unindexed(&self, from: Option<PointId>, limit: usize) -> Answer<'_, Records> {
        async move {
            let connection = self.open_connection()?;
            let roles = connection.indexing.roles()?;
            if roles.mark().is_none() {
                return Ok(Records {
                    records: Vec::new(),
                    next: None,
                });
            }
            let limit = u32::try_from(limit).unwrap_or(u32::MAX);
            let from = from.map(wire_id);
            let page = scroll(connection, unindexed(&roles), true.into(), from, limit);
            let (points, next) = page.await?;
            Ok(Records {
                records: points.into_iter().map(record).collect(),
                next: next.map(|next| own_id(Some(next))).transpose()?,
            })
        }
        .boxed()
    }

    fn index(&self, records: Vec<Record>) -> Answer<'_, ()> {
        async move { put_into(self.open_connection()?, records).await }.boxed()
    }

    fn catches_up(&self) -> Answer<'_, bool> {
        async move {
            let connection = self.open_connection()?;
            for _ in 0..TRIES {
                let before = description::look(connection).await?;
                if connection.indexing.roles()?.stage > Stage::Closing {
                    return Ok(false);
                }
                // Whoever counted what is left without these writes finds the description changed,
                // and counts again.
                description::change(connection, &before, before.indexes.clone()).await?;
                let after = description::look(connection).await?;
                if connection.indexing.roles()?.stage > Stage::Closing {
                    return Ok(false);
                }
                if after.version != before.version {
                    return Ok(true);
                }
            }
            Err(busy())
        }
        .boxed()
    }

    fn advance(&self) -> Answer<'_, Stage> {
        async move {
            let connection = self.open_connection()?;
            let description = description::look(connection).await?;
            let roles = connection.indexing.roles()?;
            let is_ready = match roles.stage {
                Stage::Settled => false,
                Stage::Filling => roles.present.is_some(),
                Stage::Closing => count(connection, unindexed(&roles)).await? == 0,
                Stage::Switched => true,
            };
            if !is_ready {
                return Ok(roles.stage);
            }
            if let (Stage::Switched, Some(former)) = (roles.stage, roles.former) {
                // No write has had these vectors since the switch.
                vectors::delete(connection, former).await?;
            }
            let next = description.indexes.next();
            description::change(connection, &description, next).await?;
            description::look(connection).await?;
            Ok(connection.indexing.roles()?.stage)
        }
        .boxed()
    }
}

/// Has the collection filled with the present index, if it is searched by the former one.
pub(super) async fn begin(
    connection: &Connection,
    mut description: Description,
) -> Result<(), StoreError> {
    for _ in 0..TRIES {
        let roles = connection.indexing.roles()?;
        if roles.stage > Stage::Closing {
            return Ok(());
        }
        let other = &description.indexes.other;
        match other {
            Some((Way::Filling | Way::Closing, filled)) if roles.present.is_some() => {
                return vectors::create(connection, filled).await;
            }
            Some((Way::Closing, Numbered { index, .. })) => {
                return Err(StoreError::Unavailable(format!(
                    "the collection is about to be searched with {index}; configure that, or wait"
                )));
            }
            Some(_) | None => {}
        }
        let given_up = other.as_ref().map(|(_, given_up)| given_up.number);
        let present = connection.indexing.present().clone();
        let begun = description.indexes.begin(present);
        description::change(connection, &description, begun).await?;
        description = description::look(connection).await?;
        let is_ours = connection.indexing.roles()?.present.is_some();
        if let (true, Some(given_up)) = (is_ours, given_up) {
            vectors::delete(connection, given_up).await?;
        }
    }
    Err(busy())
}

fn busy() -> StoreError {
    StoreError::Unavailable("others keep changing what the collection is indexed with".into())
}

/// The filter that finds items that are not in the present index.
fn unindexed(roles: &Roles) -> Filter {
    let mut found = items();
    let marks = roles.mark().into_iter();
    found
        .must_not
        .extend(marks.map(|mark| number_is(INDEXED, mark.into())));
    found
}

fn record(point: RetrievedPoint) -> Result<Record, StoreError> {
    Record::decode(own_id(point.id)?, fields(point.payload), Vectors::default())
}

/// Puts items into the present index, unless somebody wrote them meanwhile: first their vectors,
/// then the mark that they have them.
async fn put_into(connection: &Connection, records: Vec<Record>) -> Result<(), StoreError> {
    let roles = connection.indexing.roles()?;
    let Some(number) = roles.present else {
        return Ok(());
    };
    let places: Vec<_> = records.iter().map(Record::place).collect();
    let etags: Vec<_> = records
        .iter()
        .map(|record| record.item.version.etag)
        .collect();
    let unchanged = || still(&places, &etags);
    let vectors = records.iter().zip(&places).filter_map(|(record, place)| {
        let vectors = encode_vectors(&record.vectors, number);
        (!vectors.is_empty()).then(|| PointVectors {
            id: Some(wire_id(*place)),
            vectors: Some(wire_vectors(vectors)),
        })
    });
    let vectors = UpdateVectors {
        points: vectors.collect(),
        shard_key_selector: None,
        update_filter: Some(unchanged()),
    };
    let mark = SetPayload {
        payload: [(INDEXED.to_owned(), i64::from(number).into())].into(),
        points_selector: Some(PointsSelector {
            points_selector_one_of: Some(PointsSelectorOneOf::Filter(unchanged())),
        }),
        shard_key_selector: None,
        key: None,
    };
    let mut operations: Vec<PointsUpdateOperation> = Vec::new();
    if !vectors.points.is_empty() {
        operations.push(Operation::UpdateVectors(vectors).into());
    }
    if !places.is_empty() && roles.mark().is_some() {
        operations.push(Operation::SetPayload(mark).into());
    }
    update(connection, operations).await
}

#[cfg(test)]
#[path = "renewal_tests.rs"]
mod tests;
