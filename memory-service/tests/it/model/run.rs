//! Operations done by the service and by the model, one after the other, and compared.

use std::time::Duration;

use proptest::{prop_assert, prop_assert_eq, test_runner::TestCaseError};
use tonic::{Code, Status};
use weft_proto::memory::v1::{
    self as pb, batch_operation::Operation as Asked, batch_result::Result as Answer,
};

use super::{
    filter::Filter,
    memory::{Checked, Memory},
    operation::{InBatch, Name, Namespaces, Operation, Precondition, Put, Search},
    requests, texts,
};
use crate::{
    embedder::Embedder,
    support::{Calls as _, Running, START, etag, exists},
};

/// More than there are items.
const ALL: i32 = 1_000;

/// The service and the model of it.
struct Pair {
    running: Running,
    model: Memory,
}

/// Does all of these operations.
pub(super) async fn run(operations: Vec<Operation>) -> Checked {
    let embedder = Embedder::start().await;
    // Every other run has its data written anew time and again.
    let anew = operations.len().is_multiple_of(2);
    let running = Running::start_with(|config| {
        embedder.configure(config);
        if anew {
            config.optimise_from = 1;
        }
        config.index_paths = texts::CONFIGURED
            .iter()
            .map(|path| texts::path(*path))
            .collect();
    })
    .await;
    let mut pair = Pair {
        running,
        model: Memory::new(START),
    };
    for operation in operations {
        pair = match operation {
            Operation::Restart => {
                let running = pair.running.restart().await;
                Pair { running, ..pair }
            }
            other => {
                pair.both(other).await?;
                pair
            }
        };
    }
    pair.running = pair.running.restart().await;
    pair.list(&[], None, ALL).await?;
    pair.count(&[], None).await
}

fn answered<T>(answer: Result<tonic::Response<T>, Status>) -> Checked<T> {
    match answer {
        Ok(response) => Ok(response.into_inner()),
        Err(status) => Err(TestCaseError::fail(format!("{status:?}"))),
    }
}

impl Pair {
    async fn both(&mut self, operation: Operation) -> Checked {
        match operation {
            Operation::Put(put, only_if) => self.put(&put, only_if).await,
            Operation::Get(name, refresh) => self.get(&name, refresh).await,
            Operation::Delete(name, only_if) => self.delete(&name, only_if).await,
            Operation::Search(search) => {
                self.running.settled().await;
                self.search(&search).await
            }
            Operation::List {
                prefix,
                filter,
                page_size,
            } => self.list(prefix, filter.as_ref(), page_size).await,
            Operation::Count { prefix, filter } => self.count(prefix, filter.as_ref()).await,
            Operation::Namespaces(query) => {
                let request = requests::namespaces(&query);
                let answer = answered(self.running.client.list_namespaces(request).await)?;
                self.check_namespaces(&query, answer)
            }
            Operation::DeleteNamespace(prefix) => self.delete_namespace(prefix).await,
            Operation::Batch(operations) => {
                self.running.settled().await;
                self.batch(&operations).await
            }
            Operation::Pass(millis) => {
                self.running.clock.advance(Duration::from_millis(millis));
                self.model.now += millis as i64 * 1_000;
                Ok(())
            }
            Operation::StepBack(micros) => {
                // Whether what has expired comes back is left open.
                if !self.model.would_come_back(micros as i64) {
                    self.running.clock.step_back(Duration::from_micros(micros));
                    self.model.now -= micros as i64;
                }
                Ok(())
            }
            Operation::Restart => Ok(()),
        }
    }

    /// A precondition as the API has it, and how it fails, if it does.
    fn condition(
        &self,
        name: &Name,
        only_if: Precondition,
    ) -> (Option<pb::Precondition>, Option<Code>) {
        let live = self.model.live(name);
        match only_if {
            Precondition::None => (None, None),
            Precondition::Exists(expected) => {
                let fault = match (expected, live) {
                    (true, None) => Some(Code::NotFound),
                    (false, Some(_)) => Some(Code::AlreadyExists),
                    _ => None,
                };
                (exists(expected), fault)
            }
            Precondition::Current => match live {
                Some(record) => (etag(&record.etag), None),
                None => (etag(&self.model.stale_etag(name)), Some(Code::Aborted)),
            },
            Precondition::Stale => (etag(&self.model.stale_etag(name)), Some(Code::Aborted)),
        }
    }

    async fn put(&mut self, put: &Put, only_if: Precondition) -> Checked {
        let (precondition, fault) = self.condition(&put.name, only_if);
        let request = requests::put(put, precondition);
        match (self.running.client.put(request).await, fault) {
            (Ok(item), None) => {
                prop_assert_eq!(&item.value, &None);
                self.model.put(put, &item)
            }
            (outcome, fault) => {
                prop_assert_eq!(outcome.map_err(|status| status.code()).err(), fault);
                Ok(())
            }
        }
    }

