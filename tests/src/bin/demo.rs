//! `make demo`: the reference conversation, on real services with a data folder of their own.
//!
//! Ends with success only if the user is remembered across threads and unknown to the other user.
#![expect(clippy::print_stdout, reason = "the demo is what it prints")]

use std::{
    env,
    io::{self, IsTerminal as _, Write as _},
    process::{ExitCode, Termination as _},
    time::Instant,
};

use anyhow::{Result, ensure};
use e2e::{
    Cluster, Events,
    conversation::{INTRODUCTION, Line, QUESTION, STRANGER, memories_of},
    payload,
};
use tonic::transport::Channel;
use weft_proto::{
    memory::v1::SearchItemsRequest,
    workflow::v1::{
        StreamMode, event::Kind, run::State, workflow_service_client::WorkflowServiceClient,
    },
};

/// The name that is to be remembered.
const NAME: &str = "Bob";

#[tokio::main]
async fn main() -> ExitCode {
    match demo().await {
        Ok(()) => ExitCode::SUCCESS,
        // Printed as a chain of sentences, after the logs of the services.
        failed @ Err(_) => failed.report(),
    }
}

async fn demo() -> Result<()> {
    let style = Style::of_terminal();
    let cluster = Cluster::start().await?;
    println!("{}", style.bold("Two services, three threads, two users"));
    println!("  memory-service    {}", cluster.memory()?.grpc());
    println!("  workflow-service  {}", cluster.workflow()?.grpc());

    let mut client = cluster.workflow_client()?;
    let greeting = say(&mut client, INTRODUCTION, &style).await?;
    let answer = say(&mut client, QUESTION, &style).await?;
    let to_stranger = say(&mut client, STRANGER, &style).await?;

    println!("\n{}", style.bold("What memory holds now"));
    let known = show_memories(&cluster, INTRODUCTION.user).await?;
    let of_stranger = show_memories(&cluster, STRANGER.user).await?;
    cluster.finish().await?;

    ensure!(
        greeting.contains(NAME),
        "{NAME} introduced himself and was not greeted by name"
    );
    ensure!(
        answer.contains(NAME),
        "{NAME} was forgotten between two threads"
    );
    ensure!(
        !to_stranger.contains(NAME),
        "{NAME}'s name was told to another user"
    );
    ensure!(
        known == 1,
        "memory holds {known} items of user {}, not one",
        INTRODUCTION.user
    );
    ensure!(
        of_stranger == 0,
        "memory holds {of_stranger} items of user {}",
        STRANGER.user
    );
    let verdict = "Bob is remembered across threads, and unknown to the other user.";
    println!("\n{}", style.green(verdict));
    Ok(())
}

/// Says one line and prints the answer as it is written.
async fn say(
    client: &mut WorkflowServiceClient<Channel>,
    line: Line,
    style: &Style,
) -> Result<String> {
    let Line { thread, user, text } = line;
    println!(
        "\n{}",
        style.dim(&format!("thread {thread} ─────────────────────────────"))
    );
    println!("  {}  {text}", style.bold(&format!("user {user}")));
    print!("  {}  ", style.bold("weft  "));
    io::stdout().flush()?;

    let asked = Instant::now();
    let modes = [StreamMode::Messages, StreamMode::Values, StreamMode::States];
    let mut events = Events::start(client, line.to_run(), &modes).await?;
    let mut answer = None;
    while let Some(event) = events.next().await? {
        match event.kind {
            Some(Kind::Message(piece)) => {
                print!("{}", piece.text);
                io::stdout().flush()?;
            }
            Some(Kind::Value(value)) => {
                let message = payload::read(Some(&value))?;
                answer = message["content"].as_str().map(str::to_owned);
            }
            Some(Kind::Run(run)) => {
                ensure!(
                    run.state() != State::Failed,
                    "the run failed: {:?}",
                    run.error
                );
            }
            _ => {}
        }
    }
    println!(
        "  {}",
        style.dim(&format!("{} ms", asked.elapsed().as_millis()))
    );
    answer.ok_or_else(|| anyhow::anyhow!("thread {thread} got no answer"))
}

/// Prints the memories of a user; returns how many there are.
async fn show_memories(cluster: &Cluster, user: &str) -> Result<usize> {
    let namespace = memories_of(user);
    let name = namespace.join(" / ");
    let request = SearchItemsRequest {
        namespace_prefix: namespace,
        ..Default::default()
    };
    let hits = cluster
        .memory_client()?
        .search_items(request)
        .await?
        .into_inner()
        .hits;
    if hits.is_empty() {
        println!("  {name}  nothing");
    }
    for hit in &hits {
        let value = hit.item.as_ref().and_then(|item| item.value.as_ref());
        println!("  {name}  {}", payload::read(value)?);
    }
    Ok(hits.len())
}

/// How text is marked, where it can be.
struct Style {
    enabled: bool,
}

impl Style {
    fn of_terminal() -> Self {
        // https://no-color.org: set and not empty.
        let refused = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            enabled: io::stdout().is_terminal() && !refused,
        }
    }

    fn bold(&self, text: &str) -> String {
        self.mark("1", text)
    }

    fn dim(&self, text: &str) -> String {
        self.mark("2", text)
    }

    fn green(&self, text: &str) -> String {
        self.mark("32", text)
    }

    fn mark(&self, code: &str, text: &str) -> String {
        if self.enabled {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}
