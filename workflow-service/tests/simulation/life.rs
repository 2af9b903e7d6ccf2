//! Lives of the simulated process: each begins with what the store holds, and ends in a crash, or
//! when all is done.

use std::{path::PathBuf, sync::Arc, time::Duration};

use random_programs::MODEL_TARGET;
use tokio::{
    runtime::{self, Runtime},
    select,
    task::JoinSet,
};
use workflow_service::{
    engine::{Engine, EngineSettings, Targets},
    store::{CheckpointStore as _, sqlite::SqliteStore},
};

use crate::{client, double::Double, link, store::SimulatedStore, verdict, world::World};

/// How long code has to stop after a cancel.
const CANCEL_GRACE: Duration = Duration::from_secs(5);

/// Longer than there may be no worker.
const TASK_WAIT: Duration = Duration::from_secs(60);

/// Crash says when the process crashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Crash {
    /// When the seed says so, beside other faults.
    Random,
    /// Never, and nothing else goes wrong.
    Never,
    /// Once, instead of the commit with this number.
    Before(u64),
    /// Once, after that commit and before anybody learns of it.
    After(u64),
}

/// Simulated is what a seed came to.
pub(crate) struct Simulated {
    pub(crate) history: Vec<String>,
    pub(crate) commits: u64,
}

/// Tries a seed.
///
/// # Panics
/// If something that must hold does not; with the history that led to it.
pub(crate) fn simulate(seed: u64, crash: Crash) -> Simulated {
    let world = World::new(seed, crash);
    let folder = tempfile::tempdir_in(memory()).unwrap();
    loop {
        let runtime = new_runtime();
        let store = Arc::new(SqliteStore::open(folder.path()).unwrap());
        let is_done = runtime.block_on(live(&world, &store));
        // As a crash does, this ends all that is under way wherever it is.
        drop(runtime);
        new_runtime().block_on(store.close());
        world.assert_fine();
        if is_done {
            break;
        }
    }
    let mut state = world.state();
    Simulated {
        history: std::mem::take(&mut state.history),
        commits: state.commits,
    }
}

/// A folder in memory, if there is one: what is on a disk is proved by other tests.
fn memory() -> PathBuf {
    let shared = PathBuf::from("/dev/shm");
    if shared.is_dir() {
        shared
    } else {
        std::env::temp_dir()
    }
}

/// A runtime whose time passes when nothing else goes on.
fn new_runtime() -> Runtime {
    runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap()
}

/// Whether all is done.
async fn live(world: &World, store: &Arc<SqliteStore>) -> bool {
    world.begin_life();
    let simulated = SimulatedStore {
        inner: Arc::clone(store),
        world: world.clone(),
    };
    world.expect(simulated.all_stopped());
    let settings = EngineSettings {
        max_runs: world.faults().slots,
        cancel_grace: CANCEL_GRACE,
        task_wait: TASK_WAIT,
        retention: world.faults().retention,
    };
    let targets = Targets::default().with(MODEL_TARGET, Double(world.clone()));
    let engine = Engine::with_clock(Arc::new(simulated), targets, settings, world.clock());
    let mut workers = JoinSet::new();
    for work in [link::Work::Entrypoints, link::Work::Tasks] {
        workers.spawn(link::host(engine.clone(), world.clone(), work));
    }
    engine.start();
    let all = async {
        client::attend(&engine, world).await;
        verdict::check(&engine, world).await;
    };
    let is_done = select! {
        biased;
        () = world.crashed() => false,
        () = all => true,
    };
    world.end_life();
    is_done
}
