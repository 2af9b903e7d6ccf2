//! Those who read the events of a run: many of them, and slow ones.

use futures::future::join_all;
use weft_proto::workflow::v1::{
    Event, StreamMode, StreamRunRequest, StreamRunResponse, event::Kind, run::State,
    stream_run_request::Target,
};

use crate::server::{Serving, start, state};

/// Readers of one run, and how many of them share a connection.
const READERS: usize = 1000;
const OF_A_CONNECTION: usize = 200;

fn join(run_id: &str, modes: &[StreamMode]) -> StreamRunRequest {
    StreamRunRequest {
        target: Some(Target::RunId(run_id.to_owned())),
        modes: modes.iter().map(|mode| (*mode).into()).collect(),
        ..StreamRunRequest::default()
    }
}

async fn rest(mut stream: tonic::Streaming<StreamRunResponse>) -> Vec<Event> {
    let mut events = Vec::new();
    while let Some(response) = stream.message().await.unwrap() {
        events.push(response.event.unwrap());
    }
    events
}

#[tokio::test]
async fn a_thousand_readers_of_one_run_all_get_each_event_once() {
    let mut serving = Serving::start().await;
    let asks = serving.invoke(start("ask", "t", "null")).await;
    let behind = serving.begin(start("save", "t", "1")).await;
    let modes = [StreamMode::Updates, StreamMode::States];
    let mut streams = Vec::new();
    for _ in 0..READERS / OF_A_CONNECTION {
        let mut client = serving.connect().await;
        for _ in 0..OF_A_CONNECTION {
            let stream = client.stream_run(join(&behind.id, &modes)).await.unwrap();
            streams.push(stream.into_inner());
        }
    }
    let cancel = weft_proto::workflow::v1::CancelRunRequest {
        run_id: asks.id,
        ..Default::default()
    };
    serving.runs.cancel_run(cancel).await.unwrap();
    for events in join_all(streams.into_iter().map(rest)).await {
        assert!(events.is_sorted_by(|a, b| a.sequence < b.sequence));
        let states: Vec<State> = events
            .iter()
            .filter_map(|event| match &event.kind {
                Some(Kind::Run(run)) => Some(state(run)),
                _ => None,
            })
            .collect();
        assert_eq!(states, [State::Queued, State::Running, State::Succeeded]);
        let outputs = events.iter();
        let outputs = outputs.filter(|event| matches!(event.kind, Some(Kind::Update(_))));
        assert_eq!(outputs.count(), 1);
    }
    serving.stop().await;
}

#[tokio::test]
async fn a_reader_that_stands_still_holds_nobody_up_and_learns_what_it_missed() {
    let mut serving = Serving::start().await;
    // 8 MiB of passing events, of which 4 MiB at most are kept.
    let modes = [StreamMode::Custom, StreamMode::Values, StreamMode::States];
    let request = StreamRunRequest {
        target: Some(Target::Start(start("chatter", "t", "8192"))),
        modes: modes.iter().map(|mode| (*mode).into()).collect(),
        ..StreamRunRequest::default()
    };
    let mut slow = serving.runs.stream_run(request).await.unwrap().into_inner();
    let first = slow.message().await.unwrap().unwrap().event.unwrap();
    let done = serving.rest(&first.run_id).await;
    assert_eq!(state(&done), State::Succeeded, "nobody read meanwhile");
    let events = rest(slow).await;
    let dropped: i64 = events
        .iter()
        .filter_map(|event| match &event.kind {
            Some(Kind::Gap(gap)) => Some(gap.dropped_count),
            _ => None,
        })
        .sum();
    let shown = events.iter();
    let shown = shown.filter(|event| matches!(event.kind, Some(Kind::Custom(_))));
    let shown = i64::try_from(shown.count()).unwrap();
    assert!(dropped > 1000, "{dropped} were dropped, {shown} shown");
    assert!(events.is_sorted_by(|a, b| a.sequence <= b.sequence));
    let kept = events.iter();
    let kept = kept.filter(|event| matches!(event.kind, Some(Kind::Value(_))));
    assert_eq!(kept.count(), 1, "the output is recorded, and not missed");
    serving.stop().await;
}
