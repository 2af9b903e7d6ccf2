//! Workers that make no sense: the service stays up, others are not disturbed, and who asks is told.

use anyhow::Result;
use e2e::{
    payload,
    raw_worker::{RawWorker, about, hello, record, returned},
};
use serde_json::json;
use tonic::Code;
use weft_proto::workflow::v1::{
    Call, Capacity, ConnectRequest, Delegate, Hello, Lookup, Question, Record, Suspend, call::Kind,
    connect_request::Message as Say, connect_response::Message as Heard, outcome, run::State,
};

use crate::stage::{output, rested, service, start, still_works, with_a_run};

#[tokio::test]
async fn a_message_about_a_run_that_makes_no_sense_pauses_it_and_says_why() -> Result<()> {
    let without_outcome = Record {
        outcome: None,
        ..record("0", "1")
    };
    let without_kind = Record {
        call: Some(Call {
            id: "0".to_owned(),
            ..Call::default()
        }),
        ..record("0", "1")
    };
    let waits_for_nothing = Suspend::default();
    let cases = [
        (Say::Record(record("0", "{\"a\":")), "`outcome.value`"),
        (Say::Record(record("0", "")), "`outcome.value`"),
        (Say::Record(record("first", "1")), "`call.id`"),
        (Say::Record(without_outcome), "`outcome`"),
        (Say::Record(without_kind), "`call.kind`"),
        (Say::Suspend(waits_for_nothing), "`suspend`"),
        (Say::Finish(returned("nothing", 0)), "`returned.value`"),
        (Say::Finish(returned("1", 1)), "`replayed_count`"),
        (Say::Finish(returned("1", -1)), "`replayed_count`"),
    ];
    let cluster = service().await?;
    let mut odd = RawWorker::connect(cluster.workflow()?.channel()?, hello("odd")).await?;
    for (lie, named) in cases {
        let run = start(&cluster, "odd", "", json!(1)).await?;
        let (execution, _) = odd.started().await?;
        odd.say(execution, lie).await?;
        let run = rested(&cluster, &run).await?;
        assert_eq!(run.state(), State::Paused, "{named}: {run:?}");
        let error = run.error.unwrap_or_default();
        assert_eq!(error.reason, "PROTOCOL_VIOLATION");
        assert!(error.message.contains(named), "{}", error.message);
        match odd.next_answering(&[]).await? {
            (fenced, Heard::Fenced(why)) => {
                assert_eq!(fenced, execution);
                assert!(why.reason.contains(named), "{}", why.reason);
            }
            other => panic!("{named}: not fenced: {other:?}"),
        }
    }
    still_works(cluster).await
}

#[tokio::test]
async fn what_is_said_of_the_executions_of_others_is_not_heard() -> Result<()> {
    let (cluster, mut odd, execution, run) = with_a_run().await?;
    let mut liar = RawWorker::connect(cluster.workflow()?.channel()?, hello("liar")).await?;
    for forged in [execution, execution + 1, i64::MAX] {
        liar.say(forged, Say::Record(record("0", "666"))).await?;
        liar.say(forged, Say::Finish(returned("666", 0))).await?;
    }
    // The liar was heard to its end before the other one goes on.
    let heard = start(&cluster, "liar", "", json!(1)).await?;
    let (own, _) = liar.started().await?;
    liar.say(own, Say::Finish(returned("1", 0))).await?;
    rested(&cluster, &heard).await?;

    odd.say(execution, Say::Record(record("0", "7"))).await?;
    let (_, answer) = odd.next_answering(&[execution]).await?;
    let Heard::Ack(ack) = answer else {
        panic!("not recorded: {answer:?}")
    };
    assert_eq!(
        ack.outcome.and_then(|outcome| outcome.result),
        Some(outcome::Result::Value(payload::text("7")))
    );
    odd.say(execution, Say::Finish(returned("8", 0))).await?;
    assert_eq!(output(&cluster, &run).await?, json!(8));
    still_works(cluster).await
}

#[tokio::test]
async fn words_after_the_last_one_are_not_heard_and_the_first_result_stands() -> Result<()> {
    let (cluster, odd, execution, run) = with_a_run().await?;
    odd.say(execution, Say::Record(record("1", "1"))).await?;
    odd.say(execution, Say::Record(record("0", "2"))).await?;
    odd.say(execution, Say::Record(record("0", "3"))).await?;
    odd.say(execution, Say::Finish(returned("4", 0))).await?;
    odd.say(execution, Say::Finish(returned("5", 0))).await?;
    odd.say(execution, Say::Record(record("2", "6"))).await?;
    assert_eq!(output(&cluster, &run).await?, json!(4));
    let recorded = crate::stage::recorded(&cluster, &run).await?;
    assert_eq!(recorded, ["1", "0"]);
    still_works(cluster).await
}

