//! The plain HTTP of the admin addresses.

use anyhow::{Context as _, Result};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::within;

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// What follows the headers.
    pub body: String,
}

/// Gets a path of the server at `address`, as `host:port`.
///
/// # Errors
/// If it does not answer, or not in HTTP.
pub async fn get(address: &str, path: &str) -> Result<Answer> {
    let exchange = async {
        let mut connection = TcpStream::connect(address).await?;
        // HTTP/1.0: the answer is neither chunked nor followed by another.
        let request = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n");
        connection.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        connection.read_to_string(&mut answer).await?;
        anyhow::Ok(answer)
    };
    let answer = within(path, exchange).await??;
    let (head, body) = answer.split_once("\r\n\r\n").context("no end of headers")?;
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    let status = status.with_context(|| format!("no status: {head}"))?;
    Ok(Answer {
        status,
        body: body.to_owned(),
    })
}
