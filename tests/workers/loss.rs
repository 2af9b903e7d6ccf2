//! Workers that stand still, lose their connection or their service.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use anyhow::Result;
use e2e::{
    WorkerProcess,
    cable::Cable,
    process::Signal,
    runs::succeeded,
    worker::{begins, hosts, ledger, let_go},
};
use futures::future::try_join_all;
use serde_json::json;
use tokio::{sync::Semaphore, task::JoinSet};
use weft_proto::workflow::v1::Run;
use weft_worker::{Context, Entrypoint, Task, TaskContext, Worker};

use crate::stage::{output, recorded, service, start, steps, two_workers_and_a_run, worker};

#[tokio::test]
async fn a_worker_that_stood_still_for_too_long_is_not_heard_and_can_work_again() -> Result<()> {
    let cluster = service().await?;
    let (zombie, other, run) = two_workers_and_a_run(&cluster).await?;
    zombie.signal(Signal::Stop).await?;
    let again = begins(cluster.folder(), "hold", 2).await?;
    assert_eq!(again.process, other.id()?);
    hosts(&mut cluster.workflow_client()?, "steps", 1).await?;
    let_go(cluster.folder(), "hold")?;
    // The zombie finishes its task, and would record it, and go on with the next one.
    zombie.signal(Signal::Continue).await?;
    let processes = output(&cluster, &run).await?;
    assert_eq!(processes[1], json!(other.id()?));
    hosts(&mut cluster.workflow_client()?, "steps", 2).await?;
    let lasts = ledger(cluster.folder())?;
    let lasts: Vec<_> = lasts.iter().filter(|began| began.name == "last").collect();
    assert_eq!(
        lasts.len(),
        1,
        "nobody but {} goes on: {lasts:?}",
        other.id()?
    );
    assert_eq!(recorded(&cluster, &run).await?, ["0", "1", "2"]);

    let zombie_id = zombie.id()?;
    other.terminate().await?;
    let run = steps(&cluster, &["more"]).await?;
    assert_eq!(output(&cluster, &run).await?, json!([zombie_id]));
    zombie.terminate().await?;
    cluster.finish().await
}

#[tokio::test]
async fn a_run_behind_a_half_open_connection_goes_on_elsewhere() -> Result<()> {
    let cluster = service().await?;
    let cable = Cable::to(cluster.workflow()?.grpc()).await?;
    let near = WorkerProcess::start(cable.url(), cluster.folder(), &[])?;
    let mut client = cluster.workflow_client()?;
    hosts(&mut client, "steps", 1).await?;
    let run = steps(&cluster, &["first", "hold"]).await?;
    begins(cluster.folder(), "hold", 1).await?;
    cable.cut();
    let other = worker(&cluster, &[])?;
    let again = begins(cluster.folder(), "hold", 2).await?;
    assert_eq!(again.process, other.id()?);
    let_go(cluster.folder(), "hold")?;
    assert_eq!(
        output(&cluster, &run).await?,
        json!([near.id()?, other.id()?])
    );
    cable.mend();
    hosts(&mut client, "steps", 2).await?;
    near.terminate().await?;
    other.terminate().await?;
    cluster.finish().await
}

#[tokio::test]
async fn a_worker_that_comes_back_soon_goes_on_with_its_runs() -> Result<()> {
    let cluster = service().await?;
    let cable = Cable::to(cluster.workflow()?.grpc()).await?;
    let only = WorkerProcess::start(cable.url(), cluster.folder(), &[])?;
    hosts(&mut cluster.workflow_client()?, "steps", 1).await?;
    let run = steps(&cluster, &["first", "hold", "last"]).await?;
    begins(cluster.folder(), "hold", 1).await?;
    // The connection breaks; the worker makes another one.
    cable.sever();
    let_go(cluster.folder(), "hold")?;
    let id = only.id()?;
    assert_eq!(output(&cluster, &run).await?, json!([id, id, id]));
    let begun = ledger(cluster.folder())?;
    assert_eq!(begun.len(), 3, "no task ran twice: {begun:?}");
    let run = succeeded(&mut cluster.workflow_client()?, &run.id).await?;
    assert_eq!(run.attempt, 1, "it is the same execution");
    only.terminate().await?;
    cluster.finish().await
}

/// Counts executions of tasks by run and call; a task waits for a permit.
#[derive(Clone)]
struct Stage {
    executions: Arc<Mutex<BTreeMap<String, u32>>>,
    gate: Arc<Semaphore>,
}

impl Stage {
    fn worker(&self) -> Worker {
        let stage = self.clone();
        Worker::new().entrypoint(Entrypoint::new(
            "pair",
            "1",
            move |context: Context, number: u32| {
                let stage = stage.clone();
                async move {
                    let count = |name: &str, waits: bool| {
                        let stage = stage.clone();
                        Task::new(name, move |task: TaskContext, ()| {
                            let stage = stage.clone();
                            async move {
                                stage.count(task.idempotency_key());
                                if waits && let Ok(permit) = stage.gate.acquire().await {
                                    drop(permit);
                                }
                                Ok(())
                            }
                        })
                    };
                    context.call(&count("first", false), ()).await?;
                    context.call(&count("second", true), ()).await?;
                    Ok(number)
                }
            },
        ))
    }

    fn count(&self, key: String) {
        let mut executions = self
            .executions
            .lock()
            .unwrap_or_else(|held| held.into_inner());
        *executions.entry(key).or_default() += 1;
    }

    fn executions_of(&self, call: &str) -> Vec<u32> {
        let executions = self
            .executions
            .lock()
            .unwrap_or_else(|held| held.into_inner());
        let of_call = executions.iter().filter(|(key, _)| key.ends_with(call));
        of_call.map(|(_, count)| *count).collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_workers_come_back_after_a_restart_and_repeat_nothing_recorded() -> Result<()> {
    const WORKERS: usize = 50;
    let mut cluster = service().await?;
    let stage = Stage {
        executions: Arc::default(),
        gate: Arc::new(Semaphore::new(0)),
    };
    let url = cluster.workflow()?.url();
    let mut workers = JoinSet::new();
    for number in 0..WORKERS {
        let worker = stage
            .worker()
            .connect(&url)
            .name(format!("worker {number}"))
            .max_runs(1);
        workers.spawn(worker.serve(std::future::pending()));
    }
    hosts(&mut cluster.workflow_client()?, "pair", 50).await?;
    let started = (0..WORKERS).map(|number| start(&cluster, "pair", "", json!(number)));
    let started: Vec<Run> = try_join_all(started).await?;
    let all_hold = async {
        while stage.executions_of("/1").len() < WORKERS {
            tokio::task::yield_now().await;
        }
    };
    e2e::within("all second tasks to begin", all_hold).await?;
    cluster.take_workflow()?.kill().await?;
    cluster.start_workflow().await?;
    hosts(&mut cluster.workflow_client()?, "pair", 50).await?;
    stage.gate.add_permits(2 * WORKERS);
    for (number, run) in started.iter().enumerate() {
        assert_eq!(output(&cluster, run).await?, json!(number));
    }
    assert_eq!(
        stage.executions_of("/0"),
        [1; WORKERS],
        "all were recorded before"
    );
    assert!(stage.executions_of("/1").iter().all(|count| *count <= 2));
    workers.shutdown().await;
    cluster.finish().await
}
