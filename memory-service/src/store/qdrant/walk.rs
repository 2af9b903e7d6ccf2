//! Walks: items in order of (namespace, key).
//!
//! The registry has the namespaces in order. Within one, the server orders by the first bytes of
//! keys as numbers, level by level; keys that those do not tell apart are ordered here.

use futures::{FutureExt as _, future::BoxFuture};
use qdrant_client::qdrant::{
    Direction, Filter, OrderBy, RetrievedPoint, ScrollPoints, StartFrom, order_value, start_from,
};
use serde_json::Value;
use service_runtime::Tenant;

use super::{
    connection::Connection,
    filter::{filter, number_is},
    point::{ORDER, fields, order, own_id},
    query::{items, scroll},
    registry::names,
};
use crate::{
    domain::{Item, Key},
    store::{PointId, StoreError, WalkQuery, point::KEY, selection::Selection},
};

/// Fewest names that are asked for at once: a call costs about as much as a hundred of them.
const LEAST_NAMES: usize = 128;

/// Names of one page of those that nothing tells apart.
const PAGE: u32 = 1000;

/// The first items of a walk.
pub(super) async fn walk(
    connection: &Connection,
    tenant: &Tenant,
    query: WalkQuery,
) -> Result<Vec<Item>, StoreError> {
    let WalkQuery {
        prefix,
        narrowing,
        after,
        limit,
        now,
    } = query;
    let mut found = Vec::new();
    for namespace in names(connection, tenant, &prefix).await? {
        let mut after = match &after {
            Some(after) if namespace < after.namespace => continue,
            Some(after) if namespace == after.namespace => Some(after.key.clone()),
            Some(_) | None => None,
        };
        let selection = Selection::live_in(tenant, &namespace, now).narrow(&narrowing);
        loop {
            let missing = limit - found.len();
            if missing == 0 {
                return Ok(found);
            }
            let passing = filter(&selection);
            let keys = keys(connection, passing, 0, after, missing).await?;
            let points: Vec<_> = keys.iter().map(|(_, point)| *point).collect();
            let loaded = items(connection, tenant, &points, now).await?;
            found.extend(loaded.into_iter().flatten());
            if keys.len() < missing {
                break;
            }
            after = keys.into_iter().next_back().map(|(key, _)| key);
        }
    }
    Ok(found)
}

/// The first keys after `after` among points of one namespace, in order.
fn keys<'a>(
    connection: &'a Connection,
    filter: Filter,
    level: usize,
    after: Option<Key>,
    wanted: usize,
) -> BoxFuture<'a, Result<Vec<(Key, PointId)>, StoreError>> {
    async move {
        let Some(field) = ORDER.get(level) else {
            return all(connection, filter, after, wanted).await;
        };
        let mut found = Vec::new();
        let mut from = after.as_ref().map(|key| order(key, level));
        while found.len() < wanted {
            let window = (wanted - found.len() + 1).max(LEAST_NAMES);
            let batch = ordered(connection, filter.clone(), field, from, window).await?;
            let last = batch.last().map(|(_, number)| *number);
            let Some(last) = last.filter(|_| batch.len() >= window) else {
                push(
                    &mut found,
                    batch.into_iter().map(|(named, _)| named),
                    after.as_ref(),
                );
                break;
            };
            // More may follow that are level with the last.
            let whole = batch.into_iter().take_while(|(_, number)| *number < last);
            let whole: Vec<_> = whole.map(|(named, _)| named).collect();
            if !whole.is_empty() {
                push(&mut found, whole.into_iter(), after.as_ref());
                from = Some(last);
                continue;
            }
            let mut level_with = filter.clone();
            level_with.must.push(number_is(field, last));
            let within = after.clone().filter(|key| order(key, level) == last);
            let missing = wanted - found.len();
            found.extend(keys(connection, level_with, level + 1, within, missing).await?);
            from = Some(last + 1);
        }
        found.truncate(wanted);
        Ok(found)
    }
    .boxed()
}

/// Adds what comes after `after`, in order; all of it follows what was found before.
fn push(
    found: &mut Vec<(Key, PointId)>,
    names: impl Iterator<Item = (Key, PointId)>,
    after: Option<&Key>,
) {
    let start = found.len();
    found.extend(names.filter(|(key, _)| after.is_none_or(|after| key > after)));
    found[start..].sort_unstable_by(|one, other| one.0.cmp(&other.0));
}

/// The first points in order of a field, with its values.
async fn ordered(
    connection: &Connection,
    filter: Filter,
    field: &str,
    from: Option<i64>,
    limit: usize,
) -> Result<Vec<((Key, PointId), i64)>, StoreError> {
    let request = ScrollPoints {
        collection_name: connection.collection.clone(),
        filter: Some(filter),
        limit: Some(u32::try_from(limit).unwrap_or(u32::MAX)),
        with_payload: Some(vec![KEY].into()),
        read_consistency: connection.read_consistency(),
        order_by: Some(OrderBy {
            key: field.to_owned(),
            direction: Some(Direction::Asc.into()),
            start_from: from.map(|from| StartFrom {
                value: Some(start_from::Value::Integer(from)),
            }),
        }),
        ..ScrollPoints::default()
    };
    let mut points = connection.points();
    let answer = connection.answer(points.scroll(request)).await?;
    let numbered = answer.result.into_iter().map(|point| {
        let number = point.order_value.and_then(|value| value.variant);
        match number {
            Some(order_value::Variant::Int(number)) => Ok((named(point)?, number)),
            Some(order_value::Variant::Float(_)) | None => {
                Err(StoreError::Corrupt(format!("an item without `{field}`")))
            }
        }
    });
    numbered.collect()
}

/// The first keys of those that are level with each other on every level.
async fn all(
    connection: &Connection,
    filter: Filter,
    after: Option<Key>,
    wanted: usize,
) -> Result<Vec<(Key, PointId)>, StoreError> {
    let (mut found, mut from) = (Vec::new(), None);
    loop {
        let fields = vec![KEY].into();
        let (points, next) = scroll(connection, filter.clone(), fields, from, PAGE).await?;
        let names: Vec<_> = points.into_iter().map(named).collect::<Result<_, _>>()?;
        push(&mut found, names.into_iter(), after.as_ref());
        found.sort_unstable_by(|one, other| one.0.cmp(&other.0));
        found.truncate(wanted);
        if next.is_none() {
            return Ok(found);
        }
        from = next;
    }
}

fn named(point: RetrievedPoint) -> Result<(Key, PointId), StoreError> {
    let id = own_id(point.id)?;
    match fields(point.payload).remove(KEY) {
        Some(Value::String(key)) => Ok((Key::stored(key), id)),
        _ => Err(StoreError::Corrupt("an item without a key".into())),
    }
}
