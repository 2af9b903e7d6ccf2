//! A provider of models that answers byte for byte what it is told to, and remembers what it was
//! asked.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};

use crate::within;

/// A request that was made.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Path of the URL.
    pub path: String,
    /// Headers, their names in lower case.
    pub headers: BTreeMap<String, String>,
    /// The body.
    pub body: Value,
}

/// An answer to give.
#[derive(Clone, Debug)]
pub struct Reply {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    late: bool,
    end: End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Whole,
    Cut,
    Held,
}

impl Reply {
    /// A stream of these bytes.
    #[must_use]
    pub fn stream(body: impl Into<Vec<u8>>) -> Self {
        Self {
            status: 200,
            headers: vec![("content-type", "text/event-stream".to_owned())],
            body: body.into(),
            late: false,
            end: End::Whole,
        }
    }

    /// An answer in one piece.
    #[must_use]
    pub fn json(status: u16, body: &Value) -> Self {
        Self {
            status,
            headers: vec![("content-type", "application/json".to_owned())],
            body: body.to_string().into_bytes(),
            late: false,
            end: End::Whole,
        }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    /// Ends with the connection instead of in good order.
    #[must_use]
    pub fn cut(mut self) -> Self {
        self.end = End::Cut;
        self
    }

    /// Does not begin before [`Provider::release`].
    #[must_use]
    pub fn late(mut self) -> Self {
        self.late = true;
        self
    }

    /// Does not end before [`Provider::release`].
    #[must_use]
    pub fn held(mut self) -> Self {
        self.end = End::Held;
        self
    }
}

#[derive(Debug, Default)]
struct State {
    replies: VecDeque<Reply>,
    asked: Vec<Asked>,
    under_way: usize,
    most_under_way: usize,
    released: bool,
}

/// A provider that serves until it is dropped. It gives its replies one after the other; without
/// any left it answers 500.
#[derive(Debug)]
pub struct Provider {
    url: String,
    state: Arc<watch::Sender<State>>,
    _server: JoinSet<()>,
}

impl Provider {
    /// A provider with these replies.
    ///
    /// # Errors
    /// If no port is free.
    pub async fn start(replies: impl IntoIterator<Item = Reply>) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let state = Arc::new(watch::Sender::new(State {
            replies: replies.into_iter().collect(),
            ..State::default()
        }));
        let mut server = JoinSet::new();
        server.spawn(serve(listener, Arc::clone(&state)));
        Ok(Self {
            url,
            state,
            _server: server,
        })
    }

    /// Its URL, without a path.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What it was asked so far.
    #[must_use]
    pub fn asked(&self) -> Vec<Asked> {
        self.state.borrow().asked.clone()
    }

    /// Most requests that were under way at once.
    #[must_use]
    pub fn most_under_way(&self) -> usize {
        self.state.borrow().most_under_way
    }

    /// Waits until it was asked that often.
    ///
    /// # Errors
    /// If it is not in time.
    pub async fn sees(&self, requests: usize) -> Result<()> {
        let mut changes = self.state.subscribe();
        let seen = changes.wait_for(|state| state.asked.len() >= requests);
        within("the provider to be asked", seen).await??;
        Ok(())
    }

    /// Begins all replies that are late and ends those that are held, also later ones.
    pub fn release(&self) {
        self.state.send_modify(|state| state.released = true);
    }
}

async fn serve(listener: TcpListener, state: Arc<watch::Sender<State>>) {
    let mut connections = JoinSet::new();
    while let Ok((connection, _)) = listener.accept().await {
        let state = Arc::clone(&state);
        // A client that goes away in the middle is what many tests are about.
        connections.spawn(async move { converse(connection, &state).await.ok() });
    }
}

async fn converse(connection: TcpStream, state: &watch::Sender<State>) -> Result<()> {
    let mut connection = BufReader::new(connection);
    loop {
        let asked = read(&mut connection).await?;
        let mut reply = Reply::json(500, &"no reply is left".into());
        state.send_modify(|state| {
            state.asked.push(asked);
            state.under_way += 1;
            state.most_under_way = state.most_under_way.max(state.under_way);
            if let Some(next) = state.replies.pop_front() {
                reply = next;
            }
        });
        let written = write(&mut connection, &reply, state).await;
        state.send_modify(|state| state.under_way -= 1);
        written?;
        if reply.end == End::Cut {
            return Ok(());
        }
    }
}

async fn read(connection: &mut BufReader<TcpStream>) -> Result<Asked> {
    let mut line = String::new();
    connection.read_line(&mut line).await?;
    let path = line.split(' ').nth(1).context("no request")?.to_owned();
    let mut headers = BTreeMap::new();
    loop {
        line.clear();
        connection.read_line(&mut line).await?;
        match line.trim_end().split_once(": ") {
            Some((name, value)) => headers.insert(name.to_ascii_lowercase(), value.to_owned()),
            None => break,
        };
    }
    let length = headers.get("content-length").context("no length")?;
    let mut body = vec![0; length.parse()?];
    connection.read_exact(&mut body).await?;
    let body = serde_json::from_slice(&body)?;
    Ok(Asked {
        path,
        headers,
        body,
    })
}

async fn write(
    connection: &mut BufReader<TcpStream>,
    reply: &Reply,
    state: &watch::Sender<State>,
) -> Result<()> {
    if reply.late {
        let mut released = state.subscribe();
        released.wait_for(|state| state.released).await?;
    }
    let mut head = format!(
        "HTTP/1.1 {} Reply\r\ntransfer-encoding: chunked\r\n",
        reply.status
    );
    for (name, value) in &reply.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    connection
        .write_all(format!("{head}\r\n").as_bytes())
        .await?;
    if !reply.body.is_empty() {
        let size = format!("{:x}\r\n", reply.body.len());
        connection.write_all(size.as_bytes()).await?;
        connection.write_all(&reply.body).await?;
        connection.write_all(b"\r\n").await?;
    }
    connection.flush().await?;
    if reply.end == End::Held {
        // Ends also if the client goes away.
        let mut released = state.subscribe();
        let mut byte = [0];
        tokio::select! {
            released = released.wait_for(|state| state.released) => drop(released?),
            read = connection.read(&mut byte) => ensure!(read? > 0, "the client went away"),
        }
    }
    if reply.end != End::Cut {
        connection.write_all(b"0\r\n\r\n").await?;
        connection.flush().await?;
    }
    Ok(())
}
