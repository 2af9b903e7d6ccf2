//! One running service, from its first line to its exit.

use std::{fs, process::ExitStatus, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, ChildStdout, Command},
};
use tonic::transport::{Channel, Endpoint};

use crate::{Launch, launch::tail, wait::PATIENCE, within};

/// The line that a service prints once it listens.
#[derive(Debug, Deserialize)]
struct Announcement {
    service: String,
    grpc: String,
    admin: String,
}

/// A service that listens. Killed when dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    // Held so that a service that prints more does not die of a closed pipe.
    _stdout: BufReader<ChildStdout>,
    announcement: Announcement,
}

/// A signal to send to a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// End in good order.
    Terminate,
    /// End, as Ctrl-C asks for it.
    Interrupt,
    /// Stand still: connections stay, nothing is answered.
    Stop,
    /// Go on.
    Continue,
}

impl Process {
    /// Starts a service and waits until it says where it listens.
    ///
    /// # Errors
    /// If it ends or stays silent instead; the error holds the end of its log.
    pub async fn start(launch: &Launch) -> Result<Self> {
        let mut child = launch
            .command()?
            .spawn()
            .context("cannot start the service")?;
        let stdout = child
            .stdout
            .take()
            .context("the service has no standard output")?;
        let mut stdout = BufReader::new(stdout);
        let mut line = String::new();
        let read = within(
            "the service to say where it listens",
            stdout.read_line(&mut line),
        );
        read.await?.context("cannot read what the service prints")?;
        if line.is_empty() {
            let status = within("the service to end", child.wait()).await??;
            let log = launch.log().map(tail).unwrap_or_default();
            bail!(
                "{} ended before it listened ({status})\n{log}",
                launch.binary()
            );
        }
        let announcement: Announcement = serde_json::from_str(&line)
            .with_context(|| format!("the first line is not the announcement: {line}"))?;
        ensure!(
            announcement.service == launch.binary(),
            "{announcement:?} is not {}",
            launch.binary()
        );
        Ok(Self {
            child,
            _stdout: stdout,
            announcement,
        })
    }

    /// Its process id, until it has ended.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Name of the service.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.announcement.service
    }

    /// Where it serves gRPC, as `host:port`.
    #[must_use]
    pub fn grpc(&self) -> &str {
        &self.announcement.grpc
    }

    /// Where it serves `/metrics`, `/livez` and `/readyz`, as `host:port`.
    #[must_use]
    pub fn admin(&self) -> &str {
        &self.announcement.admin
    }

    /// The URL of its gRPC API.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.grpc())
    }

    /// A channel to it, which connects on first use.
    ///
    /// # Errors
    /// If the service announced no address.
    pub fn channel(&self) -> Result<Channel> {
        Ok(Endpoint::from_shared(self.url())?
            .timeout(PATIENCE)
            .connect_lazy())
    }

    /// Whether it has not ended yet.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Lets no file of the process grow beyond `bytes`, as if the disk were full; `None` lifts that
    /// again.
    ///
    /// # Errors
    /// If `prlimit` cannot be run.
    pub async fn limit_files(&self, bytes: Option<u64>) -> Result<()> {
        let id = self.id().context("the service has ended")?;
        let limit = bytes.map_or("unlimited".to_owned(), |bytes| bytes.to_string());
        let mut prlimit = Command::new("prlimit");
        prlimit.args([format!("--pid={id}"), format!("--fsize={limit}:unlimited")]);
        let status = within("prlimit", prlimit.status()).await??;
        ensure!(status.success(), "prlimit ended with {status}");
        Ok(())
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// If the process has ended.
    pub async fn signal(&self, asked: Signal) -> Result<()> {
        signal(&self.child, asked).await
    }

    /// Waits for it to end by itself.
    ///
    /// # Errors
    /// If it does not end in time.
    pub async fn ended(&mut self) -> Result<ExitStatus> {
        let what = format!("{} to end", self.announcement.service);
        Ok(within(&what, self.child.wait()).await??)
    }

    /// Waits, without a bound, for it to end by itself.
    ///
    /// # Errors
    /// If it cannot be waited for.
    pub async fn ends(&mut self) -> Result<ExitStatus> {
        Ok(self.child.wait().await?)
    }

    /// Ends it in good order.
    ///
    /// # Errors
    /// If it does not end in time, or not with success.
    pub async fn terminate(mut self) -> Result<()> {
        self.signal(Signal::Terminate).await?;
        let status = self.ended().await?;
        ensure!(
            status.success(),
            "{} ended with {status} when asked to end",
            self.name()
        );
        Ok(())
    }

    /// Kills it on the spot, as a power cut would.
    ///
    /// # Errors
    /// If it had ended before.
    pub async fn kill(mut self) -> Result<()> {
        ensure!(
            self.is_running(),
            "{} had ended before it was killed",
            self.name()
        );
        within("the killed service to be gone", self.child.kill()).await??;
        Ok(())
    }
}

/// Sends a signal to a process.
///
/// # Errors
/// If the process has ended.
pub async fn signal(child: &Child, signal: Signal) -> Result<()> {
    let id = child.id().context("the process has ended already")?;
    let name = match signal {
        Signal::Terminate => "TERM",
        Signal::Interrupt => "INT",
        Signal::Stop => "STOP",
        Signal::Continue => "CONT",
    };
    // The shell's own `kill`: minimal systems have no other.
    let script = format!("kill -s {name} {id}");
    let status = Command::new("sh").args(["-c", &script]).status().await?;
    ensure!(status.success(), "cannot send SIG{name}: {status}");
    Ok(())
}

/// Bytes that the kernel says a process holds in memory.
///
/// # Errors
/// If there is no such process, or the system does not tell.
pub fn resident_bytes(id: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{id}/status"))?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .context("no VmRSS")?;
    let kibibytes: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kibibytes * 1024)
}

/// Time that a process has computed, to a hundredth of a second.
///
/// # Errors
/// As [`resident_bytes`].
pub fn cpu_time(id: u32) -> Result<Duration> {
    /// Ticks in a second, as the kernel tells them to programs on every machine there is.
    const TICKS: u32 = 100;
    let stat = fs::read_to_string(format!("/proc/{id}/stat"))?;
    // The name before may have spaces.
    let (_, fields) = stat.rsplit_once(") ").context("no fields")?;
    let mut fields = fields.split(' ').skip(11);
    let mut ticks = || -> Result<u32> { Ok(fields.next().context("no time")?.parse()?) };
    Ok(Duration::from_secs(1) * (ticks()? + ticks()?) / TICKS)
}
