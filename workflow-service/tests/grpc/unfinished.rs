//! Runs that are cancelled, fail, are tried again, or stand in the way of others.

use prost_types::Duration;
use tonic::Code;
use weft_proto::workflow::v1::{
    CancelRunRequest, Concurrency, ListRunsRequest, RetryRunRequest, StartRunRequest, StreamMode,
    StreamRunRequest, event::Kind, run::State, stream_run_request::Target,
};

use crate::server::{Serving, refused, start, state, text};

fn cancel(run_id: &str) -> CancelRunRequest {
    CancelRunRequest {
        run_id: run_id.to_owned(),
        reason: "enough".into(),
    }
}

fn retry(run_id: &str) -> RetryRunRequest {
    RetryRunRequest {
        run_id: run_id.to_owned(),
        ..RetryRunRequest::default()
    }
}

/// Starts a `wait` run and returns once its task runs, with what the task writes.
async fn waiting(serving: &mut Serving, thread: &str) -> (String, String) {
    let request = StreamRunRequest {
        target: Some(Target::Start(start("wait", thread, "null"))),
        modes: vec![StreamMode::Custom.into()],
        payload_form: crate::server::TEXT,
        ..StreamRunRequest::default()
    };
    let mut stream = serving.runs.stream_run(request).await.unwrap().into_inner();
    let event = stream.message().await.unwrap().unwrap().event.unwrap();
    let Some(Kind::Custom(custom)) = event.kind else {
        panic!("{event:?}")
    };
    assert_eq!(custom.task, "wait");
    (event.run_id, text(custom.value.as_ref()).to_owned())
}

