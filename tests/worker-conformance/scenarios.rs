//! What is checked.

use std::pin::Pin;

use anyhow::{Context as _, Result, bail, ensure};
use e2e::payload;
use serde_json::{Value, json};
use weft_proto::workflow::v1::{
    Cancel, Fenced, Finish, JournalChunk, Outcome, Retry, call::Kind,
    connect_request::Message as Heard, connect_response::Message as Say, finish::End, outcome,
};

use crate::{
    service::{Connection, Service, echoed, entry, start_run, value},
    tasks, told,
};

/// A check of one worker, in a process of its own.
pub(crate) type Scenario =
    for<'a> fn(&'a mut Service) -> Pin<Box<dyn Future<Output = Result<()>> + 'a>>;

/// The scenarios, each with what it asks of a worker as its name.
pub(crate) const SCENARIOS: &[(&str, Scenario)] = &[
    ("it says hello and waits for its welcome", |service| {
        Box::pin(hello(service))
    }),
    ("it records a result before code sees it", |service| {
        Box::pin(records(service))
    }),
    (
        "what the acknowledgement says is what code sees",
        |service| Box::pin(stored(service)),
    ),
    ("recorded calls are not executed", |service| {
        Box::pin(replays(service))
    }),
    ("a journal can come in pieces", |service| {
        Box::pin(chunks(service))
    }),
    ("what the last run saved goes on", |service| {
        Box::pin(previous(service))
    }),
    ("a task is executed again when it is to be", |service| {
        Box::pin(retries(service))
    }),
    ("a failure can be caught, and replays as one", |service| {
        Box::pin(catches(service))
    }),
    ("results are seen in the order of commits", |service| {
        Box::pin(commit_order(service))
    }),
    ("a replay sees results in the order of commits", |service| {
        Box::pin(replay_order(service))
    }),
    ("a question suspends the run until its answer", |service| {
        Box::pin(interrupts(service))
    }),
    ("calls fail after a cancel", |service| {
        Box::pin(cancels(service))
    }),
    ("another task in a call's place is a mismatch", |service| {
        Box::pin(renamed(service))
    }),
    (
        "recorded calls that are left over are a mismatch",
        |service| Box::pin(left_over(service)),
    ),
    ("a fenced execution is silent", |service| {
        Box::pin(fenced(service))
    }),
    ("pings are answered while tasks wait", |service| {
        Box::pin(pings(service))
    }),
    ("runs do not wait for each other", |service| {
        Box::pin(side_by_side(service))
    }),
    ("a message that arrives twice is heard once", |service| {
        Box::pin(heard_once(service))
    }),
    ("a session that is resumed goes on", |service| {
        Box::pin(resumes(service))
    }),
    (
        "a session that is not resumed forgets its runs",
        |service| Box::pin(begins_anew(service)),
    ),
    ("a task on offer is done and told", |service| {
        Box::pin(tasks::done(service))
    }),
    ("a task on offer says how it failed", |service| {
        Box::pin(tasks::fails(service))
    }),
    ("a task on offer that is fenced is silent", |service| {
        Box::pin(tasks::fenced(service))
    }),
    ("what came of a task on offer is told again", |service| {
        Box::pin(tasks::resumes(service))
    }),
];

fn number_of(outcome: &Outcome) -> Result<Value> {
    match &outcome.result {
        Some(outcome::Result::Value(value)) => payload::read(Some(value)),
        _ => bail!("not a result: {}", told::outcome_of(Some(outcome))),
    }
}

/// The end of an execution, and that it is confirmed.
async fn finished(worker: &mut Connection, execution: i64) -> Result<Finish> {
    let finish = match worker.next_of(execution).await? {
        Heard::Finish(finish) => finish,
        other => bail!("not a Finish: {}", told::message(Some(&other))),
    };
    worker
        .say(execution, Say::Fenced(Fenced::default()))
        .await?;
    Ok(finish)
}

/// The execution returns this, having made so many recorded calls again.
async fn returns(
    worker: &mut Connection,
    execution: i64,
    expected: Value,
    replayed: i32,
) -> Result<Option<Value>> {
    let finish = finished(worker, execution).await?;
    let Some(End::Returned(returned)) = finish.end else {
        bail!("it did not return: {}", told::end(finish.end.as_ref()));
    };
    let output = payload::read(returned.value.as_ref())?;
    ensure!(output == expected, "it returned {output}, not {expected}");
    ensure!(
        finish.replayed_count >= replayed,
        "replayed_count is {}, but {replayed} recorded calls were to be made again",
        finish.replayed_count
    );
    returned
        .saved
        .map(|saved| payload::read(Some(&saved)))
        .transpose()
}