    async fn delete(&mut self, name: &Name, only_if: Precondition) -> Checked {
        let (precondition, fault) = self.condition(name, only_if);
        let request = requests::delete(name, precondition);
        let outcome = self.running.client.delete_item(request).await;
        prop_assert_eq!(outcome.map_err(|status| status.code()).err(), fault);
        if fault.is_none() {
            self.model.remove(name);
        }
        Ok(())
    }

    async fn get(&mut self, name: &Name, refresh: Option<bool>) -> Checked {
        let outcome = self.running.client.get(requests::get(name, refresh)).await;
        if self.model.live(name).is_none() {
            prop_assert_eq!(outcome.map_err(|status| status.code()), Err(Code::NotFound));
            return Ok(());
        }
        if refresh == Some(true) {
            self.model.refresh(name);
        }
        let item = outcome.map_err(|status| TestCaseError::fail(format!("{status:?}")))?;
        self.model.check_item(name, &item)
    }

    async fn search(&mut self, search: &Search) -> Checked {
        let expected = self.expected(search).await?;
        let request = requests::search(search);
        let answer = answered(self.running.client.search_items(request).await)?;
        if search.refresh == Some(true) {
            for (name, _) in &expected {
                self.model.refresh(name);
            }
        }
        self.check_hits(&expected, &answer.hits)
    }

    /// What a search must find. Of a query, the model knows all that is found and its scores but
    /// for rounding; so it takes the service's scores after it has compared them with its own.
    async fn expected(&mut self, search: &Search) -> Checked<Vec<(Name, Option<f64>)>> {
        let Some(query) = search.query else {
            let newest = self.model.newest(search).into_iter();
            return Ok(newest.map(|name| (name, None)).collect());
        };
        let whole = Search {
            limit: ALL,
            offset: 0,
            min_score: None,
            refresh: Some(false),
            ..search.clone()
        };
        let request = requests::search(&whole);
        let hits = answered(self.running.client.search_items(request).await)?.hits;
        let scores = self.model.scores(search, query);
        prop_assert_eq!(hits.len(), scores.len(), "{:?}", &scores);
        let mut found: Vec<(Name, f64)> = Vec::new();
        for hit in hits {
            let item = hit.item.unwrap_or_default();
            let known = scores
                .iter()
                .find(|(name, _)| name.0 == item.namespace && name.1 == item.key);
            let (score, Some((name, expected))) = (hit.score.unwrap_or(f64::NAN), known) else {
                return Err(TestCaseError::fail(format!("found {item:?}")));
            };
            prop_assert!(
                (score - expected).abs() <= 1e-4 * expected.abs().max(0.1),
                "{:?} scores {}, not {}",
                name,
                score,
                expected
            );
            if let Some((last, least)) = found.last() {
                prop_assert!(score < *least || (score == *least && name > last));
            }
            found.push((*name, score));
        }
        let floor = search.min_score.unwrap_or(f64::NEG_INFINITY);
        let page = found.into_iter().filter(|(_, score)| *score >= floor);
        let page = page
            .skip(search.offset as usize)
            .take(search.limit as usize);
        Ok(page.map(|(name, score)| (name, Some(score))).collect())
    }

    fn check_hits(&self, expected: &[(Name, Option<f64>)], hits: &[pb::SearchHit]) -> Checked {
        prop_assert_eq!(hits.len(), expected.len(), "{:?}", expected);
        for ((name, score), hit) in expected.iter().zip(hits) {
            prop_assert_eq!(hit.score, *score);
            self.model
                .check_item(name, &hit.item.clone().unwrap_or_default())?;
        }
        Ok(())
    }

    async fn list(&mut self, prefix: &[&str], filter: Option<&Filter>, page_size: i32) -> Checked {
        let expected = self.model.under(prefix, filter);
        let mut pages = expected.chunks(page_size as usize).peekable();
        let mut token = String::new();
        loop {
            let request = requests::list(prefix, filter, page_size, token);
            let page = answered(self.running.client.list_items(request).await)?;
            let names = pages.next().unwrap_or_default();
            prop_assert_eq!(page.items.len(), names.len());
            for (name, item) in names.iter().zip(&page.items) {
                self.model.check_item(name, item)?;
            }
            prop_assert_eq!(page.next_page_token.is_empty(), pages.peek().is_none());
            if pages.peek().is_none() {
                return Ok(());
            }
            token = page.next_page_token;
        }
    }

    async fn count(&mut self, prefix: &[&str], filter: Option<&Filter>) -> Checked {
        let request = pb::CountItemsRequest {
            namespace_prefix: requests::labels(prefix),
            filter: filter.map(|filter| crate::support::text(&filter.json())),
        };
        let answer = answered(self.running.client.count_items(request).await)?;
        let expected = self.model.under(prefix, filter).len();
        prop_assert_eq!(answer.count, expected as i64);
        Ok(())
    }

