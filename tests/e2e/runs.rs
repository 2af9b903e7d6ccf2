//! Starting runs, waiting for them, listing them.

use std::{collections::HashMap, time::Duration};

use anyhow::{Context as _, Result};
use e2e::{
    Cluster, Refusal, chat,
    cluster::WORKFLOW,
    conversation::{INTRODUCTION, answer},
    gate::{Gate, Hold},
    payload,
    runs::{invoke, start, succeeded},
};
use futures::future::try_join_all;
use tonic::{Code, Request};
use uuid::Uuid;
use weft_proto::{
    common::v1::PayloadForm,
    workflow::v1::{
        Concurrency, DeleteThreadRequest, Durability, GetRunRequest, InvokeRunRequest,
        ListEntrypointsRequest, ListRunsRequest, StartRunRequest, WaitRunRequest, run::State,
    },
};

#[tokio::test]
async fn built_in_entrypoints_are_listed_with_their_versions_and_what_they_take() -> Result<()> {
    let cluster = Cluster::start().await?;
    let mut client = cluster.workflow_client()?;
    let listed = client
        .list_entrypoints(ListEntrypointsRequest {})
        .await?
        .into_inner();
    let names: Vec<&str> = listed
        .entrypoints
        .iter()
        .map(|each| each.name.as_str())
        .collect();
    assert_eq!(names, ["agent", "chat"]);
    for each in &listed.entrypoints {
        assert_eq!((each.version.as_str(), each.worker_count), ("1", 1));
        assert!(!each.description.is_empty());
        let schema = payload::read(each.input_schema.as_ref())?;
        assert!(schema.to_string().contains("content"), "{schema}");
    }
    cluster.finish().await
}

#[tokio::test]
async fn a_started_run_is_returned_at_once_and_read_back_as_it_ends() -> Result<()> {
    let (cluster, gate) = Gate::in_cluster(Cluster::new()?).await?;
    gate.hold(Hold::Before("SearchItems"));
    let mut client = cluster.workflow_client()?;
    let labels = HashMap::from([("team".to_owned(), "blue".to_owned())]);
    let request = StartRunRequest {
        thread_id: String::new(),
        labels: labels.clone(),
        ..INTRODUCTION.to_run()
    };
    let started = start(&mut client, request).await?;
    assert!(
        matches!(started.state(), State::Queued | State::Running),
        "{started:?}"
    );
    assert_eq!(
        (started.entrypoint.as_str(), started.version.as_str()),
        ("chat", "1")
    );
    assert_eq!(Uuid::parse_str(&started.id)?.get_version_num(), 7);
    assert_eq!(Uuid::parse_str(&started.thread_id)?.get_version_num(), 7);
    assert!(started.create_time.is_some() && started.end_time.is_none());

    gate.open();
    let ended = succeeded(&mut client, &started.id).await?;
    let request = GetRunRequest {
        run_id: started.id.clone(),
        payload_form: PayloadForm::Text.into(),
    };
    assert_eq!(
        client.get_run(request).await?.into_inner().run.as_ref(),
        Some(&ended)
    );
    assert_eq!(
        (&ended.thread_id, &ended.labels),
        (&started.thread_id, &labels)
    );
    assert!(ended.start_time.is_some() && ended.end_time.is_some());
    assert!(!ended.checkpoint_id.is_empty() && ended.error.is_none());
    assert_eq!(payload::read(ended.config.as_ref())?["user_id"], "1");
    cluster.finish().await
}

#[tokio::test]
async fn a_call_that_waits_returns_the_run_as_it_is_at_its_deadline() -> Result<()> {
    let (cluster, gate) = Gate::in_cluster(Cluster::new()?).await?;
    gate.hold(Hold::Before("SearchItems"));
    let mut client = cluster.workflow_client()?;

    let mut request = Request::new(InvokeRunRequest {
        start: Some(INTRODUCTION.to_run()),
        ..InvokeRunRequest::default()
    });
    request.set_timeout(Duration::from_secs(2));
    let run = client
        .invoke_run(request)
        .await?
        .into_inner()
        .run
        .context("no run")?;
    assert_eq!(run.state(), State::Running);

    let wait = WaitRunRequest {
        run_id: run.id.clone(),
        ..WaitRunRequest::default()
    };
    let mut request = Request::new(wait);
    request.set_timeout(Duration::from_secs(2));
    let waited = client
        .wait_run(request)
        .await?
        .into_inner()
        .run
        .context("no run")?;
    assert_eq!((waited.state(), &waited.id), (State::Running, &run.id));

    gate.open();
    succeeded(&mut client, &run.id).await?;
    cluster.finish().await
}

