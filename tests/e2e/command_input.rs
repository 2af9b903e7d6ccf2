//! What `WorkflowService` refuses of calls on runs that were started, and how: code, reason, and each
//! wrong field.

use anyhow::Result;
use e2e::{Refusal, chat, payload, refusal::refused};
use tonic::Code;
use weft_proto::workflow::v1::{
    Answers, CancelRunRequest, GetRunRequest, ListRunsRequest, ResumeRunRequest, RetryRunRequest,
    StartRunRequest, StreamRunRequest, WaitRunRequest, resume_run_request::Resume,
    stream_run_request::Target,
};

use crate::run_input::{hello, workflows};

/// An id that no run has.
const NOBODY: &str = "0198a2c4-1111-7000-8000-00000000dead";

#[tokio::test]
async fn get_run_and_wait_run_name_everything_that_is_wrong() -> Result<()> {
    let (cluster, mut client) = workflows().await?;
    for run_id in ["", "x", "0198a2c4-1111-7000-8000"] {
        let (run_id, payload_form) = (run_id.to_owned(), 9);
        let get = GetRunRequest {
            run_id: run_id.clone(),
            payload_form,
        };
        refused(
            "get",
            client.get_run(get).await,
            &["run_id", "payload_form"],
        )?;
        let wait = WaitRunRequest {
            run_id,
            payload_form,
        };
        refused(
            "wait",
            client.wait_run(wait).await,
            &["run_id", "payload_form"],
        )?;
    }
    cluster.finish().await
}

#[tokio::test]
async fn list_runs_names_everything_that_is_wrong() -> Result<()> {
    let (cluster, mut client) = workflows().await?;
    let list = ListRunsRequest {
        thread_id: "a\nb".into(),
        states: vec![6, 0, 99],
        page_size: -1,
        ..ListRunsRequest::default()
    };
    let fields = ["thread_id", "states[1]", "states[2]", "page_size"];
    refused("list", client.list_runs(list).await, &fields)?;
    cluster.finish().await
}

#[tokio::test]
async fn a_page_token_of_another_listing_is_refused() -> Result<()> {
    let (cluster, mut client) = workflows().await?;
    for thread in ["1", "2"] {
        client.start_run(chat(thread, "1", "hello")).await?;
    }
    let list = ListRunsRequest {
        page_size: 1,
        ..ListRunsRequest::default()
    };
    let page = client.list_runs(list).await?.into_inner();
    for (page_token, thread_id) in [
        ("x", ""),
        ("====", ""),
        (page.next_page_token.as_str(), "1"),
    ] {
        let list = ListRunsRequest {
            page_token: page_token.to_owned(),
            thread_id: thread_id.to_owned(),
            ..ListRunsRequest::default()
        };
        let refusal = Refusal::of(client.list_runs(list).await)?;
        let refusal = refusal.is(Code::InvalidArgument, "PAGE_TOKEN_INVALID")?;
        assert_eq!(refusal.fields(), ["page_token"]);
    }
    cluster.finish().await
}

#[tokio::test]
async fn what_is_not_there_is_not_found_and_named() -> Result<()> {
    let (cluster, mut client) = workflows().await?;
    for run in [
        StartRunRequest {
            entrypoint: "nobody".into(),
            ..hello()
        },
        StartRunRequest {
            version: "2".into(),
            ..hello()
        },
    ] {
        let refusal = Refusal::of(client.start_run(run).await)?;
        refusal.is(Code::NotFound, "ENTRYPOINT_NOT_FOUND")?;
    }
    let run = StartRunRequest {
        checkpoint_id: NOBODY.into(),
        ..hello()
    };
    let refusal = Refusal::of(client.start_run(run).await)?;
    refusal.is(Code::NotFound, "CHECKPOINT_NOT_FOUND")?;

    let not_found = |refusal: Refusal| -> Result<()> {
        let refusal = refusal.is(Code::NotFound, "RUN_NOT_FOUND")?;
        assert_eq!(refusal.metadata("run_id"), Some(NOBODY));
        Ok(())
    };
    let get = GetRunRequest {
        run_id: NOBODY.into(),
        ..Default::default()
    };
    not_found(Refusal::of(client.get_run(get).await)?)?;
    let wait = WaitRunRequest {
        run_id: NOBODY.into(),
        ..Default::default()
    };
    not_found(Refusal::of(client.wait_run(wait).await)?)?;
    let target = Some(Target::RunId(NOBODY.into()));
    let stream = StreamRunRequest {
        target,
        ..Default::default()
    };
    not_found(Refusal::of(client.stream_run(stream).await)?)?;
    cluster.finish().await
}

#[tokio::test]
async fn commands_name_everything_that_is_wrong() -> Result<()> {
    let (cluster, mut client) = workflows().await?;
    for run_id in ["", "x"] {
        let run_id = run_id.to_owned();
        let resume = ResumeRunRequest {
            run_id: run_id.clone(),
            resume: None,
        };
        refused(
            "resume",
            client.resume_run(resume).await,
            &["run_id", "resume"],
        )?;
        let reason = "r".repeat(4097);
        let cancel = CancelRunRequest {
            run_id: run_id.clone(),
            reason,
        };
        refused(
            "cancel",
            client.cancel_run(cancel).await,
            &["run_id", "reason"],
        )?;
        let retry = RetryRunRequest {
            run_id,
            ..RetryRunRequest::default()
        };
        refused("retry", client.retry_run(retry).await, &["run_id"])?;
    }
    let run_id = NOBODY.to_owned();
    let answers = Resume::Answers(Answers::default());
    for (field, answer) in [
        ("answer", Resume::Answer(payload::text("{"))),
        ("answers", answers),
    ] {
        let resume = ResumeRunRequest {
            run_id: run_id.clone(),
            resume: Some(answer),
        };
        refused(field, client.resume_run(resume).await, &[field])?;
    }

    let resume = Some(Resume::Answer(payload::text("1")));
    let resume = client
        .resume_run(ResumeRunRequest {
            run_id: run_id.clone(),
            resume,
        })
        .await;
    Refusal::of(resume)?.is(Code::NotFound, "RUN_NOT_FOUND")?;
    let cancel = CancelRunRequest {
        run_id: run_id.clone(),
        ..Default::default()
    };
    Refusal::of(client.cancel_run(cancel).await)?.is(Code::NotFound, "RUN_NOT_FOUND")?;
    let retry = RetryRunRequest {
        run_id,
        ..Default::default()
    };
    Refusal::of(client.retry_run(retry).await)?.is(Code::NotFound, "RUN_NOT_FOUND")?;
    cluster.finish().await
}
