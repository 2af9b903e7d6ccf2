//! What a call was refused with: code, reason and fields, which are as much API as its answers.

use std::{collections::HashMap, error::Error as _};

use anyhow::{Context as _, Result, bail, ensure};
use tonic::{Code, Response, Status};
use tonic_types::StatusExt as _;

/// An error of the API, with what every one of them must have.
#[derive(Debug)]
pub struct Refusal {
    status: Status,
    reason: String,
    metadata: HashMap<String, String>,
    fields: Vec<(String, String)>,
}

impl Refusal {
    /// The refusal that a call was answered with.
    ///
    /// # Errors
    /// If the call succeeded, or the error has no `ErrorInfo`, or no message for people.
    pub fn of<T: std::fmt::Debug>(result: Result<Response<T>, Status>) -> Result<Self> {
        match result {
            Err(status) => Self::from_status(status),
            Ok(response) => bail!("not refused but answered: {:?}", response.into_inner()),
        }
    }

    /// Reads a status.
    ///
    /// # Errors
    /// If it has no `ErrorInfo`, or no message for people.
    pub fn from_status(status: Status) -> Result<Self> {
        let details = status.get_error_details();
        let info = details
            .error_info()
            .with_context(|| format!("no ErrorInfo: {status:?}"))?;
        let upper_snake = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
        ensure!(
            !info.reason.is_empty() && info.reason.chars().all(upper_snake),
            "`{}` is no reason",
            info.reason
        );
        ensure!(!info.domain.is_empty(), "no domain: {status:?}");
        ensure!(
            !status.message().is_empty(),
            "nothing for people to read: {status:?}"
        );
        let violations = details
            .bad_request()
            .map(|bad| bad.field_violations.as_slice());
        let fields = violations
            .unwrap_or_default()
            .iter()
            .map(|violation| (violation.field.clone(), violation.description.clone()))
            .collect();
        Ok(Self {
            reason: info.reason.clone(),
            metadata: info.metadata.clone(),
            fields,
            status,
        })
    }

    /// The gRPC code.
    #[must_use]
    pub fn code(&self) -> Code {
        self.status.code()
    }

    /// The stable reason.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// The message for people.
    #[must_use]
    pub fn message(&self) -> &str {
        self.status.message()
    }

    /// A dynamic part of the message, as `ErrorInfo` holds it.
    #[must_use]
    pub fn metadata(&self, key: &str) -> Option<&str> {
        self.metadata.get(key).map(String::as_str)
    }

    /// Names of the fields that are wrong, in order of appearance.
    #[must_use]
    pub fn fields(&self) -> Vec<&str> {
        self.fields
            .iter()
            .map(|(field, _)| field.as_str())
            .collect()
    }

    /// Asserts code and reason.
    ///
    /// # Errors
    /// If either differs.
    pub fn is(self, code: Code, reason: &str) -> Result<Self> {
        ensure!(
            (self.code(), self.reason()) == (code, reason),
            "expected {code:?} {reason}: {self:?}"
        );
        Ok(self)
    }

    /// Asserts that the request is invalid, that exactly these fields are named, in any order,
    /// and that each is told what to do.
    ///
    /// # Errors
    /// If not.
    pub fn names(self, fields: &[&str]) -> Result<Self> {
        let refusal = self.is(Code::InvalidArgument, "INVALID_REQUEST")?;
        let (mut named, mut expected) = (refusal.fields(), fields.to_vec());
        named.sort_unstable();
        expected.sort_unstable();
        ensure!(
            named == expected,
            "expected {expected:?} to be named: {refusal:?}"
        );
        ensure!(
            refusal
                .fields
                .iter()
                .all(|(_, description)| !description.is_empty()),
            "a field without a description: {refusal:?}"
        );
        Ok(refusal)
    }
}

/// Asserts that a request is refused because of these fields, all of them in one answer.
///
/// # Errors
/// If not; the error names the case.
pub fn refused<T: std::fmt::Debug>(
    case: &str,
    answer: Result<Response<T>, Status>,
    fields: &[&str],
) -> Result<()> {
    let named = Refusal::of(answer).and_then(|refusal| refusal.names(fields));
    named.map(drop).with_context(|| format!("case: {case}"))
}

/// Whether a call found nobody: the service said so, or nothing listens, or the connection closed
/// before the call was sent, which tonic's client calls CANCELLED, with itself as the source.
#[must_use]
pub fn found_nobody(status: &Status) -> bool {
    let by_the_client = status.source().is_some();
    status.code() == Code::Unavailable || status.code() == Code::Cancelled && by_the_client
}
