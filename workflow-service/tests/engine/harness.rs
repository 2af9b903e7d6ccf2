//! An engine on a store in a folder of its own, and tasks that tests hold and count.

use std::{
    collections::BTreeMap,
    ops::Deref,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use service_runtime::Tenant;
use tempfile::TempDir;
use tokio::{sync::Semaphore, time::timeout};
use weft_worker::{Context, Entrypoint, Task, TaskContext, Worker, json};
use workflow_service::{
    domain::{Concurrency, Durability, Event, Run, RunId, ThreadId, Timestamp},
    engine::{Engine, EngineSettings, Follower, NewRunRequest, Retention, Targets},
    store::{NewRun, sqlite::SqliteStore},
};

use crate::link::Link;

/// Long enough for any of these on a loaded machine; only a hang takes it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Short, so that tests of what happens after it take little time.
const CANCEL_GRACE: Duration = Duration::from_millis(200);

/// Counts how often something ran.
#[derive(Clone, Default)]
pub(crate) struct Count(Arc<AtomicU32>);

impl Count {
    pub(crate) fn up(&self) -> u32 {
        self.0.fetch_add(1, Ordering::SeqCst) + 1
    }

    pub(crate) fn get(&self) -> u32 {
        self.0.load(Ordering::SeqCst)
    }
}

/// Holds tasks until the test lets them go, and tells the test that one has arrived.
#[derive(Clone)]
pub(crate) struct Gate {
    arrived: Arc<Semaphore>,
    open: Arc<Semaphore>,
}

impl Gate {
    pub(crate) fn closed() -> Self {
        Self {
            arrived: Arc::new(Semaphore::new(0)),
            open: Arc::new(Semaphore::new(0)),
        }
    }

    pub(crate) async fn pass(&self) {
        self.arrived.add_permits(1);
        self.open.acquire().await.unwrap().forget();
    }

    pub(crate) async fn arrival(&self) {
        timeout(PATIENCE, self.arrived.acquire())
            .await
            .unwrap()
            .unwrap()
            .forget();
    }

    pub(crate) fn let_through(&self, count: usize) {
        self.open.add_permits(count);
    }
}

/// An entrypoint that counts `first`, waits at the gate in `second`, and returns its input.
pub(crate) fn two_steps(name: &str, first_runs: &Count, gate: &Gate) -> Entrypoint {
    let (first_runs, gate) = (first_runs.clone(), gate.clone());
    Entrypoint::new(name, "1", move |context: Context, input: u32| {
        let (first_runs, gate) = (first_runs.clone(), gate.clone());
        async move {
            let first = Task::new("first", move |_, ()| {
                let run = first_runs.up();
                async move { Ok(run) }
            });
            let second = Task::new("second", move |_: TaskContext, ()| {
                let gate = gate.clone();
                async move {
                    gate.pass().await;
                    Ok(())
                }
            });
            context.call(&first, ()).await?;
            context.call(&second, ()).await?;
            Ok(input)
        }
    })
}

pub(crate) fn tenant() -> Tenant {
    Tenant::default()
}

/// An engine and the worker it executes runs on, which is linked to it in one of two ways.
pub(crate) struct Hosted {
    engine: Engine,
    link: Link,
}

impl Deref for Hosted {
    type Target = Engine;

    fn deref(&self) -> &Engine {
        &self.engine
    }
}

impl Hosted {
    pub(crate) async fn stop(&self) {
        self.engine.stop().await;
        self.link.stop().await;
    }
}

pub(crate) async fn engine_in(folder: &Path, worker: Worker, max_runs: usize) -> Hosted {
    engine_with(folder, worker, Targets::default(), max_runs).await
}

pub(crate) async fn engine_with(
    folder: &Path,
    worker: Worker,
    targets: Targets,
    max_runs: usize,
) -> Hosted {
    hosted(folder, worker, targets, max_runs, CANCEL_GRACE).await
}

/// An engine that gives runs all the time they need to stop.
pub(crate) async fn patient_engine(worker: Worker) -> (Hosted, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let targets = Targets::default();
    let engine = hosted(folder.path(), worker, targets, 100, PATIENCE).await;
    (engine, folder)
}

async fn hosted(
    folder: &Path,
    worker: Worker,
    targets: Targets,
    max_runs: usize,
    cancel_grace: Duration,
) -> Hosted {
    let store = SqliteStore::open(folder).unwrap();
    let engine = Engine::new(
        Arc::new(store),
        targets,
        EngineSettings {
            max_runs,
            cancel_grace,
            task_wait: PATIENCE,
            retention: Retention::default(),
        },
    );
    let link = Link::host(&engine, worker).await;
    engine.start();
    Hosted { engine, link }
}

pub(crate) async fn engine(worker: Worker) -> (Hosted, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    (engine_in(folder.path(), worker, 100).await, folder)
}

pub(crate) fn request(entrypoint: &str, thread: &str, input: u32) -> NewRunRequest {
    NewRunRequest {
        entrypoint: entrypoint.to_owned(),
        version: None,
        run: NewRun {
            id: RunId::new(),
            thread_id: ThreadId::parse(thread).unwrap(),
            entrypoint: entrypoint.into(),
            version: "".into(),
            input: json::from_text(input.to_string()).unwrap(),
            config: json::from_text("{}").unwrap(),
            labels: BTreeMap::new(),
            branch_from: None,
            concurrency: Concurrency::Enqueue,
            durability: Durability::Sync,
            timeout: None,
            start_after: None,
            request: None,
            claim: false,
            now: Timestamp::now(),
        },
    }
}

pub(crate) async fn start(engine: &Engine, entrypoint: &str, thread: &str, input: u32) -> Run {
    engine
        .start_run(&tenant(), request(entrypoint, thread, input))
        .await
        .unwrap()
}

pub(crate) async fn rest(engine: &Engine, id: RunId) -> Run {
    let run = engine.wait(&tenant(), id, PATIENCE).await.unwrap().unwrap();
    assert!(run.state.is_resting(), "the run does not rest: {run:?}");
    run
}

pub(crate) async fn follow(engine: &Engine, id: RunId, after: i64) -> Follower {
    engine.follow(&tenant(), id, after).await.unwrap().unwrap()
}

pub(crate) async fn next(follower: &mut Follower) -> Option<Arc<Event>> {
    timeout(PATIENCE, follower.next()).await.unwrap().unwrap()
}

/// All events until the run rests.
pub(crate) async fn all(mut follower: Follower) -> Vec<Arc<Event>> {
    let mut events = Vec::new();
    while let Some(event) = next(&mut follower).await {
        events.push(event);
    }
    events
}
