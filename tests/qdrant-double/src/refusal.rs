//! How a server says no.

use std::fmt::Display;

use qdrant_edge::OperationError;
use tonic::{Code, Status};

/// What is wrong with the request.
pub(crate) fn invalid(what: impl Into<String>) -> Status {
    Status::invalid_argument(what)
}

/// There is no such collection.
pub(crate) fn no_collection(name: &str) -> Status {
    Status::not_found(format!("Not found: Collection `{name}` doesn't exist!"))
}

/// Something that a real server may know, but this one does not.
pub(crate) fn unknown(what: &str) -> Status {
    Status::unimplemented(format!("the double does not know {what}"))
}

/// The server's own fault.
pub(crate) fn broken(cause: impl Display) -> Status {
    Status::new(Code::Internal, format!("Service internal error: {cause}"))
}

/// What the engine refuses, with the code that a server would give it.
pub(crate) fn engine(error: OperationError) -> Status {
    match error {
        OperationError::WrongVectorDimension { .. }
        | OperationError::VectorNameNotExists { .. }
        | OperationError::TypeError { .. }
        | OperationError::ValidationError { .. }
        | OperationError::MissingRangeIndexForOrderBy { .. }
        | OperationError::MissingMapIndexForFacet { .. }
        | OperationError::WrongSparse
        | OperationError::WrongMulti => invalid(format!("Wrong input: {error}")),
        other => broken(other),
    }
}
