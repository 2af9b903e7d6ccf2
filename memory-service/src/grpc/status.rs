//! Every error as callers see it: one match, a stable reason each, nothing internal.

use std::time::Duration;

use service_runtime::{StatusBuilder, Violations};
use tonic::{Code, Status};

use crate::{
    domain::{Conflict, ItemId},
    embed::EmbedError,
    failure::Failure,
    store::StoreError,
};

/// `ErrorInfo.domain` of this service.
pub const DOMAIN: &str = "memory.weft.dev";

/// When to try again if the store is away.
const STORE_RETRY: Duration = Duration::from_secs(1);

/// Why a call is not answered.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The request is wrong.
    #[error("{0}")]
    Invalid(#[from] Violations),
    /// The page token belongs to another request, or to none.
    #[error("{0}")]
    PageToken(Violations),
    /// There is no such item.
    #[error("there is no item {0}")]
    NotFound(ItemId),
    /// A write did not happen.
    #[error("{failure}")]
    Write {
        /// Of which item.
        id: ItemId,
        /// Why.
        failure: Failure,
    },
    /// The call failed.
    #[error(transparent)]
    Failed(#[from] Failure),
    /// A batch failed.
    #[error("{0}")]
    Batch(Failure),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<CallError> for Status {
    fn from(error: CallError) -> Self {
        let status = |code, reason| StatusBuilder::new(code, DOMAIN, reason, error.to_string());
        match &error {
            CallError::Invalid(violations) => invalid(violations),
            CallError::PageToken(violations) => status(Code::InvalidArgument, "PAGE_TOKEN_INVALID")
                .violations(violations)
                .build(),
            CallError::NotFound(id) => not_found(id),
            CallError::Write { id, failure } => match failure {
                Failure::Conflict(Conflict::Missing) => not_found(id),
                Failure::Conflict(Conflict::Exists) => {
                    let message =
                        format!("the item `{}` exists already in `{}`", id.key, id.namespace);
                    of_item(Code::AlreadyExists, "ITEM_EXISTS", message, id)
                }
                Failure::Conflict(Conflict::EtagMismatch) => {
                    let message = format!(
                        "the item `{}` in `{}` does not have this etag; read it again and redo the change",
                        id.key, id.namespace,
                    );
                    of_item(Code::Aborted, "ETAG_MISMATCH", message, id)
                }
                failure => of_failure(failure),
            },
            CallError::Failed(failure) => of_failure(failure),
            CallError::Batch(failure @ Failure::TooManyTexts { of, .. }) => {
                too_many_texts(failure, &format!("operations[{of}].put.value"))
            }
            CallError::Batch(failure) => of_failure(failure),
            CallError::Store(error) => of_store(error),
        }
    }
}

fn not_found(id: &ItemId) -> Status {
    let message = format!("there is no item `{}` in `{}`", id.key, id.namespace);
    of_item(Code::NotFound, "ITEM_NOT_FOUND", message, id)
}

fn of_item(code: Code, reason: &'static str, message: String, id: &ItemId) -> Status {
    StatusBuilder::new(code, DOMAIN, reason, message)
        .metadata("namespace", id.namespace.to_string())
        .metadata("key", id.key.as_str())
        .resource("item", id.to_string())
        .build()
}

/// A failure that is of no item.
fn of_failure(failure: &Failure) -> Status {
    let status = |code, reason, message: &str| StatusBuilder::new(code, DOMAIN, reason, message);
    match failure {
        Failure::Conflict(conflict) => {
            status(Code::Aborted, "CONFLICT", &conflict.to_string()).build()
        }
        Failure::Store(error) => of_store(error),
        Failure::Embed(error @ EmbedError::Unavailable { retry_after, .. }) => {
            tracing::warn!(%error, "a call failed");
            let message = "the embedder is unavailable; nothing was written; try again";
            status(Code::Unavailable, "EMBEDDER_UNAVAILABLE", message)
                .retry_after(*retry_after)
                .build()
        }
        Failure::Embed(error @ EmbedError::Refused(_)) => {
            tracing::error!(%error, "a call failed");
            let message = "the embedder refuses what it is given; nothing was written; the service's log says why";
            status(Code::FailedPrecondition, "EMBEDDER_REFUSED", message).build()
        }
        Failure::EmbedderMissing => {
            let message = "ranking by meaning needs an embedder, and this service has none; start it with `--embedder`, or rank by `RANKING_LEXICAL`";
            status(Code::FailedPrecondition, "EMBEDDER_MISSING", message).build()
        }
        Failure::NoRoom(error) => {
            let message = format!(
                "{error}; ask for less with `limit` or in fewer operations, or go through the items with `ListItems`, whose pages end in time"
            );
            status(Code::ResourceExhausted, "ANSWER_TOO_LARGE", &message).build()
        }
        Failure::TooManyTexts { .. } => too_many_texts(failure, "value"),
    }
}

fn too_many_texts(failure: &Failure, field: &str) -> Status {
    let violations = Violations::of(field, format!("{failure}; put them into several items"));
    invalid(&violations)
}

fn invalid(violations: &Violations) -> Status {
    let message = violations.to_string();
    StatusBuilder::new(Code::InvalidArgument, DOMAIN, "INVALID_REQUEST", message)
        .violations(violations)
        .build()
}

/// What went wrong inside is for the log; callers are told what they can do.
fn of_store(error: &StoreError) -> Status {
    let status = |code, reason, message| StatusBuilder::new(code, DOMAIN, reason, message);
    match error {
        StoreError::Unavailable(_) => {
            tracing::warn!(%error, "a call failed");
            status(
                Code::Unavailable,
                "STORE_UNAVAILABLE",
                "the store is unavailable; try again",
            )
            .retry_after(STORE_RETRY)
            .build()
        }
        StoreError::Full { .. } => {
            tracing::error!(%error, "a call failed");
            let message = "the disk of the data folder has too little room left, as `min_free_disk` says; nothing was written; free some space on it";
            status(Code::ResourceExhausted, "DISK_FULL", message).build()
        }
        StoreError::Corrupt(_) => {
            tracing::error!(%error, "a call failed");
            let message = "stored data cannot be read; the service's log says which";
            status(Code::DataLoss, "STORED_DATA_CORRUPT", message).build()
        }
        StoreError::Internal(_) => {
            tracing::error!(%error, "a call failed");
            status(
                Code::Internal,
                "INTERNAL",
                "the service failed; its log says why",
            )
            .build()
        }
    }
}
