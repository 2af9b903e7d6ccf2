//! How the suite makes calls: each read by its own RPC and as an operation of a batch, which must
//! answer alike; and writes by either.

use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use weft_proto::memory::v1::{
    self as pb, batch_operation::Operation, batch_result::Result as Answer,
};

use crate::support::{Client, assert_status};

/// What came of a batch of one operation.
pub(super) async fn batched(client: &mut Client, operation: Operation) -> Result<Answer, Status> {
    let operations = vec![pb::BatchOperation {
        operation: Some(operation),
    }];
    let response = client.batch(pb::BatchRequest { operations }).await?;
    let mut results = response.into_inner().results;
    assert_eq!(results.len(), 1);
    Ok(results.remove(0).result.unwrap())
}

/// Short forms of calls. What is read, or refused as an invalid request, is asked for in a batch, too.
pub(super) trait Calls {
    async fn put(&mut self, request: pb::PutItemRequest) -> Result<pb::Item, Status>;
    async fn get(&mut self, request: pb::GetItemRequest) -> Result<pb::Item, Status>;
    async fn delete(&mut self, request: pb::DeleteItemRequest) -> Result<(), Status>;
    async fn hits(&mut self, request: pb::SearchItemsRequest)
    -> Result<Vec<pb::SearchHit>, Status>;
    /// The keys that a search finds, in order.
    async fn keys(&mut self, request: pb::SearchItemsRequest) -> Vec<String>;
    async fn namespaces(
        &mut self,
        request: pb::ListNamespacesRequest,
    ) -> Result<pb::ListNamespacesResponse, Status>;
    /// The namespaces of a listing as `a.b=count`, in order.
    async fn listed(&mut self, request: pb::ListNamespacesRequest) -> Vec<String>;
    async fn count(&mut self, request: pb::CountItemsRequest) -> Result<i64, Status>;
}

impl Calls for Client {
    async fn put(&mut self, request: pb::PutItemRequest) -> Result<pb::Item, Status> {
        let outcome = self.put_item(request.clone()).await;
        if request.precondition.is_none() && is_invalid(&outcome) {
            let put = batched(self, Operation::Put(request)).await;
            assert_refused_alike(&outcome, &put, "put");
        }
        outcome.map(|response| response.into_inner().item.unwrap())
    }

    async fn get(&mut self, request: pb::GetItemRequest) -> Result<pb::Item, Status> {
        let outcome = self.get_item(request.clone()).await;
        let outcome = outcome.map(|response| response.into_inner().item.unwrap());
        match batched(self, Operation::Get(request)).await {
            Ok(Answer::Get(got)) => match &outcome {
                Ok(item) => assert_eq!(got.item.as_ref(), Some(item)),
                Err(status) => {
                    assert_status(status, Code::NotFound, "ITEM_NOT_FOUND");
                    assert_eq!(got.item, None);
                }
            },
            other => assert_refused_alike(&outcome, &other, "get"),
        }
        outcome
    }

    async fn delete(&mut self, request: pb::DeleteItemRequest) -> Result<(), Status> {
        let outcome = self.delete_item(request.clone()).await;
        if request.precondition.is_none() && is_invalid(&outcome) {
            let deleted = batched(self, Operation::Delete(request)).await;
            assert_refused_alike(&outcome, &deleted, "delete");
        }
        outcome.map(|_| ())
    }

    async fn hits(
        &mut self,
        request: pb::SearchItemsRequest,
    ) -> Result<Vec<pb::SearchHit>, Status> {
        let outcome = self.search_items(request.clone()).await;
        let outcome = outcome.map(|response| response.into_inner().hits);
        match (&outcome, batched(self, Operation::Search(request)).await) {
            (Ok(hits), Ok(Answer::Search(found))) => assert_eq!(&found.hits, hits),
            (_, other) => assert_refused_alike(&outcome, &other, "search"),
        }
        outcome
    }

    async fn keys(&mut self, request: pb::SearchItemsRequest) -> Vec<String> {
        let hits = self.hits(request).await.unwrap();
        hits.into_iter().map(|hit| hit.item.unwrap().key).collect()
    }

    async fn namespaces(
        &mut self,
        request: pb::ListNamespacesRequest,
    ) -> Result<pb::ListNamespacesResponse, Status> {
        let outcome = self.list_namespaces(request.clone()).await;
        let outcome = outcome.map(tonic::Response::into_inner);
        let operation = Operation::ListNamespaces(request);
        match (&outcome, batched(self, operation).await) {
            (Ok(listed), Ok(Answer::ListNamespaces(other))) => assert_eq!(&other, listed),
            (_, other) => assert_refused_alike(&outcome, &other, "list_namespaces"),
        }
        outcome
    }

    async fn listed(&mut self, request: pb::ListNamespacesRequest) -> Vec<String> {
        let shown = |namespace: pb::Namespace| {
            format!("{}={}", namespace.labels.join("."), namespace.item_count)
        };
        let listed = self.namespaces(request).await.unwrap().namespaces;
        listed.into_iter().map(shown).collect()
    }

    async fn count(&mut self, request: pb::CountItemsRequest) -> Result<i64, Status> {
        let counted = self.count_items(request).await?;
        Ok(counted.into_inner().count)
    }
}

/// How a write is made.
#[derive(Clone, Copy, Debug)]
pub(super) enum By {
    Call,
    Batch,
}

impl By {
    pub(super) const ALL: [Self; 2] = [Self::Call, Self::Batch];

    /// Puts an item; what is said of it.
    pub(super) async fn put(self, client: &mut Client, request: pb::PutItemRequest) -> pb::Item {
        match self {
            Self::Call => Calls::put(client, request).await.unwrap(),
            Self::Batch => match batched(client, Operation::Put(request)).await {
                Ok(Answer::Put(put)) => put.item.unwrap(),
                other => panic!("{other:?}"),
            },
        }
    }

    pub(super) async fn delete(self, client: &mut Client, request: pb::DeleteItemRequest) {
        match self {
            Self::Call => client.delete(request).await.unwrap(),
            Self::Batch => {
                let deleted = batched(client, Operation::Delete(request)).await;
                assert!(matches!(deleted, Ok(Answer::Delete(_))), "{deleted:?}");
            }
        }
    }
}

fn is_invalid<T>(outcome: &Result<T, Status>) -> bool {
    matches!(outcome, Err(status) if status.code() == Code::InvalidArgument)
}

/// Asserts that a batch of one operation was refused as its own call was: with the same reason, and
/// for the same fields of that operation.
#[track_caller]
fn assert_refused_alike<T, U: std::fmt::Debug>(
    outcome: &Result<T, Status>,
    in_batch: &Result<U, Status>,
    operation: &str,
) {
    let (Err(alone), Err(batch)) = (outcome, in_batch) else {
        let alone = outcome.as_ref().err();
        panic!("alone: {alone:?}; in a batch: {in_batch:?}");
    };
    assert_eq!(alone.code(), batch.code(), "{batch:?}");
    let reason = |status: &Status| status.get_details_error_info().map(|info| info.reason);
    assert_eq!(reason(alone), reason(batch));
    let violations = |status: &Status, within: &str| -> Vec<_> {
        let details = status.get_details_bad_request();
        let violations = details.map(|details| details.field_violations);
        let told = |violation: tonic_types::FieldViolation| {
            let field = format!("{within}{}", violation.field);
            (field, violation.description)
        };
        violations.into_iter().flatten().map(told).collect()
    };
    let within = format!("operations[0].{operation}.");
    assert_eq!(violations(batch, ""), violations(alone, &within));
}
