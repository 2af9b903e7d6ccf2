//! Batches as domain values: each operation as its own call is read, and what is wrong with any of
//! them.

use service_runtime::Violations;
use weft_proto::memory::v1::{self as pb, batch_operation};

use super::{
    answer::Form,
    convert::{Get, delete, get, list_namespaces, put, search},
    status::CallError,
};
use crate::batch::Operation;

/// Most operations of one batch.
const MAX_OPERATIONS: usize = 1000;

/// A `BatchRequest` as domain values, with what its answer needs to know of each operation.
pub(super) fn batch(request: pb::BatchRequest) -> Result<Vec<(Operation, Form)>, CallError> {
    let pb::BatchRequest { operations } = request;
    let actual = operations.len();
    if actual > MAX_OPERATIONS {
        let description = format!("must be at most {MAX_OPERATIONS}, not {actual}");
        return Err(CallError::Invalid(Violations::of(
            "operations",
            description,
        )));
    }
    let mut violations = Violations::default();
    let mut converted = Vec::with_capacity(actual);
    for (index, pb::BatchOperation { operation }) in operations.into_iter().enumerate() {
        let field = format!("operations[{index}]");
        match operation.map(batch_operation) {
            None => violations.push(field, "must be an operation"),
            Some((kind, Err(CallError::Invalid(faults)))) => {
                violations.append(faults.prefixed(&format!("{field}.{kind}")));
            }
            Some((_, Err(error))) => return Err(error),
            Some((_, Ok(operation))) => converted.push(operation),
        }
    }
    Ok(violations.into_result(converted)?)
}

type Converted = Result<(Operation, Form), CallError>;

fn batch_operation(operation: batch_operation::Operation) -> (&'static str, Converted) {
    use batch_operation::Operation as Pb;
    match operation {
        Pb::Get(request) => {
            let converted = get(request).map(
                |Get {
                     id,
                     refresh_ttl,
                     form,
                 }| {
                    (
                        Operation::Get { id, refresh_ttl },
                        Form {
                            payload: form,
                            scored: false,
                        },
                    )
                },
            );
            ("get", converted)
        }
        Pb::Put(mut request) => {
            let precondition = request.precondition.take();
            let converted = unconditional(precondition, put(request)).map(Operation::Put);
            ("put", converted.map(|put| (put, Form::default())))
        }
        Pb::Delete(mut request) => {
            let precondition = request.precondition.take();
            let converted = unconditional(precondition, delete(request));
            (
                "delete",
                converted.map(|(id, _)| (Operation::Delete(id), Form::default())),
            )
        }
        Pb::Search(request) => {
            let converted = search(request).map(|(search, payload)| {
                let scored = search.words.is_some();
                (Operation::Search(search), Form { payload, scored })
            });
            ("search", converted)
        }
        Pb::ListNamespaces(request) => {
            let converted = list_namespaces(request).map(Operation::Namespaces);
            (
                "list_namespaces",
                converted.map(|list| (list, Form::default())),
            )
        }
    }
}

/// A write of a batch, which takes no precondition; what else is wrong with it is told, too.
fn unconditional<T>(
    precondition: Option<pb::Precondition>,
    write: Result<T, CallError>,
) -> Result<T, CallError> {
    if precondition.is_none() {
        return write;
    }
    let mut violations = Violations::of("precondition", "must not be set in a batch");
    match write {
        Ok(_) => {}
        Err(CallError::Invalid(others)) => violations.append(others),
        Err(error) => return Err(error),
    }
    Err(violations.into())
}
