//! The plain model: a sorted map, and what the API promises of it.

use std::{collections::BTreeMap, ops::RangeInclusive};

use proptest::{prop_assert, prop_assert_eq, test_runner::TestCaseError};
use weft_proto::memory::v1 as pb;

use super::{
    filter::Filter,
    operation::{Indexing, Name, Namespaces, Put, Ranking, Search},
    texts::{self, Index, bm25},
    value::Value,
};
use crate::support::value as text_of;

/// What a check comes to.
pub(super) type Checked<T = ()> = Result<T, TestCaseError>;

/// One item, or what is left of it after it has expired.
#[derive(Clone, Debug)]
pub(super) struct Record {
    document: Value,
    index: Index,
    /// Microseconds, as all times here.
    create: i64,
    update: i64,
    expire: Option<i64>,
    ttl: Option<i64>,
    pub(super) etag: String,
}

/// All items, and the present time.
pub(super) struct Memory {
    pub(super) now: i64,
    records: BTreeMap<Name, Record>,
    /// Every etag there ever was.
    etags: Vec<String>,
}

impl Memory {
    pub(super) fn new(now: i64) -> Self {
        Self {
            now,
            records: BTreeMap::new(),
            etags: Vec::new(),
        }
    }

    pub(super) fn live(&self, name: &Name) -> Option<&Record> {
        let record = self.records.get(name)?;
        record
            .expire
            .is_none_or(|expire| self.now < expire)
            .then_some(record)
    }

    /// Whether an item of this name was there until it expired.
    pub(super) fn has_expired(&self, name: &Name) -> bool {
        self.records.contains_key(name) && self.live(name).is_none()
    }

    /// Whether an item of this name is there, and will expire.
    pub(super) fn is_mortal(&self, name: &Name) -> bool {
        self.live(name).is_some_and(|record| record.ttl.is_some())
    }

    /// An etag that no item has any more, or ever had.
    pub(super) fn stale_etag(&self, name: &Name) -> String {
        let current = self.live(name).map(|record| &record.etag);
        let stale = self.etags.iter().find(|etag| Some(*etag) != current);
        stale.cloned().unwrap_or_else(|| "none".into())
    }

    /// What is there under a prefix and fulfils a filter, in order of names.
    pub(super) fn under(&self, prefix: &[&str], filter: Option<&Filter>) -> Vec<Name> {
        let names = self.records.keys().filter(|(namespace, _)| {
            // Whole labels, the outermost first.
            namespace.len() >= prefix.len() && namespace[..prefix.len()] == *prefix
        });
        let live = names.filter(|name| {
            let record = self.live(name);
            record.is_some_and(|record| {
                filter.is_none_or(|filter| filter.fulfilled_by(&record.document))
            })
        });
        live.copied().collect()
    }

    pub(super) fn remove(&mut self, name: &Name) {
        self.records.remove(name);
    }

    pub(super) fn remove_under(&mut self, prefix: &[&str]) {
        self.records
            .retain(|(namespace, _), _| !namespace.starts_with(prefix));
    }

    /// Whether a clock that goes back so far would let an item come back.
    pub(super) fn would_come_back(&self, micros: i64) -> bool {
        self.expires_within(&(self.now - micros + 1..=self.now))
    }

    /// Whether an item expires at one of these moments.
    pub(super) fn expires_within(&self, moments: &RangeInclusive<i64>) -> bool {
        let mut expiries = self.records.values().filter_map(|record| record.expire);
        expiries.any(|expiry| moments.contains(&expiry))
    }

    /// Takes over a put that was acknowledged with `item`, if that is what it must be.
    pub(super) fn put(&mut self, put: &Put, item: &pb::Item) -> Checked {
        let before = self.records.get(&put.name);
        let live = self.live(&put.name);
        let update = micros(item.update_time);
        let grown = before.map_or(self.now, |record| self.now.max(record.update + 1));
        if before.is_some() && live.is_none() {
            // What has expired may be forgotten, or not.
            prop_assert!(update == self.now || update == grown);
        } else {
            prop_assert_eq!(update, grown);
        }
        prop_assert!(!self.etags.contains(&item.etag), "an etag came back");
        let ttl = put.ttl.filter(|ttl| *ttl > 0).map(|millis| millis * 1_000);
        let paths: &[usize] = match &put.indexing {
            Indexing::Configured => texts::CONFIGURED,
            Indexing::Disabled => &[],
            Indexing::Paths(paths) => paths,
        };
        let record = Record {
            index: Index::of(&texts::texts(&put.document, paths)),
            document: put.document.clone(),
            create: live.map_or(update, |record| record.create),
            update,
            expire: ttl.map(|ttl| self.now + ttl),
            ttl,
            etag: item.etag.clone(),
        };
        self.etags.push(item.etag.clone());
        self.records.insert(put.name, record);
        self.check_version(&put.name, item)
    }

