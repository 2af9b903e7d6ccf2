//! Requests to domain types. Everything that is wrong with a request is gathered first.

use std::{collections::HashMap, time::Duration};

use prost::Message as _;
use service_runtime::{PayloadLimits, Violations, payload};
use sha2::{Digest as _, Sha256};
use tonic::Status;
use weft_proto::{
    common::v1::{Payload, PayloadForm},
    workflow::v1::{self as pb, run::State},
};
use weft_worker::{CallId, Json, json};

use super::status;
use crate::{
    domain::{
        CheckpointId, Concurrency, RunId, RunState, StreamMode, ThreadId, ThreadState, Timestamp,
        checkpoint::CheckpointValues,
    },
    engine::NewRunRequest,
    store::{Answers, NewRun, RequestKey, RunFilter},
};

/// Largest input or config, in bytes of JSON, and how deep it may nest: serde's own limit.
const LIMITS: PayloadLimits = PayloadLimits {
    max_bytes: 8 * 1024 * 1024,
    max_depth: 127,
};
/// How long a request id is remembered.
const REQUEST_ID_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);
/// Longest request id, in bytes.
const MAX_REQUEST_ID_BYTES: usize = 256;
/// Longest reason of a cancel, in bytes.
const MAX_REASON_BYTES: usize = 4096;
/// Most labels of a run, and their longest key or value, in bytes.
const MAX_LABELS: usize = 64;
const MAX_LABEL_BYTES: usize = 256;

/// A run to start.
pub(super) fn new_run(
    start: Option<pb::StartRunRequest>,
    default_timeout: Option<Duration>,
) -> Result<NewRunRequest, Status> {
    let mut violations = Violations::default();
    let Some(start) = start else {
        violations.push("start", "is required; say what to run");
        return Err(status::invalid(&violations));
    };
    let request = request_key(&start, &mut violations);
    if start.entrypoint.is_empty() {
        violations.push(
            "entrypoint",
            "is required; ListEntrypoints names those that can be run",
        );
    }
    let input = optional_payload("input", start.input.as_ref(), &mut violations);
    let config = optional_payload("config", start.config.as_ref(), &mut violations);
    let config = match config {
        Some(config) if !config.get().starts_with('{') => {
            violations.push("config", "must be a JSON object");
            None
        }
        config => config,
    };
    let thread_id = match start.thread_id.as_str() {
        "" => Some(ThreadId::generate()),
        id => thread_id("thread_id", id, &mut violations),
    };
    let branch_from = match start.checkpoint_id.as_str() {
        "" => None,
        id => checkpoint_id(id, &mut violations),
    };
    if branch_from.is_some() && start.thread_id.is_empty() {
        violations.push(
            "thread_id",
            "is required with `checkpoint_id`; name its thread",
        );
    }
    let concurrency = concurrency(start.concurrency, &mut violations);
    let timeout = match &start.timeout {
        Some(timeout) => duration("timeout", timeout, &mut violations),
        None => default_timeout,
    };
    let start_after = start
        .start_after
        .as_ref()
        .and_then(|time| point_in_time("start_after", time, &mut violations));
    if pb::Durability::try_from(start.durability).is_err() {
        violations.push(
            "durability",
            format!("has the unknown value {}", start.durability),
        );
    }
    labels("labels", &start.labels, &mut violations);
    let (true, Some(thread_id)) = (violations.is_empty(), thread_id) else {
        return Err(status::invalid(&violations));
    };
    Ok(NewRunRequest {
        version: (!start.version.is_empty()).then_some(start.version),
        run: NewRun {
            id: RunId::new(),
            thread_id,
            entrypoint: start.entrypoint.as_str().into(),
            version: "".into(),
            input: input.unwrap_or_else(json::null),
            config: config.unwrap_or_else(empty_object),
            labels: start.labels.into_iter().collect(),
            branch_from,
            concurrency,
            timeout,
            start_after,
            request,
            claim: false,
            now: Timestamp::now(),
        },
        entrypoint: start.entrypoint,
    })
}