#[tokio::test]
async fn a_run_is_cancelled_with_its_reason_and_can_be_retried() {
    let mut serving = Serving::start().await;
    let (id, written) = waiting(&mut serving, "t").await;
    assert_eq!(written, r#""waiting""#);
    serving.runs.cancel_run(cancel(&id)).await.unwrap();
    let run = serving.rest(&id).await;
    assert_eq!(state(&run), State::Cancelled);
    let error = run.error.unwrap();
    assert_eq!(
        (error.reason.as_str(), error.message.as_str()),
        ("CANCELLED", "enough")
    );
    assert!(run.end_time.is_some());
    serving.runs.cancel_run(cancel(&id)).await.unwrap();

    serving.runs.retry_run(retry(&id)).await.unwrap();
    serving.runs.cancel_run(cancel(&id)).await.unwrap();
    let run = serving.rest(&id).await;
    assert_eq!((state(&run), run.attempt), (State::Cancelled, 2));
    let done = serving.invoke(start("save", "u", "1")).await;
    refused(
        serving.runs.cancel_run(cancel(&done.id)).await,
        Code::FailedPrecondition,
        "RUN_STATE",
    );
    refused(
        serving.runs.retry_run(retry(&done.id)).await,
        Code::FailedPrecondition,
        "RUN_STATE",
    );
    serving.stop().await;
}

#[tokio::test]
async fn a_failed_run_says_why_and_where() {
    let mut serving = Serving::start().await;
    let run = serving.invoke(start("fail", "t", "null")).await;
    assert_eq!(state(&run), State::Failed);
    let error = run.error.unwrap();
    assert_eq!(
        (error.reason.as_str(), error.task.as_str()),
        ("CARD_DECLINED", "pay")
    );
    assert_eq!(error.metadata["card"], "1234");
    serving.runs.retry_run(retry(&run.id)).await.unwrap();
    assert_eq!(serving.rest(&run.id).await.attempt, 2);
    serving.stop().await;
}

#[tokio::test]
async fn a_busy_thread_queues_refuses_or_makes_way() {
    let mut serving = Serving::start().await;
    let (first, _) = waiting(&mut serving, "t").await;
    let with = |concurrency: Concurrency| StartRunRequest {
        concurrency: concurrency.into(),
        ..start("save", "t", "1")
    };
    let queued = serving.begin(with(Concurrency::Enqueue)).await;
    assert_eq!(state(&queued), State::Queued);
    assert_eq!(queued.state_reason, "waits for its thread");
    let refusal = serving.runs.start_run(with(Concurrency::Reject)).await;
    let told = refusal.as_ref().unwrap_err().message().to_owned();
    assert!(
        told.contains(&first) && told.contains("cancel it"),
        "{told}"
    );
    refused(refusal, Code::Aborted, "THREAD_BUSY");
    let replacing = serving.begin(with(Concurrency::Interrupt)).await;
    assert_eq!(state(&serving.rest(&replacing.id).await), State::Succeeded);
    for id in [&first, &queued.id] {
        assert_eq!(state(&serving.rest(id).await), State::Cancelled);
    }
    let (last, _) = waiting(&mut serving, "t").await;
    let replacing = serving.begin(with(Concurrency::Rollback)).await;
    assert_eq!(state(&serving.rest(&replacing.id).await), State::Succeeded);
    refused(
        serving.runs.retry_run(retry(&last)).await,
        Code::NotFound,
        "RUN_NOT_FOUND",
    );
    let listed = serving
        .runs
        .list_runs(ListRunsRequest::default())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(listed.runs.len(), 4);
    serving.stop().await;
}

#[tokio::test]
async fn a_timeout_bounds_a_run_and_must_be_positive() {
    let mut serving = Serving::start().await;
    let within = |nanos| StartRunRequest {
        timeout: Some(Duration { seconds: 0, nanos }),
        ..start("wait", "t", "null")
    };
    let run = serving.invoke(within(50_000_000)).await;
    assert_eq!(
        (state(&run), run.error.unwrap().reason.as_str()),
        (State::Failed, "RUN_TIMEOUT")
    );
    for nanos in [0, -1] {
        let refusal = serving.runs.start_run(within(nanos)).await;
        assert_eq!(
            refused(refusal, Code::InvalidArgument, "INVALID_REQUEST"),
            ["timeout"]
        );
    }
    for seconds in [100 * 31_557_600 + 1, i64::MAX] {
        let mut forever = within(0);
        forever.timeout = Some(Duration { seconds, nanos: 0 });
        let refusal = serving.runs.start_run(forever).await;
        assert_eq!(
            refused(refusal, Code::InvalidArgument, "INVALID_REQUEST"),
            ["timeout"]
        );
    }
    let mut mixed = within(-1);
    mixed.timeout = Some(Duration {
        seconds: 1,
        nanos: -1,
    });
    let refusal = serving.runs.start_run(mixed).await;
    let told = refusal.as_ref().unwrap_err().message().to_owned();
    assert!(told.contains("different signs"), "{told}");
    let at = |seconds, nanos| StartRunRequest {
        start_after: Some(prost_types::Timestamp { seconds, nanos }),
        ..start("save", "u", "1")
    };
    const YEAR_ONE: i64 = -62_135_596_800;
    const YEAR_TEN_THOUSAND: i64 = 253_402_300_800;
    for (seconds, nanos) in [(0, -1), (YEAR_ONE - 1, 0), (YEAR_TEN_THOUSAND, 0)] {
        let refusal = serving.runs.start_run(at(seconds, nanos)).await;
        assert_eq!(
            refused(refusal, Code::InvalidArgument, "INVALID_REQUEST"),
            ["start_after"]
        );
    }
    let past = serving.invoke(at(YEAR_ONE, 0)).await;
    assert_eq!(state(&past), State::Succeeded);
    assert_eq!(
        state(&serving.invoke(at(0, 0)).await),
        State::Succeeded,
        "a time that has passed"
    );
    let later = serving.begin(at(10_000_000_000, 0)).await;
    assert_eq!(
        (state(&later), later.state_reason.as_str()),
        (State::Queued, "waits for its start time")
    );
    serving.stop().await;
}
