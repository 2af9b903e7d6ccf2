//! The process of a worker, with all that it starts.

use std::process::{ExitStatus, Stdio};

use anyhow::{Context as _, Result};
use tokio::process::{Child, Command};

/// Worker is a process group of its own: a command may be a shell, or start others.
pub(crate) struct Worker {
    child: Child,
    group: Option<u32>,
}

impl Worker {
    /// Starts the command with the address of the service in place of `{url}`.
    pub(crate) fn start(command: &[String], url: &str) -> Result<Self> {
        let mut words = command.iter().map(|word| word.replace("{url}", url));
        let program = words.next().context("there is no command")?;
        let child = Command::new(&program)
            .args(words)
            .env("WEFT_WORKFLOW_URL", url)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start `{program}`"))?;
        let group = child.id();
        Ok(Self { child, group })
    }

    /// Completes when the command has ended.
    pub(crate) async fn ended(&mut self) -> Result<ExitStatus> {
        Ok(self.child.wait().await?)
    }

    /// Ends it, and all that it has started.
    pub(crate) async fn kill(mut self) -> Result<()> {
        if let Some(group) = self.group {
            // A group whose processes have all ended is no error.
            let _ = Command::new("kill")
                .args(["-KILL", "--", &format!("-{group}")])
                .stderr(Stdio::null())
                .status()
                .await
                .context("cannot run `kill`")?;
        }
        self.child.wait().await?;
        Ok(())
    }
}
