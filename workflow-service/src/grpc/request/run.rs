//! What calls about runs that were started are asked for.

use service_runtime::Violations;
use weft_proto::workflow::v1::{self as pb, run::State};
use weft_worker::CallId;

use super::{optional_payload, thread_id};
use crate::{
    domain::{RunState, StreamMode},
    store::{Answers, RunFilter},
};

/// Longest reason of a cancel, in bytes.
const MAX_REASON_BYTES: usize = 4096;

/// Answers to interrupts.
pub(in crate::grpc) fn answers(
    resume: Option<pb::resume_run_request::Resume>,
) -> Result<Answers, Violations> {
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
        _ => Err(violations),
    }
}

/// Why a run is to stop.
pub(in crate::grpc) fn cancel_reason(text: &str) -> Result<&str, Violations> {
    if text.len() > MAX_REASON_BYTES {
        let what = format!("must be at most {MAX_REASON_BYTES} bytes long");
        return Err(Violations::of("reason", what));
    }
    Ok(if text.is_empty() {
        "cancelled on request"
    } else {
        text
    })
}

/// The filter of a listing of runs.
pub(in crate::grpc) fn run_filter(request: &pb::ListRunsRequest) -> Result<RunFilter, Violations> {
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
    violations.into_result(filter)
}

/// The modes of a stream: UPDATES if none is named.
pub(in crate::grpc) fn stream_modes(numbers: &[i32]) -> Result<Vec<StreamMode>, Violations> {
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
    violations.into_result(modes)
}

/// The place a stream goes on from.
pub(in crate::grpc) fn after_sequence(number: i64) -> Result<i64, Violations> {
    if number < 0 {
        let what = "must not be negative; 0 gives all events that are kept";
        return Err(Violations::of("after_sequence", what));
    }
    Ok(number)
}