async fn hello(service: &mut Service) -> Result<()> {
    let (mut worker, hello) = service.hello().await?;
    ensure!(hello.protocol == 1, "protocol is {}", hello.protocol);
    ensure!(hello.max_runs > 0, "it takes no runs");
    worker.silence().await?;
    worker.greet(false).await?;
    worker.start(1, &json!([]), vec![]).await?;
    returns(&mut worker, 1, json!([]), 0).await.map(drop)
}

async fn records(service: &mut Service) -> Result<()> {
    let mut worker = service.welcome().await?;
    worker
        .start(
            1,
            &json!([{"echo": {"a": [1, null]}}, {"echo": "b"}]),
            vec![],
        )
        .await?;
    let first = worker.record(1, "0", "echo").await?;
    ensure!(
        number_of(&first)? == json!({"a": [1, null]}),
        "it recorded {}",
        told::outcome_of(Some(&first))
    );
    worker
        .silence()
        .await
        .context("the first call is not acknowledged yet")?;
    worker.ack(1, "0", first).await?;
    worker.record_and_ack(1, "1", "echo").await?;
    returns(&mut worker, 1, json!([{"a": [1, null]}, "b"]), 0)
        .await
        .map(drop)
}

async fn stored(service: &mut Service) -> Result<()> {
    let mut worker = service.welcome().await?;
    worker.start(1, &json!([{"echo": "mine"}]), vec![]).await?;
    worker.record(1, "0", "echo").await?;
    worker.ack(1, "0", value(&json!("another's"))).await?;
    returns(&mut worker, 1, json!(["another's"]), 0)
        .await
        .map(drop)
}

async fn replays(service: &mut Service) -> Result<()> {
    let mut worker = service.welcome().await?;
    let journal = vec![echoed("0", &json!("recorded"))];
    worker
        .start(1, &json!([{"echo": "a"}, {"echo": "b"}]), journal)
        .await?;
    worker.record_and_ack(1, "1", "echo").await?;
    returns(&mut worker, 1, json!(["recorded", "b"]), 1)
        .await
        .map(drop)
}

async fn chunks(service: &mut Service) -> Result<()> {
    let mut worker = service.welcome().await?;
    let mut start = start_run(&json!([{"echo": 0}, {"echo": 1}, {"echo": 2}]), vec![]);
    start.journal = vec![echoed("0", &json!("x"))];
    start.journal_length = 3;
    worker.say(1, Say::StartRun(start)).await?;
    for (id, text) in [("1", "y"), ("2", "z")] {
        worker
            .silence()
            .await
            .context("the journal is not complete yet")?;
        let entries = vec![echoed(id, &json!(text))];
        worker
            .say(1, Say::JournalChunk(JournalChunk { entries }))
            .await?;
    }
    returns(&mut worker, 1, json!(["x", "y", "z"]), 3)
        .await
        .map(drop)
}

async fn previous(service: &mut Service) -> Result<()> {
    let mut worker = service.welcome().await?;
    let mut start = start_run(&json!([]), vec![]);
    start.previous = Some(payload::json(&json!(41)));
    worker.say(1, Say::StartRun(start)).await?;
    let saved = returns(&mut worker, 1, json!([]), 0).await?;
    ensure!(
        saved == Some(json!(41)),
        "it saved {saved:?}, not 41 and none"
    );
    Ok(())
}

async fn retries(service: &mut Service) -> Result<()> {
    let mut worker = service.welcome().await?;
    worker.start(1, &json!([{"retry": 3}]), vec![]).await?;
    for attempt in 1..=2 {
        let Heard::Record(record) = worker.next_of(1).await? else {
            bail!("attempt {attempt} is not recorded");
        };
        ensure!(
            record.attempt == attempt,
            "attempt {} is recorded, not {attempt}",
            record.attempt
        );
        let Some(outcome::Result::Failure(failure)) =
            record.outcome.and_then(|outcome| outcome.result)
        else {
            bail!("attempt {attempt} did not fail");
        };
        ensure!(
            failure.retryable && failure.reason == "UNSTEADY",
            "it failed with {}",
            told::failure(&failure)
        );
        let policy = record.retry.context("the Record has no retry policy")?;
        ensure!(
            policy.max_attempts == 5,
            "the policy is {}",
            told::policy(&policy)
        );
        let retry = Retry {
            call_id: "0".to_owned(),
            delay: Some(prost_types::Duration {
                seconds: 0,
                nanos: 10_000_000,
            }),
        };
        worker.say(1, Say::Retry(retry)).await?;
    }
    worker.record_and_ack(1, "0", "unsteady").await?;
    returns(&mut worker, 1, json!([3]), 0).await.map(drop)
}

