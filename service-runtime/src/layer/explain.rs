//! Errors that tonic itself answers get the right code and `ErrorInfo`, as every other error has.

use std::sync::Arc;

use http::{Request, Uri};
use tonic::{Code, Status, body::Body};

use super::{Answer, Around, Inner};
use crate::{StatusBuilder, methods::name_of, status::DOMAIN};

pub(crate) struct Explain;

impl Around for Explain {
    fn answer(self: &Arc<Self>, request: Request<Body>, inner: &mut impl Inner) -> Answer {
        let uri = request.uri().clone();
        let answer = inner.call(request);
        Box::pin(async move {
            let mut response = answer.await?;
            let explained = Status::from_header_map(response.headers())
                .filter(|status| status.code() != Code::Ok && status.details().is_empty())
                .map(|status| explain(&status, &uri));
            if let Some(status) = explained
                && let Err(broken) = status.add_header(response.headers_mut())
            {
                return Ok(broken.into_http());
            }
            Ok(response)
        })
    }
}

/// What `status` means: one that tonic made, or a handler without care.
fn explain(status: &Status, uri: &Uri) -> Status {
    let (code, message) = (status.code(), status.message());
    let (code, reason) = match code {
        Code::Unimplemented if message.is_empty() => {
            let path = uri.path();
            let message = format!("there is no method `{path}`; list them by server reflection");
            return StatusBuilder::new(code, DOMAIN, "METHOD_UNKNOWN", message)
                .metadata("path", path)
                .build();
        }
        Code::Unimplemented => (code, "COMPRESSION_UNSUPPORTED"),
        // The limit on messages; handlers answer for what is inside of them.
        Code::OutOfRange | Code::ResourceExhausted => {
            (Code::ResourceExhausted, "MESSAGE_TOO_LARGE")
        }
        // prost's own message would name the same fields a hundred times.
        Code::Internal if message.ends_with("recursion limit reached") => {
            let message = "the message nests too deep; send deep JSON values as `json_text`";
            return StatusBuilder::new(Code::InvalidArgument, DOMAIN, "MESSAGE_MALFORMED", message)
                .build();
        }
        // The caller went away while it was still sending; handlers do not answer UNKNOWN.
        Code::Unknown => (Code::Cancelled, "CALLER_GONE"),
        // tonic blames itself for messages that it cannot read.
        Code::Internal => (Code::InvalidArgument, "MESSAGE_MALFORMED"),
        other => (other, name_of(other)),
    };
    StatusBuilder::new(code, DOMAIN, reason, message).build()
}