    /// Restarts the lifetime of an item.
    pub(super) fn refresh(&mut self, name: &Name) {
        let now = self.now;
        if let Some(record) = self.records.get_mut(name)
            && let Some(ttl) = record.ttl
        {
            record.expire = Some(now + ttl);
        }
    }

    /// Whether `item` is the item of this name, its value aside.
    pub(super) fn check_version(&self, name: &Name, item: &pb::Item) -> Checked {
        prop_assert!(item.namespace == name.0 && item.key == name.1, "{item:?}");
        let record = self.live(name);
        prop_assert!(record.is_some(), "{:?} is not there", name);
        if let Some(record) = record {
            prop_assert_eq!(&item.etag, &record.etag);
            let times = (micros(item.create_time), micros(item.update_time));
            prop_assert_eq!(times, (record.create, record.update));
            let expire = item.expire_time.map(|expire| micros(Some(expire)));
            prop_assert_eq!(expire, record.expire);
        }
        Ok(())
    }

    /// Whether `item` is the item of this name, as it was put.
    pub(super) fn check_item(&self, name: &Name, item: &pb::Item) -> Checked {
        self.check_version(name, item)?;
        let expected = self.live(name).map(|record| record.document.json());
        prop_assert_eq!(Some(text_of(item)), expected.as_deref());
        Ok(())
    }

    /// The items that a search without a query finds, the last updated first.
    pub(super) fn newest(&self, search: &Search) -> Vec<Name> {
        let mut found = self.under(search.prefix, search.filter.as_ref());
        // Stable: what was updated at the same moment stays in order of names.
        found.sort_by_key(|name| self.records.get(name).map(|record| -record.update));
        let page = found.into_iter().skip(search.offset as usize);
        page.take(search.limit as usize).collect()
    }

    /// The items that a query finds, in any order, and their scores, whatever the page.
    pub(super) fn scores(&self, search: &Search, query: &str) -> BTreeMap<Name, f64> {
        let scope = self.under(search.prefix, None);
        let indexes = scope.iter().filter_map(|name| self.records.get(name));
        let indexes = indexes.map(|record| &record.index);
        let found = self.under(search.prefix, search.filter.as_ref());
        let score = |name: Name| {
            let record = self.records.get(&name)?;
            let words = bm25(query, indexes.clone(), &record.index);
            let meaning = record.index.cosine(query);
            let score = match search.ranking {
                Ranking::Lexical => words?,
                Ranking::Semantic => meaning?,
                Ranking::Best | Ranking::Hybrid => {
                    let (words, meaning) = (words.unwrap_or(0.0), meaning?);
                    0.5 * meaning + 0.5 * words / (words + 10.0)
                }
            };
            let age = (self.now - record.update).max(0) as f64;
            let halvings = search
                .half_life
                .map_or(0.0, |millis| age / (millis as f64 * 1e3));
            Some((name, score * 0.5_f64.powf(halvings)))
        };
        found.into_iter().filter_map(score).collect()
    }

    /// The namespaces that a listing finds, with their counts.
    pub(super) fn namespaces(&self, query: &Namespaces) -> Vec<(Vec<&'static str>, i64)> {
        let fits = |pattern: &[&str], labels: &[&str]| {
            pattern.len() == labels.len()
                && pattern
                    .iter()
                    .zip(labels)
                    .all(|(wanted, label)| *wanted == "*" || wanted == label)
        };
        let mut folded = BTreeMap::new();
        for (labels, _) in self.under(&[], None) {
            let begins = labels.len() >= query.prefix.len()
                && fits(query.prefix, &labels[..query.prefix.len()]);
            let ends = labels.len() >= query.suffix.len()
                && fits(query.suffix, &labels[labels.len() - query.suffix.len()..]);
            if begins && ends {
                let depth = query.max_depth.map_or(labels.len(), |depth| depth as usize);
                let cut = labels[..depth.min(labels.len())].to_vec();
                *folded.entry(cut).or_insert(0) += 1;
            }
        }
        let page = folded.into_iter().skip(query.offset as usize);
        page.take(query.limit as usize).collect()
    }
}

fn micros(time: Option<prost_types::Timestamp>) -> i64 {
    time.map_or(0, |time| {
        time.seconds * 1_000_000 + i64::from(time.nanos) / 1_000
    })
}
