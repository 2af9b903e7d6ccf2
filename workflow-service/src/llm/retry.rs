//! One policy of when to try again, for all providers: what their answers say about it, and how
//! often a task asks.

use std::time::{Duration, SystemTime};

use reqwest::{StatusCode, header::HeaderMap};
use serde_json::Value;
use weft_worker::RetryPolicy;

use super::error::Fault;

/// How often a task asks a model: six times within about a minute, as during a short outage. The
/// engine applies it, so that every try is an event of the run, and takes back what was streamed.
pub const ATTEMPTS: RetryPolicy =
    RetryPolicy::exponential(6, Duration::from_millis(500), Duration::from_secs(30));

/// Codes of errors that only money or a person can mend, whatever their status.
const SPEND_LIMITS: [&str; 9] = [
    "insufficient_quota",
    "billing_error",
    "billing_hard_limit_reached",
    "credit_balance_exhausted",
    "enforced_spend_limit_reached",
    "organization_spend_limit_exceeded",
    "organization_usage_limit_exceeded",
    "project_spend_limit_exceeded",
    "insufficient_credits",
];

/// What is wrong, as the body of an error says it, in any of the providers' forms.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ErrorBody {
    /// A sentence.
    pub message: String,
    /// All that could be a code.
    pub codes: Vec<String>,
}

impl ErrorBody {
    /// Reads a body: `{"error":{"message","type","code","details":{"error_code"}}}` and the like,
    /// or any text.
    pub fn read(body: &[u8]) -> Self {
        match serde_json::from_slice(body) {
            Ok(value) => Self::of(&value),
            Err(_) => Self {
                message: String::from_utf8_lossy(body).into_owned(),
                codes: Vec::new(),
            },
        }
    }

    /// Reads a value.
    pub fn of(value: &Value) -> Self {
        let error = value.get("error").unwrap_or(value);
        let text = |value: Option<&Value>| match value {
            Some(Value::String(text)) => Some(text.clone()),
            Some(Value::Number(number)) => Some(number.to_string()),
            _ => None,
        };
        let codes = [
            error.get("code"),
            error.get("type"),
            error.get("status"),
            error.pointer("/details/error_code"),
        ];
        let message = text(error.get("message"))
            .or_else(|| text(value.get("message")))
            .or_else(|| text(Some(error)))
            .unwrap_or_else(|| error.to_string());
        Self {
            message,
            codes: codes.into_iter().filter_map(text).collect(),
        }
    }

    fn is_spend_limit(&self) -> bool {
        self.codes
            .iter()
            .any(|code| SPEND_LIMITS.contains(&code.as_str()))
    }

    fn has_code(&self, parts: &[&str]) -> bool {
        self.codes
            .iter()
            .any(|code| parts.iter().any(|part| code.contains(part)))
    }
}

/// What an answer with this status is.
pub fn fault_of(
    status: StatusCode,
    headers: &HeaderMap,
    body: &ErrorBody,
    key_hint: &str,
) -> Fault {
    let message = body.message.clone();
    if body.is_spend_limit() || status == StatusCode::PAYMENT_REQUIRED {
        return Fault::SpendLimit(message);
    }
    let code = status.as_u16();
    let trouble = Fault::Trouble {
        status: code,
        message: message.clone(),
    };
    let refused = Fault::Refused {
        status: code,
        message: message.clone(),
    };
    // The provider knows best, if it says.
    match text(headers, "x-should-retry") {
        Some("true") => return trouble,
        Some("false") => return refused,
        _ => {}
    }
    match status {
        StatusCode::TOO_MANY_REQUESTS => Fault::RateLimited(message),
        StatusCode::UNAUTHORIZED => Fault::Unauthenticated {
            hint: key_hint.to_owned(),
        },
        StatusCode::FORBIDDEN => Fault::Forbidden {
            message,
            hint: key_hint.to_owned(),
        },
        StatusCode::NOT_FOUND => Fault::NotFound(message),
        StatusCode::REQUEST_TIMEOUT
        | StatusCode::CONFLICT
        | StatusCode::TOO_EARLY
        | StatusCode::LOCKED => trouble,
        status if status.is_server_error() => trouble,
        _ => refused,
    }
}

/// What an error in the middle of a stream is: its status was a success, so that only its codes
/// tell.
pub fn fault_in_stream(error: &Value) -> Fault {
    let body = ErrorBody::of(error);
    if body.is_spend_limit() {
        return Fault::SpendLimit(body.message);
    }
    if body.has_code(&["rate_limit", "slow_down", "429"]) {
        return Fault::RateLimited(body.message);
    }
    let final_codes = [
        "invalid_request",
        "invalid_prompt",
        "authentication",
        "permission",
        "not_found",
        "content_policy",
        "image_",
    ];
    match body.has_code(&final_codes) {
        true => Fault::Refused {
            status: 200,
            message: body.message,
        },
        false => Fault::Trouble {
            status: 200,
            message: body.message,
        },
    }
}

