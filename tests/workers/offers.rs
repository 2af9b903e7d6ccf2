//! Tasks on offer: what their workers and callers can rely on.

use anyhow::Result;
use e2e::{
    Cluster, Refusal, WorkerProcess,
    cable::Cable,
    payload,
    process::Signal,
    raw_worker::{RawWorker, about, hello, record, returned},
    worker::{begins, hosts, ledger, let_go, offer},
};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use weft_proto::workflow::v1::{
    Capacity, Done, Hello, HostedTask, Outcome, Run, RunTask, connect_request::Message as Say,
    connect_response::Message as Heard, outcome, run::State,
};
use weft_worker::{Context, Entrypoint, Failure, RemoteError, Target, Worker};

use crate::stage::{output, rested, service, start, still_works, with_a_run, worker};

/// A worker whose entrypoint `call` calls what it is told, and returns what came of it.
struct Caller {
    cluster: Cluster,
    serving: JoinSet<Result<(), RemoteError>>,
}

/// What the entrypoint is told: a task on offer, and its argument.
type Call = (String, Value);

async fn call(context: Context, (task, input): Call) -> Result<Value, Failure> {
    let target = Target::<Value, Value>::new(&format!("task/{task}"));
    match context.call_target(&target, &input).await {
        Ok(value) => Ok(value),
        Err(failure) => Ok(json!({"failed": failure.reason, "message": failure.message})),
    }
}

impl Caller {
    async fn of(cluster: Cluster) -> Result<Self> {
        let worker = Worker::new().entrypoint(Entrypoint::new("call", "1", call));
        let worker = worker.connect(cluster.workflow()?.url());
        let mut serving = JoinSet::new();
        serving.spawn(worker.serve(std::future::pending()));
        hosts(&mut cluster.workflow_client()?, "call", 1).await?;
        Ok(Self { cluster, serving })
    }

    async fn call(&self, task: &str, input: Value) -> Result<Run> {
        start(&self.cluster, "call", "", json!([task, input])).await
    }

    async fn came_of(&self, run: &Run) -> Result<Value> {
        output(&self.cluster, run).await
    }

    /// Ends all, of which nothing was logged as an error.
    async fn finish(mut self) -> Result<()> {
        self.serving.shutdown().await;
        self.cluster.finish().await
    }
}

/// A worker that offers `trip`, whose arguments fit the schema.
fn offering(schema: &Value) -> Hello {
    Hello {
        tasks: vec![HostedTask {
            name: "trip".to_owned(),
            input_schema: Some(payload::json(schema)),
            ..HostedTask::default()
        }],
        max_tasks: 2,
        entrypoints: Vec::new(),
        ..hello("")
    }
}

async fn handed(worker: &mut RawWorker) -> Result<(i64, RunTask)> {
    match worker.next_answering(&[]).await? {
        (execution, Heard::RunTask(run)) => Ok((execution, run)),
        other => anyhow::bail!("no task: {other:?}"),
    }
}

fn done(text: &str) -> Say {
    Say::Done(Done {
        outcome: Some(Outcome {
            result: Some(outcome::Result::Value(payload::text(text))),
        }),
        ..Done::default()
    })
}

#[tokio::test]
async fn an_argument_must_fit_the_schema_of_its_task_and_then_is_handed_over() -> Result<()> {
    let caller = Caller::of(service().await?).await?;
    let channel = caller.cluster.workflow()?.channel()?;
    let schema = json!({
        "type": "object", "required": ["city"], "properties": {"days": {"type": "integer"}},
    });
    let mut worker = RawWorker::connect(channel, offering(&schema)).await?;
    let run = caller.call("trip", json!({"days": "two"})).await?;
    let came = caller.came_of(&run).await?;
    assert_eq!(came["failed"], "INVALID_ARGUMENT");
    let message = came["message"].as_str().unwrap_or_default();
    for named in ["`input`", "\"city\"", "`input.days`"] {
        assert!(message.contains(named), "{message}");
    }
    assert!(!message.contains("two"), "{message}");

    let trip = json!({"city": "Rome"});
    let run = caller.call("trip", trip.clone()).await?;
    let (execution, handed) = handed(&mut worker).await?;
    assert_eq!(payload::read(handed.input.as_ref())?, trip);
    let expected = RunTask {
        run_id: run.id.clone(),
        thread_id: run.thread_id.clone(),
        call_id: "0".to_owned(),
        task: "trip".to_owned(),
        attempt: 1,
        input: handed.input.clone(),
        config: Some(payload::text("{}")),
        timeout: None,
    };
    assert_eq!(handed, expected);
    worker.say(execution, done("\"there\"")).await?;
    assert_eq!(caller.came_of(&run).await?, json!("there"));
    let (fenced, confirmed) = worker.next_answering(&[]).await?;
    assert!(
        fenced == execution && matches!(&confirmed, Heard::Fenced(why) if why.reason.is_empty()),
        "{confirmed:?}"
    );
    caller.finish().await
}

