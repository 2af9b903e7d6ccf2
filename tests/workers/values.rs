//! Values that cannot be kept: the code that made them fails, and is told why. Its worker did nothing
//! wrong.

use anyhow::Result;
use e2e::{
    Events, payload,
    raw_worker::{RawWorker, record, returned},
};
use weft_proto::workflow::v1::{
    Call, Delegate, Emit, Failure, Finish, Outcome, Question, Record, Returned, StreamMode,
    Suspend, TaskStarted, call::Kind, connect_request::Message as Say,
    connect_response::Message as Heard, emit, event, finish, outcome, run::State,
};

use crate::stage::{output, rested, start, still_works, with_a_run};

/// One level deeper than what is kept.
fn deep() -> String {
    format!("{}{}", "[".repeat(128), "]".repeat(128))
}

/// What the service says is recorded of call 0.
async fn recorded(worker: &mut RawWorker, execution: i64) -> Result<Failure> {
    let (_, answer) = worker.next_answering(&[execution]).await?;
    match answer {
        Heard::Ack(ack) => match ack.outcome {
            Some(Outcome {
                result: Some(outcome::Result::Failure(failure)),
            }) => Ok(failure),
            other => anyhow::bail!("it is no failure: {other:?}"),
        },
        other => anyhow::bail!("not recorded: {other:?}"),
    }
}

fn call(kind: Kind) -> Option<Call> {
    Some(Call {
        id: "0".to_owned(),
        kind: kind.into(),
        task: "llm/chat".to_owned(),
        ..Call::default()
    })
}

#[tokio::test]
async fn a_result_that_cannot_be_kept_is_a_failure_of_its_task() -> Result<()> {
    let (cluster, mut odd, mut execution, mut run) = with_a_run().await?;
    let large = format!("\"{}\"", "x".repeat(9 * 1024 * 1024));
    let half_of_a_pair = r#""\ud800""#.to_owned();
    let cases = [
        (large, "PAYLOAD_TOO_LARGE"),
        (deep(), "PAYLOAD_TOO_DEEP"),
        (half_of_a_pair, "NOT_SERIALIZABLE"),
    ];
    for (value, reason) in cases {
        odd.say(execution, Say::Record(record("0", &value))).await?;
        let failure = recorded(&mut odd, execution).await?;
        assert_eq!(
            (&*failure.reason, &*failure.call_id, &*failure.task),
            (reason, "0", "step")
        );
        odd.say(execution, Say::Finish(returned("1", 0))).await?;
        output(&cluster, &run).await?;
        assert!(matches!(odd.next_answering(&[]).await?.1, Heard::Fenced(_)));
        run = start(&cluster, "odd", "", serde_json::json!(1)).await?;
        (execution, _) = odd.started().await?;
    }
    odd.say(execution, Say::Finish(returned("1", 0))).await?;
    still_works(cluster).await
}

#[tokio::test]
async fn an_argument_of_the_service_that_cannot_be_kept_is_a_failure_of_its_call() -> Result<()> {
    let (cluster, mut odd, execution, run) = with_a_run().await?;
    let delegate = Delegate {
        call: call(Kind::Target),
        input: Some(payload::text(deep())),
        ..Delegate::default()
    };
    odd.say(execution, Say::Delegate(delegate)).await?;
    let failure = recorded(&mut odd, execution).await?;
    assert_eq!(
        (&*failure.reason, &*failure.task),
        ("PAYLOAD_TOO_DEEP", "llm/chat")
    );
    odd.say(execution, Say::Finish(returned("1", 0))).await?;
    output(&cluster, &run).await?;
    still_works(cluster).await
}

#[tokio::test]
async fn an_output_that_cannot_be_kept_fails_its_run() -> Result<()> {
    let output = |value: String| Say::Finish(returned(&value, 0));
    let saved = Say::Finish(Finish {
        end: Some(finish::End::Returned(Returned {
            value: Some(payload::text("1")),
            saved: Some(payload::text(deep())),
        })),
        replayed_count: 0,
    });
    let question = Say::Suspend(Suspend {
        questions: vec![Question {
            call: call(Kind::Interrupt),
            value: Some(payload::text(deep())),
            ..Question::default()
        }],
        ..Suspend::default()
    });
    let large = format!("\"{}\"", "x".repeat(9 * 1024 * 1024));
    let cases = [
        (output(deep()), "PAYLOAD_TOO_DEEP"),
        (output(large), "PAYLOAD_TOO_LARGE"),
        (saved, "PAYLOAD_TOO_DEEP"),
        (question, "PAYLOAD_TOO_DEEP"),
    ];
    let (cluster, mut odd, mut execution, mut run) = with_a_run().await?;
    for (last_word, reason) in cases {
        odd.say(execution, last_word).await?;
        let failed = rested(&cluster, &run).await?;
        assert_eq!(failed.state(), State::Failed, "{failed:?}");
        assert_eq!(failed.error.unwrap_or_default().reason, reason);
        assert!(matches!(odd.next_answering(&[]).await?.1, Heard::Fenced(_)));
        run = start(&cluster, "odd", "", serde_json::json!(1)).await?;
        (execution, _) = odd.started().await?;
    }
    odd.say(execution, Say::Finish(returned("1", 0))).await?;
    still_works(cluster).await
}

#[tokio::test]
async fn what_cannot_be_shown_is_left_out_of_streams_and_they_say_so() -> Result<()> {
    let (cluster, odd, execution, run) = with_a_run().await?;
    let mut client = cluster.workflow_client()?;
    let modes = [StreamMode::Tasks, StreamMode::Custom];
    let mut events = Events::join(&mut client, &run.id, &modes, 0).await?;
    let started = emit::Kind::TaskStarted(TaskStarted {
        attempt: 1,
        input: Some(payload::text(deep())),
    });
    for kind in [started, emit::Kind::Custom(payload::text(deep()))] {
        let emit = Emit {
            call_id: "0".to_owned(),
            task: "step".to_owned(),
            kind: Some(kind),
        };
        odd.say(execution, Say::Emit(emit)).await?;
        let warning = events
            .find(|event| match &event.kind {
                Some(event::Kind::Warning(warning)) => Some(warning.clone()),
                _ => None,
            })
            .await?;
        assert_eq!(
            (&*warning.reason, &*warning.task),
            ("PAYLOAD_TOO_DEEP", "step")
        );
    }
    let step = Record { ..record("0", "7") };
    odd.say(execution, Say::Record(step)).await?;
    odd.say(execution, Say::Finish(returned("8", 0))).await?;
    assert_eq!(output(&cluster, &run).await?, serde_json::json!(8));
    still_works(cluster).await
}
