//! Operations done by the service and by the model, one after the other, and compared.

use std::time::Duration;

use proptest::{prop_assert_eq, test_runner::TestCaseError};
use tonic::{Code, Status};
use weft_proto::memory::v1 as pb;

use super::{
    filter::Filter,
    memory::{Checked, Memory},
    operation::{Name, Namespaces, Operation, Precondition, Put},
    requests,
    run_search::ALL,
    seen::Seen,
    texts,
};
use crate::{
    embedder::Embedder,
    support::{Calls as _, Running, START, etag, exists},
};

/// The service and the model of it.
pub(super) struct Pair {
    pub(super) running: Running,
    pub(super) model: Memory,
}

/// Does all of these operations, and takes note of them.
pub(super) async fn run(operations: Vec<Operation>, seen: &Seen) -> Checked {
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
        seen.note(&pair.model, &operation);
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

pub(super) fn answered<T>(answer: Result<tonic::Response<T>, Status>) -> Checked<T> {
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

    pub(super) fn check_namespaces(
        &self,
        query: &Namespaces,
        answer: pb::ListNamespacesResponse,
    ) -> Checked {
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
}
