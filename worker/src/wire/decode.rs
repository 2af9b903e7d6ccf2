//! From the wire. Whatever arrives, this says what is wrong with it.

use std::{sync::Arc, time::Duration};

use weft_proto::{
    common::v1::{Payload, payload::Form},
    workflow::v1 as pb,
};

use super::Malformed;
use crate::{
    Call, CallId, CallKind, FailedCall, Failure, Json, RetryPolicy, Usage, json, protocol::Outcome,
};

/// Longest id of a call, in bytes: dozens of calls inside of each other, or some with keys.
const MAX_ID_BYTES: usize = 4096;
/// Longest name of a task, in bytes.
const MAX_NAME_BYTES: usize = 256;
/// Most tokens of one kind that a call may report: those of a million calls can be added up.
pub const MAX_TOKENS: u64 = 1_000_000_000_000;
/// Bytes of a SHA-256.
const HASH_BYTES: usize = 32;

/// Reads JSON out of a payload; the error continues a sentence that begins with the field.
pub type ReadJson = fn(&Payload) -> Result<Json, String>;

/// Reads JSON that was sent as text, as the service sends all of it.
///
/// # Errors
/// If there is none, or it is no JSON.
pub fn text(payload: &Payload) -> Result<Json, String> {
    match &payload.form {
        Some(Form::JsonText(text)) => {
            json::from_text(text.as_str()).map_err(|error| format!("is no JSON: {error}"))
        }
        Some(Form::Json(_)) => Err("must be `json_text`".to_owned()),
        None => Err("must have a value".to_owned()),
    }
}

/// Reads a value that must be there.
///
/// # Errors
/// If it is not, or is no JSON.
pub fn payload(field: &str, payload: Option<&Payload>, read: ReadJson) -> Result<Json, Malformed> {
    let payload = payload.ok_or_else(|| Malformed::new(field, "is missing"))?;
    read(payload).map_err(|why| Malformed::new(field, why))
}

/// Reads a call.
///
/// # Errors
/// If it is missing or incomplete.
pub fn call(call: Option<pb::Call>) -> Result<Call, Malformed> {
    let call = call.ok_or_else(|| Malformed::new("call", "is missing"))?;
    let kind = match call.kind() {
        pb::call::Kind::Task => CallKind::Task,
        pb::call::Kind::Interrupt => CallKind::Interrupt,
        pb::call::Kind::Side => CallKind::Side,
        pb::call::Kind::Target => CallKind::Target,
        pb::call::Kind::Unspecified => {
            return Err(Malformed::new("call.kind", "must be one of the named ones"));
        }
    };
    if call.task.is_empty() || call.task.len() > MAX_NAME_BYTES {
        let what = format!("must have 1 to {MAX_NAME_BYTES} bytes");
        return Err(Malformed::new("call.task", what));
    }
    let input_hash = match call.input_hash.len() {
        0 => [0; HASH_BYTES],
        _ => call
            .input_hash
            .as_slice()
            .try_into()
            .map_err(|_| Malformed::new("call.input_hash", "must have 32 bytes, or none"))?,
    };
    Ok(Call {
        id: call_id("call.id", &call.id)?,
        kind,
        task: call.task.into(),
        input_hash,
    })
}

/// Reads the id of a call.
///
/// # Errors
/// If it is no path of numbers and keys.
pub fn call_id(field: &str, id: &str) -> Result<CallId, Malformed> {
    let is_element = |element: &str| match element.strip_prefix(':') {
        Some(key) => !key.is_empty(),
        None => element
            .parse::<u32>()
            .is_ok_and(|order| order.to_string() == element),
    };
    if id.len() <= MAX_ID_BYTES && id.split('/').all(is_element) {
        return Ok(CallId::from_recorded(id));
    }
    let shown: String = id.chars().take(100).collect();
    Err(Malformed::new(
        field,
        format_args!("must be numbers and keys joined by `/`, such as `2/0`, not `{shown}`"),
    ))
}