#[tokio::test]
async fn another_call_under_the_id_of_a_recorded_one_pauses_the_run() -> Result<()> {
    let call = |kind: Kind, task: &str| {
        Some(Call {
            id: "0".to_owned(),
            kind: kind.into(),
            task: task.to_owned(),
            ..Call::default()
        })
    };
    let record_of = |call| Record {
        call,
        ..record("0", "2")
    };
    let cases = [
        Say::Record(record_of(call(Kind::Task, "other"))),
        Say::Record(record_of(call(Kind::Side, "step"))),
        Say::Delegate(Delegate {
            call: call(Kind::Target, "llm/chat"),
            input: Some(payload::text("1")),
            ..Delegate::default()
        }),
        Say::Lookup(Lookup {
            call: call(Kind::Task, "other"),
            key: "k".to_owned(),
        }),
    ];
    let cluster = service().await?;
    let mut odd = RawWorker::connect(cluster.workflow()?.channel()?, hello("odd")).await?;
    for other in cases {
        let run = start(&cluster, "odd", "", json!(1)).await?;
        let (execution, _) = odd.started().await?;
        odd.say(execution, Say::Record(record("0", "1"))).await?;
        odd.say(execution, other).await?;
        let run = rested(&cluster, &run).await?;
        assert_eq!(run.state(), State::Paused, "{run:?}");
        let error = run.error.unwrap_or_default();
        assert_eq!(error.reason, "PROTOCOL_VIOLATION");
        assert!(error.message.contains("recorded as `step`"), "{error:?}");
        while !matches!(odd.next_answering(&[]).await?.1, Heard::Fenced(_)) {}
    }
    still_works(cluster).await
}

#[tokio::test]
async fn each_record_of_a_call_is_answered_by_the_first_outcome() -> Result<()> {
    let (cluster, mut odd, execution, run) = with_a_run().await?;
    // Back to back, so that some come while the first one is being committed.
    for value in 1..=20 {
        let again = record("0", &value.to_string());
        odd.say(execution, Say::Record(again)).await?;
    }
    for _ in 1..=20 {
        let (_, answer) = odd.next_answering(&[execution]).await?;
        let Heard::Ack(ack) = answer else {
            panic!("not recorded: {answer:?}")
        };
        let outcome = ack.outcome.and_then(|outcome| outcome.result);
        assert_eq!(outcome, Some(outcome::Result::Value(payload::text("1"))));
    }
    odd.say(execution, Say::Finish(returned("8", 0))).await?;
    assert_eq!(output(&cluster, &run).await?, json!(8));
    still_works(cluster).await
}

#[tokio::test]
async fn a_message_about_no_execution_that_must_be_about_one_ends_the_stream() -> Result<()> {
    let cluster = service().await?;
    let channel = cluster.workflow()?.channel()?;
    for none in [0, -1, i64::MIN] {
        let mut odd = RawWorker::connect(channel.clone(), hello("odd")).await?;
        odd.say(none, Say::Record(record("0", "1"))).await?;
        let status = odd.ended().await?;
        assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
        assert!(status.message().contains("`execution_id`"), "{status:?}");
    }
    still_works(cluster).await
}

#[tokio::test]
async fn questions_that_cannot_be_told_apart_pause_the_run() -> Result<()> {
    let (cluster, mut odd, execution, run) = with_a_run().await?;
    let question = || Question {
        call: Some(Call {
            id: "0".to_owned(),
            kind: Kind::Interrupt.into(),
            task: "interrupt".to_owned(),
            ..Call::default()
        }),
        value: Some(payload::text("1")),
        ..Question::default()
    };
    let asks = |questions| {
        Say::Suspend(Suspend {
            questions,
            ..Suspend::default()
        })
    };
    odd.say(execution, asks(vec![question(), question()]))
        .await?;
    let twice = rested(&cluster, &run).await?;
    let (fenced, _) = odd.next_answering(&[]).await?;
    assert_eq!(fenced, execution);

    let run = start(&cluster, "odd", "", json!(1)).await?;
    let (execution, _) = odd.started().await?;
    odd.say(execution, Say::Record(record("0", "1"))).await?;
    odd.say(execution, asks(vec![question()])).await?;
    let recorded = rested(&cluster, &run).await?;
    for run in [twice, recorded] {
        assert_eq!(run.state(), State::Paused, "{run:?}");
        let error = run.error.unwrap_or_default();
        assert_eq!(error.reason, "PROTOCOL_VIOLATION");
        assert!(error.message.contains("`0`"), "{}", error.message);
    }
    still_works(cluster).await
}

