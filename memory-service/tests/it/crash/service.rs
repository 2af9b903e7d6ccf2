//! The process that is killed.

use std::{path::Path, process::Stdio};

use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
};

use super::within;
use crate::support::{Client, connect};

/// Starts a process on a folder. What it says of itself is kept until it is read.
pub(super) fn spawn(folder: &Path, flags: &[String]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_memory-service"))
        .args(["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"])
        .args(["--log", "error", "--data-dir"])
        .arg(folder)
        .args(flags)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

/// One that serves.
pub(super) struct Service {
    process: Child,
    pub(super) client: Client,
}

impl Service {
    /// Starts it, and waits until it serves.
    pub(super) async fn start(folder: &Path, flags: &[String]) -> Self {
        let mut process = spawn(folder, flags);
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let line = within("the address of a new process", lines.next_line()).await;
        let line = line.unwrap();
        let line = line.unwrap_or_else(|| panic!("it does not serve"));
        let addresses: serde_json::Value = serde_json::from_str(&line).unwrap();
        let client = connect(addresses["grpc"].as_str().unwrap()).await;
        Self { process, client }
    }

    /// Kills it: it has no part in that.
    pub(super) async fn kill(mut self) {
        let killed = within("a killed process to be gone", self.process.kill());
        killed.await.unwrap();
    }

    /// Stops it in good order.
    pub(super) async fn stop(mut self) {
        let process = self.process.id().unwrap().to_string();
        let told = Command::new("kill").arg(process).status().await.unwrap();
        assert!(told.success());
        let status = within("a process to stop", self.process.wait()).await;
        assert!(status.as_ref().unwrap().success(), "{status:?}");
    }
}