async fn catches(service: &mut Service) -> Result<()> {
    let mut worker = service.welcome().await?;
    let steps = json!([{"catch": "NOT_TODAY"}]);
    worker.start(1, &steps, vec![]).await?;
    let refused = worker.record_and_ack(1, "0", "refuse").await?;
    let Some(outcome::Result::Failure(failure)) = &refused.result else {
        bail!("it did not fail");
    };
    ensure!(
        !failure.retryable && failure.reason == "NOT_TODAY",
        "it failed with {}",
        told::failure(failure)
    );
    returns(&mut worker, 1, json!(["NOT_TODAY"]), 0).await?;
    let mut recorded = entry("0", Kind::Task, "refuse", &json!(null));
    recorded.outcome = Some(refused);
    worker.start(2, &steps, vec![recorded]).await?;
    returns(&mut worker, 2, json!(["NOT_TODAY"]), 1)
        .await
        .map(drop)
}

async fn commit_order(service: &mut Service) -> Result<()> {
    let mut worker = service.welcome().await?;
    worker
        .start(1, &json!([{"both": ["a", "b"]}]), vec![])
        .await?;
    for _ in 0..2 {
        match worker.next_of(1).await? {
            Heard::Record(_) => {}
            other => bail!("not a Record: {}", told::message(Some(&other))),
        }
    }
    worker.ack(1, "1", value(&json!("b"))).await?;
    worker.ack(1, "0", value(&json!("a"))).await?;
    returns(&mut worker, 1, json!([["b", "a"]]), 0)
        .await
        .map(drop)
}

async fn replay_order(service: &mut Service) -> Result<()> {
    let mut worker = service.welcome().await?;
    let journal = vec![echoed("1", &json!("b")), echoed("0", &json!("a"))];
    worker
        .start(1, &json!([{"both": ["a", "b"]}]), journal)
        .await?;
    returns(&mut worker, 1, json!([["b", "a"]]), 2)
        .await
        .map(drop)
}

async fn interrupts(service: &mut Service) -> Result<()> {
    let mut worker = service.welcome().await?;
    let steps = json!([{"echo": "a"}, {"ask": "well?"}, {"echo": "b"}]);
    worker.start(1, &steps, vec![]).await?;
    worker.record_and_ack(1, "0", "echo").await?;
    let Heard::Suspend(suspend) = worker.next_of(1).await? else {
        bail!("it does not suspend");
    };
    let [question] = suspend.questions.as_slice() else {
        bail!(
            "there is one question, not {}",
            told::questions(&suspend.questions)
        );
    };
    let call = question.call.clone().unwrap_or_default();
    ensure!(
        call.id == "1" && call.kind() == Kind::Interrupt,
        "the question is {}",
        told::call(Some(&call))
    );
    let asked = payload::read(question.value.as_ref())?;
    ensure!(asked == json!("well?"), "it asks {asked}");
    worker.say(1, Say::Fenced(Fenced::default())).await?;
    let answer = entry("1", Kind::Interrupt, &call.task, &json!(null));
    worker
        .start(2, &steps, vec![echoed("0", &json!("a")), answer])
        .await?;
    worker.record_and_ack(2, "2", "echo").await?;
    returns(&mut worker, 2, json!(["a", null, "b"]), 2)
        .await
        .map(drop)
}

async fn cancels(service: &mut Service) -> Result<()> {
    let mut worker = service.welcome().await?;
    worker
        .start(1, &json!([{"echo": "a"}, {"echo": "b"}]), vec![])
        .await?;
    let first = worker.record(1, "0", "echo").await?;
    let reason = "enough".to_owned();
    worker.say(1, Say::Cancel(Cancel { reason })).await?;
    worker.ack(1, "0", first).await?;
    match finished(&mut worker, 1).await?.end {
        Some(End::Failed(_)) => Ok(()),
        other => bail!(
            "the second call should have failed: {}",
            told::end(other.as_ref())
        ),
    }
}

async fn is_mismatch(worker: &mut Connection, execution: i64, recorded: i32) -> Result<()> {
    let finish = finished(worker, execution).await?;
    match finish.end {
        Some(End::Mismatch(_)) => Ok(()),
        // The service sees to it by the count.
        Some(End::Returned(_)) if finish.replayed_count < recorded => Ok(()),
        other => bail!("no mismatch: {}", told::end(other.as_ref())),
    }
}

