//! A double in a test's process.

use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use tokio::{
    net::TcpListener,
    runtime::{Builder, Runtime},
};

use crate::{Settings, serve};

/// A double that serves. It has threads of its own, so that it can be ended as abruptly as a killed
/// process: connections are cut, and what it wrote is what it has after a restart.
#[derive(Debug)]
pub struct Running {
    address: SocketAddr,
    runtime: Option<Runtime>,
}

impl Running {
    /// Starts a double.
    ///
    /// # Errors
    /// If the port is taken.
    pub fn start(settings: Settings) -> Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?;
        let listener = std::net::TcpListener::bind(("127.0.0.1", settings.port))
            .with_context(|| format!("port {} is taken", settings.port))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        runtime.spawn(async move {
            let listener = TcpListener::from_std(listener)?;
            serve(settings, listener).await
        });
        Ok(Self {
            address,
            runtime: Some(runtime),
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Ends it; its folder is free then.
    pub async fn stop(mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Waits for calls into the engine, which blocks.
            let _ = tokio::task::spawn_blocking(move || drop(runtime)).await;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
