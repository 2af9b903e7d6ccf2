//! The entrypoints that are measured, and runs of them.

use anyhow::{Result, ensure};
use e2e::{
    payload,
    runs::{Workflows, invoke},
};
use futures::future::try_join_all;
use weft_proto::workflow::v1::{Durability, StartRunRequest, run::State};
use weft_worker::{Context, Entrypoint, Failure, Task, TaskContext, Worker};

/// Calls its tasks one after the other.
pub(crate) const SEQUENCE: &str = "sequence";
/// Calls its tasks all at once.
pub(crate) const PARALLEL: &str = "parallel";

/// JSON text of the input, in bytes.
const INPUT_BYTES: usize = 256;
/// What a task returns: 256 bytes of JSON.
pub(crate) const RESULT_BYTES: usize = 254;

/// A task that only returns something.
pub(crate) fn step() -> Task<u32, String> {
    Task::new("step", |_: TaskContext, _: u32| async {
        Ok("x".repeat(RESULT_BYTES))
    })
}

/// Hosts the entrypoints. Each calls as many tasks as its input says.
pub(crate) fn worker() -> Worker {
    let sequence = |context: Context, (tasks, _padding): (u32, String)| async move {
        let step = step();
        for number in 0..tasks {
            context.call(&step, number).await?;
        }
        Ok::<_, Failure>(tasks)
    };
    let parallel = |context: Context, (tasks, _padding): (u32, String)| async move {
        let step = step();
        try_join_all((0..tasks).map(|number| context.call(&step, number))).await?;
        Ok::<_, Failure>(tasks)
    };
    Worker::new()
        .entrypoint(Entrypoint::new(SEQUENCE, "1", sequence))
        .entrypoint(Entrypoint::new(PARALLEL, "1", parallel))
}

/// One run, on a thread of its own.
pub(crate) async fn run(mut client: Workflows, entrypoint: &'static str, tasks: u32) -> Result<()> {
    let padding = INPUT_BYTES - format!(r#"[{tasks},""]"#).len();
    let start = StartRunRequest {
        entrypoint: entrypoint.to_owned(),
        input: Some(payload::text(format!(
            r#"[{tasks},"{}"]"#,
            "x".repeat(padding)
        ))),
        durability: Durability::Sync.into(),
        ..StartRunRequest::default()
    };
    let run = invoke(&mut client, start).await?;
    ensure!(run.state() == State::Succeeded, "{run:?}");
    Ok(())
}
