//! What StartRun, InvokeRun and StreamRun are asked for.

use std::{collections::HashMap, ops::RangeInclusive, time::Duration};

use service_runtime::{Violations, config::human};
use weft_proto::workflow::v1 as pb;
use weft_worker::{Json, json};

use super::{checkpoint_id, optional_payload, repeat, run_id, thread_id};
use crate::{
    domain::{Concurrency, Durability, RunId, ThreadId, Timestamp},
    engine::NewRunRequest,
    store::NewRun,
};

/// How long a request id is remembered.
const REQUEST_ID_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

/// Longest request id, in bytes.
const MAX_REQUEST_ID_BYTES: usize = 256;

/// Most labels of a run, and their longest key or value, in bytes.
const MAX_LABELS: usize = 64;

const MAX_LABEL_BYTES: usize = 256;

/// Seconds since the Unix epoch of the years 1 to 9999: what a timestamp can say.
const TIMESTAMP_SECONDS: RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;

/// A run to start.
pub(in crate::grpc) fn new_run(
    start: pb::StartRunRequest,
    default_timeout: Option<Duration>,
) -> Result<NewRunRequest, Violations> {
    let mut violations = Violations::default();
    request_id(&start.request_id, &mut violations);
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
    let durability = durability(start.durability, &mut violations);
    labels("labels", &start.labels, &mut violations);
    let (true, Some(thread_id)) = (violations.is_empty(), thread_id) else {
        return Err(violations);
    };
    let input = input.unwrap_or_else(json::null);
    let config = config.unwrap_or_else(empty_object);
    let now = Timestamp::now();
    let request = (!start.request_id.is_empty())
        .then(|| repeat::key(&start, &input, &config, now.after(REQUEST_ID_LIFETIME)));
    Ok(NewRunRequest {
        version: (!start.version.is_empty()).then_some(start.version),
        run: NewRun {
            id: RunId::new(),
            thread_id,
            entrypoint: start.entrypoint.as_str().into(),
            version: "".into(),
            input,
            config,
            labels: start.labels.into_iter().collect(),
            branch_from,
            concurrency,
            durability,
            timeout,
            start_after,
            request,
            claim: false,
            now,
        },
        entrypoint: start.entrypoint,
    })
}

/// What to stream.
pub(in crate::grpc) enum Target {
    /// A run to start.
    Start(Box<NewRunRequest>),
    /// A run to join.
    Join(RunId),
}

/// What a stream is of.
pub(in crate::grpc) fn target(
    target: Option<pb::stream_run_request::Target>,
    default_timeout: Option<Duration>,
) -> Result<Target, Violations> {
    use pb::stream_run_request::Target as Wire;
    match target {
        Some(Wire::RunId(id)) => run_id(&id).map(Target::Join),
        Some(Wire::Start(start)) => {
            let new = new_run(start, default_timeout).map_err(|wrong| wrong.prefixed("start"));
            new.map(|new| Target::Start(Box::new(new)))
        }
        None => {
            let what = "is required; set `start` to start a run, or `run_id` to join one";
            Err(Violations::of("target", what))
        }
    }
}

/// A run to start and wait for.
pub(in crate::grpc) fn nested_run(
    start: Option<pb::StartRunRequest>,
    default_timeout: Option<Duration>,
) -> Result<NewRunRequest, Violations> {
    let start = start.ok_or_else(|| Violations::of("start", "is required; say what to run"))?;
    new_run(start, default_timeout).map_err(|wrong| wrong.prefixed("start"))
}

fn request_id(id: &str, violations: &mut Violations) {
    if id.len() > MAX_REQUEST_ID_BYTES {
        let limit = format!("must be at most {MAX_REQUEST_ID_BYTES} bytes long");
        violations.push("request_id", limit);
    }
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

fn durability(number: i32, violations: &mut Violations) -> Durability {
    match pb::Durability::try_from(number) {
        Ok(pb::Durability::Unspecified | pb::Durability::Sync) => Durability::Sync,
        Ok(pb::Durability::Async) => Durability::Async,
        Ok(pb::Durability::Exit) => Durability::Exit,
        Err(_) => {
            violations.push("durability", format!("has the unknown value {number}"));
            Durability::Sync
        }
    }
}

fn duration(
    field: &str,
    duration: &prost_types::Duration,
    violations: &mut Violations,
) -> Option<Duration> {
    let is_valid = (0..1_000_000_000).contains(&duration.nanos);
    match Duration::try_from(*duration) {
        Ok(long) if is_valid && long > human::duration::LONGEST => {
            violations.push(field, "must be at most 100 years");
            None
        }
        Ok(positive) if is_valid && !positive.is_zero() => Some(positive),
        Ok(_) | Err(_) => {
            let what = match duration.seconds.signum() * i64::from(duration.nanos.signum()) {
                -1 => "has seconds and nanos with different signs; give both the same",
                _ => "must be longer than nothing; leave it out for the default",
            };
            violations.push(field, what);
            None
        }
    }
}

fn point_in_time(
    field: &str,
    time: &prost_types::Timestamp,
    violations: &mut Violations,
) -> Option<Timestamp> {
    let is_valid =
        TIMESTAMP_SECONDS.contains(&time.seconds) && (0..1_000_000_000).contains(&time.nanos);
    if !is_valid {
        violations.push(field, "is no valid timestamp, from the year 1 to 9999");
        return None;
    }
    let micros = time.seconds * 1_000_000 + i64::from(time.nanos / 1_000);
    Some(Timestamp::from_micros(micros))
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
