//! What a loss of power leaves of workflow-service's store: whatever it had answered for is there. The
//! real binary works for a worker while everything that it does to its files is recorded. Then power is
//! lost at many moments, in many ways: the files are made as they may be found after it, and the store
//! is opened on them.
//!
//! `WEFT_TEST_SEED=n` loses it at other moments.
//!
//! # Layout
//! - `recorder.c`: records; loaded before the system's library
//! - `disk`: what is on a disk after a loss of power

mod disk;

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context as _, Result, ensure};
use e2e::{Cluster, payload, runs::invoke, worker::hosts};
use futures::future::try_join_all;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use service_runtime::Tenant;
use tokio::task::JoinSet;
use weft_proto::workflow::v1::StartRunRequest;
use weft_worker::{Context, Entrypoint, Failure, Task, TaskContext, Worker};
use workflow_service::{
    domain::{RunId, RunState},
    store::{CheckpointStore as _, sqlite::SqliteStore},
};

use self::disk::{Disk, Unflushed};

/// Runs at once, and how many there are of them one after the other.
const CALLERS: u32 = 8;
const RUNS: u32 = 10;
/// Tasks of each.
const TASKS: u32 = 10;
/// Moments at which power is lost: right after something was answered for, when least is sure.
const LOSSES: usize = 40;

/// Something that the service has answered for.
#[derive(Clone, Debug)]
struct Promise {
    /// Bytes of notes that were there by then.
    moment: usize,
    run: String,
    /// How many results of its tasks are recorded.
    results: u32,
    /// Whether it has ended.
    is_over: bool,
}

/// What was answered for, in order of time.
#[derive(Clone)]
struct Promises {
    notes: PathBuf,
    made: Arc<Mutex<Vec<Promise>>>,
}

impl Promises {
    fn note(&self, run: String, results: u32, is_over: bool) {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let moment = fs::metadata(&self.notes).map_or(0, |notes| notes.len() as usize);
        made.push(Promise {
            moment,
            run,
            results,
            is_over,
        });
    }

    /// A worker whose code takes down each result as soon as it sees it.
    fn worker(&self) -> Worker {
        let promises = self.clone();
        let steps = move |context: Context, tasks: u32| {
            let promises = promises.clone();
            async move {
                let step = Task::new("step", |_: TaskContext, number: u32| async move {
                    Ok(vec![number; 100])
                });
                for number in 0..tasks {
                    context.call(&step, number).await?;
                    promises.note(context.run_id().to_string(), number + 1, false);
                }
                Ok::<_, Failure>(tasks)
            }
        };
        Worker::new().entrypoint(Entrypoint::new("steps", "1", steps))
    }
}

fn recorder(folder: &Path) -> Result<PathBuf> {
    let library = folder.join("recorder.so");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/power/recorder.c");
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-O1", "-o"]);
    let status = compiler.arg(&library).args([source, "-ldl"]).status();
    ensure!(status.context("there is no `cc`")?.success(), "`cc` failed");
    Ok(library)
}

/// The service works, and is killed: what was done to its files, and what it had answered for.
async fn record() -> Result<(Vec<u8>, Vec<Promise>)> {
    let mut cluster = Cluster::new()?;
    let promises = Promises {
        notes: cluster.folder().join("notes"),
        made: Arc::default(),
    };
    let launch = cluster
        .workflow_launch()
        .variable("LD_PRELOAD", recorder(cluster.folder())?)
        .variable("RECORD_TO", &promises.notes);
    cluster.start_workflow_by(&launch).await?;
    let mut working = JoinSet::new();
    let worker = promises.worker().connect(cluster.workflow()?.url());
    working.spawn(worker.serve(std::future::pending()));
    let mut client = cluster.workflow_client()?;
    hosts(&mut client, "steps", 1).await?;
    let callers = (0..CALLERS).map(|_| {
        let (mut client, promises) = (client.clone(), promises.clone());
        async move {
            for _ in 0..RUNS {
                let start = StartRunRequest {
                    entrypoint: "steps".to_owned(),
                    input: Some(payload::text(TASKS.to_string())),
                    ..StartRunRequest::default()
                };
                let run = invoke(&mut client, start).await?;
                promises.note(run.id, TASKS, true);
            }
            anyhow::Ok(())
        }
    });
    try_join_all(callers).await?;
    working.shutdown().await;
    cluster.take_workflow()?.kill().await?;
    let notes = fs::read(&promises.notes)?;
    cluster.finish().await?;
    let made = promises.made.lock().unwrap_or_else(PoisonError::into_inner);
    Ok((notes, made.clone()))
}

/// The store opens, is sound, and has all that was promised.
async fn keeps(folder: &Path, promises: &[Promise]) -> Result<()> {
    let store = SqliteStore::open(folder)?;
    // What is promised of a run last includes what was before.
    let last: BTreeMap<_, _> = promises.iter().map(|last| (&last.run, last)).collect();
    for promise in last.into_values() {
        let id: RunId = promise.run.parse()?;
        let run = store.run(&Tenant::default(), id).await?;
        let run = run.with_context(|| format!("lost: {promise:?}"))?;
        let results = store.journal(&Tenant::default(), id, 0).await?.len();
        ensure!(
            results >= promise.results as usize,
            "lost results: {promise:?}"
        );
        let is_over = run.state == RunState::Succeeded;
        ensure!(is_over || !promise.is_over, "lost its end: {promise:?}");
    }
    store.close().await;
    drop(store);
    let db = rusqlite::Connection::open(folder.join("workflow.db"))?;
    let sound: String = db.query_row("PRAGMA integrity_check", [], |row| row.get(0))?;
    ensure!(sound == "ok", "{sound}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_was_answered_for_is_there_after_a_loss_of_power() -> Result<()> {
    let seed = env::var("WEFT_TEST_SEED").map_or(Ok(1), |seed| seed.parse())?;
    let mut random = StdRng::seed_from_u64(seed);
    let (notes, promises) = record().await?;
    let mut losses: Vec<usize> = (0..LOSSES)
        .map(|_| random.random_range(0..promises.len()))
        .collect();
    losses.sort_unstable();
    let mut disk = Disk::new(&notes);
    disk.go_on_to(promises[0].moment)?;
    let at_first = disk.checkpoints;
    for last in losses {
        disk.go_on_to(promises[last].moment)?;
        for unflushed in [Unflushed::Lost, Unflushed::Torn, Unflushed::Kept] {
            let folder = tempfile::tempdir()?;
            disk.lose_power(unflushed, &mut random, folder.path())?;
            let kept = keeps(folder.path(), &promises[..=last]).await;
            kept.with_context(|| format!("seed {seed}, promise {last}, {unflushed:?}"))?;
        }
    }
    ensure!(disk.checkpoints > at_first, "too little was written");
    Ok(())
}
