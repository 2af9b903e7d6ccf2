//! Editing threads through the API.

use tonic::Code;
use weft_proto::workflow::v1::{
    Answers, DeleteThreadRequest, ForkThreadRequest, GetThreadRequest, ListThreadsRequest,
    PruneThreadRequest, ResumeRunRequest, StartRunRequest, UpdateThreadRequest,
    resume_run_request::Resume, thread::State,
};

use crate::server::{Serving, TEXT, json, refused, start, text};

fn get(thread: &str) -> GetThreadRequest {
    GetThreadRequest {
        thread_id: thread.into(),
        payload_form: TEXT,
        ..Default::default()
    }
}

#[tokio::test]
async fn what_is_written_by_hand_is_the_next_runs_previous() {
    let mut serving = Serving::start().await;
    let update = |saved: Option<&str>| UpdateThreadRequest {
        thread_id: "t".into(),
        value: Some(json("1")),
        saved: saved.map(json),
        ..UpdateThreadRequest::default()
    };
    let written = serving
        .threads
        .update_thread(update(None))
        .await
        .unwrap()
        .into_inner();
    let first = written.checkpoint.unwrap();
    assert_eq!(
        (first.source.as_str(), first.parent_id.as_str()),
        ("update", "")
    );
    let run = serving.invoke(start("save", "t", "2")).await;
    assert_eq!(text(run.output.as_ref()), "[1,2]");
    serving
        .threads
        .update_thread(update(Some("7")))
        .await
        .unwrap();
    let run = serving.invoke(start("save", "t", "3")).await;
    assert_eq!(text(run.output.as_ref()), "[7,3]");

    // Back to the first checkpoint.
    let back = StartRunRequest {
        checkpoint_id: first.id.clone(),
        ..start("save", "t", "4")
    };
    let run = serving.invoke(back).await;
    assert_eq!(text(run.output.as_ref()), "[1,4]");
    let missing = UpdateThreadRequest {
        thread_id: "t".into(),
        ..Default::default()
    };
    let refusal = serving.threads.update_thread(missing).await;
    assert_eq!(
        refused(refusal, Code::InvalidArgument, "INVALID_REQUEST"),
        ["value"]
    );
    serving.stop().await;
}

#[tokio::test]
async fn a_thread_is_forked_pruned_and_deleted() {
    let mut serving = Serving::start().await;
    for input in ["1", "2", "3"] {
        serving.invoke(start("save", "t", input)).await;
    }
    let newest = serving
        .threads
        .get_thread(get("t"))
        .await
        .unwrap()
        .into_inner()
        .thread
        .unwrap();
    let newest = newest.checkpoint.unwrap();
    let fork = ForkThreadRequest {
        thread_id: "t".into(),
        checkpoint_id: newest.parent_id.clone(),
        new_thread_id: "copy".into(),
    };
    let copy = serving
        .threads
        .fork_thread(fork.clone())
        .await
        .unwrap()
        .into_inner()
        .thread
        .unwrap();
    assert_eq!(copy.checkpoint.unwrap().source, "fork");
    refused(
        serving.threads.fork_thread(fork).await,
        Code::AlreadyExists,
        "THREAD_EXISTS",
    );
    let run = serving.invoke(start("save", "copy", "9")).await;
    assert_eq!(text(run.output.as_ref()), "[2,9]");

    let prune = |keep| PruneThreadRequest {
        thread_id: "t".into(),
        keep_checkpoints: keep,
    };
    let pruned = serving
        .threads
        .prune_thread(prune(1))
        .await
        .unwrap()
        .into_inner();
    assert_eq!((pruned.checkpoint_count, pruned.run_count), (2, 2));
    let refusal = serving.threads.prune_thread(prune(0)).await;
    assert_eq!(
        refused(refusal, Code::InvalidArgument, "INVALID_REQUEST"),
        ["keep_checkpoints"]
    );

    let delete = DeleteThreadRequest {
        thread_id: "t".into(),
    };
    serving.threads.delete_thread(delete.clone()).await.unwrap();
    refused(
        serving.threads.get_thread(get("t")).await,
        Code::NotFound,
        "THREAD_NOT_FOUND",
    );
    refused(
        serving.threads.delete_thread(delete).await,
        Code::NotFound,
        "THREAD_NOT_FOUND",
    );
    let run = serving.invoke(start("save", "t", "1")).await;
    assert_eq!(
        text(run.output.as_ref()),
        "[null,1]",
        "nothing is left of it"
    );
    serving.stop().await;
}

