//! Following runs: every durable event once and in order, whoever reads and whenever.

use anyhow::{Context as _, Result};
use e2e::{
    Cluster, Events, Refusal, chat,
    conversation::{INTRODUCTION, answer},
    events::{DURABLE, is_durable, recorded},
    gate::{Gate, Hold},
    payload,
    runs::{Workflows, invoke, start, succeeded},
};
use futures::future::try_join_all;
use tonic::Code;
use weft_proto::workflow::v1::{Event, StreamMode, event::Kind, run::State};

/// All durable events of a run that rests.
async fn durable_events(client: &mut Workflows, run_id: &str) -> Result<Vec<Event>> {
    let events = Events::join(client, run_id, &DURABLE, 0)
        .await?
        .rest()
        .await?;
    assert!(events.iter().all(is_durable), "{events:?}");
    assert!(
        events.is_sorted_by(|one, next| one.sequence < next.sequence),
        "{events:?}"
    );
    Ok(events)
}

#[tokio::test]
async fn a_client_that_goes_away_does_not_stop_its_run() -> Result<()> {
    let (cluster, gate) = Gate::in_cluster(Cluster::new()?).await?;
    gate.hold(Hold::Before("PutItem"));
    let mut leaving = cluster.workflow_client()?;
    let mut events =
        Events::start(&mut leaving, INTRODUCTION.to_run(), &[StreamMode::Updates]).await?;
    let first = events.next().await?.context("no event")?;
    drop(events);
    drop(leaving);

    gate.open();
    let run = succeeded(&mut cluster.workflow_client()?, &first.run_id).await?;
    assert!(answer(Some(&run))?.contains("Bob"), "{run:?}");
    cluster.finish().await
}

#[tokio::test]
async fn a_run_tells_of_each_step_in_order() -> Result<()> {
    let cluster = Cluster::start().await?;
    let mut client = cluster.workflow_client()?;
    let run = invoke(&mut client, INTRODUCTION.to_run()).await?;
    let events = durable_events(&mut client, &run.id).await?;

    assert_eq!(
        recorded(&events),
        ["recall", "remember", "call_model", "chat"]
    );
    let states: Vec<State> = events
        .iter()
        .filter_map(|event| match &event.kind {
            Some(Kind::Run(run)) => Some(run.state()),
            _ => None,
        })
        .collect();
    assert_eq!(states, [State::Queued, State::Running, State::Succeeded]);
    let checkpoint = events.iter().find_map(|event| match &event.kind {
        Some(Kind::Checkpoint(checkpoint)) => Some(checkpoint.id.as_str()),
        _ => None,
    });
    assert_eq!(checkpoint, Some(run.checkpoint_id.as_str()));
    let value = events.iter().find_map(|event| match &event.kind {
        Some(Kind::Value(value)) => Some(value),
        _ => None,
    });
    assert_eq!(value, run.output.as_ref());
    for event in &events {
        assert_eq!(event.run_id, run.id);
        assert!(
            event.time.is_some() && DURABLE.contains(&event.mode()),
            "{event:?}"
        );
    }
    assert_eq!(
        events.last().map(|last| last.sequence),
        Some(run.last_sequence)
    );
    cluster.finish().await
}

#[tokio::test]
async fn a_stream_resumed_after_any_event_gets_each_later_one_once() -> Result<()> {
    let cluster = Cluster::start().await?;
    let mut client = cluster.workflow_client()?;
    let run = invoke(&mut client, INTRODUCTION.to_run()).await?;
    let events = durable_events(&mut client, &run.id).await?;
    for (index, event) in events.iter().enumerate() {
        let resumed = Events::join(&mut client, &run.id, &DURABLE, event.sequence).await?;
        assert_eq!(
            resumed.rest().await?,
            events[index + 1..],
            "after {}",
            event.sequence
        );
    }
    cluster.finish().await
}

#[tokio::test]
async fn a_stream_left_and_resumed_while_the_run_goes_on_misses_nothing() -> Result<()> {
    let (cluster, gate) = Gate::in_cluster(Cluster::new()?).await?;
    gate.hold(Hold::Before("PutItem"));
    let mut client = cluster.workflow_client()?;
    let run_id = start(&mut client, INTRODUCTION.to_run()).await?.id;
    let mut seen = Vec::new();
    // The run stands still before its second result: left after each event up to the first.
    loop {
        let place = seen.last().map_or(0, |event: &Event| event.sequence);
        let mut events = Events::join(&mut client, &run_id, &DURABLE, place).await?;
        seen.push(events.next().await?.context("the stream ended")?);
        if !recorded(&seen).is_empty() {
            break;
        }
    }
    let place = seen.last().map_or(0, |event| event.sequence);
    let events = Events::join(&mut client, &run_id, &DURABLE, place).await?;
    gate.open();
    seen.extend(events.rest().await?);

    assert!(
        seen.is_sorted_by(|one, next| one.sequence < next.sequence),
        "{seen:?}"
    );
    seen.retain(is_durable);
    assert_eq!(seen, durable_events(&mut client, &run_id).await?);
    cluster.finish().await
}

