//! Every error that callers can see, mapped in one place.

use std::time::Duration;

use service_runtime::{StatusBuilder, Violations};
use tonic::{Code, Status};
use weft_worker::{InvalidArgument, wire};

use crate::{
    domain::{CheckpointId, RunId, ThreadId},
    engine::StartError,
    store::StoreError,
};

/// Domain of the reasons in `ErrorInfo`.
const DOMAIN: &str = "workflow.weft.dev";
/// When to try again while the store is away.
const STORE_RETRY_DELAY: Duration = Duration::from_secs(1);

/// What is wrong with a request's fields.
#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` gives")]
pub(super) fn invalid(violations: Violations) -> Status {
    StatusBuilder::new(
        Code::InvalidArgument,
        DOMAIN,
        "INVALID_REQUEST",
        violations.to_string(),
    )
    .violations(&violations)
    .build()
}

/// A page token that is not one of the listing.
pub(super) fn foreign_page_token(why: impl ToString) -> Status {
    let violations = Violations::of("page_token", why.to_string());
    StatusBuilder::new(
        Code::InvalidArgument,
        DOMAIN,
        "PAGE_TOKEN_INVALID",
        violations.to_string(),
    )
    .violations(&violations)
    .build()
}

/// A run that is not there.
pub(super) fn no_such_run(id: RunId) -> Status {
    not_found("RUN_NOT_FOUND", "run", id)
}

/// A thread that is not there.
pub(super) fn no_such_thread(id: &ThreadId) -> Status {
    not_found("THREAD_NOT_FOUND", "thread", id)
}

/// A checkpoint that is not there.
pub(super) fn no_such_checkpoint(id: CheckpointId) -> Status {
    not_found("CHECKPOINT_NOT_FOUND", "checkpoint", id)
}

/// A stream that ends because the service does.
pub(super) fn shutting_down(last_sequence: i64) -> Status {
    StatusBuilder::new(
        Code::Unavailable,
        DOMAIN,
        "SHUTTING_DOWN",
        format!("the service is shutting down; join the run again after sequence {last_sequence}"),
    )
    .metadata("last_sequence", last_sequence.to_string())
    .retry_after(Duration::ZERO)
    .build()
}

/// A call that waited for a run that outlives the service: the run goes on after the restart.
pub(super) fn shutting_down_before_rest(id: RunId) -> Status {
    StatusBuilder::new(
        Code::Unavailable,
        DOMAIN,
        "SHUTTING_DOWN",
        format!("the service is shutting down; run `{id}` goes on later, wait for it again"),
    )
    .metadata("run_id", id.to_string())
    .retry_after(STORE_RETRY_DELAY)
    .build()
}

/// A stream of a worker that did not begin with Hello.
pub(super) fn no_hello() -> Status {
    protocol_violation("the first message of a stream must be `hello`, within 10 s")
}

/// A worker that makes no sense.
pub(super) fn protocol_violation(what: &str) -> Status {
    StatusBuilder::new(Code::InvalidArgument, DOMAIN, "PROTOCOL_VIOLATION", what).build()
}

/// A worker that sent more than can be read, so that nobody knows of what. It may connect again: its
/// runs count a lost worker.
pub(super) fn message_too_large() -> Status {
    let message = format!(
        "a message may have {} bytes: a worker that has a larger one to send fails the call or the \
         run with PAYLOAD_TOO_LARGE instead",
        wire::MAX_REQUEST_BYTES
    );
    StatusBuilder::new(
        Code::ResourceExhausted,
        DOMAIN,
        "MESSAGE_TOO_LARGE",
        message,
    )
    .build()
}

/// A worker whose session was taken over by another process, or another stream of its own.
pub(super) fn session_taken() -> Status {
    let message = "another stream took over this session: it said Hello with the same session_id; \
                   each process has one of its own";
    StatusBuilder::new(Code::Aborted, DOMAIN, "SESSION_TAKEN", message).build()
}

/// A worker that was not heard for too long: its runs are others' now.
pub(super) fn lease_lost(why: &str) -> Status {
    let message = format!("the worker was given up, {why}; connect again");
    StatusBuilder::new(Code::Aborted, DOMAIN, "LEASE_LOST", message).build()
}

/// The stream of a worker that ends because the service does.
pub(super) fn worker_shutdown() -> Status {
    let message = "the service is shutting down; connect again";
    StatusBuilder::new(Code::Unavailable, DOMAIN, "SHUTTING_DOWN", message)
        .retry_after(Duration::ZERO)
        .build()
}

/// Why a run was not started. `prefix` is where in the request the run is described.
pub(super) fn not_started(error: StartError, prefix: &str) -> Status {
    match error {
        StartError::NoSuchEntrypoint { ref name } => StatusBuilder::new(
            Code::NotFound,
            DOMAIN,
            "ENTRYPOINT_NOT_FOUND",
            error.to_string(),
        )
        .metadata("entrypoint", name)
        .resource("entrypoint", name)
        .build(),
        StartError::InvalidArguments(invalid_arguments) => {
            let mut violations = Violations::default();
            for InvalidArgument { field, description } in invalid_arguments {
                violations.push(field, description);
            }
            invalid(match prefix {
                "" => violations,
                prefix => violations.prefixed(prefix),
            })
        }
        StartError::Store(error) => store(error),
    }
}

