//! The double as a process: prints where it listens as a line of JSON, and serves until it is ended.

use clap::Parser as _;
use qdrant_double::{Settings, serve};
use tokio::net::TcpListener;

#[tokio::main]
#[expect(
    clippy::print_stdout,
    reason = "whoever started it reads where it listens"
)]
async fn main() -> anyhow::Result<()> {
    let settings = Settings::parse();
    let listener = TcpListener::bind(("127.0.0.1", settings.port)).await?;
    let address = listener.local_addr()?;
    println!(r#"{{"service":"qdrant-double","grpc":"{address}","admin":""}}"#);
    serve(settings, listener).await
}