    fn check_namespaces(&self, query: &Namespaces, answer: pb::ListNamespacesResponse) -> Checked {
        let expected = self.model.namespaces(query).into_iter();
        let expected: Vec<_> = expected
            .map(|(labels, count)| (requests::labels(&labels), count))
            .collect();
        let found = answer.namespaces.into_iter();
        let found: Vec<_> = found.map(|one| (one.labels, one.item_count)).collect();
        prop_assert_eq!(found, expected);
        Ok(())
    }

    async fn delete_namespace(&mut self, prefix: &[&str]) -> Checked {
        let request = pb::DeleteNamespaceRequest {
            namespace_prefix: requests::labels(prefix),
        };
        let answer = answered(self.running.client.delete_namespace(request).await)?;
        let expected = self.model.under(prefix, None).len();
        prop_assert_eq!(answer.deleted_count, expected as i64);
        self.model.remove_under(prefix);
        Ok(())
    }

    async fn batch(&mut self, operations: &[InBatch]) -> Checked {
        let mut searches = Vec::new();
        let mut asked = Vec::new();
        for operation in operations {
            asked.push(match operation {
                InBatch::Put(put) => Asked::Put(requests::put(put, None)),
                InBatch::Get(name) => Asked::Get(requests::get(name, None)),
                InBatch::Delete(name) => Asked::Delete(requests::delete(name, None)),
                InBatch::Namespaces(query) => Asked::ListNamespaces(requests::namespaces(query)),
                InBatch::Search(search) => {
                    // Two reads of a batch may restart a lifetime in either order.
                    let search = Search {
                        refresh: None,
                        ..search.clone()
                    };
                    searches.push(self.expected(&search).await?);
                    Asked::Search(requests::search(&search))
                }
            });
        }
        let operation = |operation| pb::BatchOperation {
            operation: Some(operation),
        };
        let request = pb::BatchRequest {
            operations: asked.into_iter().map(operation).collect(),
        };
        let answer = answered(self.running.client.batch(request).await)?;
        let answers = answer
            .results
            .into_iter()
            .filter_map(|result| result.result);
        let answers: Vec<_> = answers.collect();
        prop_assert_eq!(answers.len(), operations.len());
        let mut searches = searches.into_iter();
        for (operation, answer) in operations.iter().zip(&answers) {
            self.check_read(operation, answer, &mut searches)?;
        }
        for (operation, answer) in operations.iter().zip(&answers).rev() {
            self.check_write(operation, answer, operations)?;
        }
        Ok(())
    }

    fn check_read(
        &self,
        operation: &InBatch,
        answer: &Answer,
        searches: &mut impl Iterator<Item = Vec<(Name, Option<f64>)>>,
    ) -> Checked {
        match (operation, answer) {
            (InBatch::Get(name), Answer::Get(got)) => match (&got.item, self.model.live(name)) {
                (Some(item), _) => self.model.check_item(name, item),
                (None, live) => {
                    prop_assert!(live.is_none(), "{:?} was not found", name);
                    Ok(())
                }
            },
            (InBatch::Search(_), Answer::Search(found)) => {
                self.check_hits(&searches.next().unwrap_or_default(), &found.hits)
            }
            (InBatch::Namespaces(query), Answer::ListNamespaces(listed)) => {
                self.check_namespaces(query, listed.clone())
            }
            (InBatch::Put(_), Answer::Put(_)) | (InBatch::Delete(_), Answer::Delete(_)) => Ok(()),
            other => Err(TestCaseError::fail(format!("{other:?}"))),
        }
    }

    /// Takes over the last write of each item, which comes first here, and lets it answer the others.
    fn check_write(
        &mut self,
        operation: &InBatch,
        answer: &Answer,
        operations: &[InBatch],
    ) -> Checked {
        let written = |operation: &InBatch| match operation {
            InBatch::Put(put) => Some(put.name),
            InBatch::Delete(name) => Some(*name),
            InBatch::Get(_) | InBatch::Search(_) | InBatch::Namespaces(_) => None,
        };
        let Some(name) = written(operation) else {
            return Ok(());
        };
        let last = operations
            .iter()
            .rfind(|other| written(other) == Some(name));
        let is_last = last.is_some_and(|last| std::ptr::eq(last, operation));
        match (operation, answer, last) {
            (InBatch::Put(put), Answer::Put(done), Some(InBatch::Put(_))) => {
                let item = done.item.clone().unwrap_or_default();
                match is_last {
                    true => self.model.put(put, &item),
                    false => self.model.check_version(&name, &item),
                }
            }
            (InBatch::Put(_), Answer::Put(done), _) => {
                prop_assert_eq!(&done.item, &None);
                Ok(())
            }
            _ => {
                if is_last {
                    self.model.remove(&name);
                }
                Ok(())
            }
        }
    }
}