/// A stream of nothing.
pub(super) fn missing_target() -> Status {
    let what = "is required; set `start` to start a run, or `run_id` to join one";
    status::invalid(&Violations::of("target", what))
}

fn request_key(start: &pb::StartRunRequest, violations: &mut Violations) -> Option<RequestKey> {
    if start.request_id.is_empty() {
        return None;
    }
    if start.request_id.len() > MAX_REQUEST_ID_BYTES {
        let limit = format!("must be at most {MAX_REQUEST_ID_BYTES} bytes long");
        violations.push("request_id", limit);
        return None;
    }
    // Maps have no order on the wire: the labels are hashed apart, sorted.
    let mut labels: Vec<_> = start.labels.iter().collect();
    labels.sort();
    let unlabelled = pb::StartRunRequest {
        labels: HashMap::new(),
        ..start.clone()
    };
    let hash = Sha256::new()
        .chain_update(unlabelled.encode_to_vec())
        .chain_update(format!("{labels:?}"))
        .finalize();
    Some(RequestKey {
        id: start.request_id.clone(),
        hash: hash.into(),
        expire_time: Timestamp::now().after(REQUEST_ID_LIFETIME),
    })
}

fn concurrency(number: i32, violations: &mut Violations) -> Concurrency {
    match pb::Concurrency::try_from(number) {
        Ok(pb::Concurrency::Unspecified | pb::Concurrency::Enqueue) => Concurrency::Enqueue,
        Ok(pb::Concurrency::Reject) => Concurrency::Reject,
        Ok(pb::Concurrency::Interrupt) => Concurrency::Interrupt,
        Ok(pb::Concurrency::Rollback) => Concurrency::Rollback,
        Err(_) => {
            violations.push("concurrency", format!("has the unknown value {number}"));
            Concurrency::Enqueue
        }
    }
}

fn duration(
    field: &str,
    duration: &prost_types::Duration,
    violations: &mut Violations,
) -> Option<Duration> {
    match Duration::try_from(*duration) {
        Ok(positive) if !positive.is_zero() => Some(positive),
        Ok(_) | Err(_) => {
            violations.push(
                field,
                "must be longer than nothing; leave it out for the default",
            );
            None
        }
    }
}

fn point_in_time(
    field: &str,
    time: &prost_types::Timestamp,
    violations: &mut Violations,
) -> Option<Timestamp> {
    let micros = time
        .seconds
        .checked_mul(1_000_000)
        .and_then(|micros| micros.checked_add(i64::from(time.nanos / 1_000)));
    if micros.is_none() || !(0..1_000_000_000).contains(&time.nanos) {
        violations.push(field, "is no valid timestamp");
        return None;
    }
    micros.map(Timestamp::from_micros)
}

/// Answers to interrupts.
pub(super) fn answers(resume: Option<pb::resume_run_request::Resume>) -> Result<Answers, Status> {
    use pb::resume_run_request::Resume;
    let mut violations = Violations::default();
    let answers = match resume {
        None => {
            violations.push(
                "resume",
                "is required; set `answer`, or `answers` by interrupt id",
            );
            None
        }
        Some(Resume::Answer(answer)) => {
            optional_payload("answer", Some(&answer), &mut violations).map(Answers::Only)
        }
        Some(Resume::Answers(answers)) => {
            if answers.by_interrupt_id.is_empty() {
                violations.push("answers", "must have at least one answer");
            }
            let answers = answers
                .by_interrupt_id
                .into_iter()
                .filter_map(|(id, answer)| {
                    let field = format!("answers.by_interrupt_id[{id}]");
                    let answer = optional_payload(&field, Some(&answer), &mut violations)?;
                    Some((CallId::from_recorded(&id), answer))
                });
            Some(Answers::ById(answers.collect()))
        }
    };
    match (violations.is_empty(), answers) {
        (true, Some(answers)) => Ok(answers),
        _ => Err(status::invalid(&violations)),
    }
}

