//! A provider that paces what it says, in a process of its own.

use std::{
    env,
    process::Stdio,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result};
use serde::Deserialize;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    process::{Child, ChildStdout, Command},
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval_at},
};

use crate::cell::Pace;

/// Makes this program the provider.
pub(crate) const ARGUMENT: &str = "provider";

/// The provider's process, until it is dropped.
pub(crate) struct PacedProvider {
    address: String,
    _process: Child,
    // Held so that what it prints does not end it.
    _stdout: BufReader<ChildStdout>,
}

impl PacedProvider {
    pub(crate) async fn start() -> Result<Self> {
        let mut process = Command::new(env::current_exe()?)
            .arg(ARGUMENT)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let stdout = process.stdout.take().context("no standard output")?;
        let mut stdout = BufReader::new(stdout);
        let mut address = String::new();
        stdout.read_line(&mut address).await?;
        Ok(Self {
            address: address.trim_end().to_owned(),
            _process: process,
            _stdout: stdout,
        })
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }
}

/// Serves until the process is ended.
pub(crate) async fn serve() -> Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    println!("{}", listener.local_addr()?);
    let mut connections = JoinSet::new();
    loop {
        let (connection, _) = listener.accept().await?;
        // A reader that has heard enough goes away.
        connections.spawn(async move { converse(connection).await.ok() });
        while connections.try_join_next().is_some() {}
    }
}

#[derive(Deserialize)]
struct Asked {
    model: String,
}

async fn converse(connection: TcpStream) -> Result<()> {
    connection.set_nodelay(true)?;
    let mut connection = BufReader::new(connection);
    loop {
        let mut length = 0;
        let mut line = String::new();
        while connection.read_line(&mut line).await? > 2 {
            let header = line.to_ascii_lowercase();
            if let Some(value) = header.strip_prefix("content-length:") {
                length = value.trim().parse()?;
            }
            line.clear();
        }
        let mut body = vec![0; length];
        connection.read_exact(&mut body).await?;
        let asked: Asked = serde_json::from_slice(&body)?;
        speak(&mut connection, asked.model.parse()?).await?;
    }
}

/// One answer, in the form of Messages.
async fn speak(connection: &mut BufReader<TcpStream>, pace: Pace) -> Result<()> {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\
                transfer-encoding: chunked\r\n\r\n";
    let begin = event(
        "message_start",
        r#""message":{"usage":{"input_tokens":1,"output_tokens":1}}"#,
    ) + &event(
        "content_block_start",
        r#""index":0,"content_block":{"type":"text","text":""}"#,
    );
    let begin = format!("{head}{}", chunk(&begin));
    connection.write_all(begin.as_bytes()).await?;
    let period = Duration::from_secs(1) / pace.rate.max(1);
    let mut ticks = interval_at(Instant::now(), period);
    // As a model that was held up does: it does not make up for it.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for _ in 0..pace.tokens {
        if pace.rate > 0 {
            ticks.tick().await;
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos();
        let delta = format!(r#""index":0,"delta":{{"type":"text_delta","text":"{now} "}}"#);
        let token = chunk(&event("content_block_delta", &delta));
        connection.write_all(token.as_bytes()).await?;
    }
    let end = event("content_block_stop", r#""index":0"#)
        + &event(
            "message_delta",
            r#""delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":100}"#,
        )
        + &event("message_stop", r#""last":true"#);
    let end = format!("{}0\r\n\r\n", chunk(&end));
    connection.write_all(end.as_bytes()).await?;
    Ok(())
}

fn event(name: &str, fields: &str) -> String {
    format!("event: {name}\ndata: {{\"type\":\"{name}\",{fields}}}\n\n")
}

fn chunk(text: &str) -> String {
    format!("{:x}\r\n{text}\r\n", text.len())
}
