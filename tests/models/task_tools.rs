//! Tasks of workers as tools of an agent.

use anyhow::{Context as _, Result};
use e2e::{
    Cluster, Events, WorkerProcess,
    cluster::WORKFLOW,
    events::attempt,
    payload,
    provider::{Provider, Reply},
    runs::{invoke, rested, start, succeeded},
    worker::{begins, ledger, let_go, offer},
};
use serde_json::{Value, json};
use weft_proto::workflow::v1::{ListTasksRequest, StreamMode, run::State, task_event::Step};

use crate::{
    agents::{agent, calls, questions, results, resume},
    support::{cluster, configure, output, spoken},
};

/// The agent's config: the task `step` of `example-worker` as its tool.
fn config() -> Value {
    json!({ "tools": ["task/step"] })
}

/// Both services, and a worker that offers `step`.
async fn with_worker(provider: &Provider) -> Result<(Cluster, WorkerProcess)> {
    let cluster = cluster(provider.url()).await?;
    let worker = worker(&cluster)?;
    offer(&mut cluster.workflow_client()?, "step", 1).await?;
    Ok((cluster, worker))
}

fn worker(cluster: &Cluster) -> Result<WorkerProcess> {
    WorkerProcess::start(&cluster.workflow()?.url(), cluster.folder(), &[])
}

#[tokio::test]
async fn tasks_that_workers_offer_are_tools_and_are_done_at_once() -> Result<()> {
    let provider = Provider::start([
        calls(&[
            ("step", json!({ "input": "hold-1" })),
            ("step", json!({ "input": "hold-2" })),
        ]),
        Reply::stream(spoken(&["Done."])),
    ])
    .await?;
    let (cluster, worker) = with_worker(&provider).await?;
    let mut client = cluster.workflow_client()?;
    let listed = client.list_tasks(ListTasksRequest {}).await?.into_inner();
    let [step] = listed.tasks.as_slice() else {
        panic!("one task: {listed:?}")
    };
    assert_eq!(step.description, "Executes a step of this name.");
    let schema = payload::read(step.input_schema.as_ref())?;
    assert_eq!(schema["type"], "string");
    assert_eq!(
        payload::read(step.output_schema.as_ref())?["type"],
        "integer"
    );

    let run = start(&mut client, agent("two steps", &config())).await?;
    for name in ["hold-1", "hold-2"] {
        begins(cluster.folder(), name, 1).await?;
    }
    // Both have begun before either ends.
    for name in ["hold-1", "hold-2"] {
        let_go(cluster.folder(), name)?;
    }
    let run = succeeded(&mut client, &run.id).await?;
    assert_eq!(output(&run)?["content"], "Done.");
    let process = worker.id()?.to_string();
    assert_eq!(
        results(&provider, 1),
        [(process.clone(), false), (process, false)]
    );
    let told = &provider.asked()[0].body["tools"][0];
    assert_eq!(
        (&told["name"], &told["description"]),
        (&json!("step"), &json!("Executes a step of this name."))
    );
    // What takes no object is given in one, as models want it.
    assert_eq!(
        told["input_schema"]["properties"]["input"]["type"],
        "string"
    );
    worker.terminate().await?;
    cluster.finish().await
}

#[tokio::test]
async fn arguments_that_do_not_fit_are_told_to_the_model_and_no_worker_sees_them() -> Result<()> {
    let provider = Provider::start([
        calls(&[
            ("step", json!({ "input": 7 })),
            ("step", json!({ "name": "a" })),
            ("step", json!({ "input": "right" })),
        ]),
        Reply::stream(spoken(&["Sorry."])),
    ])
    .await?;
    let (cluster, worker) = with_worker(&provider).await?;
    let run = invoke(
        &mut cluster.workflow_client()?,
        agent("three steps", &config()),
    )
    .await?;
    assert_eq!(run.state(), State::Succeeded, "{run:?}");
    let told = results(&provider, 1);
    let failed: Vec<_> = told.iter().map(|(_, failed)| *failed).collect();
    assert_eq!(failed, [true, true, false], "{told:?}");
    assert!(told[0].0.contains("/input"), "{told:?}");
    let begun = ledger(cluster.folder())?;
    let names: Vec<_> = begun.iter().map(|began| began.name.as_str()).collect();
    assert_eq!(names, ["right"]);
    worker.terminate().await?;
    cluster.finish().await
}

#[tokio::test]
async fn a_worker_that_is_killed_in_the_middle_of_a_tool_is_replaced_by_another_one() -> Result<()>
{
    let provider = Provider::start([
        calls(&[("step", json!({ "input": "hold" }))]),
        Reply::stream(spoken(&["Done."])),
    ])
    .await?;
    let (cluster, one) = with_worker(&provider).await?;
    let other = worker(&cluster)?;
    let mut client = cluster.workflow_client()?;
    offer(&mut client, "step", 2).await?;
    let modes = [StreamMode::Tasks];
    let events = Events::start(&mut client, agent("a step", &config()), &modes).await?;
    let first = begins(cluster.folder(), "hold", 1).await?;
    let (killed, survivor) = match one.id()? == first.process {
        true => (one, other),
        false => (other, one),
    };
    killed.kill().await?;
    let second = begins(cluster.folder(), "hold", 2).await?;
    assert_eq!((second.process, &second.key), (survivor.id()?, &first.key));
    let_go(cluster.folder(), "hold")?;

    let events = events.rest().await?;
    let of_task = |step| {
        let found = events
            .iter()
            .filter_map(|event| attempt(event, "task/step", step));
        found.collect::<Vec<_>>()
    };
    assert_eq!(of_task(Step::Retrying), [1], "{events:?}");
    assert_eq!(of_task(Step::Succeeded), [2], "{events:?}");
    let result = (survivor.id()?.to_string(), false);
    assert_eq!(results(&provider, 1), [result]);
    assert_eq!(provider.asked().len(), 2, "no answer was paid for twice");
    survivor.terminate().await?;
    cluster.finish().await
}

