//! `restate-peer FOLDER`: Restate's program for `make bench-peers`. It starts `restate-server`, whose
//! data go to the folder, and `restate-handler`, both of which are beside it. It says how results are
//! kept, and then answers each line of load with what the callers saw. It ends with its input.

use std::{
    env,
    net::TcpListener,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use futures::future::try_join_all;
use reqwest::Client;
use serde::Deserialize;
use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
    time::sleep,
};

/// How often and how many times something is tried again until the server has started.
const PAUSE: Duration = Duration::from_millis(100);
const TRIES: u32 = 600;
/// JSON text of the input, in bytes.
const INPUT_BYTES: usize = 256;

/// A line of input.
#[derive(Deserialize)]
struct Load {
    /// Tasks of each run, one after the other.
    tasks: u32,
    callers: u32,
    /// No run starts after so many seconds.
    seconds: f64,
}

struct Server {
    ingress: String,
    admin: String,
    _process: Child,
}

impl Server {
    fn start(program: &Path, folder: &str) -> Result<Self> {
        let [ingress, admin, node] = [free_address()?, free_address()?, free_address()?];
        let process = Command::new(program)
            .args(["--no-logo", "--listen-mode", "tcp", "--base-dir", folder])
            .args(["--bind-ip", "127.0.0.1", "--bind-address", &node])
            .args(["--node-name", "bench", "--default-num-partitions", "4"])
            .env("DO_NOT_TRACK", "1")
            .env("RESTATE_DISABLE_TELEMETRY", "true")
            .env("RESTATE_INGRESS__BIND_ADDRESS", &ingress)
            .env("RESTATE_ADMIN__BIND_ADDRESS", &admin)
            .env("RESTATE_ROCKSDB_TOTAL_MEMORY_SIZE", "512MiB")
            .stdin(Stdio::null())
            // Logs are for people; standard output is spoken.
            .stdout(std::io::stderr())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start `{}`", program.display()))?;
        Ok(Self {
            ingress: format!("http://{ingress}"),
            admin: format!("http://{admin}"),
            _process: process,
        })
    }

    async fn run(&self, client: &Client, steps: u32) -> Result<()> {
        let padding = INPUT_BYTES - format!("[{steps},\"\"]").len();
        let url = format!("{}/Bench/sequence", self.ingress);
        let input = json!([steps, "x".repeat(padding)]);
        let done: u32 = post(client, &url, &input).await?.json().await?;
        ensure!(done == steps, "{done} steps in place of {steps}");
        Ok(())
    }
}

/// A program in the folder of this one.
fn beside(name: &str) -> Result<PathBuf> {
    Ok(env::current_exe()?.with_file_name(name))
}

/// An address of loopback that nobody listens at now.
fn free_address() -> Result<String> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string())
}

async fn post(client: &Client, url: &str, body: &serde_json::Value) -> Result<reqwest::Response> {
    Ok(client
        .post(url)
        .json(body)
        .send()
        .await?
        .error_for_status()?)
}

/// Starts the handler; where it listens.
async fn handler() -> Result<(Child, String)> {
    let program = beside("restate-handler")?;
    let mut process = Command::new(&program)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("cannot start `{}`", program.display()))?;
    let stdout = process.stdout.take().context("no output")?;
    let url = BufReader::new(stdout).lines().next_line().await?;
    Ok((process, url.context("the handler does not listen")?))
}

/// Tries until it succeeds.
async fn insist<T>(what: &str, mut work: impl AsyncFnMut() -> Result<T>) -> Result<T> {
    for _ in 1..TRIES {
        if let Ok(done) = work().await {
            return Ok(done);
        }
        sleep(PAUSE).await;
    }
    work().await.with_context(|| what.to_owned())
}

/// What the server's configuration says of the disk.
async fn settings(server: &Path) -> Result<String> {
    let dump = Command::new(server).arg("--dump-config").output().await?;
    let text = String::from_utf8(dump.stdout)?;
    let log_server = text.split("[log-server]").nth(1).unwrap_or_default();
    let wanted = |line: &&str| line.starts_with("rocksdb-disable-wal-fsync");
    let Some(fsync) = log_server.lines().find(wanted) else {
        bail!("the configuration does not speak of fsync");
    };
    let version = Command::new(server).arg("--version").output().await?;
    let version = String::from_utf8(version.stdout)?;
    Ok(format!("{}, log-server.{fsync}", version.trim()))
}

/// Plays the callers, each of which starts a run when its last one has ended.
async fn play(server: &Server, client: &Client, load: Load) -> Result<serde_json::Value> {
    let time = Duration::from_secs_f64(load.seconds);
    let begin = Instant::now();
    let caller = async || {
        let mut latencies = Vec::new();
        while begin.elapsed() < time {
            let called = Instant::now();
            server.run(client, load.tasks).await?;
            latencies.push(called.elapsed().as_secs_f64());
        }
        anyhow::Ok(latencies)
    };
    let all = try_join_all((0..load.callers).map(|_| caller())).await?;
    let seconds = begin.elapsed().as_secs_f64();
    Ok(json!({ "seconds": seconds, "latencies": all.concat() }))
}

#[tokio::main]
async fn main() -> Result<()> {
    let folder = env::args().nth(1).context("the folder is missing")?;
    let program = beside("restate-server")?;
    let server = Server::start(&program, &folder)?;
    let (_handler, uri) = handler().await?;
    let client = Client::new();
    let deployments = format!("{}/deployments", server.admin);
    let register = async || post(&client, &deployments, &json!({ "uri": uri })).await;
    insist("the handler is not registered", register).await?;
    insist("no run succeeds", async || server.run(&client, 1).await).await?;
    println!("{}", settings(&program).await?);
    let mut input = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = input.next_line().await? {
        println!(
            "{}",
            play(&server, &client, serde_json::from_str(&line)?).await?
        );
    }
    Ok(())
}
