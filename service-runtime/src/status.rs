//! Errors as callers see them: a gRPC status with `google.rpc` details (AIP-193).

use std::{collections::HashMap, time::Duration};

use tonic::{
    Code, Status,
    metadata::{MetadataMap, MetadataValue},
};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt as _};

use crate::Violations;

/// `ErrorInfo.domain` of the errors that this crate answers for any service:
/// deadlines, overload, shutdown, panics and calls that reach no handler.
pub const DOMAIN: &str = "weft.dev";

/// Asks stock gRPC clients to wait before they try again (gRFC A6).
const PUSHBACK_HEADER: &str = "grpc-retry-pushback-ms";

// Details travel as one header, and clients built on hyper read at most 16 KiB of
// headers. With these bounds the worst case (base64 of the details, and the
// message once more in percent encoding) stays below 15 KiB.
const MAX_MESSAGE_BYTES: usize = 512;
const MAX_VIOLATIONS: usize = 20;
const MAX_FIELD_BYTES: usize = 96;
const MAX_DESCRIPTION_BYTES: usize = 224;
const MAX_METADATA_ENTRIES: usize = 8;
const MAX_METADATA_BYTES: usize = 96;
const MAX_RESOURCE_BYTES: usize = 256;

/// Builds a [`Status`] that always carries `ErrorInfo`; more details as they fit.
///
/// Long texts and lists are cut, so that the answer always fits into the headers.
#[derive(Debug)]
#[must_use = "a builder does nothing until `build`"]
pub struct StatusBuilder {
    code: Code,
    domain: &'static str,
    reason: &'static str,
    message: String,
    metadata: HashMap<String, String>,
    details: ErrorDetails,
    retry_after: Option<Duration>,
}

impl StatusBuilder {
    /// An error of `domain` with its stable `reason` (UPPER_SNAKE) and a message for people.
    pub fn new(
        code: Code,
        domain: &'static str,
        reason: &'static str,
        message: impl Into<String>,
    ) -> Self {
        Self {
            code,
            domain,
            reason,
            message: cut(message.into(), MAX_MESSAGE_BYTES),
            metadata: HashMap::new(),
            details: ErrorDetails::new(),
            retry_after: None,
        }
    }

    /// Adds a dynamic part of the message to `ErrorInfo.metadata`; at most 8 are kept.
    pub fn metadata(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        if self.metadata.len() < MAX_METADATA_ENTRIES {
            let (key, value) = (cut(key.into(), 64), cut(value.into(), MAX_METADATA_BYTES));
            self.metadata.insert(key, value);
        }
        self
    }

    /// Adds `BadRequest`: the first 20 violations.
    pub fn violations(mut self, violations: &Violations) -> Self {
        let shown = violations.iter().take(MAX_VIOLATIONS).map(|violation| {
            FieldViolation::new(
                cut(violation.field.clone(), MAX_FIELD_BYTES),
                cut(violation.description.clone(), MAX_DESCRIPTION_BYTES),
            )
        });
        self.details.set_bad_request(shown.collect::<Vec<_>>());
        self
    }

    /// Adds `RetryInfo`, and the same as the `grpc-retry-pushback-ms` header.
    pub fn retry_after(mut self, delay: Duration) -> Self {
        self.retry_after = Some(delay);
        self.details.set_retry_info(Some(delay));
        self
    }

    /// Adds `ResourceInfo`: what is missing or in the way, e.g. (`item`, `["a"] key`).
    pub fn resource(mut self, kind: impl Into<String>, name: impl Into<String>) -> Self {
        let name = cut(name.into(), MAX_RESOURCE_BYTES);
        self.details.set_resource_info(kind, name, "", "");
        self
    }

    /// The status.
    #[must_use]
    pub fn build(mut self) -> Status {
        self.details
            .set_error_info(self.reason, self.domain, self.metadata);
        let mut headers = MetadataMap::new();
        if let Some(delay) = self.retry_after {
            headers.insert(
                PUSHBACK_HEADER,
                MetadataValue::from(delay.as_millis() as u64),
            );
        }
        Status::with_error_details_and_metadata(self.code, self.message, self.details, headers)
    }
}

/// The longest prefix of `text` that fits into `limit` bytes, marked if it is not all.
fn cut(mut text: String, limit: usize) -> String {
    const MARK: char = '…';
    if text.len() > limit {
        let end = text.floor_char_boundary(limit - MARK.len_utf8());
        text.truncate(end);
        text.push(MARK);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_names_its_reason_and_domain() {
        let status = StatusBuilder::new(Code::NotFound, DOMAIN, "ITEM_NOT_FOUND", "no item `k`")
            .metadata("key", "k")
            .resource("item", "k")
            .build();
        let details = status.get_error_details();
        let info = details.error_info().unwrap();
        assert_eq!(
            (info.reason.as_str(), info.domain.as_str()),
            ("ITEM_NOT_FOUND", DOMAIN)
        );
        assert_eq!(info.metadata["key"], "k");
        assert_eq!(details.resource_info().unwrap().resource_name, "k");
        assert_eq!(
            (status.code(), status.message()),
            (Code::NotFound, "no item `k`")
        );
    }

    #[test]
    fn a_retry_delay_is_told_to_stock_clients_too() {
        let status = StatusBuilder::new(Code::Unavailable, DOMAIN, "AWAY", "away")
            .retry_after(Duration::from_millis(1500))
            .build();
        assert_eq!(status.metadata().get(PUSHBACK_HEADER).unwrap(), "1500");
        let details = status.get_error_details();
        let delay = details.retry_info().unwrap().retry_delay;
        assert_eq!(delay, Some(Duration::from_millis(1500)));
    }

    #[test]
    fn the_worst_error_fits_into_the_header_limit_of_clients() {
        // Three bytes of UTF-8, nine of percent encoding.
        let long = "語".repeat(10_000);
        let mut violations = Violations::default();
        for _ in 0..1000 {
            violations.push(long.clone(), long.clone());
        }
        let mut builder = StatusBuilder::new(Code::InvalidArgument, DOMAIN, "INVALID", &long)
            .violations(&violations)
            .resource("item", &long)
            .retry_after(Duration::from_secs(3600));
        for index in 0..100 {
            builder = builder.metadata(format!("{index}{long}"), &long);
        }
        let status = builder.build();
        let details = status.get_error_details();
        assert_eq!(
            details.bad_request().unwrap().field_violations.len(),
            MAX_VIOLATIONS
        );

        let response: http::Response<()> = status.into_http();
        // HTTP/2 counts 32 bytes for every header (RFC 9113 §6.5.2).
        let entry = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
            name.as_str().len() + value.len() + 32
        };
        let size: usize = response.headers().iter().map(entry).sum();
        assert!(size < 15 << 10, "{size}");
    }
}
