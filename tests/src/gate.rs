//! A proxy before memory-service that counts calls and holds them back, so that a test can stop
//! the world between two steps of a run and see from outside what was done twice.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::Arc,
    task::{Context as TaskContext, Poll},
};

use anyhow::{Context as _, Result};
use tokio::{net::TcpListener, sync::watch, task::JoinSet};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{
    Status,
    body::Body,
    codegen::{BoxFuture, Service, http},
    server::NamedService,
    transport::{Channel, Server},
};

use crate::{Cluster, Process, within};

/// Calls to hold back, by the name of their method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// The call does not reach memory-service.
    Before(&'static str),
    /// The call is done, and its answer does not reach the caller.
    After(&'static str),
}

#[derive(Debug, Default)]
struct Traffic {
    held: Option<Hold>,
    arrived: BTreeMap<String, usize>,
    answered: BTreeMap<String, usize>,
}

/// A proxy that serves until it is dropped.
#[derive(Debug)]
pub struct Gate {
    url: String,
    traffic: Arc<watch::Sender<Traffic>>,
    _server: JoinSet<Result<(), tonic::transport::Error>>,
}

impl Gate {
    /// A proxy before `memory`, open.
    ///
    /// # Errors
    /// If no port is free.
    pub async fn before(memory: &Process) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let traffic = Arc::new(watch::Sender::new(Traffic::default()));
        let proxy = Proxy {
            channel: memory.channel()?,
            traffic: Arc::clone(&traffic),
        };
        let mut server = JoinSet::new();
        server.spawn(
            Server::builder()
                .add_service(proxy)
                .serve_with_incoming(TcpListenerStream::new(listener)),
        );
        Ok(Self {
            url,
            traffic,
            _server: server,
        })
    }

    /// A cluster whose workflow-service reaches memory-service through a gate, and the gate.
    ///
    /// # Errors
    /// If a service does not start.
    pub async fn in_cluster(mut cluster: Cluster) -> Result<(Cluster, Self)> {
        cluster.start_memory().await?;
        let gate = Self::before(cluster.memory()?).await?;
        cluster.reach_memory_at(gate.url());
        cluster.start_workflow().await?;
        Ok((cluster, gate))
    }

    /// The URL to reach memory-service through the gate.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Holds calls back from now on, instead of those held before.
    pub fn hold(&self, hold: Hold) {
        self.traffic
            .send_modify(|traffic| traffic.held = Some(hold));
    }

    /// Lets all calls pass, also those that are held.
    pub fn open(&self) {
        self.traffic.send_modify(|traffic| traffic.held = None);
    }

    /// Calls of a method that came to the gate.
    #[must_use]
    pub fn arrived(&self, method: &str) -> usize {
        self.traffic
            .borrow()
            .arrived
            .get(method)
            .copied()
            .unwrap_or_default()
    }

    /// Waits until that many calls of a method came to the gate.
    ///
    /// # Errors
    /// If they do not come in time.
    pub async fn sees(&self, method: &str, calls: usize) -> Result<()> {
        self.wait(&format!("{method} to be called"), |traffic| {
            traffic
                .arrived
                .get(method)
                .is_some_and(|&count| count >= calls)
        })
        .await
    }

    /// Waits until memory-service has answered that many calls of a method, whether or not the
    /// gate passes the answers on.
    ///
    /// # Errors
    /// If they are not answered in time.
    pub async fn sees_answered(&self, method: &str, calls: usize) -> Result<()> {
        self.wait(&format!("{method} to be answered"), |traffic| {
            traffic
                .answered
                .get(method)
                .is_some_and(|&count| count >= calls)
        })
        .await
    }

    async fn wait(&self, what: &str, until: impl FnMut(&Traffic) -> bool) -> Result<()> {
        let mut traffic = self.traffic.subscribe();
        within(what, traffic.wait_for(until))
            .await?
            .context("the gate is gone")?;
        Ok(())
    }
}

#[derive(Clone)]
struct Proxy {
    channel: Channel,
    traffic: Arc<watch::Sender<Traffic>>,
}

impl NamedService for Proxy {
    const NAME: &'static str = "weft.memory.v1.MemoryService";
}

impl Service<http::Request<Body>> for Proxy {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let proxy = self.clone();
        Box::pin(async move {
            Ok(proxy.pass(request).await.unwrap_or_else(|error| {
                Status::unavailable(format!("the gate reaches nobody: {error}")).into_http()
            }))
        })
    }
}

impl Proxy {
    async fn pass(
        mut self,
        request: http::Request<Body>,
    ) -> Result<http::Response<Body>, tonic::transport::Error> {
        let method = request
            .uri()
            .path()
            .rsplit('/')
            .next()
            .unwrap_or_default()
            .to_owned();
        self.traffic.send_modify(|traffic| {
            *traffic.arrived.entry(method.clone()).or_default() += 1;
        });
        self.released(|hold| matches!(hold, Hold::Before(held) if held == method))
            .await;
        std::future::poll_fn(|context| self.channel.poll_ready(context)).await?;
        let response = self.channel.call(request).await?;
        self.traffic.send_modify(|traffic| {
            *traffic.answered.entry(method.clone()).or_default() += 1;
        });
        self.released(|hold| matches!(hold, Hold::After(held) if held == method))
            .await;
        Ok(response)
    }

    /// Waits while a hold concerns this call: for as long as the caller does.
    async fn released(&self, concerns: impl Fn(Hold) -> bool) {
        let mut traffic = self.traffic.subscribe();
        let open = |traffic: &Traffic| !traffic.held.is_some_and(&concerns);
        // The sender lives as long as the proxy: there is no other end of this wait.
        let _ = traffic.wait_for(open).await;
    }
}