#[tokio::test]
async fn a_service_that_is_killed_in_the_middle_of_a_tool_goes_on_with_it() -> Result<()> {
    let provider = Provider::start([
        calls(&[("step", json!({ "input": "hold" }))]),
        Reply::stream(spoken(&["Done."])),
    ])
    .await?;
    let mut cluster = Cluster::new()?;
    configure(&mut cluster, provider.url());
    cluster.keep_workflow_port()?;
    cluster.start_workflow().await?;
    let worker = worker(&cluster)?;
    offer(&mut cluster.workflow_client()?, "step", 1).await?;
    let mut client = cluster.workflow_client()?;
    let run = start(&mut client, agent("a step", &config())).await?;
    let first = begins(cluster.folder(), "hold", 1).await?;
    cluster.take_workflow()?.kill().await?;
    cluster.start_workflow().await?;
    let second = begins(cluster.folder(), "hold", 2).await?;
    assert_eq!(first.key, second.key, "it is the same call");
    let_go(cluster.folder(), "hold")?;
    succeeded(&mut cluster.workflow_client()?, &run.id).await?;
    assert_eq!(provider.asked().len(), 2, "no answer was paid for twice");
    worker.terminate().await?;
    cluster.finish().await
}

#[tokio::test]
async fn a_person_approves_calls_of_tasks() -> Result<()> {
    let provider = Provider::start([
        calls(&[
            ("do_it", json!({ "input": "one" })),
            ("do_it", json!({ "input": "two" })),
        ]),
        Reply::stream(spoken(&["Done."])),
    ])
    .await?;
    let (cluster, worker) = with_worker(&provider).await?;
    let mut client = cluster.workflow_client()?;
    let tool = json!({
        "task": "step", "name": "do_it", "description": "Does it.", "approve": true,
    });
    let run = invoke(&mut client, agent("do it", &json!({ "tools": [tool] }))).await?;
    assert_eq!(run.state(), State::Interrupted, "{run:?}");
    let told = &provider.asked()[0].body["tools"][0];
    assert_eq!(told["description"], "Does it.");
    let asked = questions(&run)?;
    let answers = asked.iter().map(|(id, question)| {
        assert_eq!(question["tool"], "do_it");
        let answer = match question["arguments"]["input"].as_str() {
            Some("one") => json!({ "decision": "edit", "arguments": { "input": "edited" } }),
            _ => json!({ "decision": "refuse", "note": "not that" }),
        };
        (id.clone(), answer)
    });
    let run = resume(&mut client, &run, answers.collect()).await?;
    assert_eq!(run.state(), State::Succeeded, "{run:?}");
    let told = results(&provider, 1);
    assert!(
        !told[0].1 && told[1].1 && told[1].0.contains("not that"),
        "{told:?}"
    );
    let begun = ledger(cluster.folder())?;
    let names: Vec<_> = begun.iter().map(|began| began.name.as_str()).collect();
    assert_eq!(names, ["edited"]);
    worker.terminate().await?;
    cluster.finish().await
}

#[tokio::test]
async fn a_tool_that_no_worker_offers_is_waited_for_and_then_told() -> Result<()> {
    let provider = Provider::start([
        calls(&[("step", json!({ "input": "hold" }))]),
        calls(&[("step", json!({ "input": "again" }))]),
        Reply::stream(spoken(&["Sorry."])),
    ])
    .await?;
    let mut cluster = Cluster::new()?;
    configure(&mut cluster, provider.url());
    cluster.set(WORKFLOW, "WEFT_TASK_WAIT", "300ms");
    cluster.set(WORKFLOW, "WEFT_WORKER_GRACE", "100ms");
    cluster.start_workflow().await?;
    let mut client = cluster.workflow_client()?;
    // Before it is known what the tool is, there is nothing to tell a model.
    let run = invoke(&mut client, agent("a step", &config())).await?;
    assert_eq!(run.state(), State::Failed, "{run:?}");
    let error = run.error.unwrap_or_default();
    assert_eq!(error.reason, "TASK_NOT_HOSTED");
    assert!(error.message.contains("`step`"), "{error:?}");
    assert!(provider.asked().is_empty());

    let worker = worker(&cluster)?;
    offer(&mut client, "step", 1).await?;
    let run = start(&mut client, agent("a step", &config())).await?;
    begins(cluster.folder(), "hold", 1).await?;
    worker.kill().await?;
    let run = rested(&mut client, &run.id).await?;
    assert_eq!(run.state(), State::Succeeded, "{run:?}");
    for request in [1, 2] {
        let told = results(&provider, request);
        let (text, failed) = told.first().context("no result")?;
        assert!(failed & text.contains("TASK_NOT_HOSTED"), "{told:?}");
    }
    cluster.finish().await
}
