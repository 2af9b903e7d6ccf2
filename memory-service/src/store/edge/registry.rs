//! The names of all items in order, and how many each namespace holds at any moment.
//!
//! The engine's own counts of values are neither exact nor cheap enough, and it keeps no order of
//! names. This registry is kept in memory, made by a scan when the store opens, and changed with
//! every write.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, btree_map::Entry},
    ops::Bound,
};

use service_runtime::Tenant;

use super::inventory::Inventory;
use crate::{
    domain::{
        ItemId, Key, Namespace, NamespaceCount, NamespacePrefix, NamespaceQuery, Time, Version,
    },
    store::{PointId, point::point_id},
};

/// The names of all items of all tenants.
#[derive(Debug, Default)]
pub(super) struct Registry {
    tenants: HashMap<Tenant, Namespaces>,
    mortal: BTreeSet<Mortal>,
    inventory: Inventory,
}

/// When an item expires, and where it is.
pub(super) type Mortal = (Time, PointId);

/// The namespaces of one tenant that hold items.
#[derive(Debug, Default)]
struct Namespaces {
    total: u64,
    /// Those of all namespaces together.
    expiries: Expiries,
    items: BTreeMap<Namespace, Items>,
}

/// The items of one namespace, expired ones that were not swept yet included.
#[derive(Debug, Default)]
struct Items {
    keys: BTreeSet<Key>,
    expiries: Expiries,
}

impl Items {
    fn live(&self, now: Time) -> u64 {
        self.keys.len() as u64 - self.expiries.by(now)
    }
}

/// How many items expire when.
#[derive(Debug, Default)]
struct Expiries(BTreeMap<Time, u64>);

impl Expiries {
    fn change(&mut self, before: Option<Time>, after: Option<Time>) {
        if let Some(time) = after {
            *self.0.entry(time).or_default() += 1;
        }
        if let Some(Entry::Occupied(mut count)) = before.map(|time| self.0.entry(time)) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }

    /// How many have expired by then.
    fn by(&self, now: Time) -> u64 {
        self.0.range(..=now).map(|(_, count)| count).sum()
    }

    fn any_by(&self, now: Time) -> bool {
        self.0
            .first_key_value()
            .is_some_and(|(first, _)| *first <= now)
    }
}

impl Registry {
    /// Takes note that an item changed from one version to another, came, or went.
    pub(super) fn change(
        &mut self,
        tenant: &Tenant,
        id: &ItemId,
        before: Option<&Version>,
        after: Option<&Version>,
    ) {
        if before.is_none() && after.is_none() {
            return;
        }
        before.inspect(|version| self.inventory.remove(version));
        after.inspect(|version| self.inventory.add(version));
        let namespaces = self.tenants.entry(tenant.clone()).or_default();
        let items = namespaces.items.entry(id.namespace.clone()).or_default();
        match after {
            Some(_) if items.keys.insert(id.key.clone()) => namespaces.total += 1,
            None if items.keys.remove(&id.key) => namespaces.total -= 1,
            _ => {}
        }
        let [before, after] =
            [before, after].map(|version| version.and_then(|version| version.expire_time));
        if before.or(after).is_some() {
            let point = point_id(tenant, id);
            if let Some(time) = before {
                self.mortal.remove(&(time, point));
            }
            self.mortal.extend(after.map(|time| (time, point)));
        }
        items.expiries.change(before, after);
        namespaces.expiries.change(before, after);
        if items.keys.is_empty() {
            namespaces.items.remove(&id.namespace);
            if namespaces.total == 0 {
                self.tenants.remove(tenant);
            }
        }
    }

    /// All items together.
    pub(super) fn inventory(&self) -> Inventory {
        self.inventory
    }

    /// How many items there are under `prefix`.
    pub(super) fn count(&self, tenant: &Tenant, prefix: &NamespacePrefix, now: Time) -> u64 {
        self.under(tenant, prefix)
            .map(|(_, items)| items.live(now))
            .sum()
    }

    /// How many items of a tenant are stored, expired ones included.
    pub(super) fn stored(&self, tenant: &Tenant) -> u64 {
        self.tenants
            .get(tenant)
            .map_or(0, |namespaces| namespaces.total)
    }

    /// How many items of all tenants are stored, expired ones included.
    pub(super) fn stored_in_all(&self) -> u64 {
        self.tenants
            .values()
            .map(|namespaces| namespaces.total)
            .sum()
    }

    /// Whether any item of a tenant has expired and was not swept yet.
    pub(super) fn has_expired(&self, tenant: &Tenant, now: Time) -> bool {
        let namespaces = self.tenants.get(tenant);
        namespaces.is_some_and(|namespaces| namespaces.expiries.any_by(now))
    }

