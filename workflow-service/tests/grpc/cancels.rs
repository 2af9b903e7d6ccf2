//! A run can be cancelled whatever it does at the moment, and its thread is free then.

use tonic::Code;
use weft_proto::workflow::v1::{
    CancelRunRequest, GetRunRequest, ResumeRunRequest, RetryRunRequest, Run, StartRunRequest,
    resume_run_request::Resume, run::State,
};

use crate::server::{Serving, json, refused, start, state, text};

/// What a run does when it is cancelled: its entrypoint, and the state that it is in.
const STATES: [(&str, State); 8] = [
    ("later", State::Queued),
    ("wait", State::Running),
    // A task of it is to be tried again in an hour.
    ("stubborn", State::Running),
    // It is executed again after an answer, and does not come to an end.
    ("stuck", State::Running),
    ("sleep", State::Waiting),
    // The entrypoint is to be tried again in an hour.
    ("patient", State::Waiting),
    ("ask", State::Interrupted),
    ("shifty", State::Paused),
];

async fn get(serving: &mut Serving, run_id: &str) -> Run {
    let request = GetRunRequest {
        run_id: run_id.to_owned(),
        ..GetRunRequest::default()
    };
    let got = serving.runs.get_run(request).await.unwrap();
    got.into_inner().run.unwrap()
}

/// A run of this entrypoint, once it is in this state for good.
async fn run_in(serving: &mut Serving, entrypoint: &str, wanted: State) -> Run {
    let request = match entrypoint {
        "later" => StartRunRequest {
            start_after: Some(prost_types::Timestamp {
                seconds: 10_000_000_000,
                nanos: 0,
            }),
            ..start("save", "later", "1")
        },
        _ => start(entrypoint, entrypoint, "1"),
    };
    let run = serving.begin(request).await;
    match entrypoint {
        "stuck" => {
            serving.rest(&run.id).await;
            let answer = ResumeRunRequest {
                run_id: run.id.clone(),
                resume: Some(Resume::Answer(json("1"))),
            };
            serving.runs.resume_run(answer).await.unwrap();
        }
        "shifty" => {
            serving.rest(&run.id).await;
            let retry = RetryRunRequest {
                run_id: run.id.clone(),
                ..RetryRunRequest::default()
            };
            serving.runs.retry_run(retry).await.unwrap();
        }
        _ => {}
    }
    let reached = async {
        loop {
            let run = get(serving, &run.id).await;
            if state(&run) == wanted {
                return run;
            }
            tokio::task::yield_now().await;
        }
    };
    let reached = tokio::time::timeout(std::time::Duration::from_secs(60), reached).await;
    reached.unwrap_or_else(|_| panic!("`{entrypoint}` does not come to be {wanted:?}"))
}

#[tokio::test]
async fn a_run_is_cancelled_in_every_state_that_is_not_final_and_frees_its_thread() {
    let mut serving = Serving::start().await;
    for (entrypoint, wanted) in STATES {
        let run = run_in(&mut serving, entrypoint, wanted).await;
        let behind = serving.begin(start("save", entrypoint, "2")).await;
        let cancel = CancelRunRequest {
            run_id: run.id.clone(),
            reason: format!("no {entrypoint}"),
        };
        serving.runs.cancel_run(cancel).await.unwrap();
        let cancelled = serving.rest(&run.id).await;
        assert_eq!(state(&cancelled), State::Cancelled, "{entrypoint}");
        let error = cancelled.error.unwrap();
        assert_eq!(error.message, format!("no {entrypoint}"));
        let next = serving.rest(&behind.id).await;
        assert_eq!(text(next.output.as_ref()), "[null,2]", "{entrypoint}");
        // Not even an answer brings it back.
        let answer = ResumeRunRequest {
            run_id: run.id,
            resume: Some(Resume::Answer(json("1"))),
        };
        let late = serving.runs.resume_run(answer).await;
        refused(late, Code::FailedPrecondition, "RUN_STATE");
    }
    serving.stop().await;
}