/// What the store could not do.
pub(super) fn store(error: StoreError) -> Status {
    let message = error.to_string();
    match error {
        StoreError::ThreadBusy { thread, run } => {
            StatusBuilder::new(Code::Aborted, DOMAIN, "THREAD_BUSY", message)
                .metadata("thread_id", thread.as_str())
                .metadata("run_id", run.to_string())
                .build()
        }
        StoreError::ThreadInUse { thread, run } => {
            StatusBuilder::new(Code::FailedPrecondition, DOMAIN, "THREAD_IN_USE", message)
                .metadata("thread_id", thread.as_str())
                .metadata("run_id", run.to_string())
                .build()
        }
        StoreError::ThreadMovedOn {
            run,
            began_with,
            newest,
        } => StatusBuilder::new(Code::FailedPrecondition, DOMAIN, "THREAD_MOVED_ON", message)
            .metadata("run_id", run.to_string())
            .metadata(
                "checkpoint_id",
                began_with.map(|id| id.to_string()).unwrap_or_default(),
            )
            .metadata("newest_checkpoint_id", newest.to_string())
            .build(),
        StoreError::NoSuchCheckpoint(id) => no_such_checkpoint(id),
        StoreError::RequestIdReused { request, run } => {
            let violations = Violations::of("request_id", message.clone());
            StatusBuilder::new(Code::InvalidArgument, DOMAIN, "REQUEST_ID_REUSED", message)
                .metadata("request_id", request)
                .metadata("run_id", run.to_string())
                .violations(&violations)
                .build()
        }
        StoreError::RunDeleted { request, run } => {
            StatusBuilder::new(Code::FailedPrecondition, DOMAIN, "RUN_DELETED", message)
                .metadata("request_id", request)
                .metadata("run_id", run.to_string())
                .build()
        }
        StoreError::NoSuchRun(id) => no_such_run(id),
        StoreError::NoSuchThread(id) => no_such_thread(&id),
        StoreError::ThreadExists(thread) => {
            StatusBuilder::new(Code::AlreadyExists, DOMAIN, "THREAD_EXISTS", message)
                .metadata("thread_id", thread.as_str())
                .resource("thread", thread.as_str())
                .build()
        }
        StoreError::WrongState { id, state, .. } => {
            StatusBuilder::new(Code::FailedPrecondition, DOMAIN, "RUN_STATE", message)
                .metadata("run_id", id.to_string())
                .metadata("state", state.to_string())
                .build()
        }
        StoreError::NoSuchInterrupt { run, interrupt, .. } => {
            StatusBuilder::new(Code::NotFound, DOMAIN, "INTERRUPT_NOT_FOUND", message)
                .metadata("run_id", run.to_string())
                .metadata("interrupt_id", &interrupt)
                .resource("interrupt", interrupt)
                .build()
        }
        StoreError::AmbiguousAnswer { run, count } => {
            let violations = Violations::of("answer", message.clone());
            StatusBuilder::new(Code::InvalidArgument, DOMAIN, "ANSWER_AMBIGUOUS", message)
                .metadata("run_id", run.to_string())
                .metadata("interrupt_count", count.to_string())
                .violations(&violations)
                .build()
        }
        StoreError::Fenced => {
            StatusBuilder::new(Code::Aborted, DOMAIN, "LEASE_LOST", message).build()
        }
        StoreError::Unavailable(cause) => {
            tracing::error!(%cause, "the checkpoint store is not available");
            StatusBuilder::new(
                Code::Unavailable,
                DOMAIN,
                "STORE_UNAVAILABLE",
                "the checkpoint store is not available; try again",
            )
            .retry_after(STORE_RETRY_DELAY)
            .build()
        }
        StoreError::DiskRefuses(cause) => {
            tracing::error!(%cause, "the disk of the checkpoint store takes no writes");
            StatusBuilder::new(
                Code::Unavailable,
                DOMAIN,
                "STORE_DISK_REFUSES",
                "the disk of the checkpoint store takes no writes; is it full?",
            )
            .retry_after(STORE_RETRY_DELAY)
            .build()
        }
        StoreError::Damaged(_) => {
            StatusBuilder::new(Code::DataLoss, DOMAIN, "STORE_DAMAGED", message).build()
        }
        StoreError::Corrupt(cause) => {
            tracing::error!(%cause, "stored data cannot be read");
            StatusBuilder::new(
                Code::DataLoss,
                DOMAIN,
                "STORED_DATA_CORRUPT",
                "stored data cannot be read; the service's log says what",
            )
            .build()
        }
    }
}

fn not_found(reason: &'static str, kind: &str, id: impl ToString) -> Status {
    let id = id.to_string();
    StatusBuilder::new(
        Code::NotFound,
        DOMAIN,
        reason,
        format!("there is no {kind} `{id}`"),
    )
    .metadata(format!("{kind}_id"), &id)
    .resource(kind, id)
    .build()
}