#[tokio::test]
async fn repeats_of_a_start_return_the_first_run() -> Result<()> {
    let cluster = Cluster::start().await?;
    let client = cluster.workflow_client()?;
    let run = StartRunRequest {
        request_id: "0198a2c4-1111-7000-8000-000000000002".to_owned(),
        ..INTRODUCTION.to_run()
    };
    let runs = try_join_all((0..8).map(|_| {
        let (mut client, run) = (client.clone(), run.clone());
        async move { invoke(&mut client, run).await }
    }))
    .await?;
    assert!(runs.iter().all(|run| run.id == runs[0].id), "{runs:?}");

    let mut client = client;
    let listed = client
        .list_runs(ListRunsRequest::default())
        .await?
        .into_inner();
    assert_eq!(listed.runs.len(), 1);
    // What it means counts, not how it is written.
    let written = StartRunRequest {
        input: Some(payload::text(format!(
            r#"[ {{ "role": "user", "content": "{}" }} ]"#,
            INTRODUCTION.text
        ))),
        concurrency: Concurrency::Enqueue.into(),
        durability: Durability::Sync.into(),
        ..run.clone()
    };
    let again = invoke(&mut client, written).await?;
    assert_eq!(again.id, runs[0].id);
    for other in [
        StartRunRequest {
            thread_id: "other".into(),
            ..run.clone()
        },
        StartRunRequest {
            input: Some(payload::text(r#""hello""#)),
            ..run.clone()
        },
    ] {
        let refusal = Refusal::of(client.start_run(other).await)?;
        let refusal = refusal.is(Code::InvalidArgument, "REQUEST_ID_REUSED")?;
        assert_eq!(refusal.fields(), ["request_id"]);
        assert!(refusal.message().contains(&runs[0].id), "{refusal:?}");
    }

    let delete = DeleteThreadRequest {
        thread_id: run.thread_id.clone(),
    };
    cluster.thread_client()?.delete_thread(delete).await?;
    let refusal = Refusal::of(client.start_run(run).await)?;
    refusal.is(Code::FailedPrecondition, "RUN_DELETED")?;
    cluster.finish().await
}

#[tokio::test]
async fn runs_are_listed_newest_first_by_pages_and_filters() -> Result<()> {
    let cluster = Cluster::start().await?;
    let mut client = cluster.workflow_client()?;
    let mut ids = Vec::new();
    for number in 0..7 {
        let label = if number % 2 == 0 { "even" } else { "odd" };
        let run = StartRunRequest {
            labels: HashMap::from([("kind".to_owned(), label.to_owned())]),
            ..chat(&format!("thread-{number}"), "1", "hello")
        };
        ids.push(invoke(&mut client, run).await?.id);
    }
    ids.reverse();

    let (mut listed, mut page_token, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let request = ListRunsRequest {
            page_size: 3,
            page_token,
            ..Default::default()
        };
        let page = client.list_runs(request).await?.into_inner();
        assert!(
            page.runs
                .iter()
                .all(|run| run.input.is_none() && run.output.is_none())
        );
        listed.extend(page.runs.into_iter().map(|run| run.id));
        pages += 1;
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!((listed, pages), (ids, 3));

    let kind = |kind: &str| HashMap::from([("kind".to_owned(), kind.to_owned())]);
    let succeeded = vec![State::Succeeded.into()];
    for (filter, expected) in [
        (
            ListRunsRequest {
                thread_id: "thread-3".into(),
                ..Default::default()
            },
            1,
        ),
        (
            ListRunsRequest {
                thread_id: "nobody".into(),
                ..Default::default()
            },
            0,
        ),
        (
            ListRunsRequest {
                entrypoint: "chat".into(),
                ..Default::default()
            },
            7,
        ),
        (
            ListRunsRequest {
                entrypoint: "other".into(),
                ..Default::default()
            },
            0,
        ),
        (
            ListRunsRequest {
                states: succeeded,
                ..Default::default()
            },
            7,
        ),
        (
            ListRunsRequest {
                states: vec![State::Failed.into()],
                ..Default::default()
            },
            0,
        ),
        (
            ListRunsRequest {
                labels: kind("even"),
                ..Default::default()
            },
            4,
        ),
        (
            ListRunsRequest {
                labels: kind("other"),
                ..Default::default()
            },
            0,
        ),
    ] {
        let page = client.list_runs(filter.clone()).await?.into_inner();
        assert_eq!(page.runs.len(), expected, "{filter:?}");
    }
    cluster.finish().await
}

#[tokio::test]
async fn a_busy_thread_refuses_a_run_that_asks_for_it() -> Result<()> {
    let (cluster, gate) = Gate::in_cluster(Cluster::new()?).await?;
    gate.hold(Hold::Before("SearchItems"));
    let mut client = cluster.workflow_client()?;
    let first = start(&mut client, INTRODUCTION.to_run()).await?;
    let reject = StartRunRequest {
        concurrency: Concurrency::Reject.into(),
        ..INTRODUCTION.to_run()
    };
    Refusal::of(client.start_run(reject.clone()).await)?.is(Code::Aborted, "THREAD_BUSY")?;

    gate.open();
    succeeded(&mut client, &first.id).await?;
    answer(Some(&invoke(&mut client, reject).await?))?;
    cluster.finish().await
}

#[tokio::test]
async fn a_run_can_branch_from_an_earlier_checkpoint() -> Result<()> {
    let cluster = Cluster::start().await?;
    let mut client = cluster.workflow_client()?;
    let first = invoke(&mut client, chat("t", "1", "hello")).await?;
    invoke(&mut client, chat("t", "1", "my name is Bob")).await?;
    let ask = chat("t", "1", "what is my name?");
    let branch = StartRunRequest {
        checkpoint_id: first.checkpoint_id,
        ..ask.clone()
    };
    let from_first = answer(Some(&invoke(&mut client, branch).await?))?;
    assert!(!from_first.contains("Bob"), "{from_first}");
    cluster.finish().await
}

#[tokio::test]
async fn every_durability_is_served() -> Result<()> {
    let cluster = Cluster::start().await?;
    let mut client = cluster.workflow_client()?;
    for durability in [Durability::Sync, Durability::Async, Durability::Exit] {
        let run = StartRunRequest {
            durability: durability.into(),
            ..chat(durability.as_str_name(), "1", "hello")
        };
        answer(Some(&invoke(&mut client, run).await?))?;
    }
    cluster.finish().await
}

#[tokio::test]
async fn runs_beyond_the_room_for_them_wait_and_are_all_finished() -> Result<()> {
    let mut cluster = Cluster::new()?;
    cluster.set(WORKFLOW, "WEFT_MAX_RUNS", "2");
    let (cluster, gate) = Gate::in_cluster(cluster).await?;
    gate.hold(Hold::Before("SearchItems"));
    let mut client = cluster.workflow_client()?;
    let mut ids = Vec::new();
    for number in 0..6 {
        ids.push(
            start(&mut client, chat(&format!("thread-{number}"), "1", "hello"))
                .await?
                .id,
        );
    }
    gate.sees("SearchItems", 2).await?;
    let queued = ListRunsRequest {
        states: vec![State::Queued.into()],
        ..Default::default()
    };
    let waiting = client.list_runs(queued).await?.into_inner().runs;
    assert_eq!(waiting.len(), 4, "{waiting:?}");
    assert_eq!(gate.arrived("SearchItems"), 2);
    gate.open();
    for id in &ids {
        succeeded(&mut client, id).await?;
    }
    cluster.finish().await
}
