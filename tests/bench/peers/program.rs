//! A system as the benchmark sees it: a program that is asked line by line.

use std::{fs::File, process::Stdio};

use anyhow::{Context as _, Result, ensure};
use e2e::{launch::tail, within};
use tempfile::{NamedTempFile, TempDir};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
};

use crate::load::{Load, Sample};

/// A running program. Killed when dropped.
pub(crate) struct Program {
    settings: String,
    // Dropped before the folder.
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    log: NamedTempFile,
    _folder: TempDir,
}

impl Program {
    /// Starts a program with a folder for its data and waits until it is ready: its first line says
    /// what it is and how it keeps results.
    pub(crate) async fn start(mut command: Command) -> Result<Self> {
        let folder = TempDir::with_prefix("weft-peer-")?;
        let log = NamedTempFile::with_prefix("weft-peer-")?;
        let mut child = command
            .arg(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::options().append(true).open(log.path())?)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {command:?}"))?;
        let mut program = Self {
            settings: String::new(),
            input: child.stdin.take().context("no input")?,
            output: BufReader::new(child.stdout.take().context("no output")?).lines(),
            child,
            log,
            _folder: folder,
        };
        program.settings = program.line().await?;
        Ok(program)
    }

    /// What it is, and how it keeps results.
    pub(crate) fn settings(&self) -> &str {
        &self.settings
    }

    /// Lets it play the callers of this load.
    pub(crate) async fn ask(&mut self, load: &Load) -> Result<Sample> {
        let asked = format!("{}\n", serde_json::to_string(load)?);
        self.input.write_all(asked.as_bytes()).await?;
        let answer = self.line().await?;
        serde_json::from_str(&answer).with_context(|| format!("no sample: {answer}"))
    }

    /// Ends it in good order.
    pub(crate) async fn end(self) -> Result<()> {
        let Self {
            mut child,
            input,
            log,
            ..
        } = self;
        drop(input);
        let status = within("a program to end", child.wait()).await??;
        ensure!(status.success(), "{status}\n{}", tail(log.path()));
        Ok(())
    }

    async fn line(&mut self) -> Result<String> {
        let line = within("a program to answer", self.output.next_line()).await??;
        line.with_context(|| format!("it ended: {}", tail(self.log.path())))
    }
}
