//! Workers that end in good order.

use anyhow::Result;
use e2e::{
    process::Signal,
    raw_worker::{RawWorker, hello, record, returned},
    worker::{begins, hosts, let_go},
};
use serde_json::json;
use weft_proto::workflow::v1::{GetRunRequest, connect_request::Message as Say};

use crate::stage::{output, recorded, service, start, steps, worker};

#[tokio::test]
async fn a_worker_that_is_asked_to_end_finishes_its_runs_and_takes_no_more() -> Result<()> {
    let cluster = service().await?;
    let only = worker(&cluster, &[])?;
    let mut client = cluster.workflow_client()?;
    hosts(&mut client, "steps", 1).await?;
    let run = steps(&cluster, &["hold", "last"]).await?;
    begins(cluster.folder(), "hold", 1).await?;
    only.signal(Signal::Terminate).await?;
    // It is refused more from when the service hears of it on.
    let busy = async {
        loop {
            let queued = steps(&cluster, &["late"]).await?;
            let run = GetRunRequest {
                run_id: queued.id,
                ..Default::default()
            };
            let run = client
                .get_run(run)
                .await?
                .into_inner()
                .run
                .unwrap_or_default();
            if run.state_reason.contains("are busy") {
                return anyhow::Ok(run);
            }
        }
    };
    let late = e2e::within("the worker to take no more", busy).await??;
    let_go(cluster.folder(), "hold")?;
    output(&cluster, &run).await?;
    let next = worker(&cluster, &[])?;
    output(&cluster, &late).await?;
    only.terminate().await.ok();
    next.terminate().await?;
    cluster.finish().await
}

#[tokio::test]
async fn what_a_worker_said_before_it_left_counts() -> Result<()> {
    let cluster = service().await?;
    let channel = cluster.workflow()?.channel()?;
    // Whether the last word or the end of the stream is looked at first is a matter of luck.
    for _ in 0..20 {
        let mut brief = RawWorker::connect(channel.clone(), hello("odd")).await?;
        let run = start(&cluster, "odd", "", json!(1)).await?;
        let (execution, _) = brief.started().await?;
        brief.say(execution, Say::Record(record("0", "7"))).await?;
        brief.say(execution, Say::Finish(returned("8", 0))).await?;
        let RawWorker {
            requests,
            mut responses,
        } = brief;
        drop(requests);
        while let Ok(Some(_)) = responses.message().await {}
        assert_eq!(output(&cluster, &run).await?, json!(8));
        assert_eq!(recorded(&cluster, &run).await?, ["0"]);
    }
    cluster.finish().await
}
