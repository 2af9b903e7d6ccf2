//! What a worker may say at most: beyond it, its run is told so, and everybody else can be read.

use anyhow::{Context as _, Result};
use e2e::{
    Refusal, payload,
    raw_worker::{RawWorker, hello, record, returned},
};
use serde_json::json;
use tonic::Code;
use weft_proto::{
    common::v1::Payload,
    workflow::v1::{
        Emit, Failed, Failure, Finish, GetRunRequest, Hello, ListRunsRequest, Outcome, Record,
        RetryRunRequest, Returned, Run, Usage, WaitRunRequest, Warning,
        connect_request::Message as Say, connect_response::Message as Heard, emit, finish, outcome,
        run::State,
    },
};

use crate::stage::{output, patient_service, rested, start, still_works, with_a_run};

/// What a client takes that sets no limit of its own.
const USUAL_LIMIT: usize = 4 * 1024 * 1024;

fn used(id: &str, tokens: i64) -> Say {
    Say::Record(Record {
        usage: Some(Usage {
            model_calls: 1,
            input_tokens: tokens,
            ..Usage::default()
        }),
        ..record(id, "1")
    })
}

async fn get(cluster: &e2e::Cluster, run: &Run) -> Result<Run> {
    let request = GetRunRequest {
        run_id: run.id.clone(),
        ..GetRunRequest::default()
    };
    let got = cluster.workflow_client()?.get_run(request).await?;
    got.into_inner().run.context("no run")
}

#[tokio::test]
async fn usage_that_no_call_can_have_pauses_its_run_and_the_largest_adds_up() -> Result<()> {
    let (cluster, mut odd, execution, run) = with_a_run().await?;
    for id in ["0", "1", "2"] {
        odd.say(execution, used(id, 1_000_000_000_000)).await?;
    }
    odd.say(execution, Say::Finish(returned("1", 0))).await?;
    rested(&cluster, &run).await?;
    let usage = get(&cluster, &run).await?.usage.unwrap_or_default();
    assert_eq!(
        (usage.model_calls, usage.input_tokens),
        (3, 3_000_000_000_000)
    );
    for tokens in [1_000_000_000_001, i64::MAX, -1] {
        let run = start(&cluster, "odd", "", json!(1)).await?;
        let execution = loop {
            if let (execution, Heard::StartRun(_)) = odd.next_answering(&[]).await? {
                break execution;
            }
        };
        odd.say(execution, used("0", tokens)).await?;
        let run = rested(&cluster, &run).await?;
        assert_eq!(run.state(), State::Paused, "{tokens}: {run:?}");
        let error = run.error.unwrap_or_default();
        assert_eq!(error.reason, "PROTOCOL_VIOLATION");
        assert!(error.message.contains("`usage.input_tokens`"), "{error:?}");
    }
    still_works(cluster).await
}

#[tokio::test]
async fn a_run_can_be_read_and_retried_whatever_usage_was_once_stored_for_it() -> Result<()> {
    let (mut cluster, odd, execution, run) = with_a_run().await?;
    odd.say(execution, used("0", 5)).await?;
    odd.say(execution, used("1", 6)).await?;
    let failed = Finish {
        end: Some(finish::End::Failed(Failed {
            failure: Some(Failure {
                reason: "X".to_owned(),
                ..Failure::default()
            }),
            retry: None,
        })),
        replayed_count: 0,
    };
    odd.say(execution, Say::Finish(failed)).await?;
    rested(&cluster, &run).await?;
    cluster.take_workflow()?.terminate().await?;
    let db = rusqlite::Connection::open(cluster.folder().join("workflow/workflow.db"))?;
    let changed = db.execute(
        "UPDATE usage SET input_tokens = 9223372036854775807, output_tokens = -1, \
         model_calls = 4294967295",
        [],
    )?;
    assert_eq!(changed, 2);
    drop(db);
    cluster.start_workflow().await?;
    let usage = get(&cluster, &run).await?.usage.unwrap_or_default();
    assert_eq!(
        (usage.input_tokens, usage.output_tokens),
        (2_000_000_000_000, 0)
    );
    let mut client = cluster.workflow_client()?;
    let listed = client.list_runs(ListRunsRequest::default()).await?;
    assert_eq!(listed.into_inner().runs.len(), 1);
    let again = RetryRunRequest {
        run_id: run.id.clone(),
        ..Default::default()
    };
    client.retry_run(again).await?;
    let mut odd = RawWorker::connect(cluster.workflow()?.channel()?, hello("odd")).await?;
    let (execution, start) = odd.started().await?;
    odd.say(execution, Say::Finish(returned("7", start.journal_length)))
        .await?;
    assert_eq!(output(&cluster, &run).await?, json!(7));
    cluster.finish().await
}

/// A JSON string of so many bytes.
fn text_of(bytes: usize) -> Payload {
    payload::text(format!("\"{}\"", "x".repeat(bytes - 2)))
}