#[tokio::test]
async fn a_worker_whose_tasks_make_no_sense_is_sent_away() -> Result<()> {
    let cluster = service().await?;
    let channel = cluster.workflow()?.channel()?;
    let broken = offering(&json!({"type": "journey"}));
    let nothing = Hello {
        entrypoints: Vec::new(),
        ..hello("")
    };
    for (hello, field) in [
        (broken, "hello.tasks[0].input_schema"),
        (nothing, "hello.entrypoints"),
    ] {
        let first = about(0, Say::Hello(hello));
        let status = RawWorker::greet(channel.clone(), first).await.unwrap_err();
        Refusal::from_status(status)?.names(&[field])?;
    }
    still_works(cluster).await
}

#[tokio::test]
async fn a_task_whose_worker_makes_no_sense_of_it_is_done_by_another_one() -> Result<()> {
    let caller = Caller::of(service().await?).await?;
    let channel = caller.cluster.workflow()?.channel()?;
    for (lie, named) in [
        (Say::Record(record("0", "1")), "`execution_id`"),
        (Say::Finish(returned("1", 0)), "`execution_id`"),
        (Say::Done(Done::default()), "`outcome`"),
        (done("{\"a\":"), "`outcome.value`"),
    ] {
        let mut liar = RawWorker::connect(channel.clone(), offering(&json!(true))).await?;
        let run = caller.call("trip", json!({})).await?;
        let (execution, _) = handed(&mut liar).await?;
        liar.say(0, Say::Capacity(Capacity::default())).await?;
        liar.say(execution, lie).await?;
        match liar.next_answering(&[]).await? {
            (fenced, Heard::Fenced(why)) => {
                assert_eq!(fenced, execution);
                assert!(why.reason.contains(named), "{}", why.reason);
            }
            other => panic!("{named}: not fenced: {other:?}"),
        }
        let mut honest = RawWorker::connect(channel.clone(), offering(&json!(true))).await?;
        let (execution, again) = handed(&mut honest).await?;
        assert_eq!((&*again.run_id, again.attempt), (&*run.id, 2));
        honest.say(execution, done("7")).await?;
        assert_eq!(caller.came_of(&run).await?, json!(7));
    }
    caller.finish().await
}

#[tokio::test]
async fn a_task_that_ten_workers_make_no_sense_of_fails_and_says_so() -> Result<()> {
    let caller = Caller::of(service().await?).await?;
    let channel = caller.cluster.workflow()?.channel()?;
    let mut liar = RawWorker::connect(channel, offering(&json!(true))).await?;
    let run = caller.call("trip", json!({})).await?;
    for attempt in 1..=10 {
        let (execution, again) = loop {
            match liar.next_answering(&[]).await? {
                (execution, Heard::RunTask(run)) => break (execution, run),
                (_, Heard::Fenced(_)) => {}
                other => panic!("no task: {other:?}"),
            }
        };
        assert_eq!(again.attempt, attempt);
        liar.say(execution, done("nonsense")).await?;
    }
    let came = caller.came_of(&run).await?;
    assert_eq!(came["failed"], "WORKER_LOST");
    let message = came["message"].as_str().unwrap_or_default();
    for named in ["10 attempts", "`raw` was lost", "`outcome.value`"] {
        assert!(message.contains(named), "{message}");
    }
    caller.finish().await
}

#[tokio::test]
async fn what_is_said_of_a_task_about_a_run_pauses_the_run() -> Result<()> {
    let (cluster, odd, execution, run) = with_a_run().await?;
    odd.say(execution, done("1")).await?;
    let run = rested(&cluster, &run).await?;
    assert_eq!(run.state(), State::Paused, "{run:?}");
    assert_eq!(run.error.unwrap_or_default().reason, "PROTOCOL_VIOLATION");
    still_works(cluster).await
}