/// When a provider wants to be asked again: `retry-after-ms`, or `retry-after` in seconds or as a
/// date.
pub fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let number = |name, unit: f64| {
        let number: f64 = text(headers, name)?.parse().ok()?;
        Duration::try_from_secs_f64(number * unit).ok()
    };
    let date = || {
        let due = httpdate::parse_http_date(text(headers, "retry-after")?).ok()?;
        // Relative to the provider's clock, if it tells it.
        let sent = text(headers, "date").and_then(|date| httpdate::parse_http_date(date).ok());
        Some(due.duration_since(sent.unwrap_or(now)).unwrap_or_default())
    };
    number("retry-after-ms", 0.001)
        .or_else(|| number("retry-after", 1.0))
        .or_else(date)
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use reqwest::header::{HeaderName, HeaderValue};
    use serde_json::json;

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                )
            })
            .collect()
    }

    fn fault(status: u16, body: &Value) -> Fault {
        let status = StatusCode::from_u16(status).unwrap();
        fault_of(status, &HeaderMap::new(), &ErrorBody::of(body), "hint")
    }

    #[test]
    fn all_forms_of_retry_after_are_read() {
        let now = UNIX_EPOCH + Duration::from_secs(784_111_770);
        let read = |pairs: &[(&'static str, &'static str)]| retry_after(&headers(pairs), now);
        let (date, name) = ("Sun, 06 Nov 1994 08:49:37 GMT", "retry-after");
        assert_eq!(
            read(&[("retry-after-ms", "1500")]),
            Some(Duration::from_millis(1500))
        );
        assert_eq!(read(&[(name, "7")]), Some(Duration::from_secs(7)));
        assert_eq!(read(&[(name, "0.25")]), Some(Duration::from_millis(250)));
        assert_eq!(
            read(&[(name, "9"), ("retry-after-ms", "100")]),
            Some(Duration::from_millis(100))
        );
        assert_eq!(read(&[(name, date)]), Some(Duration::from_secs(7)));
        assert_eq!(
            read(&[(name, date), ("date", "Sun, 06 Nov 1994 08:49:07 GMT")]),
            Some(Duration::from_secs(30)),
            "by the clock of the provider"
        );
        assert_eq!(
            read(&[(name, date), ("date", "Sun, 06 Nov 1994 08:59:07 GMT")]),
            Some(Duration::ZERO)
        );
        for nonsense in ["-1", "soon", "NaN", "1e300"] {
            assert_eq!(read(&[(name, nonsense)]), None, "{nonsense}");
        }
        assert_eq!(read(&[]), None);
    }

    #[test]
    fn what_passes_is_told_by_status_header_and_code() {
        let plain = json!({"error": {"message": "m", "type": "t"}});
        for (status, passes) in [
            (400, false),
            (401, false),
            (402, false),
            (403, false),
            (404, false),
            (408, true),
            (409, true),
            (413, false),
            (422, false),
            (429, true),
            (500, true),
            (503, true),
            (504, true),
            (529, true),
        ] {
            assert_eq!(fault(status, &plain).passes(), passes, "{status}");
        }
        let body = ErrorBody::of(&plain);
        let said = |status, says| {
            let status = StatusCode::from_u16(status).unwrap();
            fault_of(status, &headers(&[("x-should-retry", says)]), &body, "").passes()
        };
        assert!(said(400, "true") && !said(500, "false"));
    }

    #[test]
    fn a_spend_limit_is_known_in_all_its_forms() {
        for error in [
            json!({"error": {"message": "m", "type": "insufficient_quota", "code": "insufficient_quota"}}),
            json!({"error": {"message": "m", "code": "project_spend_limit_exceeded"}}),
            json!({"type": "error", "error": {"type": "rate_limit_error", "message": "m",
                "details": {"error_code": "enforced_spend_limit_reached"}}}),
            json!({"type": "error", "error": {"type": "billing_error", "message": "m"}}),
        ] {
            assert_eq!(fault(429, &error), Fault::SpendLimit("m".into()), "{error}");
            assert_eq!(
                fault_in_stream(&error),
                Fault::SpendLimit("m".into()),
                "{error}"
            );
        }
        assert_eq!(
            fault(402, &json!({"message": "m"})),
            Fault::SpendLimit("m".into())
        );
        let limited = json!({"error": {"message": "m", "code": "rate_limit_exceeded"}});
        assert_eq!(fault(429, &limited), Fault::RateLimited("m".into()));
    }

    #[test]
    fn an_error_of_any_form_becomes_a_sentence() {
        assert_eq!(
            ErrorBody::read(b"<html>no</html>").message,
            "<html>no</html>"
        );
        assert_eq!(
            ErrorBody::of(&json!({"error": "no such model"})).message,
            "no such model"
        );
        assert_eq!(
            ErrorBody::of(&json!({"detail": 1})).message,
            r#"{"detail":1}"#
        );
    }

    #[test]
    fn an_error_within_a_stream_passes_unless_its_code_says_no() {
        let of = |code: &str| fault_in_stream(&json!({"error": {"type": code, "message": "m"}}));
        assert!(of("overloaded_error").passes());
        assert!(of("api_error").passes());
        assert!(matches!(of("rate_limit_error"), Fault::RateLimited(_)));
        assert!(!of("invalid_request_error").passes());
    }
}
