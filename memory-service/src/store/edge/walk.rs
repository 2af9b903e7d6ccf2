//! Walks: items in order of (namespace, key).
//!
//! The registry has the names in order, the engine the items. A name that is written while a walk
//! goes on keeps its place in the registry, so that no walk misses it.

use service_runtime::Tenant;

use super::{query, shared::Shared};
use crate::{
    domain::Item,
    store::{StoreError, WalkQuery, point::point_id},
};

/// Names that are narrowed down at once: asking the engine costs about as much as a hundred of
/// them.
const NAMES_AT_ONCE: usize = 1024;

/// The first items of a walk.
pub(super) fn walk(
    shared: &Shared,
    tenant: &Tenant,
    query: WalkQuery,
) -> Result<Vec<Item>, StoreError> {
    let WalkQuery {
        prefix,
        narrowing,
        mut after,
        limit,
        now,
    } = query;
    let shard = shared.shard();
    let mut items = Vec::new();
    while items.len() < limit {
        let missing = limit - items.len();
        let wanted = if narrowing.clauses.is_empty() {
            missing
        } else {
            NAMES_AT_ONCE
        };
        let names = shared
            .registry()
            .names(tenant, &prefix, after.as_ref(), wanted);
        let mut points: Vec<_> = names.iter().map(|id| point_id(tenant, id)).collect();
        if !narrowing.clauses.is_empty() {
            let admitted = query::narrowed(&shard, &narrowing, &points)?;
            points.retain(|point| admitted.contains(point));
        }
        for points in points.chunks(missing) {
            let found = query::items(&shard, tenant, points, now)?;
            let room = limit - items.len();
            items.extend(found.into_iter().flatten().take(room));
        }
        if names.len() < wanted {
            break;
        }
        after = names.into_iter().next_back();
    }
    Ok(items)
}
