//! `make run`: both services with their embedded defaults, until Ctrl-C or SIGTERM.
//!
//! The services are configured as always: `WEFT_…` variables reach both.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "speaks to a person"
)]

use std::{convert::Infallible, future::pending, process::ExitCode};

use anyhow::{Result, bail};
use e2e::{
    Process,
    cluster::{MEMORY, WORKFLOW},
    health,
    launch::Launch,
};
use tokio::signal::unix::{Signal, SignalKind, signal};

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<()> {
    let mut stop = Stop::listen()?;
    let mut services = Services::default();
    let served = tokio::select! {
        Err(error) = services.serve() => Err(error),
        () = stop.asked() => Ok(()),
    };
    tokio::select! {
        ended = services.end() => served.and(ended),
        () = stop.asked() => bail!("asked to end a second time: the services are killed"),
    }
}

#[derive(Default)]
struct Services {
    memory: Option<Process>,
    workflow: Option<Process>,
}

impl Services {
    /// Starts both and waits until one of them ends by itself, which is an error.
    async fn serve(&mut self) -> Result<Infallible> {
        let memory = self
            .memory
            .insert(Process::start(&Launch::inheriting(MEMORY)).await?);
        let launch = Launch::inheriting(WORKFLOW).flag("--memory-url", memory.url());
        let workflow = self.workflow.insert(Process::start(&launch).await?);

        let channels = (memory.channel()?, workflow.channel()?);
        let welcome = welcome(memory, workflow);
        let ready = async {
            health::ready(channels.0).await?;
            health::ready(channels.1).await?;
            println!("{welcome}");
            pending().await
        };
        let (name, status) = tokio::select! {
            ready = ready => return ready,
            status = memory.ends() => (MEMORY, status?),
            status = workflow.ends() => (WORKFLOW, status?),
        };
        bail!("{name} ended by itself ({status}); its last words are above")
    }

    /// Ends both in good order: first the one that needs the other.
    async fn end(&mut self) -> Result<()> {
        for service in [&mut self.workflow, &mut self.memory] {
            if let Some(mut process) = service.take()
                && process.is_running()
            {
                process.terminate().await?;
            }
        }
        Ok(())
    }
}

/// What to try first.
fn welcome(memory: &Process, workflow: &Process) -> String {
    let line = |service: &Process| {
        let (name, grpc, admin) = (service.name(), service.grpc(), service.admin());
        format!("  {name:<16}  gRPC {grpc}  admin http://{admin}")
    };
    let say = |thread: &str, text: &str| {
        let start = format!(
            r#""entrypoint":"chat","thread_id":"{thread}","input":{{"json":"{text}"}},"config":{{"json":{{"user_id":"1"}}}}"#
        );
        let address = workflow.grpc();
        format!(
            "  grpcurl -plaintext -d '{{\"start\":{{{start}}}}}' {address} \
             weft.workflow.v1.WorkflowService/InvokeRun"
        )
    };
    format!(
        "\nBoth services are ready:\n{}\n{}\n\n\
         Say your name on one thread, and ask for it on another:\n\n{}\n\n{}\n\n\
         Ctrl-C ends both.\n",
        line(memory),
        line(workflow),
        say("1", "Hi! Remember: my name is Bob"),
        say("2", "what is my name?"),
    )
}

/// Ctrl-C and SIGTERM.
struct Stop {
    interrupt: Signal,
    terminate: Signal,
}

impl Stop {
    fn listen() -> Result<Self> {
        let interrupt = signal(SignalKind::interrupt())?;
        Ok(Self {
            interrupt,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn asked(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
