//! Gives every call its [`RequestContext`] and holds it to its deadline.

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, Request};
use tokio::time::{Instant, sleep_until, timeout_at};
use tonic::{Code, Status, body::Body};
use tracing::Span;
use uuid::Uuid;

use super::{
    Answer, Around, Inner,
    call::RequestId,
    tail::{End, tail},
};
use crate::{Deadline, Principal, RequestContext, StatusBuilder, methods::Kind, status::DOMAIN};

/// Bounds streams whose callers ask for ages: beyond it, timers and clocks are not made for it.
const AGES: Duration = Duration::from_secs(365 * 24 * 3600);

pub(crate) struct GiveContext {
    /// For callers that send no deadline.
    pub(crate) default_deadline: Duration,
    /// For callers that send a later one.
    pub(crate) max_deadline: Duration,
}

impl Around for GiveContext {
    fn answer(self: &Arc<Self>, mut request: Request<Body>, inner: &mut impl Inner) -> Answer {
        let Kind { streaming, .. } = Kind::of(&request);
        let now = Instant::now();
        let asked = grpc_timeout(request.headers());
        let granted = asked
            .unwrap_or(self.default_deadline)
            .min(self.max_deadline);
        let deadline = now + granted;

        let principal = Principal::default();
        Span::current().record("principal", &*principal.id);
        let request_id = request
            .extensions()
            .get()
            .map_or_else(Uuid::now_v7, |&RequestId(id)| id);
        let context = RequestContext {
            principal,
            deadline: Deadline::new(deadline),
            request_id,
        };
        request.extensions_mut().insert(context);

        let answer = inner.call(request);
        Box::pin(async move {
            let Ok(response) = timeout_at(deadline, answer).await else {
                return Ok(deadline_exceeded().into_http());
            };
            let Some(asked) = asked.filter(|_| streaming) else {
                return response;
            };
            let end: End = Box::pin(async move {
                sleep_until(now + asked.min(AGES)).await;
                deadline_exceeded()
            });
            response.map(|response| response.map(|body| tail(body, Some(end), ())))
        })
    }
}

fn deadline_exceeded() -> Status {
    let message = "the call was not answered before its deadline";
    StatusBuilder::new(Code::DeadlineExceeded, DOMAIN, "DEADLINE_EXCEEDED", message).build()
}

/// The `grpc-timeout` header: at most eight digits and a unit. A malformed one is no deadline.
fn grpc_timeout(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if !(1..=8).contains(&digits.len()) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let amount: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(amount * 3600)),
        "M" => Some(Duration::from_secs(amount * 60)),
        "S" => Some(Duration::from_secs(amount)),
        "m" => Some(Duration::from_millis(amount)),
        "u" => Some(Duration::from_micros(amount)),
        "n" => Some(Duration::from_nanos(amount)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_read_as_the_protocol_writes_them() {
        let read = |text: &str| {
            let value = http::HeaderValue::from_str(text).unwrap();
            grpc_timeout(&HeaderMap::from_iter([(
                http::HeaderName::from_static("grpc-timeout"),
                value,
            )]))
        };
        for (text, duration) in [
            ("1H", Duration::from_secs(3600)),
            ("2M", Duration::from_secs(120)),
            ("30S", Duration::from_secs(30)),
            ("250m", Duration::from_millis(250)),
            ("7u", Duration::from_micros(7)),
            ("0n", Duration::ZERO),
            ("99999999H", Duration::from_secs(99_999_999 * 3600)),
        ] {
            assert_eq!(read(text), Some(duration), "{text}");
        }
        for text in [
            "",
            "S",
            "10",
            "1.5S",
            "-1S",
            "+1S",
            "100000000S",
            "1s",
            "1 S",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
        assert_eq!(grpc_timeout(&HeaderMap::new()), None);
    }
}
