//! What `make run` and `make demo` run.

use std::{fs, net::TcpListener, path::PathBuf, process::ExitStatus};

use anyhow::{Context as _, Result, ensure};
use e2e::{
    Launch,
    cluster::{MEMORY, WORKFLOW},
    conversation::INTRODUCTION,
    launch::{said, tail},
    process::{Signal, signal},
    within,
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStdout},
};

/// What `make run` starts, on free ports.
pub(crate) struct Running {
    child: Child,
    _stdout: Lines<BufReader<ChildStdout>>,
    folder: TempDir,
}

impl Running {
    /// Ends it, as `kill` does.
    pub(crate) async fn end(&mut self) -> Result<()> {
        signal(&self.child, Signal::Terminate).await?;
        let status = self.ended().await?;
        ensure!(status.success(), "{status}: {}", tail(&self.log()));
        Ok(())
    }

    async fn ended(&mut self) -> Result<ExitStatus> {
        Ok(within("`make run` to end", self.child.wait()).await??)
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }
}

/// Starts what `make run` starts: that, and what it says once both services are ready.
pub(crate) async fn make_run() -> Result<(Running, String)> {
    let folder = TempDir::with_prefix("weft-")?;
    let launch = Launch::isolated("run", &folder.path().join("log"))
        .variable("WEFT_LISTEN", "127.0.0.1:0")
        .variable("WEFT_ADMIN_LISTEN", "127.0.0.1:0")
        .variable("WEFT_DATA_DIR", folder.path());
    let mut child = launch.command()?.spawn()?;
    let mut stdout = BufReader::new(child.stdout.take().context("no output")?).lines();
    let mut welcome = String::new();
    while !welcome.contains("Ctrl-C") {
        let line = within("`make run` to be ready", stdout.next_line()).await??;
        welcome += &line.with_context(|| tail(&folder.path().join("log")))?;
        welcome.push('\n');
    }
    Ok((
        Running {
            child,
            _stdout: stdout,
            folder,
        },
        welcome,
    ))
}

#[tokio::test]
async fn make_run_serves_both_until_it_is_asked_to_end() -> Result<()> {
    for asked in [Signal::Interrupt, Signal::Terminate] {
        let (mut running, welcome) = make_run().await?;
        assert!(
            welcome.contains(MEMORY) && welcome.contains(WORKFLOW),
            "{welcome}"
        );
        signal(&running.child, asked).await?;
        assert!(running.ended().await?.success(), "{}", tail(&running.log()));
        let log = fs::read_to_string(running.log())?;
        assert_eq!(log.matches(r#""message":"stopped""#).count(), 2, "{log}");
    }
    Ok(())
}

#[tokio::test]
async fn make_run_says_why_a_service_does_not_start() -> Result<()> {
    let folder = TempDir::with_prefix("weft-")?;
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let address = taken.local_addr()?.to_string();
    let run_it = Launch::isolated("run", &folder.path().join("log"))
        .variable("WEFT_LISTEN", &address)
        .variable("WEFT_ADMIN_LISTEN", "127.0.0.1:0")
        .variable("WEFT_DATA_DIR", folder.path());
    let output = run_it.output().await?;
    assert_eq!(output.status.code(), Some(1));
    let said = said(&output);
    assert!(
        said.contains(&address) && said.contains("--listen"),
        "{said}"
    );
    assert!(
        said.contains("memory-service ended before it listened"),
        "{said}"
    );
    Ok(())
}

#[tokio::test]
async fn the_demo_ends_well() -> Result<()> {
    let folder = TempDir::with_prefix("weft-")?;
    let output = Launch::isolated("demo", &folder.path().join("log"))
        .output()
        .await?;
    assert!(output.status.success(), "{}", said(&output));
    let printed = String::from_utf8(output.stdout)?;
    for part in [
        "thread 1",
        "thread 2",
        "thread 3",
        INTRODUCTION.text,
        "Your name is Bob",
    ] {
        assert!(printed.contains(part), "{part}: {printed}");
    }
    Ok(())
}
