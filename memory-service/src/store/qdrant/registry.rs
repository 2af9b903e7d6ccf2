//! The names of namespaces: a point for each that may hold items, written before its first item.
//!
//! Counts are the server's own, exact ones, taken of the namespaces that an answer needs. A name
//! whose namespace stays empty is dropped in the end: only if no write announced the namespace for
//! [`GRACE`], which is much longer than a write takes, and none does at that moment.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use qdrant_client::qdrant::{
    Condition as WireCondition, FacetCounts, Filter, PointStruct, facet_value,
};
use serde_json::{Map, Value};
use service_runtime::Tenant;
use uuid::Uuid;

use super::{
    connection::Connection,
    filter::{filter, still},
    point::{NOT_REMOVED, fields, own_id, point},
    query::{count, scroll},
    swap::delete,
};
use crate::{
    domain::{Etag, Namespace, NamespaceCount, NamespacePrefix, NamespaceQuery, Time},
    store::{
        PointId, StoreError,
        point::{ETAG, NAMESPACE, UPDATE_TIME, scope, scopes},
        selection::{Condition, Selection},
    },
};

/// The tenant of a name, and the namespace and those above it, each as `tenant.label.label`.
pub(super) const REGISTRY: &str = "registry";
/// The namespace of a name, with dots between its labels.
const NAME: &str = "name";

/// Space of the ids that are derived from (tenant, namespace).
const NAME_SPACE: Uuid = Uuid::from_u128(0x81d4_7b20_cc5e_5f6a_9e13_4a07_b86f_d251);

/// For how long writes rely on an announcement, and names on the last write that announced them.
const FRESH: Duration = Duration::from_secs(60);
const GRACE: Duration = Duration::from_secs(15 * 60);

/// Between two searches for names to drop: each counts what every namespace holds.
const COLLECT_INTERVAL: Duration = Duration::from_secs(60 * 60);

/// Announcements that are remembered.
const MOST_FRESH: usize = 10_000;

/// Names of one page.
const PAGE: u32 = 1000;

/// Namespaces that are counted one by one, some at once; more of them are counted in one go, which
/// costs the server a look at every item of the tenant.
const COUNTED_SINGLY: usize = 64;
const COUNTED_AT_ONCE: usize = 16;

/// As many values as a server counts in one go.
const MOST_NAMES: u64 = (1 << 31) - 1;

/// What this replica announced.
#[derive(Debug, Default)]
pub(super) struct Announced {
    fresh: Mutex<HashMap<(Tenant, Namespace), Time>>,
    collected: Mutex<Option<Time>>,
}

impl Announced {
    /// Those of these namespaces that have to be announced before they are written to.
    pub(super) fn stale(
        &self,
        namespaces: HashSet<(Tenant, Namespace)>,
        now: Time,
    ) -> Vec<(Tenant, Namespace)> {
        let fresh = lock(&self.fresh);
        let is_fresh = |name: &(Tenant, Namespace)| {
            let announced = fresh.get(name);
            announced.is_some_and(|then| now >= *then && now.since(*then) < FRESH)
        };
        namespaces
            .into_iter()
            .filter(|name| !is_fresh(name))
            .collect()
    }

    /// Takes note that these have been announced at `now`.
    pub(super) fn remember(&self, namespaces: Vec<(Tenant, Namespace)>, now: Time) {
        let mut fresh = lock(&self.fresh);
        if fresh.len() + namespaces.len() > MOST_FRESH {
            fresh.clear();
        }
        fresh.extend(namespaces.into_iter().map(|name| (name, now)));
    }