/// Reads what a call came to.
///
/// # Errors
/// If it is missing, or its value is no JSON.
pub fn outcome(outcome: Option<pb::Outcome>, read: ReadJson) -> Result<Outcome, Malformed> {
    match outcome.and_then(|outcome| outcome.result) {
        None => Err(Malformed::new("outcome", "is missing")),
        Some(pb::outcome::Result::Value(value)) => {
            payload("outcome.value", Some(&value), read).map(Ok)
        }
        Some(pb::outcome::Result::Failure(why)) => failure("outcome.failure", Some(why)).map(Err),
    }
}

/// Reads why something failed.
///
/// # Errors
/// If it is missing, has no reason, or a malformed call. What is too long of it is cut.
pub fn failure(field: &str, failure: Option<pb::Failure>) -> Result<Failure, Malformed> {
    let failure = failure.ok_or_else(|| Malformed::new(field, "is missing"))?;
    if failure.reason.is_empty() {
        let field = format!("{field}.reason");
        return Err(Malformed::new(&field, "is missing"));
    }
    let call = match failure.call_id.as_str() {
        "" => None,
        id => Some(Box::new(FailedCall {
            id: call_id(&format!("{field}.call_id"), id)?,
            task: failure.task.into(),
        })),
    };
    let told = Failure {
        reason: failure.reason,
        message: failure.message,
        retryable: failure.retryable,
        retry_after: optional_duration(&format!("{field}.retry_after"), failure.retry_after)?,
        call,
        metadata: failure.metadata.into_iter().collect(),
    };
    Ok(told.kept())
}

/// Reads what language models took; absent is nothing.
///
/// # Errors
/// If a number of it is negative, or larger than any call can take.
pub fn usage(usage: Option<pb::Usage>) -> Result<Usage, Malformed> {
    let usage = usage.unwrap_or_default();
    let tokens = |field: &str, count: i64| {
        let count = u64::try_from(count)
            .ok()
            .filter(|&count| count <= MAX_TOKENS);
        count.ok_or_else(|| {
            let what = format!("must be from 0 to {MAX_TOKENS}");
            Malformed::new(&format!("usage.{field}"), what)
        })
    };
    Ok(Usage {
        model_calls: u32::try_from(usage.model_calls)
            .map_err(|_| Malformed::new("usage.model_calls", "must not be negative"))?,
        input_tokens: tokens("input_tokens", usage.input_tokens)?,
        output_tokens: tokens("output_tokens", usage.output_tokens)?,
        cache_read_tokens: tokens("cache_read_tokens", usage.cache_read_tokens)?,
        cache_write_tokens: tokens("cache_write_tokens", usage.cache_write_tokens)?,
        reasoning_tokens: tokens("reasoning_tokens", usage.reasoning_tokens)?,
    })
}

/// Reads when something is tried again; absent is one attempt.
///
/// # Errors
/// If a number of it is negative, or no number.
pub fn retry_policy(policy: Option<pb::RetryPolicy>) -> Result<RetryPolicy, Malformed> {
    let Some(policy) = policy else {
        return Ok(RetryPolicy::NEVER);
    };
    if !policy.factor.is_finite() || policy.factor < 0.0 {
        return Err(Malformed::new("retry.factor", "must be a number from 0 on"));
    }
    let initial = optional_duration("retry.initial_delay", policy.initial_delay)?;
    let initial_delay = initial.unwrap_or_default();
    let max_delay = optional_duration("retry.max_delay", policy.max_delay)?;
    Ok(RetryPolicy {
        max_attempts: u32::try_from(policy.max_attempts)
            .map_err(|_| Malformed::new("retry.max_attempts", "must not be negative"))?
            .max(1),
        initial_delay,
        factor: if policy.factor == 0.0 {
            1.0
        } else {
            policy.factor
        },
        max_delay: max_delay.unwrap_or(initial_delay),
    })
}

