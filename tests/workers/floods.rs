//! Workers that say too much, or hear nothing.

use anyhow::{Result, bail};
use e2e::raw_worker::{RawWorker, hello, record, returned};
use tonic::Code;
use weft_proto::workflow::v1::{
    StartRun, connect_request::Message as Say, connect_response::Message as Heard,
};

use crate::stage::{output, still_works, with_a_run};

#[tokio::test]
async fn a_flood_of_heartbeats_ends_the_stream() -> Result<()> {
    let (cluster, mut flood, _, _) = with_a_run().await?;
    for _ in 0..10_000 {
        if flood
            .say(0, Say::Heartbeat(Default::default()))
            .await
            .is_err()
        {
            break;
        }
    }
    let status = flood.ended().await?;
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("flood"), "{status:?}");
    still_works(cluster).await
}

/// The run that is handed over next, with its whole journal.
async fn takes_over(next: &mut RawWorker) -> Result<(i64, StartRun)> {
    let (execution, start) = next.started().await?;
    let mut handed = start.journal.len();
    while handed < start.journal_length as usize {
        match next.next_answering(&[execution]).await? {
            (_, Heard::JournalChunk(chunk)) => handed += chunk.entries.len(),
            other => bail!("not a journal: {other:?}"),
        }
    }
    Ok((execution, start))
}

#[tokio::test]
async fn a_worker_that_talks_and_never_listens_is_given_up_and_its_run_goes_on_elsewhere()
-> Result<()> {
    let (cluster, deaf, execution, run) = with_a_run().await?;
    let text = format!("\"{}\"", "x".repeat(1000));
    let talks = async {
        for id in 0.. {
            let said = Say::Record(record(&id.to_string(), &text));
            if deaf.say(execution, said).await.is_err() {
                break;
            }
        }
        std::future::pending().await
    };
    let mut next = RawWorker::connect(cluster.workflow()?.channel()?, hello("odd")).await?;
    let goes_on = async {
        let (execution, start) = takes_over(&mut next).await?;
        assert_eq!((&*start.run_id, start.attempt), (&*run.id, 2));
        next.say(execution, Say::Finish(returned("1", start.journal_length)))
            .await
    };
    tokio::select! {
        gone_on = goes_on => gone_on?,
        () = talks => {}
    }
    output(&cluster, &run).await?;
    still_works(cluster).await
}

#[tokio::test]
async fn a_worker_that_takes_no_answers_is_not_heard_beyond_some_megabytes_of_them() -> Result<()> {
    let (cluster, deaf, execution, run) = with_a_run().await?;
    let text = format!("\"{}\"", "x".repeat(1024 * 1024));
    let talks = async {
        for id in 0..150 {
            let said = Say::Record(record(&id.to_string(), &text));
            if deaf.say(execution, said).await.is_err() {
                break;
            }
            // There is room for all of them at once, and others are to be heard meanwhile.
            tokio::task::yield_now().await;
        }
        std::future::pending().await
    };
    let mut next = RawWorker::connect(cluster.workflow()?.channel()?, hello("odd")).await?;
    let goes_on = async {
        let (execution, start) = takes_over(&mut next).await?;
        let finish = Say::Finish(returned("1", start.journal_length));
        next.say(execution, finish).await?;
        anyhow::Ok(start)
    };
    let start = tokio::select! {
        gone_on = goes_on => gone_on?,
        () = talks => bail!("it talks for ever"),
    };
    assert_eq!((&*start.run_id, start.attempt), (&*run.id, 2));
    let recorded = start.journal_length;
    assert!(
        (10..120).contains(&recorded),
        "{recorded} MiB were recorded"
    );
    output(&cluster, &run).await?;
    still_works(cluster).await
}
