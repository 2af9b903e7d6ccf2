//! What happened in the runs: so that the test can tell that it left nothing out.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

use super::{
    filter::Filter,
    kinds::{IN_DOCUMENTS, IN_FILTERS, KINDS},
    memory::Memory,
    operation::{InBatch, Indexing, Name, Operation, Precondition, Put, Ranking, Search},
};

/// What happened at least once.
#[derive(Default)]
pub(super) struct Seen(Mutex<BTreeSet<&'static str>>);

impl Seen {
    /// What never happened.
    pub(super) fn missing(&self) -> Vec<&'static str> {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let kinds = [KINDS, IN_DOCUMENTS, IN_FILTERS].into_iter().flatten();
        kinds.copied().filter(|kind| !seen.contains(kind)).collect()
    }

    fn add(&self, kind: &'static str) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.insert(kind);
    }

    fn add_if(&self, happens: bool, kind: &'static str) {
        if happens {
            self.add(kind);
        }
    }

    /// Takes note of what an operation is about to do to what there is.
    pub(super) fn note(&self, model: &Memory, operation: &Operation) {
        match operation {
            Operation::Put(put, only_if) => {
                if self.condition(model, &put.name, *only_if) {
                    self.put(model, put);
                }
            }
            Operation::Get(name, refresh) => {
                let kinds = ["get of an item", "get of an expired one", "get of none"];
                self.name(model, name, kinds);
                let restarts = *refresh == Some(true) && model.is_mortal(name);
                self.add_if(restarts, "get restarts a lifetime");
            }
            Operation::Delete(name, only_if) => {
                if self.condition(model, name, *only_if) {
                    let kinds = [
                        "delete of an item",
                        "delete of an expired one",
                        "delete of none",
                    ];
                    self.name(model, name, kinds);
                }
            }
            Operation::Search(search) => self.search(model, search),
            Operation::List {
                prefix,
                filter,
                page_size,
            } => {
                self.filter(model, prefix, filter.as_ref());
                let found = model.under(prefix, filter.as_ref()).len();
                self.add_if(found > *page_size as usize, "pages of a walk");
            }
            Operation::Count { prefix, filter } => self.filter(model, prefix, filter.as_ref()),
            Operation::Namespaces(query) => {
                let found = model.namespaces(query).len();
                self.add_if(found > 0, "namespaces are found");
                let mut whole = query.clone();
                (whole.limit, whole.offset) = (i32::MAX, 0);
                let all = model.namespaces(&whole).len();
                self.add_if(found > 0 && found < all, "namespaces are paged");
                whole.max_depth = None;
                let folded = all < model.namespaces(&whole).len();
                self.add_if(folded, "namespaces are folded");
            }
            Operation::DeleteNamespace(prefix) => {
                let some = !model.under(prefix, None).is_empty();
                self.add_if(some, "namespace deleted with items");
            }
            Operation::Batch(operations) => self.batch(model, operations),
            Operation::Pass(millis) => {
                let passing = model.now + 1..=model.now + *millis as i64 * 1_000;
                self.add_if(model.expires_within(&passing), "items expire");
            }
            Operation::StepBack(micros) => {
                let steps = !model.would_come_back(*micros as i64);
                self.add_if(steps, "the clock steps back");
            }
            Operation::Restart => {
                let some = !model.under(&[], None).is_empty();
                self.add_if(some, "restart with items");
            }
        }
    }

    /// Whether the condition holds.
    fn condition(&self, model: &Memory, name: &Name, only_if: Precondition) -> bool {
        let is_there = model.live(name).is_some();
        let (kind, holds) = match (only_if, is_there) {
            (Precondition::None, _) => return true,
            (Precondition::Exists(true), true) => ("exists true holds", true),
            (Precondition::Exists(true), false) => ("exists true fails", false),
            (Precondition::Exists(false), true) => ("exists false fails", false),
            (Precondition::Exists(false), false) => ("exists false holds", true),
            (Precondition::Current, true) => ("current etag holds", true),
            (Precondition::Current, false) => ("current etag fails", false),
            (Precondition::Stale, _) => ("stale etag fails", false),
        };
        self.add(kind);
        holds
    }

    fn put(&self, model: &Memory, put: &Put) {
        let kinds = [
            "put over another",
            "put over an expired one",
            "put of a new item",
        ];
        self.name(model, &put.name, kinds);
        self.add(match put.indexing {
            Indexing::Configured => "put as configured",
            Indexing::Disabled => "put without an index",
            Indexing::Paths(_) => "put at paths",
        });
        self.add_if(put.ttl.is_some_and(|ttl| ttl > 0), "put with a lifetime");
        self.add_if(put.ttl == Some(0), "put for ever");
        let document = put.document.json();
        for part in IN_DOCUMENTS {
            self.add_if(document.contains(part), part);
        }
    }

    /// One of three kinds: the item is there, has expired, or is not there.
    fn name(&self, model: &Memory, name: &Name, [there, expired, none]: [&'static str; 3]) {
        self.add(match (model.live(name), model.has_expired(name)) {
            (Some(_), _) => there,
            (None, true) => expired,
            (None, false) => none,
        });
    }

    fn search(&self, model: &Memory, search: &Search) {
        self.filter(model, search.prefix, search.filter.as_ref());
        let Some(query) = search.query else {
            let found = model.newest(search);
            self.add_if(!found.is_empty(), "newest finds");
            let restarts = found.iter().any(|name| model.is_mortal(name));
            let restarts = restarts && search.refresh == Some(true);
            self.add_if(restarts, "search restarts lifetimes");
            return;
        };
        let scores = model.scores(search, query);
        let kind = match search.ranking {
            Ranking::Best => "best finds",
            Ranking::Semantic => "semantic finds",
            Ranking::Lexical => "lexical finds",
            Ranking::Hybrid => "hybrid finds",
        };
        self.add_if(!scores.is_empty(), kind);
        let floor = search.min_score.unwrap_or(f64::NEG_INFINITY);
        let dropped = scores.values().filter(|score| **score < floor).count();
        self.add_if(dropped > 0 && dropped < scores.len(), "a floor drops some");
        let ages = search.half_life.is_some() && scores.len() > 1;
        self.add_if(ages, "scores age");
    }

    fn filter(&self, model: &Memory, prefix: &[&str], filter: Option<&Filter>) {
        let Some(filter) = filter else { return };
        let all = model.under(prefix, None).len();
        let some = model.under(prefix, Some(filter)).len();
        if some == 0 || some == all {
            return;
        }
        let shown = format!("{filter:?}");
        for part in IN_FILTERS {
            self.add_if(shown.contains(part), part);
        }
    }

    fn batch(&self, model: &Memory, operations: &[InBatch]) {
        let mut written = BTreeSet::new();
        for operation in operations {
            let name = match operation {
                InBatch::Put(put) => {
                    self.add("put in a batch");
                    put.name
                }
                InBatch::Delete(name) => {
                    self.add_if(model.live(name).is_some(), "delete in a batch");
                    *name
                }
                InBatch::Get(name) => {
                    self.add_if(model.live(name).is_some(), "get in a batch");
                    continue;
                }
                InBatch::Search(search) => {
                    self.filter(model, search.prefix, search.filter.as_ref());
                    let (found, kind) = match search.query {
                        None => (model.newest(search).len(), "newest in a batch finds"),
                        Some(query) => {
                            let scores = model.scores(search, query);
                            (scores.len(), "query in a batch finds")
                        }
                    };
                    self.add_if(found > 0, kind);
                    continue;
                }
                InBatch::Namespaces(query) => {
                    let found = model.namespaces(query);
                    self.add_if(!found.is_empty(), "namespaces in a batch");
                    continue;
                }
            };
            self.add_if(!written.insert(name), "an item written twice by a batch");
        }
    }
}