/// Reads a duration that may be absent.
///
/// # Errors
/// If it is negative.
pub fn optional_duration(
    field: &str,
    duration: Option<prost_types::Duration>,
) -> Result<Option<Duration>, Malformed> {
    let read = |duration: prost_types::Duration| {
        Duration::try_from(duration).map_err(|_| Malformed::new(field, "must not be negative"))
    };
    duration.map(read).transpose()
}

/// Reads a number that counts from 1.
///
/// # Errors
/// If it does not.
pub fn ordinal(field: &str, number: i32) -> Result<u32, Malformed> {
    u32::try_from(number)
        .ok()
        .filter(|&number| number > 0)
        .ok_or_else(|| Malformed::new(field, "must be at least 1"))
}

/// Reads the name of a task; empty is none.
pub fn task(name: String) -> Option<Arc<str>> {
    (!name.is_empty()).then(|| name.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{call::hash_input, wire::encode};

    fn sample() -> Call {
        Call {
            id: CallId::new(Some(&CallId::new(None, 2)), 0),
            kind: CallKind::Task,
            task: "charge".into(),
            input_hash: hash_input(&json::null()),
        }
    }

    #[test]
    fn what_is_encoded_is_decoded_as_it_was() {
        assert_eq!(call(Some(encode::call(&sample()))).unwrap(), sample());
        let why = Failure::transient("AWAY", "it is away")
            .retry_after(Some(Duration::from_millis(1500)))
            .of_call(&sample().id, &sample().task)
            .with("host", "h");
        let decoded = outcome(Some(encode::outcome(&Err(why.clone()))), text).unwrap();
        assert_eq!(decoded.unwrap_err(), why);
        let exact = json::from_text("[1.0, 123456789012345678901234567890]").unwrap();
        let decoded = outcome(Some(encode::outcome(&Ok(Arc::clone(&exact)))), text).unwrap();
        assert_eq!(decoded.unwrap().get(), exact.get());
        let policy = RetryPolicy::exponential(3, Duration::from_millis(5), Duration::from_secs(1));
        assert_eq!(retry_policy(encode::retry_policy(&policy)), Ok(policy));
        assert_eq!(
            retry_policy(encode::retry_policy(&RetryPolicy::NEVER)),
            Ok(RetryPolicy::NEVER)
        );
    }

    #[test]
    fn ids_are_paths_of_numbers_and_keys() {
        for good in ["0", "12", "2/0", ":a", "3/:b c/1"] {
            assert_eq!(call_id("id", good).unwrap().as_str(), good);
        }
        for bad in [
            "",
            "/",
            "1/",
            "a",
            "-1",
            "01",
            "+1",
            ":",
            "1//2",
            "4294967296",
        ] {
            assert!(call_id("id", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        let broken = |change: fn(&mut pb::Call)| {
            let mut wire = encode::call(&sample());
            change(&mut wire);
            call(Some(wire)).unwrap_err().0
        };
        assert!(broken(|call| call.kind = 0).contains("`call.kind`"));
        assert!(broken(|call| call.kind = 77).contains("`call.kind`"));
        assert!(broken(|call| call.task.clear()).contains("`call.task`"));
        assert!(broken(|call| call.input_hash.truncate(5)).contains("`call.input_hash`"));
        assert!(call(None).unwrap_err().0.contains("`call`"));
        let garbage = pb::Outcome {
            result: Some(pb::outcome::Result::Value(Payload {
                form: Some(Form::JsonText("{\"a\":".to_owned())),
            })),
        };
        let error = outcome(Some(garbage), text).unwrap_err();
        assert!(error.0.starts_with("`outcome.value` is no JSON"), "{error}");
        let endless = pb::RetryPolicy {
            max_attempts: 2,
            factor: f64::NAN,
            ..pb::RetryPolicy::default()
        };
        assert!(retry_policy(Some(endless)).is_err());
    }
}