#[tokio::test]
async fn a_task_that_its_worker_forgot_is_done_by_another_one() -> Result<()> {
    let caller = Caller::of(service().await?).await?;
    let channel = caller.cluster.workflow()?.channel()?;
    let mut forgets = RawWorker::connect(channel.clone(), offering(&json!(true))).await?;
    let run = caller.call("trip", json!({})).await?;
    let (execution, _) = handed(&mut forgets).await?;
    forgets.say(0, Say::Capacity(Capacity::default())).await?;
    // Twice asked, it does not know of it.
    match forgets.next_answering(&[]).await? {
        (fenced, Heard::Fenced(why)) => {
            assert_eq!(fenced, execution);
            assert!(why.reason.contains("heartbeats"), "{}", why.reason);
        }
        other => panic!("not fenced: {other:?}"),
    }
    let mut other = RawWorker::connect(channel, offering(&json!(true))).await?;
    let (again, handed) = handed(&mut other).await?;
    assert_eq!((handed.call_id.as_str(), handed.attempt), ("0", 2));
    other.say(again, done("2")).await?;
    assert_eq!(caller.came_of(&run).await?, json!(2));
    caller.finish().await
}

#[tokio::test]
async fn a_worker_that_stood_still_for_too_long_is_not_heard_of_its_task() -> Result<()> {
    let caller = Caller::of(service().await?).await?;
    let cluster = &caller.cluster;
    let (one, two) = (worker(cluster, &[])?, worker(cluster, &[])?);
    let mut client = cluster.workflow_client()?;
    offer(&mut client, "step", 2).await?;
    let run = caller.call("step", json!("hold")).await?;
    let first = begins(cluster.folder(), "hold", 1).await?;
    let (zombie, other) = match one.id()? == first.process {
        true => (one, two),
        false => (two, one),
    };
    zombie.signal(Signal::Stop).await?;
    let second = begins(cluster.folder(), "hold", 2).await?;
    assert_eq!((second.process, &second.key), (other.id()?, &first.key));
    offer(&mut client, "step", 1).await?;
    let_go(cluster.folder(), "hold")?;
    // It finishes the task, and would tell of it.
    zombie.signal(Signal::Continue).await?;
    assert_eq!(caller.came_of(&run).await?, json!(other.id()?));
    offer(&mut client, "step", 2).await?;
    other.terminate().await?;
    let run = caller.call("step", json!("more")).await?;
    assert_eq!(caller.came_of(&run).await?, json!(zombie.id()?));
    zombie.terminate().await?;
    caller.finish().await
}

#[tokio::test]
async fn a_worker_that_comes_back_soon_goes_on_with_its_task() -> Result<()> {
    let caller = Caller::of(service().await?).await?;
    let cluster = &caller.cluster;
    let cable = Cable::to(cluster.workflow()?.grpc()).await?;
    let only = WorkerProcess::start(cable.url(), cluster.folder(), &[])?;
    offer(&mut cluster.workflow_client()?, "step", 1).await?;
    let run = caller.call("step", json!("hold")).await?;
    begins(cluster.folder(), "hold", 1).await?;
    cable.sever();
    let_go(cluster.folder(), "hold")?;
    assert_eq!(caller.came_of(&run).await?, json!(only.id()?));
    let begun = ledger(cluster.folder())?;
    assert_eq!(begun.len(), 1, "it did not run twice: {begun:?}");
    only.terminate().await?;
    caller.finish().await
}

#[tokio::test]
async fn a_worker_that_is_asked_to_end_finishes_its_task() -> Result<()> {
    let caller = Caller::of(service().await?).await?;
    let cluster = &caller.cluster;
    let leaving = worker(cluster, &[])?;
    let mut client = cluster.workflow_client()?;
    offer(&mut client, "step", 1).await?;
    let run = caller.call("step", json!("hold")).await?;
    begins(cluster.folder(), "hold", 1).await?;
    let staying = worker(cluster, &[])?;
    offer(&mut client, "step", 2).await?;
    let id = leaving.id()?;
    leaving.signal(Signal::Terminate).await?;
    let_go(cluster.folder(), "hold")?;
    assert_eq!(caller.came_of(&run).await?, json!(id));
    leaving.terminate().await?;
    let run = caller.call("step", json!("next")).await?;
    assert_eq!(caller.came_of(&run).await?, json!(staying.id()?));
    let begun = ledger(cluster.folder())?;
    assert_eq!(begun.len(), 2, "none ran twice: {begun:?}");
    staying.terminate().await?;
    caller.finish().await
}
