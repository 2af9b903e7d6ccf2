//! Everything indexed anew: a second engine beside the first, with the same items in the other
//! index.
//!
//! The first engine says which items there are. The second one follows it; what it lacks, because
//! it was not indexed yet or because the second engine failed, is remembered as missing, and found
//! out anew whenever the store is opened, so that nothing depends on what a crash left behind.

use std::{
    collections::{BTreeSet, HashMap},
    ops::Bound,
};

use futures::FutureExt as _;
use qdrant_edge::{EdgeShard, PointInsertOperations, PointOperations, UpdateOperation};

use super::{
    EdgeStore,
    apart::Apart,
    archive,
    filter::engine_ids,
    operations::{delete_points, operations},
    point::encode,
    query,
    shared::{Engines, Growth, Shared, engine_error},
    writer::Command,
};
use crate::{
    domain::{Etag, Time, filter::terms},
    store::{
        Answer, PointId, StoreError,
        archive::{Record, Records},
        index::{Index, IndexVectors, Progress, Renewal, Stage},
        plan::Plan,
        point::Body,
        selection::Selection,
    },
};

/// Points of one page while engines are compared.
const PAGE: usize = 1000;

impl Renewal for EdgeStore {
    fn stage(&self) -> Stage {
        self.shared.engines().stage
    }

    fn look(&self) -> Answer<'_, Stage> {
        std::future::ready(Ok(self.stage())).boxed()
    }

    fn progress(&self) -> Answer<'_, Progress> {
        let left = self.shared.missing().len() as u64;
        let items = self.shared.registry().stored_in_all();
        std::future::ready(Ok(Progress { left, items })).boxed()
    }

    fn unindexed(&self, from: Option<PointId>, limit: usize) -> Answer<'_, Records> {
        async move {
            let read = self.reads.run(move |shared| unindexed(shared, from, limit));
            let (records, gone) = read.await?;
            if !gone.is_empty() {
                let forget = |reply| Command::Apart(Apart::Forget { gone, reply });
                self.commands.ask(forget).await?;
            }
            Ok(records)
        }
        .boxed()
    }

    fn index(&self, records: Vec<Record>) -> Answer<'_, ()> {
        let index = move |reply| Command::Apart(Apart::Index { records, reply });
        self.commands.ask(index).boxed()
    }

    fn catches_up(&self) -> Answer<'_, bool> {
        // One thread writes and goes on: a write takes note of what it leaves out before it is
        // answered, and while there is a note, searches stay where they are.
        std::future::ready(Ok(true)).boxed()
    }

    fn advance(&self) -> Answer<'_, Stage> {
        let advance = |reply| Command::Apart(Apart::Advance { reply });
        self.commands.ask(advance).boxed()
    }
}

/// The points that are not the same in both engines.
pub(super) fn differences(
    first: &EdgeShard,
    other: &EdgeShard,
) -> Result<BTreeSet<PointId>, StoreError> {
    let mut found = versions(other)?;
    let mut missing = BTreeSet::new();
    for (point, version) in versions(first)? {
        if found.remove(&point) != Some(version) {
            missing.insert(point);
        }
    }
    missing.extend(found.into_keys());
    Ok(missing)
}

fn versions(shard: &EdgeShard) -> Result<HashMap<PointId, (Etag, Option<Time>)>, StoreError> {
    let (mut versions, mut from) = (HashMap::new(), None);
    loop {
        let (heads, next) = query::walk(shard, &Selection::default(), from, PAGE)?;
        for (id, head) in heads {
            let version = (head.version.etag, head.version.expire_time);
            versions.insert(query::own_id(id)?, version);
        }
        match next {
            Some(next) => from = Some(next),
            None => return Ok(versions),
        }
    }
}

/// Items that are missing in the present index, and points in it that are no items any more.
fn unindexed(
    shared: &Shared,
    from: Option<PointId>,
    limit: usize,
) -> Result<(Records, Vec<PointId>), StoreError> {
    let mut points: Vec<_> = {
        let missing = shared.missing();
        let from = from.map_or(Bound::Unbounded, Bound::Included);
        let range = missing.range((from, Bound::Unbounded));
        range.take(limit + 1).copied().collect()
    };
    let next = (points.len() > limit).then(|| points.pop()).flatten();
    let found = archive::at(&shared.shard(), &points)?;
    let is_found = |point: &PointId| found.iter().any(|(place, _)| place == point);
    let gone = points.iter().filter(|point| !is_found(point)).copied();
    let gone = gone.collect();
    let records = found.into_iter().map(|(_, record)| record).collect();
    Ok((Records { records, next }, gone))
}

