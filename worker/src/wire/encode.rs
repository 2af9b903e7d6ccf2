//! To the wire.

use std::time::Duration;

use serde_json::value::RawValue;
use weft_proto::{
    common::v1::{Payload, payload::Form},
    workflow::v1 as pb,
};

use crate::{Call, CallKind, Failure, RetryPolicy, Usage, protocol::Outcome};

/// A JSON value, as text.
pub fn payload(json: &RawValue) -> Payload {
    Payload {
        form: Some(Form::JsonText(json.get().to_owned())),
    }
}

/// A piece of a call of a tool, which has this text of its arguments.
pub fn tool_call_piece(index: u32, id: &str, name: &str, arguments: String) -> pb::ToolCallPiece {
    pb::ToolCallPiece {
        index: i32::try_from(index).unwrap_or(i32::MAX),
        id: id.to_owned(),
        name: name.to_owned(),
        arguments,
    }
}

/// A call.
pub fn call(call: &Call) -> pb::Call {
    pb::Call {
        id: call.id.to_string(),
        kind: kind(call.kind).into(),
        task: call.task.to_string(),
        input_hash: call.input_hash.to_vec(),
    }
}

fn kind(kind: CallKind) -> pb::call::Kind {
    match kind {
        CallKind::Task => pb::call::Kind::Task,
        CallKind::Interrupt => pb::call::Kind::Interrupt,
        CallKind::Side => pb::call::Kind::Side,
        CallKind::Target => pb::call::Kind::Target,
    }
}

/// What a call came to.
pub fn outcome(outcome: &Outcome) -> pb::Outcome {
    let result = match outcome {
        Ok(value) => pb::outcome::Result::Value(payload(value)),
        Err(why) => pb::outcome::Result::Failure(failure(why)),
    };
    pb::Outcome {
        result: Some(result),
    }
}

/// Why something failed.
pub fn failure(failure: &Failure) -> pb::Failure {
    let call = failure.call.as_deref();
    pb::Failure {
        reason: failure.reason.clone(),
        message: failure.message.clone(),
        retryable: failure.retryable,
        retry_after: failure.retry_after.map(duration),
        call_id: call.map(|call| call.id.to_string()).unwrap_or_default(),
        task: call.map(|call| call.task.to_string()).unwrap_or_default(),
        metadata: failure.metadata.clone().into_iter().collect(),
    }
}

/// When something is tried again; absent for one attempt.
pub fn retry_policy(policy: &RetryPolicy) -> Option<pb::RetryPolicy> {
    (policy.max_attempts > 1).then(|| pb::RetryPolicy {
        max_attempts: i32::try_from(policy.max_attempts).unwrap_or(i32::MAX),
        initial_delay: Some(duration(policy.initial_delay)),
        factor: policy.factor,
        max_delay: Some(duration(policy.max_delay)),
    })
}

/// What language models took; absent for nothing.
pub fn usage(usage: &Usage) -> Option<pb::Usage> {
    let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    (!usage.is_zero()).then(|| pb::Usage {
        model_calls: i32::try_from(usage.model_calls).unwrap_or(i32::MAX),
        input_tokens: count(usage.input_tokens),
        output_tokens: count(usage.output_tokens),
        cache_read_tokens: count(usage.cache_read_tokens),
        cache_write_tokens: count(usage.cache_write_tokens),
        reasoning_tokens: count(usage.reasoning_tokens),
    })
}

/// A duration; one beyond what the wire holds, hundreds of billions of years, is that.
pub fn duration(duration: Duration) -> prost_types::Duration {
    duration.try_into().unwrap_or(prost_types::Duration {
        seconds: i64::MAX,
        nanos: 0,
    })
}
