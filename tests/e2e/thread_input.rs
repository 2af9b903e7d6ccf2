//! What `ThreadService` refuses, and how: code, reason, and each field that is wrong.

use anyhow::Result;
use e2e::{Cluster, Refusal, chat, payload, refusal::refused, runs::invoke};
use tonic::{Code, transport::Channel};
use weft_proto::workflow::v1::{
    DeleteThreadRequest, ForkThreadRequest, GetThreadRequest, ListCheckpointsRequest,
    ListThreadsRequest, PruneThreadRequest, UpdateThreadRequest,
    thread_service_client::ThreadServiceClient,
};

async fn threads() -> Result<(Cluster, ThreadServiceClient<Channel>)> {
    let mut cluster = Cluster::new()?;
    cluster.start_workflow().await?;
    let client = cluster.thread_client()?;
    Ok((cluster, client))
}

#[tokio::test]
async fn get_thread_and_list_checkpoints_name_everything_that_is_wrong() -> Result<()> {
    let (cluster, mut client) = threads().await?;
    for thread_id in ["".to_owned(), "a\nb".to_owned(), "t".repeat(257)] {
        let get = GetThreadRequest {
            thread_id: thread_id.clone(),
            checkpoint_id: "x".into(),
            payload_form: 9,
        };
        let fields = ["thread_id", "checkpoint_id", "payload_form"];
        refused("get", client.get_thread(get).await, &fields)?;
        let list = ListCheckpointsRequest {
            thread_id,
            page_size: -1,
            payload_form: 9,
            ..ListCheckpointsRequest::default()
        };
        let fields = ["thread_id", "page_size", "payload_form"];
        refused("list", client.list_checkpoints(list).await, &fields)?;
    }
    cluster.finish().await
}

#[tokio::test]
async fn what_is_not_there_is_not_found_and_named() -> Result<()> {
    let cluster = Cluster::start().await?;
    let mut client = cluster.thread_client()?;
    let not_found = |refusal: Refusal| -> Result<()> {
        let refusal = refusal.is(Code::NotFound, "THREAD_NOT_FOUND")?;
        assert_eq!(refusal.metadata("thread_id"), Some("nobody's"));
        Ok(())
    };
    let get = GetThreadRequest {
        thread_id: "nobody's".into(),
        ..Default::default()
    };
    not_found(Refusal::of(client.get_thread(get).await)?)?;
    let list = ListCheckpointsRequest {
        thread_id: "nobody's".into(),
        ..Default::default()
    };
    not_found(Refusal::of(client.list_checkpoints(list).await)?)?;

    let mut workflows = cluster.workflow_client()?;
    invoke(&mut workflows, chat("mine", "1", "hello")).await?;
    let other = invoke(&mut workflows, chat("other", "1", "hello"))
        .await?
        .checkpoint_id;
    let get = GetThreadRequest {
        thread_id: "mine".into(),
        checkpoint_id: other,
        payload_form: 0,
    };
    let refusal = Refusal::of(client.get_thread(get).await)?;
    refusal.is(Code::NotFound, "CHECKPOINT_NOT_FOUND")?;

    let list = ListCheckpointsRequest {
        thread_id: "mine".into(),
        page_token: "x".into(),
        ..ListCheckpointsRequest::default()
    };
    let refusal = Refusal::of(client.list_checkpoints(list).await)?;
    let refusal = refusal.is(Code::InvalidArgument, "PAGE_TOKEN_INVALID")?;
    assert_eq!(refusal.fields(), ["page_token"]);
    cluster.finish().await
}

#[tokio::test]
async fn calls_that_write_name_everything_that_is_wrong() -> Result<()> {
    let (cluster, mut client) = threads().await?;
    for thread_id in [String::new(), "a\nb".to_owned(), "t".repeat(257)] {
        let update = UpdateThreadRequest {
            thread_id: thread_id.clone(),
            checkpoint_id: "x".into(),
            value: None,
            saved: Some(payload::text("{")),
        };
        let fields = ["thread_id", "checkpoint_id", "value", "saved"];
        refused("update", client.update_thread(update).await, &fields)?;
        let fork = ForkThreadRequest {
            thread_id: thread_id.clone(),
            checkpoint_id: "x".into(),
            new_thread_id: "a\nb".into(),
        };
        let fields = ["thread_id", "checkpoint_id", "new_thread_id"];
        refused("fork", client.fork_thread(fork).await, &fields)?;
        for keep_checkpoints in [0, -1] {
            let prune = PruneThreadRequest {
                thread_id: thread_id.clone(),
                keep_checkpoints,
            };
            let fields = ["thread_id", "keep_checkpoints"];
            refused("prune", client.prune_thread(prune).await, &fields)?;
        }
        let delete = DeleteThreadRequest { thread_id };
        refused("delete", client.delete_thread(delete).await, &["thread_id"])?;
    }
    cluster.finish().await
}

#[tokio::test]
async fn list_threads_names_everything_that_is_wrong() -> Result<()> {
    let (cluster, mut client) = threads().await?;
    let list = ListThreadsRequest {
        states: vec![1, 0, 99],
        page_size: -1,
        ..Default::default()
    };
    let fields = ["states[1]", "states[2]", "page_size"];
    refused("list", client.list_threads(list).await, &fields)?;
    let list = ListThreadsRequest {
        page_token: "x".into(),
        ..Default::default()
    };
    let refusal = Refusal::of(client.list_threads(list).await)?;
    assert_eq!(
        refusal
            .is(Code::InvalidArgument, "PAGE_TOKEN_INVALID")?
            .fields(),
        ["page_token"]
    );
    cluster.finish().await
}
