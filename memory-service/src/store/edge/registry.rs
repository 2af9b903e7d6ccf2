//! The namespaces and how many items each holds, at any moment.
//!
//! The engine's own counts of values are neither exact nor cheap enough. This registry is kept in
//! memory, made by a scan when the store opens, and changed with every write.

use std::{
    collections::{BTreeMap, HashMap, btree_map::Entry},
    ops::Bound,
};

use service_runtime::Tenant;

use crate::domain::{Namespace, NamespaceCount, NamespacePrefix, NamespaceQuery, Time, Version};

/// Counts of all namespaces of all tenants.
#[derive(Debug, Default)]
pub(super) struct Registry(HashMap<Tenant, Namespaces>);

/// The namespaces of one tenant that hold items.
#[derive(Debug, Default)]
struct Namespaces {
    total: u64,
    items: BTreeMap<Namespace, Items>,
}

/// The items of one namespace, expired ones that were not swept yet included.
#[derive(Debug, Default)]
struct Items {
    total: u64,
    /// How many of them expire when.
    expiries: BTreeMap<Time, u64>,
}

impl Items {
    fn live(&self, now: Time) -> u64 {
        self.total
            - self
                .expiries
                .range(..=now)
                .map(|(_, count)| count)
                .sum::<u64>()
    }
}

impl Registry {
    /// Takes note that an item changed from one version to another, came, or went.
    pub(super) fn change(
        &mut self,
        tenant: &Tenant,
        namespace: &Namespace,
        before: Option<&Version>,
        after: Option<&Version>,
    ) {
        if before.is_none() && after.is_none() {
            return;
        }
        let namespaces = self.0.entry(tenant.clone()).or_default();
        let items = namespaces.items.entry(namespace.clone()).or_default();
        if let Some(version) = after {
            items.total += 1;
            namespaces.total += 1;
            if let Some(expiry) = version.expire_time {
                *items.expiries.entry(expiry).or_default() += 1;
            }
        }
        if let Some(version) = before {
            items.total = items.total.saturating_sub(1);
            namespaces.total = namespaces.total.saturating_sub(1);
            if let Some(Entry::Occupied(mut expiry)) = version
                .expire_time
                .map(|expiry| items.expiries.entry(expiry))
            {
                *expiry.get_mut() -= 1;
                if *expiry.get() == 0 {
                    expiry.remove();
                }
            }
        }
        if items.total == 0 {
            namespaces.items.remove(namespace);
            if namespaces.total == 0 {
                self.0.remove(tenant);
            }
        }
    }

    /// How many items there are under `prefix`.
    pub(super) fn count(&self, tenant: &Tenant, prefix: &NamespacePrefix, now: Time) -> u64 {
        self.under(tenant, prefix)
            .map(|(_, items)| items.live(now))
            .sum()
    }

    /// How many items of a tenant are stored, expired ones included.
    pub(super) fn stored(&self, tenant: &Tenant) -> u64 {
        self.0.get(tenant).map_or(0, |namespaces| namespaces.total)
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

    fn under<'a>(
        &'a self,
        tenant: &Tenant,
        prefix: &'a NamespacePrefix,
    ) -> impl Iterator<Item = (&'a Namespace, &'a Items)> {
        let all = self.0.get(tenant).map(|namespaces| &namespaces.items);
        // In label order, a namespace is followed by those below it.
        let from = (Bound::Included(prefix.labels()), Bound::Unbounded);
        all.into_iter()
            .flat_map(move |all| all.range::<[String], _>(from))
            .take_while(|(namespace, _)| prefix.contains(namespace))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Etag;

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
        let (tenant, namespace) = (Tenant::default(), Namespace::from_dotted("a"));
        let mut registry = Registry::default();
        registry.change(&tenant, &namespace, None, Some(&version(Some(10))));
        registry.change(&tenant, &namespace, None, Some(&version(None)));
        assert_eq!([9, 10].map(|now| count(&registry, now)), [2, 1]);

        registry.change(
            &tenant,
            &namespace,
            Some(&version(Some(10))),
            Some(&version(Some(20))),
        );
        assert_eq!([10, 20].map(|now| count(&registry, now)), [2, 1]);

        registry.change(&tenant, &namespace, Some(&version(Some(20))), None);
        assert_eq!(count(&registry, 0), 1);
    }

    #[test]
    fn nothing_is_left_of_a_namespace_whose_last_item_went() {
        let (tenant, namespace) = (Tenant::default(), Namespace::from_dotted("a.b"));
        let mut registry = Registry::default();
        registry.change(&tenant, &namespace, None, Some(&version(None)));
        registry.change(&tenant, &namespace, Some(&version(None)), None);
        registry.change(&tenant, &namespace, None, None);
        assert!(registry.0.is_empty());
    }
}
