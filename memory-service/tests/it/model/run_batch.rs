//! Batches done by the service and by the model, and compared.

use proptest::{prop_assert, prop_assert_eq, test_runner::TestCaseError};
use weft_proto::memory::v1::{
    self as pb, batch_operation::Operation as Asked, batch_result::Result as Answer,
};

use super::{
    memory::Checked,
    operation::{InBatch, Name, Search},
    requests,
    run::{Pair, answered},
};

impl Pair {
    pub(super) async fn batch(&mut self, operations: &[InBatch]) -> Checked {
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