/// Values of a checkpoint that is written by hand.
pub(super) fn checkpoint_values(
    request: &pb::UpdateThreadRequest,
) -> Result<CheckpointValues, Status> {
    let mut violations = Violations::default();
    if request.value.is_none() {
        violations.push("value", "is required; `null` is a value");
    }
    let value = optional_payload("value", request.value.as_ref(), &mut violations);
    let saved = optional_payload("saved", request.saved.as_ref(), &mut violations);
    match (violations.is_empty(), value) {
        (true, Some(value)) => Ok(CheckpointValues {
            saved: saved.unwrap_or(value.clone()),
            value,
        }),
        _ => Err(status::invalid(&violations)),
    }
}

/// The id of a copy, or a generated one.
pub(super) fn new_thread_id(text: &str) -> Result<ThreadId, Status> {
    if text.is_empty() {
        return Ok(ThreadId::generate());
    }
    let mut violations = Violations::default();
    let id = thread_id("new_thread_id", text, &mut violations);
    id.ok_or_else(|| status::invalid(&violations))
}

/// How many checkpoints to keep.
pub(super) fn keep_checkpoints(number: i32) -> Result<u32, Status> {
    match u32::try_from(number) {
        Ok(keep) if keep > 0 => Ok(keep),
        Ok(_) | Err(_) => {
            let what = "must be at least 1; DeleteThread removes a whole thread";
            Err(status::invalid(&Violations::of("keep_checkpoints", what)))
        }
    }
}

/// States of threads to list.
pub(super) fn thread_states(numbers: &[i32]) -> Result<Vec<ThreadState>, Status> {
    let mut violations = Violations::default();
    let mut states = Vec::with_capacity(numbers.len());
    for (index, number) in numbers.iter().enumerate() {
        match ThreadState::from_number(*number) {
            Some(state) => states.push(state),
            None => violations.push(format!("states[{index}]"), format!("{number} is no state")),
        }
    }
    violations
        .into_result(states)
        .map_err(|violations| status::invalid(&violations))
}

/// A run's id.
pub(super) fn run_id(text: &str) -> Result<RunId, Status> {
    text.parse().map_err(|_| {
        let what = match text {
            "" => "is required".to_owned(),
            text => format!("must be a UUID, not `{text}`"),
        };
        status::invalid(&Violations::of("run_id", what))
    })
}

/// Why a run is to stop.
pub(super) fn cancel_reason(text: &str) -> Result<&str, Status> {
    if text.len() > MAX_REASON_BYTES {
        let what = format!("must be at most {MAX_REASON_BYTES} bytes long");
        return Err(status::invalid(&Violations::of("reason", what)));
    }
    Ok(if text.is_empty() {
        "cancelled on request"
    } else {
        text
    })
}

/// A thread's id that is required.
pub(super) fn required_thread_id(text: &str) -> Result<ThreadId, Status> {
    let mut violations = Violations::default();
    thread_id("thread_id", text, &mut violations).ok_or_else(|| status::invalid(&violations))
}

/// A checkpoint's id, if one is given.
pub(super) fn optional_checkpoint_id(text: &str) -> Result<Option<CheckpointId>, Status> {
    if text.is_empty() {
        return Ok(None);
    }
    let mut violations = Violations::default();
    let id = checkpoint_id(text, &mut violations);
    violations
        .into_result(id)
        .map_err(|violations| status::invalid(&violations))
}

/// The filter of a listing of runs.
pub(super) fn run_filter(request: &pb::ListRunsRequest) -> Result<RunFilter, Status> {
    let mut violations = Violations::default();
    let thread = match request.thread_id.as_str() {
        "" => None,
        id => thread_id("thread_id", id, &mut violations),
    };
    let mut states = Vec::with_capacity(request.states.len());
    for (index, number) in request.states.iter().enumerate() {
        match State::try_from(*number)
            .ok()
            .and_then(|state| RunState::from_number(state.into()))
        {
            Some(state) => states.push(state),
            None => violations.push(format!("states[{index}]"), format!("{number} is no state")),
        }
    }
    let filter = RunFilter {
        thread_id: thread,
        entrypoint: (!request.entrypoint.is_empty()).then(|| request.entrypoint.clone()),
        states,
        labels: request.labels.clone().into_iter().collect(),
    };
    violations
        .into_result(filter)
        .map_err(|violations| status::invalid(&violations))
}

