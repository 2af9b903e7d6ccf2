//! Which points an engine is asked about: conditions on what is stored of an item, which every
//! engine says in its own words.

use service_runtime::Tenant;

use super::{
    PointId,
    point::{NAMESPACE, SCOPES, TENANT, scope},
};
use crate::domain::{
    Namespace, NamespacePrefix, Time,
    filter::terms::{Narrowing, Term},
};

/// Points that fulfil all of some conditions.
#[derive(Clone, Debug, Default)]
pub(super) struct Selection {
    /// What they fulfil.
    pub(super) all: Vec<Condition>,
    /// From when on a point has expired, if only those are wanted that have not.
    pub(super) live_at: Option<Time>,
}

/// What a point fulfils.
#[derive(Clone, Debug)]
pub(super) enum Condition {
    /// Its field of this name is this text, or has it as an element.
    Is(&'static str, String),
    /// It has one of these terms.
    AnyTerm(Vec<Term>),
    /// It is one of these.
    Among(Vec<PointId>),
    /// It has expired by then.
    ExpiredBy(Time),
}

impl Selection {
    /// Everything under a prefix that has not expired.
    pub(super) fn live_under(tenant: &Tenant, prefix: &NamespacePrefix, now: Time) -> Self {
        Self {
            live_at: Some(now),
            ..Self::stored_under(tenant, prefix)
        }
    }

    /// Everything under a prefix, expired or not.
    pub(super) fn stored_under(tenant: &Tenant, prefix: &NamespacePrefix) -> Self {
        let within = match scope(tenant, prefix) {
            Some(scope) => Condition::Is(SCOPES, scope),
            None => Condition::Is(TENANT, tenant.to_string()),
        };
        Self {
            all: vec![within],
            live_at: None,
        }
    }

    /// Everything in a namespace, not below it, that has not expired.
    pub(super) fn live_in(tenant: &Tenant, namespace: &Namespace, now: Time) -> Self {
        let within = Condition::Is(SCOPES, format!("{tenant}.{namespace}"));
        let right_there = Condition::Is(NAMESPACE, namespace.to_string());
        Self {
            all: vec![within, right_there],
            live_at: Some(now),
        }
    }

    /// What has expired, of all tenants.
    pub(super) fn expired(now: Time) -> Self {
        Self {
            all: vec![Condition::ExpiredBy(now)],
            live_at: None,
        }
    }

    /// Those of these points that have the terms of `narrowing`.
    pub(super) fn narrowed(narrowing: &Narrowing, points: &[PointId]) -> Self {
        Self::default().narrow(narrowing).among(points)
    }

    /// Only what has the terms of `narrowing`.
    pub(super) fn narrow(mut self, narrowing: &Narrowing) -> Self {
        let clauses = narrowing.clauses.iter().cloned();
        self.all.extend(clauses.map(Condition::AnyTerm));
        self
    }

    /// Only these points.
    pub(super) fn among(mut self, points: &[PointId]) -> Self {
        self.all.push(Condition::Among(points.to_vec()));
        self
    }
}
