//! Workers that say too much, or hear nothing.

use anyhow::{Result, bail};
use e2e::raw_worker::{RawWorker, hello, record, returned};
use tonic::Code;
use weft_proto::workflow::v1::{
    connect_request::Message as Say, connect_response::Message as Heard,
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
        let (execution, start) = next.started().await?;
        assert_eq!((&*start.run_id, start.attempt), (&*run.id, 2));
        let mut replayed = start.journal.len();
        while replayed < start.journal_length as usize {
            match next.next_answering(&[execution]).await? {
                (_, Heard::JournalChunk(chunk)) => replayed += chunk.entries.len(),
                other => bail!("not a journal: {other:?}"),
            }
        }
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
