//! memory-service on a Qdrant server, which goes and comes back. The server is the double.

use anyhow::{Context as _, Result};
use e2e::{
    Cluster, Launch, Process, Refusal,
    cluster::MEMORY,
    conversation::{INTRODUCTION, QUESTION, STRANGER, answer, memories_of},
    health,
    memories::items_under,
    port,
    process::Signal,
    runs::{invoke, start, succeeded},
};
use tempfile::TempDir;
use tonic::Code;
use tonic_health::pb::health_check_response::ServingStatus;
use weft_proto::memory::v1::SearchItemsRequest;

/// A server at one port, over a folder that outlives it.
struct Qdrant {
    folder: TempDir,
    port: u16,
    process: Option<Process>,
}

impl Qdrant {
    const KEY: &str = "a-key-of-qdrant";

    async fn start() -> Result<Self> {
        let mut server = Self {
            folder: TempDir::with_prefix("weft-qdrant-")?,
            port: port::reserve()?,
            process: None,
        };
        server.start_again().await?;
        Ok(server)
    }

    async fn start_again(&mut self) -> Result<()> {
        let launch = Launch::isolated("qdrant-double", &self.folder.path().join("log"))
            .flag("--folder", self.folder.path().join("collections"))
            .flag("--port", self.port.to_string())
            .flag("--api-key", Self::KEY);
        self.process = Some(Process::start(&launch).await?);
        Ok(())
    }

    async fn kill(&mut self) -> Result<()> {
        self.process.take().context("it does not run")?.kill().await
    }

    async fn signal(&self, signal: Signal) -> Result<()> {
        let process = self.process.as_ref().context("it does not run")?;
        process.signal(signal).await
    }

    /// A cluster whose memory-service keeps its items here. Nothing of it runs yet.
    fn cluster(&self) -> Result<Cluster> {
        let mut cluster = Cluster::new()?;
        let url = format!("http://127.0.0.1:{}", self.port);
        cluster.set(MEMORY, "WEFT_QDRANT_URL", &url);
        cluster.set(MEMORY, "WEFT_QDRANT_API_KEY", Self::KEY);
        cluster.set(MEMORY, "WEFT_QDRANT_TIMEOUT", "2s");
        Ok(cluster)
    }
}

#[tokio::test]
async fn a_user_is_remembered_after_everything_was_killed() -> Result<()> {
    let mut qdrant = Qdrant::start().await?;
    let mut cluster = qdrant.cluster()?;
    cluster.start_memory().await?;
    cluster.start_workflow().await?;
    invoke(&mut cluster.workflow_client()?, INTRODUCTION.to_run()).await?;
    let mut memory = cluster.memory_client()?;
    let known = items_under(&mut memory, &memories_of("1")).await?;
    assert_eq!(known.len(), 1);

    qdrant.kill().await?;
    cluster.take_memory()?.kill().await?;
    qdrant.start_again().await?;
    cluster.start_memory().await?;

    let mut client = cluster.workflow_client()?;
    let reply = answer(Some(&invoke(&mut client, QUESTION.to_run()).await?))?;
    assert!(reply.contains("Your name is Bob"), "{reply}");
    let reply = answer(Some(&invoke(&mut client, STRANGER.to_run()).await?))?;
    assert!(!reply.contains("Bob"), "{reply}");
    let mut memory = cluster.memory_client()?;
    assert_eq!(items_under(&mut memory, &memories_of("1")).await?, known);
    cluster.finish().await
}

#[tokio::test]
async fn a_run_waits_for_qdrant_and_ends_once_it_is_back() -> Result<()> {
    let mut qdrant = Qdrant::start().await?;
    let mut cluster = qdrant.cluster()?;
    cluster.start_memory().await?;
    cluster.start_workflow().await?;
    let memory = cluster.memory()?.channel()?;
    qdrant.kill().await?;
    health::becomes(memory.clone(), ServingStatus::NotServing).await?;
    let mut client = cluster.workflow_client()?;
    let run = start(&mut client, INTRODUCTION.to_run()).await?;

    qdrant.start_again().await?;
    health::becomes(memory, ServingStatus::Serving).await?;
    let run = succeeded(&mut client, &run.id).await?;
    assert!(answer(Some(&run))?.contains("Bob"), "{run:?}");
    cluster.finish().await
}

#[tokio::test]
async fn a_qdrant_that_stands_still_is_unavailable_within_the_deadline() -> Result<()> {
    let qdrant = Qdrant::start().await?;
    let mut cluster = qdrant.cluster()?;
    cluster.start_memory().await?;
    let mut memory = cluster.memory_client()?;
    items_under(&mut memory, &memories_of("1")).await?;

    qdrant.signal(Signal::Stop).await?;
    let searched = memory.search_items(SearchItemsRequest::default()).await;
    Refusal::of(searched)?.is(Code::Unavailable, "STORE_UNAVAILABLE")?;
    let channel = cluster.memory()?.channel()?;
    health::becomes(channel.clone(), ServingStatus::NotServing).await?;

    qdrant.signal(Signal::Continue).await?;
    health::becomes(channel, ServingStatus::Serving).await?;
    items_under(&mut memory, &memories_of("1")).await?;
    cluster.finish().await
}