#[tokio::test]
async fn the_largest_output_and_the_largest_saved_value_are_taken_together() -> Result<()> {
    let (cluster, odd, execution, run) = with_a_run().await?;
    let largest = || Some(text_of(8 * 1024 * 1024));
    let both = Finish {
        end: Some(finish::End::Returned(Returned {
            value: largest(),
            saved: largest(),
        })),
        replayed_count: 0,
    };
    odd.say(execution, Say::Finish(both)).await?;
    let request = WaitRunRequest {
        run_id: run.id.clone(),
        ..Default::default()
    };
    let mut client = cluster
        .workflow_client()?
        .max_decoding_message_size(3 * USUAL_LIMIT);
    let run = client.wait_run(request).await?.into_inner().run;
    assert_eq!(run.unwrap_or_default().state(), State::Succeeded);
    still_works(cluster).await
}

#[tokio::test]
async fn a_run_whose_messages_are_too_large_is_paused_and_its_workers_may_come_back() -> Result<()>
{
    let cluster = patient_service().await?;
    let channel = cluster.workflow()?.channel()?;
    let run = start_when_hosted(&cluster).await?;
    for attempt in 1..=10 {
        let mut worker = RawWorker::connect(channel.clone(), hello("odd")).await?;
        let (execution, start) = worker.started().await?;
        assert_eq!((&*start.run_id, start.attempt), (&*run.id, attempt));
        let huge = Record {
            outcome: Some(Outcome {
                result: Some(outcome::Result::Value(text_of(18 * 1024 * 1024))),
            }),
            ..record("0", "1")
        };
        let _ = worker.say(execution, Say::Record(huge)).await;
        let status = worker.ended().await?;
        assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
        let refusal = Refusal::from_status(status)?;
        assert_eq!(refusal.reason(), "MESSAGE_TOO_LARGE");
    }
    let run = rested(&cluster, &run).await?;
    assert_eq!(run.state(), State::Paused);
    let error = run.error.unwrap_or_default();
    assert_eq!(error.reason, "WORKER_LOST");
    assert!(error.message.contains("PAYLOAD_TOO_LARGE"), "{error:?}");
    still_works(cluster).await
}

#[tokio::test]
async fn a_message_of_100_mebibytes_sends_its_worker_away_and_the_run_goes_on_elsewhere()
-> Result<()> {
    let cluster = patient_service().await?;
    let channel = cluster.workflow()?.channel()?;
    let run = start_when_hosted(&cluster).await?;
    let mut odd = RawWorker::connect(channel.clone(), hello("odd")).await?;
    let (execution, _) = odd.started().await?;
    let huge = format!("\"{}\"", "x".repeat(100 * 1024 * 1024));
    // The service hangs up before it has all of it.
    let _ = odd.say(execution, Say::Record(record("0", &huge))).await;
    let status = odd.ended().await?;
    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
    let mut next = RawWorker::connect(channel, hello("odd")).await?;
    let (execution, start) = next.started().await?;
    assert_eq!((&*start.run_id, start.attempt), (&*run.id, 2));
    next.say(execution, Say::Finish(returned("1", 0))).await?;
    output(&cluster, &run).await?;
    still_works(cluster).await
}

/// A run of `odd`, which a worker hosted for a moment.
async fn start_when_hosted(cluster: &e2e::Cluster) -> Result<Run> {
    let channel = cluster.workflow()?.channel()?;
    let takes_none = Hello {
        max_runs: 0,
        ..hello("odd")
    };
    let _host = RawWorker::connect(channel, takes_none).await?;
    start(cluster, "odd", "", json!(1)).await
}

#[tokio::test]
async fn what_a_failure_says_is_kept_short_and_so_are_lists_of_runs() -> Result<()> {
    let (cluster, mut odd, execution, run) = with_a_run().await?;
    let endless = Failure {
        reason: "went wrong".to_owned(),
        message: "m".repeat(5_000_000),
        metadata: (0..20_000)
            .map(|place| (format!("key {place}"), "v".repeat(100)))
            .collect(),
        ..Failure::default()
    };
    let waits = emit::Kind::Warning(Warning {
        reason: "WAITS".to_owned(),
        message: "w".repeat(5_000_000),
    });
    let emit = Emit {
        kind: Some(waits),
        ..Emit::default()
    };
    odd.say(execution, Say::Emit(emit)).await?;
    // What was said is heard once the next thing is answered.
    odd.say(execution, Say::Record(record("0", "1"))).await?;
    odd.next_answering(&[execution]).await?;
    let running = get(&cluster, &run).await?;
    assert!(running.state_reason.len() < 70_000);
    let failed = Finish {
        end: Some(finish::End::Failed(Failed {
            failure: Some(endless),
            retry: None,
        })),
        replayed_count: 0,
    };
    odd.say(execution, Say::Finish(failed)).await?;
    rested(&cluster, &run).await?;
    let error = get(&cluster, &run).await?.error.unwrap_or_default();
    assert_eq!(error.reason, "WENT_WRONG");
    assert!(error.message.starts_with("mmm") && error.message.ends_with('…'));
    assert!((60_000..=64 * 1024).contains(&error.message.len()));
    let told: usize = error.metadata.iter().map(|(k, v)| k.len() + v.len()).sum();
    assert!((1_000_000..=1024 * 1024).contains(&told), "{told}");
    let mut client = cluster.workflow_client()?;
    let listed = client.list_runs(ListRunsRequest::default()).await?;
    let listed = listed.into_inner().runs.remove(0);
    let error = listed.error.unwrap_or_default();
    assert!(error.message.len() < 1100 && error.metadata.is_empty());
    still_works(cluster).await
}
