//! Threads: written by hand, copied, cut short, deleted, listed.

use anyhow::{Context as _, Result};
use e2e::{
    Cluster, Refusal, chat,
    conversation::answer,
    gate::{Gate, Hold},
    payload,
    runs::{Workflows, invoke, start, succeeded},
};
use serde_json::json;
use tonic::Code;
use weft_proto::workflow::v1::{
    DeleteThreadRequest, ForkThreadRequest, GetRunRequest, GetThreadRequest,
    ListCheckpointsRequest, ListRunsRequest, ListThreadsRequest, PruneThreadRequest, Thread,
    UpdateThreadRequest, thread::State,
};

const QUESTION: &str = "what is my name?";

async fn ask(client: &mut Workflows, thread: &str, text: &str) -> Result<String> {
    // A user of each thread: what is remembered does not blur what was said.
    answer(Some(&invoke(client, chat(thread, thread, text)).await?))
}

#[tokio::test]
async fn what_is_written_by_hand_is_what_the_next_run_is_given() -> Result<()> {
    let cluster = Cluster::start().await?;
    let (mut client, mut threads) = (cluster.workflow_client()?, cluster.thread_client()?);
    ask(&mut client, "t", "my name is Bob").await?;
    let said = json!([{ "id": "1", "role": "user", "content": "my name is Alice" }]);
    let update = UpdateThreadRequest {
        thread_id: "t".into(),
        value: Some(payload::text("null")),
        saved: Some(payload::json(&said)),
        ..UpdateThreadRequest::default()
    };
    let written = threads
        .update_thread(update)
        .await?
        .into_inner()
        .checkpoint
        .context("none")?;
    assert_eq!(
        (written.source.as_str(), written.run_id.as_str()),
        ("update", "")
    );
    assert!(!written.parent_id.is_empty());
    let reply = ask(&mut client, "t", QUESTION).await?;
    assert!(reply.contains("Alice"), "{reply}");
    cluster.finish().await
}

#[tokio::test]
async fn a_page_token_outlives_a_restart_and_cannot_be_made_up() -> Result<()> {
    let mut cluster = Cluster::start().await?;
    let mut client = cluster.workflow_client()?;
    for thread in ["a", "b", "c"] {
        ask(&mut client, thread, "hello").await?;
    }
    let mut request = ListRunsRequest {
        page_size: 2,
        ..ListRunsRequest::default()
    };
    let page = client.list_runs(request.clone()).await?.into_inner();
    cluster.take_workflow()?.terminate().await?;
    cluster.start_workflow().await?;
    let mut client = cluster.workflow_client()?;
    request.page_token = page.next_page_token.clone();
    let next = client.list_runs(request.clone()).await?.into_inner();
    let threads: Vec<_> = next.runs.iter().map(|run| run.thread_id.as_str()).collect();
    assert_eq!(threads, ["a"]);

    for place in 0..page.next_page_token.len() {
        let mut token: Vec<char> = page.next_page_token.chars().collect();
        token[place] = if token[place] == 'A' { 'B' } else { 'A' };
        request.page_token = token.into_iter().collect();
        let refused = client.list_runs(request.clone()).await.unwrap_err();
        Refusal::from_status(refused)?.is(Code::InvalidArgument, "PAGE_TOKEN_INVALID")?;
    }
    // Nor does another store's lead anywhere.
    let other = Cluster::start().await?;
    request.page_token = page.next_page_token;
    let refused = other.workflow_client()?.list_runs(request).await;
    Refusal::from_status(refused.unwrap_err())?.is(Code::InvalidArgument, "PAGE_TOKEN_INVALID")?;
    other.finish().await?;
    cluster.finish().await
}

#[tokio::test]
async fn a_copy_of_a_thread_goes_its_own_way() -> Result<()> {
    let cluster = Cluster::start().await?;
    let (mut client, mut threads) = (cluster.workflow_client()?, cluster.thread_client()?);
    ask(&mut client, "original", "my name is Bob").await?;
    let fork = ForkThreadRequest {
        thread_id: "original".into(),
        new_thread_id: "copy".into(),
        ..ForkThreadRequest::default()
    };
    let copy = threads
        .fork_thread(fork.clone())
        .await?
        .into_inner()
        .thread
        .context("none")?;
    assert_eq!(copy.id, "copy");
    let refusal = Refusal::of(threads.fork_thread(fork).await)?;
    refusal.is(Code::AlreadyExists, "THREAD_EXISTS")?;

    ask(&mut client, "original", "my name is Alice").await?;
    assert!(
        ask(&mut client, "original", QUESTION)
            .await?
            .contains("Alice")
    );
    assert!(ask(&mut client, "copy", QUESTION).await?.contains("Bob"));
    cluster.finish().await
}