    fn is_time_to_collect(&self, now: Time) -> bool {
        let mut collected = lock(&self.collected);
        let due = collected.is_none_or(|then| now.since(then) >= COLLECT_INTERVAL);
        if due {
            *collected = Some(now);
        }
        due
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The point that announces a namespace.
pub(super) fn announcement(tenant: &Tenant, namespace: &Namespace, now: Time) -> PointStruct {
    let name = format!("{tenant}\0{namespace}");
    let id = PointId(Uuid::new_v5(&NAME_SPACE, name.as_bytes()));
    let mut scopes = scopes(tenant, namespace);
    if let Value::Array(scopes) = &mut scopes {
        scopes.push(tenant.as_str().into());
    }
    let payload = Map::from_iter([
        (REGISTRY.to_owned(), scopes),
        (NAME.to_owned(), namespace.to_string().into()),
        (UPDATE_TIME.to_owned(), now.micros().into()),
        (ETAG.to_owned(), Etag::fresh().to_string().into()),
    ]);
    point(id, payload, HashMap::new())
}

/// The namespaces under a prefix that may hold items, in order.
pub(super) async fn names(
    connection: &Connection,
    tenant: &Tenant,
    prefix: &NamespacePrefix,
) -> Result<BTreeSet<Namespace>, StoreError> {
    let within = scope(tenant, prefix).unwrap_or_else(|| tenant.to_string());
    let selection = Selection {
        all: vec![Condition::Is(REGISTRY, within)],
        live_at: None,
    };
    let (mut names, mut from) = (BTreeSet::new(), None);
    loop {
        let filter = filter(&selection);
        let fields = vec![NAME].into();
        let (points, next) = scroll(connection, filter, fields, from, PAGE).await?;
        for point in points {
            let payload = self::fields(point.payload);
            names.insert(Namespace::from_dotted(text(&payload, NAME)?));
        }
        if next.is_none() {
            return Ok(names);
        }
        from = next;
    }
}

/// The namespaces that `query` asks for, with exact counts.
pub(super) async fn namespaces(
    connection: &Connection,
    tenant: &Tenant,
    query: &NamespaceQuery,
    now: Time,
) -> Result<Vec<NamespaceCount>, StoreError> {
    let mut names = names(connection, tenant, &NamespacePrefix::default()).await?;
    names.retain(|namespace| query.selects(namespace));
    let counts = if names.len() <= COUNTED_SINGLY {
        let counts = stream::iter(names).map(async |namespace| {
            let held = filter(&Selection::live_in(tenant, &namespace, now));
            let items = count(connection, held).await?;
            Ok::<_, StoreError>((namespace, items))
        });
        counts
            .buffer_unordered(COUNTED_AT_ONCE)
            .try_collect()
            .await?
    } else {
        let mut counts = count_all(connection, tenant, now).await?;
        counts.retain(|(namespace, _)| names.contains(namespace));
        counts
    };
    let counts: Vec<(Namespace, u64)> = counts;
    Ok(query.answer(counts.iter().map(|(namespace, items)| (namespace, *items))))
}

/// What the namespaces of a tenant hold.
async fn count_all(
    connection: &Connection,
    tenant: &Tenant,
    now: Time,
) -> Result<Vec<(Namespace, u64)>, StoreError> {
    let live = Selection::live_under(tenant, &NamespacePrefix::default(), now);
    let request = FacetCounts {
        collection_name: connection.collection.clone(),
        key: NAMESPACE.to_owned(),
        filter: Some(filter(&live)),
        limit: Some(MOST_NAMES),
        exact: Some(true),
        read_consistency: connection.read_consistency(),
        ..FacetCounts::default()
    };
    let mut points = connection.points();
    let answer = connection.answer(points.facet(request)).await?;
    let hits = answer.hits.into_iter().filter_map(|hit| {
        let value = hit.value.and_then(|value| value.variant)?;
        match value {
            facet_value::Variant::StringValue(name) => {
                Some((Namespace::from_dotted(&name), hit.count))
            }
            facet_value::Variant::IntegerValue(_) | facet_value::Variant::BoolValue(_) => None,
        }
    });
    Ok(hits.collect())
}

/// Drops the names of namespaces that stay empty, now and then.
pub(super) async fn collect(
    connection: &Connection,
    announced: &Announced,
    now: Time,
) -> Result<(), StoreError> {
    if !announced.is_time_to_collect(now) {
        return Ok(());
    }
    let mut from = None;
    loop {
        let names = Filter::must_not([WireCondition::is_empty(REGISTRY)]);
        let (points, next) = scroll(connection, names, true.into(), from, PAGE).await?;
        for point in points {
            let id = own_id(point.id)?;
            let payload = fields(point.payload);
            drop_if_empty(connection, id, &payload, now).await?;
        }
        if next.is_none() {
            return Ok(());
        }
        from = next;
    }
}

async fn drop_if_empty(
    connection: &Connection,
    id: PointId,
    payload: &Map<String, Value>,
    now: Time,
) -> Result<(), StoreError> {
    let announced = payload.get(UPDATE_TIME).and_then(Value::as_i64);
    let announced = Time::from_micros(announced.unwrap_or_default());
    if now.since(announced) < GRACE {
        return Ok(());
    }
    let scopes = payload.get(REGISTRY).and_then(Value::as_array);
    let tenant = scopes
        .and_then(|scopes| scopes.last())
        .and_then(Value::as_str);
    let tenant = tenant.and_then(|tenant| Tenant::try_new(tenant).ok());
    let etag = Etag::parse(text(payload, ETAG)?);
    let (Some(tenant), Some(etag)) = (tenant, etag) else {
        return Err(StoreError::Corrupt("a namespace without a tenant".into()));
    };
    let namespace = Namespace::from_dotted(text(payload, NAME)?);
    let held = filter(&Selection::live_in(&tenant, &namespace, NOT_REMOVED));
    if count(connection, held).await? > 0 {
        return Ok(());
    }
    delete(connection, still(&[id], &[etag])).await
}

fn text<'a>(payload: &'a Map<String, Value>, name: &str) -> Result<&'a str, StoreError> {
    let text = payload.get(name).and_then(Value::as_str);
    text.ok_or_else(|| StoreError::Corrupt(format!("a namespace without a proper `{name}`")))
}
