//! What a worker said, in words for whoever writes one.

use weft_proto::{
    common::v1::{Payload, payload::Form},
    workflow::v1::{
        Call, Failure, Outcome, Question, RetryPolicy, connect_request::Message as Heard,
        finish::End, outcome,
    },
};

/// How much of a value is shown, in characters.
const SHOWN: usize = 200;

pub(crate) fn message(said: Option<&Heard>) -> String {
    let Some(said) = said else {
        return "a message that says nothing".to_owned();
    };
    match said {
        Heard::Hello(_) => "Hello".to_owned(),
        Heard::Heartbeat(beat) => format!("a Heartbeat of the executions {:?}", beat.execution_ids),
        Heard::Capacity(said) => format!(
            "a Capacity with max_runs {} and max_tasks {}",
            said.max_runs, said.max_tasks
        ),
        Heard::Record(said) => format!(
            "a Record of {}: {}",
            call(said.call.as_ref()),
            outcome_of(said.outcome.as_ref())
        ),
        Heard::Lookup(said) => format!("a Lookup of {}", call(said.call.as_ref())),
        Heard::Delegate(said) => format!("a Delegate of {}", call(said.call.as_ref())),
        Heard::Emit(said) => format!("an Emit of the call `{}`", said.call_id),
        Heard::Suspend(said) => format!("a Suspend with {}", questions(&said.questions)),
        Heard::Finish(said) => format!("a Finish: {}", end(said.end.as_ref())),
        Heard::Done(said) => format!("a Done: {}", outcome_of(said.outcome.as_ref())),
    }
}

pub(crate) fn questions(asked: &[Question]) -> String {
    let each: Vec<_> = asked
        .iter()
        .map(|question| {
            format!(
                "{} asks {}",
                call(question.call.as_ref()),
                value(question.value.as_ref())
            )
        })
        .collect();
    match each.is_empty() {
        true => "no question".to_owned(),
        false => each.join(", "),
    }
}

pub(crate) fn call(said: Option<&Call>) -> String {
    said.map_or("no call".to_owned(), |call| {
        let kind = call.kind().as_str_name();
        format!("the call `{}` of `{}` ({kind})", call.id, call.task)
    })
}

pub(crate) fn end(said: Option<&End>) -> String {
    match said {
        None => "no end".to_owned(),
        Some(End::Returned(said)) => format!("it returned {}", value(said.value.as_ref())),
        Some(End::Failed(said)) => match &said.failure {
            Some(why) => format!("it failed, {}", failure(why)),
            None => "it failed, without a failure".to_owned(),
        },
        Some(End::Mismatch(why)) => format!("a mismatch, {}", failure(why)),
    }
}

pub(crate) fn outcome_of(said: Option<&Outcome>) -> String {
    match said.and_then(|outcome| outcome.result.as_ref()) {
        None => "no outcome".to_owned(),
        Some(outcome::Result::Value(said)) => format!("the value {}", value(Some(said))),
        Some(outcome::Result::Failure(why)) => format!("the failure {}", failure(why)),
    }
}

pub(crate) fn failure(why: &Failure) -> String {
    let again = match why.retryable {
        true => "retryable",
        false => "not retryable",
    };
    format!("{} ({again}): {}", why.reason, why.message)
}

pub(crate) fn policy(said: &RetryPolicy) -> String {
    format!(
        "max_attempts {} and factor {}",
        said.max_attempts, said.factor
    )
}

fn value(said: Option<&Payload>) -> String {
    let text = match said.and_then(|payload| payload.form.as_ref()) {
        None => return "nothing".to_owned(),
        Some(Form::JsonText(text)) => text.clone(),
        Some(form @ Form::Json(_)) => {
            let payload = Payload {
                form: Some(form.clone()),
            };
            e2e::payload::read(Some(&payload)).map_or_else(
                |error| format!("what is no JSON: {error}"),
                |value| value.to_string(),
            )
        }
    };
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}