#[tokio::test]
async fn pruning_keeps_the_newest_checkpoints_and_their_runs() -> Result<()> {
    let cluster = Cluster::start().await?;
    let (mut client, mut threads) = (cluster.workflow_client()?, cluster.thread_client()?);
    let mut runs = Vec::new();
    for text in ["my name is Bob", "hello", "hello again"] {
        runs.push(invoke(&mut client, chat("t", "1", text)).await?.id);
    }
    let prune = PruneThreadRequest {
        thread_id: "t".into(),
        keep_checkpoints: 1,
    };
    let pruned = threads.prune_thread(prune).await?.into_inner();
    assert_eq!((pruned.checkpoint_count, pruned.run_count), (2, 2));

    let list = ListCheckpointsRequest {
        thread_id: "t".into(),
        ..Default::default()
    };
    let left = threads
        .list_checkpoints(list)
        .await?
        .into_inner()
        .checkpoints;
    let [newest] = left.as_slice() else {
        panic!("not one: {left:?}")
    };
    assert_eq!(newest.run_id, runs[2]);
    for (run_id, is_there) in runs.iter().zip([false, false, true]) {
        let get = GetRunRequest {
            run_id: run_id.clone(),
            ..GetRunRequest::default()
        };
        assert_eq!(client.get_run(get).await.is_ok(), is_there, "{run_id}");
    }
    assert!(answer(Some(&invoke(&mut client, chat("t", "1", QUESTION)).await?))?.contains("Bob"));
    cluster.finish().await
}

#[tokio::test]
async fn a_deleted_thread_is_gone_with_its_runs_unless_one_is_under_way() -> Result<()> {
    let (cluster, gate) = Gate::in_cluster(Cluster::new()?).await?;
    let (mut client, mut threads) = (cluster.workflow_client()?, cluster.thread_client()?);
    let delete = DeleteThreadRequest {
        thread_id: "t".into(),
    };
    gate.hold(Hold::Before("SearchItems"));
    let run_id = start(&mut client, chat("t", "1", "my name is Bob"))
        .await?
        .id;
    let refusal = Refusal::of(threads.delete_thread(delete.clone()).await)?;
    refusal.is(Code::Aborted, "THREAD_BUSY")?;
    gate.open();
    succeeded(&mut client, &run_id).await?;

    threads.delete_thread(delete.clone()).await?;
    let get = GetRunRequest {
        run_id,
        ..GetRunRequest::default()
    };
    Refusal::of(client.get_run(get).await)?.is(Code::NotFound, "RUN_NOT_FOUND")?;
    let get = GetThreadRequest {
        thread_id: "t".into(),
        ..GetThreadRequest::default()
    };
    Refusal::of(threads.get_thread(get).await)?.is(Code::NotFound, "THREAD_NOT_FOUND")?;
    let refusal = Refusal::of(threads.delete_thread(delete).await)?;
    refusal.is(Code::NotFound, "THREAD_NOT_FOUND")?;
    assert!(!answer(Some(&invoke(&mut client, chat("t", "1", QUESTION)).await?))?.contains("Bob"));
    cluster.finish().await
}

#[tokio::test]
async fn threads_are_listed_by_pages_and_states_the_last_updated_first() -> Result<()> {
    let (cluster, gate) = Gate::in_cluster(Cluster::new()?).await?;
    let (mut client, mut threads) = (cluster.workflow_client()?, cluster.thread_client()?);
    for number in 0..5 {
        ask(&mut client, &format!("thread-{number}"), "hello").await?;
    }
    gate.hold(Hold::Before("SearchItems"));
    let busy = start(&mut client, chat("thread-0", "1", "hello")).await?.id;

    let (mut listed, mut page_token) = (Vec::<Thread>::new(), String::new());
    loop {
        let request = ListThreadsRequest {
            page_size: 2,
            page_token,
            ..Default::default()
        };
        let page = threads.list_threads(request).await?.into_inner();
        listed.extend(page.threads);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    let ids: Vec<&str> = listed.iter().map(|thread| thread.id.as_str()).collect();
    assert_eq!(
        ids,
        ["thread-0", "thread-4", "thread-3", "thread-2", "thread-1"]
    );
    for (state, count) in [(State::Busy, 1), (State::Idle, 4), (State::Error, 0)] {
        let request = ListThreadsRequest {
            states: vec![state.into()],
            ..Default::default()
        };
        let page = threads.list_threads(request).await?.into_inner();
        assert_eq!(page.threads.len(), count, "{state:?}");
    }
    gate.open();
    succeeded(&mut client, &busy).await?;
    cluster.finish().await
}