/// The size of a page: `default` if none is asked for, `max` at most.
pub(super) fn page_size(asked: i32, default: u32, max: u32) -> Result<u32, Status> {
    match u32::try_from(asked) {
        Ok(0) => Ok(default),
        Ok(size) => Ok(size.min(max)),
        Err(_) => Err(status::invalid(&Violations::of(
            "page_size",
            format!("must not be negative; use 0 for {default}, at most {max}"),
        ))),
    }
}

/// The form payloads are wanted in.
pub(super) fn payload_form(number: i32) -> Result<PayloadForm, Status> {
    PayloadForm::try_from(number).map_err(|_| {
        let what = format!("has the unknown value {number}");
        status::invalid(&Violations::of("payload_form", what))
    })
}

/// The modes of a stream: UPDATES if none is named.
pub(super) fn stream_modes(numbers: &[i32]) -> Result<Vec<StreamMode>, Status> {
    use pb::StreamMode as Wire;
    if numbers.is_empty() {
        return Ok(vec![StreamMode::Updates]);
    }
    let mut violations = Violations::default();
    let mut modes = Vec::with_capacity(numbers.len());
    for (index, number) in numbers.iter().enumerate() {
        match Wire::try_from(*number) {
            Ok(Wire::Unspecified | Wire::Updates) => modes.push(StreamMode::Updates),
            Ok(Wire::Values) => modes.push(StreamMode::Values),
            Ok(Wire::Messages) => modes.push(StreamMode::Messages),
            Ok(Wire::Tasks) => modes.push(StreamMode::Tasks),
            Ok(Wire::Checkpoints) => modes.push(StreamMode::Checkpoints),
            Ok(Wire::States) => modes.push(StreamMode::States),
            Ok(Wire::Custom) => modes.push(StreamMode::Custom),
            Err(_) => {
                violations.push(
                    format!("modes[{index}]"),
                    format!("{number} is no stream mode"),
                );
            }
        }
    }
    violations
        .into_result(modes)
        .map_err(|violations| status::invalid(&violations))
}

/// The place a stream goes on from.
pub(super) fn after_sequence(number: i64) -> Result<i64, Status> {
    if number < 0 {
        let what = "must not be negative; 0 gives all events that are kept";
        return Err(status::invalid(&Violations::of("after_sequence", what)));
    }
    Ok(number)
}

fn optional_payload(
    field: &str,
    payload: Option<&Payload>,
    violations: &mut Violations,
) -> Option<Json> {
    match payload::decode(payload?, &LIMITS) {
        Ok(json) => Some(json.into()),
        Err(error) => {
            violations.push(field, error.to_string());
            None
        }
    }
}

fn thread_id(field: &str, text: &str, violations: &mut Violations) -> Option<ThreadId> {
    ThreadId::parse(text)
        .map_err(|what| violations.push(field, what))
        .ok()
}

fn checkpoint_id(text: &str, violations: &mut Violations) -> Option<CheckpointId> {
    let what = || format!("must be a UUID, not `{text}`");
    text.parse()
        .map_err(|_| violations.push("checkpoint_id", what()))
        .ok()
}

fn labels(field: &str, labels: &HashMap<String, String>, violations: &mut Violations) {
    if labels.len() > MAX_LABELS {
        violations.push(field, format!("must be at most {MAX_LABELS}"));
    }
    for (key, value) in labels {
        if key.is_empty() || key.len() > MAX_LABEL_BYTES || value.len() > MAX_LABEL_BYTES {
            let limit =
                format!("keys must have 1 to {MAX_LABEL_BYTES} bytes, values at most as many");
            violations.push(field, limit);
            return;
        }
    }
}

fn empty_object() -> Json {
    json::from_text("{}").unwrap_or_else(|_| json::null())
}