    /// The first that have expired, of all tenants, of those after `after`.
    pub(super) fn expired(&self, now: Time, after: Option<Mortal>, limit: usize) -> Vec<Mortal> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mortal = self.mortal.range((from, Bound::Unbounded));
        let expired = mortal.take_while(|(time, _)| *time <= now);
        expired.take(limit).copied().collect()
    }

    /// The namespaces that `query` asks for.
    pub(super) fn namespaces(
        &self,
        tenant: &Tenant,
        query: &NamespaceQuery,
        now: Time,
    ) -> Vec<NamespaceCount> {
        let everywhere = NamespacePrefix::default();
        let all = self.under(tenant, &everywhere);
        query.answer(all.map(|(namespace, items)| (namespace, items.live(now))))
    }

    /// The first names under `prefix`, in order, of those after `after`; of items that have
    /// expired, too, until they are swept.
    pub(super) fn names(
        &self,
        tenant: &Tenant,
        prefix: &NamespacePrefix,
        after: Option<&ItemId>,
        limit: usize,
    ) -> Vec<ItemId> {
        let from = after.map_or(prefix.labels(), |id| id.namespace.labels());
        let names = self.under_from(tenant, prefix, from);
        let names = names.flat_map(|(namespace, items)| {
            let after = after.filter(|id| id.namespace == *namespace);
            let from = after.map_or(Bound::Unbounded, |id| Bound::Excluded(&id.key));
            let keys = items.keys.range((from, Bound::Unbounded));
            keys.map(|key| ItemId {
                namespace: namespace.clone(),
                key: key.clone(),
            })
        });
        names.take(limit).collect()
    }

    fn under<'a>(
        &'a self,
        tenant: &Tenant,
        prefix: &'a NamespacePrefix,
    ) -> impl Iterator<Item = (&'a Namespace, &'a Items)> {
        self.under_from(tenant, prefix, prefix.labels())
    }

    /// The namespaces under `prefix` from the one of these labels on.
    fn under_from<'a>(
        &'a self,
        tenant: &Tenant,
        prefix: &'a NamespacePrefix,
        from: &'a [String],
    ) -> impl Iterator<Item = (&'a Namespace, &'a Items)> {
        let all = self.tenants.get(tenant).map(|namespaces| &namespaces.items);
        // In label order, a namespace is followed by those below it.
        let from = (Bound::Included(from), Bound::Unbounded);
        all.into_iter()
            .flat_map(move |all| all.range::<[String], _>(from))
            .take_while(|(namespace, _)| prefix.contains(namespace))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Etag;

    fn id(namespace: &str, key: &str) -> ItemId {
        ItemId {
            namespace: Namespace::from_dotted(namespace),
            key: Key::stored(key.to_owned()),
        }
    }

    fn version(expire_time: Option<i64>) -> Version {
        Version {
            create_time: Time::from_micros(0),
            update_time: Time::from_micros(0),
            expire_time: expire_time.map(Time::from_micros),
            ttl: None,
            etag: Etag::fresh(),
        }
    }

    fn count(registry: &Registry, now: i64) -> u64 {
        registry.count(
            &Tenant::default(),
            &NamespacePrefix::default(),
            Time::from_micros(now),
        )
    }

    #[test]
    fn expired_items_are_not_counted_from_that_moment_on() {
        let (tenant, one, other) = (Tenant::default(), id("a", "1"), id("a", "2"));
        let mut registry = Registry::default();
        registry.change(&tenant, &one, None, Some(&version(Some(10))));
        registry.change(&tenant, &other, None, Some(&version(None)));
        assert_eq!([9, 10].map(|now| count(&registry, now)), [2, 1]);
        let expired = |registry: &Registry| {
            [9, 10, 20].map(|now| {
                let now = Time::from_micros(now);
                let all = registry.expired(now, None, 9);
                let points: Vec<_> = all.iter().map(|(_, point)| *point).collect();
                assert!(points.is_empty() || points == [point_id(&tenant, &one)]);
                assert!(registry.expired(now, all.last().copied(), 9).is_empty());
                assert_eq!(registry.has_expired(&tenant, now), !all.is_empty());
                !all.is_empty()
            })
        };
        assert_eq!(expired(&registry), [false, true, true]);

        registry.change(
            &tenant,
            &one,
            Some(&version(Some(10))),
            Some(&version(Some(20))),
        );
        assert_eq!([10, 20].map(|now| count(&registry, now)), [2, 1]);
        assert_eq!(expired(&registry), [false, false, true]);

        registry.change(&tenant, &one, Some(&version(Some(20))), None);
        assert_eq!(count(&registry, 0), 1);
        assert_eq!(expired(&registry), [false; 3]);
    }

    #[test]
    fn nothing_is_left_of_a_namespace_whose_last_item_went() {
        let (tenant, item) = (Tenant::default(), id("a.b", "k"));
        let mut registry = Registry::default();
        registry.change(&tenant, &item, None, Some(&version(None)));
        registry.change(&tenant, &item, Some(&version(None)), None);
        registry.change(&tenant, &item, None, None);
        assert!(registry.tenants.is_empty());
    }

    #[test]
    fn names_come_in_order_and_go_on_after_one_that_has_gone() {
        let tenant = Tenant::default();
        let mut registry = Registry::default();
        for (namespace, key) in [
            ("b", "1"),
            ("a.b", "2"),
            ("a", "2"),
            ("a", "10"),
            ("ab", "1"),
        ] {
            registry.change(&tenant, &id(namespace, key), None, Some(&version(None)));
        }
        let names = |labels: &[&str], after: Option<ItemId>, limit| {
            let labels = labels.iter().map(|label| (*label).to_owned()).collect();
            let prefix = NamespacePrefix::try_new("prefix", labels).unwrap();
            let names = registry.names(&tenant, &prefix, after.as_ref(), limit);
            names.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(names(&[], None, 9), ["a/10", "a/2", "a.b/2", "ab/1", "b/1"]);
        assert_eq!(names(&["a"], None, 2), ["a/10", "a/2"]);
        assert_eq!(names(&["a"], Some(id("a", "15")), 9), ["a/2", "a.b/2"]);
        assert_eq!(names(&[], Some(id("aa", "1")), 1), ["ab/1"]);
        assert!(names(&["a"], Some(id("a.b", "2")), 9).is_empty());
    }
}
