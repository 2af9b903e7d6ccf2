//! Many answers that come at once: nobody misses a piece of theirs.

use std::collections::HashSet;

use anyhow::{Context as _, Result};
use e2e::{
    Cluster, Events, chat,
    cluster::WORKFLOW,
    payload,
    provider::{Provider, Reply},
};
use serde_json::json;
use tokio::task::JoinSet;
use weft_proto::workflow::v1::{StartRunRequest, StreamMode, event::Kind};

use crate::support::spoken;

const STREAMS: usize = 100;
/// So many that what all of them say together finds room nowhere.
const PIECES: usize = 500;

#[tokio::test]
async fn readers_of_a_hundred_answers_that_come_at_once_get_all_of_theirs() -> Result<()> {
    let answer = |number: usize| {
        let pieces: Vec<_> = (0..PIECES)
            .map(|piece| format!("{number}.{piece} "))
            .collect();
        spoken(&pieces.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let provider = Provider::start((0..STREAMS).map(|number| Reply::stream(answer(number)).late()));
    let provider = provider.await?;
    let mut cluster = Cluster::new()?;
    let base_url = format!("{}/v1", provider.url());
    for (name, value) in [
        ("WEFT_PROVIDERS__P__API", "messages"),
        ("WEFT_PROVIDERS__P__BASE_URL", &base_url),
        ("WEFT_PROVIDERS__P__MAX_CONCURRENT", "1000"),
        ("WEFT_DEFAULT_MODEL", "p:m"),
    ] {
        cluster.set(WORKFLOW, name, value);
    }
    cluster.start_workflow().await?;
    let client = cluster.workflow_client()?;
    let mut readers = JoinSet::new();
    for number in 0..STREAMS {
        let mut client = client.clone();
        readers.spawn(async move {
            let config = json!({ "user_id": "1", "memory": { "mode": "off" } });
            let run = StartRunRequest {
                config: Some(payload::json(&config)),
                ..chat(&number.to_string(), "1", "hello")
            };
            let modes = [StreamMode::Messages, StreamMode::Values];
            let events = Events::start(&mut client, run, &modes)
                .await?
                .rest()
                .await?;
            let (mut read, mut recorded) = (String::new(), None);
            for event in events {
                match event.kind.context("an event of no kind")? {
                    Kind::Message(piece) => read.push_str(&piece.text),
                    Kind::Value(value) => recorded = Some(payload::read(Some(&value))?),
                    other => anyhow::bail!("{other:?}"),
                }
            }
            let recorded = recorded.context("the run failed")?["content"].take();
            anyhow::Ok((read, recorded))
        });
    }
    provider.sees(STREAMS).await?;
    provider.release();
    let mut answers = HashSet::new();
    while let Some(reader) = readers.join_next().await {
        let (read, recorded) = reader??;
        assert_eq!(recorded, json!(read));
        answers.insert(read);
    }
    assert_eq!(answers.len(), STREAMS);
    cluster.finish().await
}