#[tokio::test]
async fn a_stream_resumed_after_a_kill_misses_nothing() -> Result<()> {
    let (mut cluster, gate) = Gate::in_cluster(Cluster::new()?).await?;
    gate.hold(Hold::Before("PutItem"));
    let mut client = cluster.workflow_client()?;
    let mut events = Events::start(&mut client, INTRODUCTION.to_run(), &DURABLE).await?;
    let mut seen = Vec::new();
    while recorded(&seen).is_empty() {
        seen.push(events.next().await?.context("the stream ended")?);
    }
    gate.sees("PutItem", 1).await?;
    cluster.take_workflow()?.kill().await?;
    // What was on its way to the client is read; then the stream is broken, not ended.
    loop {
        match events.next().await {
            Ok(Some(event)) => seen.push(event),
            Ok(None) => panic!("a broken stream looks like one that ended well"),
            Err(_) => break,
        }
    }

    gate.open();
    cluster.start_workflow().await?;
    let mut client = cluster.workflow_client()?;
    let last = seen.last().context("nothing was seen")?;
    let (run_id, place) = (last.run_id.clone(), last.sequence);
    seen.extend(
        Events::join(&mut client, &run_id, &DURABLE, place)
            .await?
            .rest()
            .await?,
    );
    assert!(
        seen.is_sorted_by(|one, next| one.sequence < next.sequence),
        "{seen:?}"
    );
    assert_eq!(
        recorded(&seen),
        ["recall", "remember", "call_model", "chat"]
    );
    cluster.finish().await
}

#[tokio::test]
async fn all_readers_of_a_run_see_the_same() -> Result<()> {
    const READERS: usize = 50;
    let (cluster, gate) = Gate::in_cluster(Cluster::new()?).await?;
    gate.hold(Hold::Before("SearchItems"));
    let mut client = cluster.workflow_client()?;
    let run_id = start(&mut client, INTRODUCTION.to_run()).await?.id;
    let streams = try_join_all((0..READERS).map(|_| {
        let (mut client, run_id) = (client.clone(), &run_id);
        async move { Events::join(&mut client, run_id, &DURABLE, 0).await }
    }))
    .await?;
    gate.open();
    for mut seen in try_join_all(streams.into_iter().map(Events::rest)).await? {
        seen.retain(is_durable);
        assert_eq!(seen, durable_events(&mut client, &run_id).await?);
    }
    cluster.finish().await
}

#[tokio::test]
async fn a_stream_from_beyond_the_end_of_a_run_is_empty() -> Result<()> {
    let cluster = Cluster::start().await?;
    let mut client = cluster.workflow_client()?;
    let run = invoke(&mut client, INTRODUCTION.to_run()).await?;
    for place in [run.last_sequence, run.last_sequence + 1, i64::MAX] {
        let events = Events::join(&mut client, &run.id, &DURABLE, place).await?;
        assert_eq!(events.rest().await?, [], "after {place}");
    }
    cluster.finish().await
}

/// LangGraph streams no tokens of models that are called within tasks (#6373).
#[tokio::test]
async fn pieces_of_a_message_make_up_the_answer() -> Result<()> {
    let cluster = Cluster::start().await?;
    let mut client = cluster.workflow_client()?;
    let modes = [StreamMode::Messages, StreamMode::Values];
    let events = Events::start(&mut client, chat("t", "1", "hello"), &modes)
        .await?
        .rest()
        .await?;
    // Pieces that are there at once come as one.
    let (mut written, mut value) = (String::new(), None);
    for event in &events {
        match &event.kind {
            Some(Kind::Message(piece)) => {
                assert_eq!((piece.task.as_str(), piece.reset), ("call_model", false));
                written.push_str(&piece.text);
            }
            Some(Kind::Value(output)) => value = Some(payload::read(Some(output))?),
            other => panic!("not asked for: {other:?}"),
        }
    }
    assert_eq!(value.context("no value")?["content"], written);
    cluster.finish().await
}

#[tokio::test]
async fn a_stream_that_is_cut_by_its_deadline_says_so() -> Result<()> {
    let (cluster, gate) = Gate::in_cluster(Cluster::new()?).await?;
    gate.hold(Hold::Before("SearchItems"));
    let mut client = cluster.workflow_client()?;
    let run_id = start(&mut client, INTRODUCTION.to_run()).await?.id;
    let deadline = std::time::Duration::from_millis(500);
    let mut events = Events::join_for(&mut client, &run_id, &DURABLE, deadline).await?;
    let error = loop {
        match events.next().await {
            Ok(event) => assert!(event.is_some(), "the stream ended before the run"),
            Err(error) => break error,
        }
    };
    let status = error.downcast_ref::<tonic::Status>().context("no status")?;
    Refusal::from_status(status.clone())?.is(Code::DeadlineExceeded, "DEADLINE_EXCEEDED")?;
    gate.open();
    succeeded(&mut client, &run_id).await?;
    cluster.finish().await
}