/// Does to the index that is filled what was done for a plan. Blocks; for the writer's thread.
pub(super) fn follow(shared: &Shared, engines: &Engines, plan: &Plan) {
    let Some(present) = engines.filled() else {
        return;
    };
    let done = operations(plan, Index::Present)
        .into_iter()
        .try_for_each(|operation| present.update(operation));
    if let Err(error) = &done {
        tracing::warn!(%error, "the index that is filled does not follow");
    }
    let mut missing = shared.missing();
    for change in plan.changes() {
        let follows = match (change.after, change.body) {
            (Some(_), Some(body)) => body.vectors.present.is_some(),
            // A lifetime that is restarted leaves the index as it is.
            (Some(_), None) => !missing.contains(&change.point),
            (None, _) => true,
        };
        if done.is_ok() && follows {
            missing.remove(&change.point);
        } else {
            missing.insert(change.point);
        }
    }
}

/// Removes points from the index that is filled. Blocks; for the writer's thread.
pub(super) fn remove(shared: &Shared, points: &[PointId]) {
    let engines = shared.engines();
    let Some(present) = engines.filled() else {
        return;
    };
    match present.update(delete_points(engine_ids(points).collect())) {
        Ok(()) => found(shared, points),
        Err(error) => {
            tracing::warn!(%error, "the index that is filled does not follow");
            doubt(shared, points);
        }
    }
}

/// Takes note that the engines may differ in these points.
pub(super) fn doubt(shared: &Shared, points: &[PointId]) {
    if shared.engines().filled().is_some() {
        shared.missing().extend(points);
    }
}

/// Takes note that the engines do not differ in these points any more.
fn found(shared: &Shared, points: &[PointId]) {
    let mut missing = shared.missing();
    for point in points {
        missing.remove(point);
    }
}

/// Puts items into the present index that are still as they were. Blocks; for the writer's thread.
pub(super) fn index(shared: &Shared, records: Vec<Record>) -> Result<(), StoreError> {
    let engines = shared.engines();
    let Some(present) = engines.filled() else {
        return Ok(());
    };
    shared.check_room(Growth::Much)?;
    let places: Vec<_> = records.iter().map(Record::place).collect();
    let bytes = records.iter().map(Record::bytes).sum();
    let heads = query::heads(&engines.first, &places)?;
    let (mut points, mut indexed) = (Vec::new(), Vec::new());
    for (record, place) in records.into_iter().zip(places) {
        let Some(Ok(head)) = heads.get(&place) else {
            continue;
        };
        let Record {
            tenant,
            item,
            indexing,
            vectors,
            strays: _,
        } = record;
        if head.version.etag != item.version.etag {
            continue;
        }
        let document = item.value.parse();
        let document = document.map_err(|error| StoreError::Corrupt(error.to_string()))?;
        let body = Body {
            terms: terms::of_document(&document),
            value: item.value,
            indexing,
            vectors: IndexVectors::present(vectors),
        };
        let version = &head.version;
        points.push(encode(&tenant, &item.id, version, &body, Index::Present));
        indexed.push(place);
    }
    if points.is_empty() {
        return Ok(());
    }
    let upsert = PointOperations::UpsertPoints(PointInsertOperations::PointsList(points));
    let updated = present.update(UpdateOperation::PointOperation(upsert));
    updated.map_err(engine_error)?;
    // Flushed by and by, so that the switch does not have to.
    shared.disk.lags();
    shared.disk.count(indexed.len(), bytes);
    found(shared, &indexed);
    Ok(())
}

/// Removes what is no item any more from the present index. Blocks; for the writer's thread.
pub(super) fn forget(shared: &Shared, points: &[PointId]) -> Result<(), StoreError> {
    let engines = shared.engines();
    let Some(present) = engines.filled() else {
        return Ok(());
    };
    let there = query::heads(&engines.first, points)?;
    let gone = points.iter().filter(|point| !there.contains_key(point));
    let gone: Vec<_> = gone.copied().collect();
    let ids = engine_ids(&gone).collect();
    present.update(delete_points(ids)).map_err(engine_error)?;
    found(shared, &gone);
    Ok(())
}

/// Goes to the next stage if nothing is in the way. Blocks; for the writer's thread.
pub(super) fn advance(shared: &Shared) -> Result<Stage, StoreError> {
    let io_error = |error: std::io::Error| StoreError::Unavailable(error.to_string());
    let Engines {
        first,
        other,
        stage,
    } = shared.engines();
    let next = match (stage, other, shared.next()) {
        (Stage::Filling, other, _) => Engines {
            first,
            other,
            stage: Stage::Closing,
        },
        (Stage::Closing, Some(present), Some(folder)) if shared.missing().is_empty() => {
            // What is in force after a loss of power must be on the disk before.
            present.flush().map_err(engine_error)?;
            folder.commit().map_err(io_error)?;
            Engines {
                first: present,
                other: Some(first),
                stage: Stage::Switched,
            }
        }
        (Stage::Switched, former, _) => {
            drop(former);
            shared.set_engines(Engines {
                first,
                other: None,
                stage: Stage::Settled,
            });
            shared.missing().clear();
            shared.folder().remove_old_engines().map_err(io_error)?;
            return Ok(Stage::Settled);
        }
        (stage, _, _) => return Ok(stage),
    };
    let stage = next.stage;
    shared.set_engines(next);
    Ok(stage)
}