#[tokio::test]
async fn recorded_calls_that_are_not_made_again_pause_the_run() -> Result<()> {
    let (cluster, mut odd, execution, run) = with_a_run().await?;
    odd.say(execution, Say::Record(record("0", "1"))).await?;
    odd.next_answering(&[execution]).await?;
    drop(odd);
    let mut forgetful = RawWorker::connect(cluster.workflow()?.channel()?, hello("odd")).await?;
    let (execution, start) = forgetful.started().await?;
    assert_eq!(start.journal.len(), 1);
    forgetful
        .say(execution, Say::Finish(returned("2", 0)))
        .await?;
    let run = rested(&cluster, &run).await?;
    assert_eq!(run.state(), State::Paused);
    let error = run.error.unwrap_or_default();
    assert_eq!(error.reason, "NON_DETERMINISTIC");
    assert!(
        error.message.starts_with("1 of 1 recorded call(s)"),
        "{}",
        error.message
    );
    still_works(cluster).await
}

#[tokio::test]
async fn a_worker_that_answers_no_ping_is_given_up_and_told_so() -> Result<()> {
    let (cluster, mut silent, _, run) = with_a_run().await?;
    let status = silent.ended().await?;
    assert_eq!(status.code(), Code::Aborted, "{status:?}");
    assert!(status.message().contains("it was silent for"), "{status:?}");
    let mut next = RawWorker::connect(cluster.workflow()?.channel()?, hello("odd")).await?;
    let (execution, start) = next.started().await?;
    assert_eq!(start.run_id, run.id);
    next.say(execution, Say::Finish(returned("1", 0))).await?;
    output(&cluster, &run).await?;
    still_works(cluster).await
}

#[tokio::test]
async fn a_run_that_its_worker_forgot_goes_to_another_one() -> Result<()> {
    let (cluster, mut forgetful, execution, run) = with_a_run().await?;
    // It answers pings, and does not name the execution.
    let (fenced, why) = forgetful.next_answering(&[]).await?;
    assert_eq!(fenced, execution);
    assert!(matches!(why, Heard::Fenced(_)), "{why:?}");
    // It is the only worker, so that it is given the run once more.
    let (execution, start) = forgetful.started().await?;
    assert_eq!((start.run_id.as_str(), start.attempt), (run.id.as_str(), 2));
    forgetful
        .say(execution, Say::Finish(returned("1", 0)))
        .await?;
    output(&cluster, &run).await?;
    still_works(cluster).await
}

#[tokio::test]
async fn a_message_of_a_session_that_is_numbered_wrong_ends_its_stream() -> Result<()> {
    let cluster = service().await?;
    let channel = cluster.workflow()?.channel()?;
    let capacity = Say::Capacity(Capacity {
        max_runs: 1,
        max_tasks: 0,
    });
    // One before it is missing; what it says to have received was never sent.
    let cases = [
        (2, 0, "`sequence`"),
        (-1, 0, "`sequence`"),
        (1, 7, "`received`"),
        (1, -1, "`received`"),
    ];
    for (sequence, received, named) in cases {
        let session = Hello {
            session_id: format!("{sequence} {received}"),
            ..hello("odd")
        };
        let mut odd = RawWorker::connect(channel.clone(), session).await?;
        let wrong = ConnectRequest {
            sequence,
            received,
            ..about(0, capacity.clone())
        };
        odd.requests.send(wrong).await?;
        let status = odd.ended().await?;
        assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
        assert!(status.message().contains(named), "{status:?}");
    }
    still_works(cluster).await
}

#[tokio::test]
async fn a_run_that_loses_every_worker_it_is_given_to_is_paused_and_says_so() -> Result<()> {
    let cluster = service().await?;
    let channel = cluster.workflow()?.channel()?;
    let mut crashing = RawWorker::connect(channel.clone(), hello("odd")).await?;
    let run = start(&cluster, "odd", "", json!(1)).await?;
    for attempt in 1..=10 {
        let (_, start) = crashing.started().await?;
        assert_eq!(start.attempt, attempt);
        drop(crashing);
        crashing = RawWorker::connect(channel.clone(), hello("odd")).await?;
    }
    let run = rested(&cluster, &run).await?;
    assert_eq!(run.state(), State::Paused);
    let error = run.error.unwrap_or_default();
    assert_eq!(error.reason, "WORKER_LOST");
    assert!(
        error.message.contains("10 workers in a row"),
        "{}",
        error.message
    );
    still_works(cluster).await
}

#[tokio::test]
async fn who_does_not_say_hello_as_it_is_said_is_sent_away_with_all_reasons() -> Result<()> {
    let cluster = service().await?;
    let channel = cluster.workflow()?.channel()?;
    let no_hello = about(0, Say::Heartbeat(Default::default()));
    let nothing = ConnectRequest::default();
    for first in [no_hello, nothing] {
        let status = RawWorker::greet(channel.clone(), first).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(status.message().contains("`hello`"), "{status:?}");
    }
    let wrong = Hello {
        protocol: 7,
        max_runs: -1,
        ..hello("chat")
    };
    let status = RawWorker::greet(channel, about(0, Say::Hello(wrong)))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    for field in [
        "hello.protocol",
        "hello.max_runs",
        "hello.entrypoints[0].name",
    ] {
        assert!(status.message().contains(field), "{status:?}");
    }
    still_works(cluster).await
}