async fn renamed(service: &mut Service) -> Result<()> {
    let mut worker = service.welcome().await?;
    let journal = vec![entry("0", Kind::Task, "other", &json!(1))];
    worker.start(1, &json!([{"echo": 1}]), journal).await?;
    let finish = finished(&mut worker, 1).await?;
    let Some(End::Mismatch(failure)) = finish.end else {
        bail!("no mismatch: {}", told::end(finish.end.as_ref()));
    };
    for name in ["other", "echo"] {
        ensure!(
            failure.message.contains(name),
            "it does not name `{name}`: {}",
            failure.message
        );
    }
    Ok(())
}

async fn left_over(service: &mut Service) -> Result<()> {
    let mut worker = service.welcome().await?;
    let journal = vec![echoed("0", &json!(1)), echoed("1", &json!(2))];
    worker.start(1, &json!([{"echo": 1}]), journal).await?;
    is_mismatch(&mut worker, 1, 2).await
}

async fn fenced(service: &mut Service) -> Result<()> {
    let mut worker = service.welcome().await?;
    worker
        .start(1, &json!([{"echo": "a"}, {"echo": "b"}]), vec![])
        .await?;
    let first = worker.record(1, "0", "echo").await?;
    let reason = "for the scenario".to_owned();
    worker.say(1, Say::Fenced(Fenced { reason })).await?;
    worker.ack(1, "0", first).await?;
    worker.silence().await?;
    worker.start(2, &json!([{"echo": "c"}]), vec![]).await?;
    worker.record_and_ack(2, "0", "echo").await?;
    returns(&mut worker, 2, json!(["c"]), 0).await.map(drop)
}

async fn pings(service: &mut Service) -> Result<()> {
    let mut worker = service.welcome().await?;
    worker.start(1, &json!([{"echo": "a"}]), vec![]).await?;
    let first = worker.record(1, "0", "echo").await?;
    for _ in 0..3 {
        let at_work = worker.heartbeat().await?;
        ensure!(
            at_work == [1],
            "it works at execution 1, not at {at_work:?}"
        );
    }
    worker.ack(1, "0", first).await?;
    returns(&mut worker, 1, json!(["a"]), 0).await.map(drop)
}

async fn side_by_side(service: &mut Service) -> Result<()> {
    let mut worker = service.welcome().await?;
    worker.start(1, &json!([{"echo": "a"}]), vec![]).await?;
    let first = worker.record(1, "0", "echo").await?;
    worker.start(2, &json!([{"echo": "b"}]), vec![]).await?;
    worker.record_and_ack(2, "0", "echo").await?;
    returns(&mut worker, 2, json!(["b"]), 0).await?;
    worker.ack(1, "0", first).await?;
    returns(&mut worker, 1, json!(["a"]), 0).await.map(drop)
}

async fn heard_once(service: &mut Service) -> Result<()> {
    let (mut worker, hello) = service.hello().await?;
    worker.greet(false).await?;
    if hello.session_id.is_empty() {
        // Nothing is sent twice to a worker without a session.
        return Ok(());
    }
    let start = Say::StartRun(start_run(&json!([{"echo": "a"}]), vec![]));
    worker.say(1, start.clone()).await?;
    worker.say_again(1, start).await?;
    worker.record(1, "0", "echo").await?;
    worker.silence().await
}

async fn resumes(service: &mut Service) -> Result<()> {
    let (mut worker, hello) = service.hello().await?;
    worker.greet(false).await?;
    worker
        .start(1, &json!([{"echo": "a"}, {"echo": "b"}]), vec![])
        .await?;
    worker.record(1, "0", "echo").await?;
    // The Record gets lost, as far as the service says.
    let sent = worker.sent;
    drop(worker);
    let (mut worker, again) = service.hello().await?;
    ensure!(
        again.session_id == hello.session_id,
        "it is another session"
    );
    if hello.session_id.is_empty() {
        return Ok(());
    }
    ensure!(
        worker.hello_received == sent,
        "it received {}, not {sent}",
        worker.hello_received
    );
    worker.sent = sent;
    worker.greet(true).await?;
    worker
        .record_and_ack(1, "0", "echo")
        .await
        .context("it was not received")?;
    worker.record_and_ack(1, "1", "echo").await?;
    returns(&mut worker, 1, json!(["a", "b"]), 0)
        .await
        .map(drop)
}

async fn begins_anew(service: &mut Service) -> Result<()> {
    let mut worker = service.welcome().await?;
    worker.start(1, &json!([{"echo": "a"}]), vec![]).await?;
    worker.record(1, "0", "echo").await?;
    drop(worker);
    let mut worker = service.welcome().await?;
    worker.silence().await.context("its runs are others' now")?;
    worker.start(2, &json!([{"echo": "b"}]), vec![]).await?;
    worker.record_and_ack(2, "0", "echo").await?;
    returns(&mut worker, 2, json!(["b"]), 0).await.map(drop)
}
