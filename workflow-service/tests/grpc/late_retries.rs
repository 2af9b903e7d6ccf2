//! Runs that are retried, or answered, after their thread went on: nothing that a thread holds is
//! put aside by a run that has not seen it, unless someone says so.

use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use weft_proto::workflow::v1::{
    CancelRunRequest, Checkpoint, GetThreadRequest, ListCheckpointsRequest, ResumeRunRequest,
    RetryRunRequest, StartRunRequest, UpdateThreadRequest, resume_run_request::Resume, run::State,
};

use crate::server::{Serving, TEXT, json, refused, start, state, text};

fn retry(run_id: &str, branch: bool) -> RetryRunRequest {
    RetryRunRequest {
        run_id: run_id.to_owned(),
        branch,
        ..RetryRunRequest::default()
    }
}

fn update(value: &str) -> UpdateThreadRequest {
    UpdateThreadRequest {
        thread_id: "t".into(),
        value: Some(json(value)),
        ..UpdateThreadRequest::default()
    }
}

/// A detail of a refusal.
fn detail(status: &Status, key: &str) -> String {
    let details = status.get_error_details();
    details.error_info().unwrap().metadata[key].clone()
}

async fn newest(serving: &mut Serving) -> Checkpoint {
    checkpoint(serving, "").await
}

async fn checkpoint(serving: &mut Serving, id: &str) -> Checkpoint {
    let request = GetThreadRequest {
        thread_id: "t".into(),
        checkpoint_id: id.to_owned(),
        payload_form: TEXT,
    };
    let found = serving.threads.get_thread(request).await.unwrap();
    found.into_inner().thread.unwrap().checkpoint.unwrap()
}

/// LangGraph lets two writers of a thread build on the same checkpoint, and the later one wins.
#[tokio::test]
async fn a_late_retry_puts_nothing_aside_unless_it_is_told_to() {
    let mut serving = Serving::start().await;
    let early = serving.invoke(start("late", "t", "2")).await;
    assert_eq!(state(&early), State::Failed);
    serving.invoke(start("save", "t", "3")).await;
    let came_to = newest(&mut serving).await;

    let refusal = serving.runs.retry_run(retry(&early.id, false)).await;
    let status = refusal.as_ref().unwrap_err().clone();
    refused(refusal, Code::FailedPrecondition, "THREAD_MOVED_ON");
    assert_eq!(detail(&status, "newest_checkpoint_id"), came_to.id);
    assert_eq!(detail(&status, "checkpoint_id"), "", "an empty thread");
    assert!(status.message().contains("`branch`"), "{status}");
    let unchanged = serving.rest(&early.id).await;
    assert_eq!(
        (state(&unchanged), unchanged.attempt),
        (State::Failed, 1),
        "a refusal changes nothing"
    );
    assert_eq!(newest(&mut serving).await.id, came_to.id);

    serving
        .runs
        .retry_run(retry(&early.id, true))
        .await
        .unwrap();
    let done = serving.rest(&early.id).await;
    assert_eq!(text(done.output.as_ref()), "[null,2]", "what it began with");
    let branch = newest(&mut serving).await;
    assert_eq!(
        (branch.id.as_str(), text(branch.saved.as_ref())),
        (done.checkpoint_id.as_str(), "2")
    );
    assert_eq!(branch.parent_id, "");
    let beside = checkpoint(&mut serving, &came_to.id).await;
    assert_eq!(text(beside.saved.as_ref()), "3", "it is still there");
    let listed = ListCheckpointsRequest {
        thread_id: "t".into(),
        ..ListCheckpointsRequest::default()
    };
    let listed = serving.threads.list_checkpoints(listed).await.unwrap();
    assert_eq!(listed.into_inner().checkpoints.len(), 2);
    serving.stop().await;
}

#[tokio::test]
async fn a_run_of_which_nothing_is_recorded_is_retried_as_if_it_were_new() {
    let mut serving = Serving::start().await;
    let early = serving.invoke(start("late", "t", "1")).await;
    assert_eq!(state(&early), State::Failed);
    serving.invoke(start("save", "t", "3")).await;
    let came_to = newest(&mut serving).await;
    serving
        .runs
        .retry_run(retry(&early.id, false))
        .await
        .unwrap();
    let done = serving.rest(&early.id).await;
    assert_eq!(text(done.output.as_ref()), "[3,1]");
    let after = newest(&mut serving).await;
    assert_eq!(
        (after.id, after.parent_id),
        (done.checkpoint_id, came_to.id)
    );
    serving.stop().await;
}

#[tokio::test]
async fn a_run_is_not_retried_beside_another_one_of_its_thread() {
    let mut serving = Serving::start().await;
    let early = serving.invoke(start("late", "t", "2")).await;
    let other = serving.invoke(start("ask", "t", "null")).await;
    assert_eq!(state(&other), State::Interrupted);
    let refusal = serving.runs.retry_run(retry(&early.id, true)).await;
    let status = refusal.as_ref().unwrap_err().clone();
    refused(refusal, Code::FailedPrecondition, "THREAD_IN_USE");
    assert_eq!(detail(&status, "run_id"), other.id);
    let cancel = CancelRunRequest {
        run_id: other.id,
        ..CancelRunRequest::default()
    };
    serving.runs.cancel_run(cancel).await.unwrap();
    serving
        .runs
        .retry_run(retry(&early.id, false))
        .await
        .unwrap();
    let done = serving.rest(&early.id).await;
    assert_eq!(state(&done), State::Succeeded, "nothing came of the other");
    serving.stop().await;
}

#[tokio::test]
async fn an_old_question_keeps_its_thread_so_that_its_answer_puts_nothing_aside() {
    let mut serving = Serving::start().await;
    let asks = serving.invoke(start("ask", "t", "null")).await;
    let next = serving.begin(start("save", "t", "3")).await;
    assert_eq!(state(&next), State::Queued);
    let refusal = serving.threads.update_thread(update("7")).await;
    let status = refusal.as_ref().unwrap_err().clone();
    refused(refusal, Code::FailedPrecondition, "THREAD_IN_USE");
    assert_eq!(detail(&status, "run_id"), asks.id);
    for _ in 0..2 {
        let open = serving.rest(&asks.id).await;
        let answers = [(open.interrupts[0].id.clone(), json("true"))];
        let answers = weft_proto::workflow::v1::Answers {
            by_interrupt_id: answers.into(),
        };
        let answered = ResumeRunRequest {
            run_id: asks.id.clone(),
            resume: Some(Resume::Answers(answers)),
        };
        serving.runs.resume_run(answered).await.unwrap();
    }
    assert_eq!(state(&serving.rest(&asks.id).await), State::Succeeded);
    let done = serving.rest(&next.id).await;
    assert_eq!(text(done.output.as_ref()), "[[true,true],3]");
    serving.stop().await;
}

#[tokio::test]
async fn a_run_that_has_not_begun_keeps_nobody_from_writing_by_hand() {
    let mut serving = Serving::start().await;
    let later = StartRunRequest {
        start_after: Some(prost_types::Timestamp {
            seconds: 10_000_000_000,
            nanos: 0,
        }),
        ..start("save", "t", "3")
    };
    let waits = serving.begin(later).await;
    serving.threads.update_thread(update("7")).await.unwrap();
    let cancel = CancelRunRequest {
        run_id: waits.id,
        ..CancelRunRequest::default()
    };
    serving.runs.cancel_run(cancel).await.unwrap();
    let run = serving.invoke(start("save", "t", "4")).await;
    assert_eq!(text(run.output.as_ref()), "[7,4]");
    serving.stop().await;
}