#[tokio::test]
async fn a_thread_is_forked_and_pruned_under_a_run_that_goes_on_as_if_nothing_was() {
    let mut serving = Serving::start().await;
    for input in ["1", "2", "3"] {
        serving.invoke(start("save", "t", input)).await;
    }
    let asks = serving.invoke(start("ask", "t", "null")).await;
    let fork = ForkThreadRequest {
        thread_id: "t".into(),
        new_thread_id: "copy".into(),
        ..ForkThreadRequest::default()
    };
    serving.threads.fork_thread(fork).await.unwrap();
    let run = serving.invoke(start("save", "copy", "9")).await;
    assert_eq!(text(run.output.as_ref()), "[3,9]", "the copy is free");
    let prune = PruneThreadRequest {
        thread_id: "t".into(),
        keep_checkpoints: 1,
    };
    let pruned = serving.threads.prune_thread(prune).await.unwrap();
    assert_eq!(pruned.into_inner().checkpoint_count, 2);
    let answers = asks
        .interrupts
        .iter()
        .map(|asked| (asked.id.clone(), json("0")));
    let answer = ResumeRunRequest {
        run_id: asks.id.clone(),
        resume: Some(Resume::Answers(Answers {
            by_interrupt_id: answers.collect(),
        })),
    };
    serving.runs.resume_run(answer).await.unwrap();
    assert_eq!(text(serving.rest(&asks.id).await.output.as_ref()), "[0,0]");
    let run = serving.invoke(start("save", "t", "4")).await;
    assert_eq!(text(run.output.as_ref()), "[[0,0],4]");
    serving.stop().await;
}

#[tokio::test]
async fn an_unfinished_run_keeps_its_thread_from_being_deleted() {
    let mut serving = Serving::start().await;
    serving.invoke(start("ask", "t", "null")).await;
    let delete = DeleteThreadRequest {
        thread_id: "t".into(),
    };
    refused(
        serving.threads.delete_thread(delete).await,
        Code::Aborted,
        "THREAD_BUSY",
    );
    serving.stop().await;
}

#[tokio::test]
async fn threads_are_listed_in_pages_without_payloads() {
    let mut serving = Serving::start().await;
    for thread in ["a", "b", "c"] {
        serving.invoke(start("save", thread, "1")).await;
    }
    serving.invoke(start("ask", "q", "1")).await;
    let mut request = ListThreadsRequest {
        page_size: 3,
        ..ListThreadsRequest::default()
    };
    let page = serving
        .threads
        .list_threads(request.clone())
        .await
        .unwrap()
        .into_inner();
    let ids: Vec<_> = page
        .threads
        .iter()
        .map(|thread| thread.id.as_str())
        .collect();
    assert_eq!(ids, ["q", "c", "b"]);
    assert!(
        page.threads
            .iter()
            .all(|thread| thread.checkpoint.is_none())
    );
    request.page_token = page.next_page_token.clone();
    let page = serving
        .threads
        .list_threads(request.clone())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        (page.threads[0].id.as_str(), page.next_page_token.as_str()),
        ("a", "")
    );

    // A token belongs to its listing.
    request.states = vec![State::Idle.into()];
    let refusal = serving.threads.list_threads(request.clone()).await;
    assert_eq!(
        refused(refusal, Code::InvalidArgument, "PAGE_TOKEN_INVALID"),
        ["page_token"]
    );
    request.page_token.clear();
    request.states = vec![State::Interrupted.into()];
    let page = serving
        .threads
        .list_threads(request.clone())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(page.threads.len(), 1);
    request.states = vec![99];
    let refusal = serving.threads.list_threads(request).await;
    assert_eq!(
        refused(refusal, Code::InvalidArgument, "INVALID_REQUEST"),
        ["states[0]"]
    );
    serving.stop().await;
}
