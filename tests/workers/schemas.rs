//! Inputs that do not fit the schema of an entrypoint that a worker hosts.

use anyhow::Result;
use e2e::{
    Cluster, Refusal, payload,
    raw_worker::{RawWorker, hello, returned},
    refusal::refused,
};
use serde_json::{Value, json};
use tonic::{Response, Status};
use weft_proto::workflow::v1::{
    Hello, HostedEntrypoint, InvokeRunRequest, ListEntrypointsRequest, StartRunRequest,
    StartRunResponse, StreamRunRequest, connect_request::Message as Say, run::State,
    stream_run_request::Target,
};

use crate::stage::{output, service, start};

/// A worker that hosts `trip` in this version, with the schema of its input.
fn hosting(version: &str, schema: &Value) -> Hello {
    Hello {
        entrypoints: vec![HostedEntrypoint {
            name: "trip".to_owned(),
            version: version.to_owned(),
            input_schema: Some(payload::json(schema)),
            ..HostedEntrypoint::default()
        }],
        ..hello("trip")
    }
}

fn trip(version: &str, input: &Value) -> StartRunRequest {
    StartRunRequest {
        entrypoint: "trip".to_owned(),
        version: version.to_owned(),
        input: Some(payload::json(input)),
        ..StartRunRequest::default()
    }
}

async fn start_trip(
    cluster: &Cluster,
    version: &str,
    input: &Value,
) -> Result<Result<Response<StartRunResponse>, Status>> {
    let mut client = cluster.workflow_client()?;
    Ok(client.start_run(trip(version, input)).await)
}

#[tokio::test]
async fn an_input_that_does_not_fit_is_refused_with_each_place_and_rule() -> Result<()> {
    let cluster = service().await?;
    let mut client = cluster.workflow_client()?;
    let schema = json!({
        "type": "object",
        "required": ["city"],
        "properties": {
            "city": {"type": "string"},
            "stops": {"type": "array", "items": {"properties": {"days": {"type": "integer"}}}}
        }
    });
    let channel = cluster.workflow()?.channel()?;
    let mut worker = RawWorker::connect(channel, hosting("1", &schema)).await?;
    let listed = client.list_entrypoints(ListEntrypointsRequest {}).await?;
    let listed = listed.into_inner().entrypoints;
    let shown = listed.iter().find(|each| each.name == "trip");
    let shown = shown.and_then(|trip| trip.input_schema.as_ref());
    assert_eq!(payload::read(shown)?, schema);

    let wrong = json!({"stops": [{"days": 1}, {"days": "two"}]});
    let refusal = Refusal::of(start_trip(&cluster, "", &wrong).await?)?;
    let refusal = refusal.names(&["input", "input.stops[1].days"])?;
    for named in [
        "`/required`",
        "\"city\"",
        "`/properties/stops/items/properties/days/type`",
    ] {
        assert!(refusal.message().contains(named), "{}", refusal.message());
    }
    assert!(!refusal.message().contains("two"), "{}", refusal.message());
    refused(
        "none at all",
        start_trip(&cluster, "", &json!(null)).await?,
        &["input"],
    )?;
    let invoke = InvokeRunRequest {
        start: Some(trip("", &wrong)),
        ..InvokeRunRequest::default()
    };
    let places = ["start.input", "start.input.stops[1].days"];
    refused("invoked", client.invoke_run(invoke).await, &places)?;
    let stream = StreamRunRequest {
        target: Some(Target::Start(trip("", &wrong))),
        ..StreamRunRequest::default()
    };
    refused("streamed", client.stream_run(stream).await, &places)?;

    let run = start(
        &cluster,
        "trip",
        "",
        json!({"city": "Rome", "stops": [{"days": 2}]}),
    )
    .await?;
    let (execution, _) = worker.started().await?;
    worker.say(execution, Say::Finish(returned("1", 0))).await?;
    assert_eq!(output(&cluster, &run).await?, json!(1));
    cluster.finish().await
}

#[tokio::test]
async fn an_input_must_fit_the_schema_of_the_version_that_its_run_takes() -> Result<()> {
    let cluster = service().await?;
    let channel = cluster.workflow()?.channel()?;
    let of_words = hosting("1", &json!({"type": "string"}));
    let of_numbers = hosting("2", &json!({"type": "integer"}));
    let _words = RawWorker::connect(channel.clone(), of_words).await?;
    let _numbers = RawWorker::connect(channel, of_numbers).await?;
    for (version, fits, fits_not) in [
        ("1", json!("one"), json!(1)),
        ("2", json!(1), json!("one")),
        ("", json!(1), json!("one")),
    ] {
        assert!(
            start_trip(&cluster, version, &fits).await?.is_ok(),
            "{version}"
        );
        refused(
            version,
            start_trip(&cluster, version, &fits_not).await?,
            &["input"],
        )?;
    }
    cluster.finish().await
}

#[tokio::test]
async fn an_entrypoint_is_known_after_a_restart_before_any_worker_is_back() -> Result<()> {
    let mut cluster = service().await?;
    let of_words = || hosting("1", &json!({"type": "string"}));
    let channel = cluster.workflow()?.channel()?;
    let mut worker = RawWorker::connect(channel, of_words()).await?;
    let run = start(&cluster, "trip", "", json!("Rome")).await?;
    let (execution, _) = worker.started().await?;
    worker.say(execution, Say::Finish(returned("1", 0))).await?;
    output(&cluster, &run).await?;
    drop(worker);

    cluster.take_workflow()?.kill().await?;
    cluster.start_workflow().await?;
    let mut client = cluster.workflow_client()?;
    let listed = client.list_entrypoints(ListEntrypointsRequest {}).await?;
    let listed = listed.into_inner().entrypoints;
    assert!(listed.iter().any(|each| each.name == "trip"), "{listed:?}");
    refused(
        "a number",
        start_trip(&cluster, "", &json!(1)).await?,
        &["input"],
    )?;
    let waits = start(&cluster, "trip", "", json!("Oslo")).await?;
    assert_eq!(waits.state(), State::Queued);
    assert!(waits.state_reason.contains("trip@1"), "{waits:?}");

    let channel = cluster.workflow()?.channel()?;
    let mut worker = RawWorker::connect(channel, of_words()).await?;
    let (execution, _) = worker.started().await?;
    worker.say(execution, Say::Finish(returned("2", 0))).await?;
    assert_eq!(output(&cluster, &waits).await?, json!(2));
    cluster.finish().await
}

#[tokio::test]
async fn a_worker_whose_schema_is_none_is_sent_away_with_its_name() -> Result<()> {
    let cluster = service().await?;
    let channel = cluster.workflow()?.channel()?;
    for broken in [
        json!({"properties": {"days": {"type": "number of days"}}}),
        json!({"$ref": "https://example.com/elsewhere.json"}),
        json!("integer"),
    ] {
        let mut hello = hosting("1", &json!(true));
        hello.entrypoints.push(HostedEntrypoint {
            name: "other".to_owned(),
            ..hosting("1", &broken).entrypoints.swap_remove(0)
        });
        let first = e2e::raw_worker::about(0, Say::Hello(hello));
        let status = RawWorker::greet(channel.clone(), first).await.unwrap_err();
        let refusal = Refusal::from_status(status)?;
        let refusal = refusal.names(&["hello.entrypoints[1].input_schema"])?;
        assert!(
            refusal.message().contains("`other`"),
            "{}",
            refusal.message()
        );
    }
    cluster.finish().await
}
