//! The link between engine and worker: messages are delayed and said twice, workers are lost, and
//! what is said is checked.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use futures::future::join3;
use random_programs::{Pace, entrypoints, offered};
use tokio::{select, sync::mpsc};
use weft_worker::{
    CallId, Worker,
    protocol::{
        EngineLink, Event, ExecutionId, FromWorker, StartRun, ToWorker, WorkerLink, WorkerMessage,
        in_memory_link,
    },
};
use workflow_service::{
    domain::{Durability, RunId},
    engine::Engine,
    store::Fence,
};

use crate::world::World;

/// Longest time without a worker.
const LONGEST_ABSENCE: Duration = Duration::from_secs(10);

/// Heard is what was said over links, as far as it binds.
#[derive(Default)]
pub(crate) struct Heard {
    /// Of this life.
    executions: HashMap<ExecutionId, Execution>,
    /// Calls whose results workers were told, after they were recorded.
    acknowledged: HashSet<(RunId, CallId)>,
}

struct Execution {
    run: RunId,
    fence: Option<Fence>,
    last_commit: Option<u32>,
    acknowledged: HashSet<CallId>,
}

impl Heard {
    /// The process ended; the next one numbers its executions afresh.
    pub(crate) fn forget_executions(&mut self) {
        self.executions.clear();
    }

    fn begin(&mut self, start: &StartRun, fence: Option<Fence>) -> Result<(), String> {
        let execution = Execution {
            run: RunId(start.run_id),
            fence,
            last_commit: None,
            acknowledged: HashSet::new(),
        };
        match self.executions.insert(start.execution, execution) {
            Some(_) => Err(format!("{:?} was used twice", start.execution)),
            None => Ok(()),
        }
    }

    /// A result is on its way to a worker; `commit` is its place in the journal.
    fn acknowledge(
        &mut self,
        execution: ExecutionId,
        call: &CallId,
        commit: Option<u32>,
    ) -> Result<(), String> {
        let Some(execution) = self.executions.get_mut(&execution) else {
            return Err(format!("{execution:?} never began"));
        };
        // What answers a record that was said twice may be late.
        if !execution.acknowledged.insert(call.clone()) {
            return Ok(());
        }
        let Some(commit) = commit else {
            return Err(format!("call {call} is acknowledged and not recorded"));
        };
        self.acknowledged.insert((execution.run, call.clone()));
        match execution.last_commit.replace(commit) {
            Some(last) if last >= commit => Err(format!(
                "call {call} is acknowledged out of order: commit {commit} after {last}"
            )),
            _ => Ok(()),
        }
    }

    fn was_acknowledged(&self, run: RunId, call: &CallId) -> bool {
        self.acknowledged.contains(&(run, call.clone()))
    }
}

/// Work is what a worker is there for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Work {
    /// It executes runs.
    Entrypoints,
    /// It offers a task to them.
    Tasks,
}

impl Work {
    fn worker(self, world: &World) -> Worker {
        let outside = Arc::new(world.outside().clone());
        let worker = Worker::new().clock(world.worker_clock());
        match self {
            Self::Entrypoints => {
                let [remembered, cached] = entrypoints(outside, Pace::SIMULATED.cache);
                worker.entrypoint(remembered).entrypoint(cached)
            }
            Self::Tasks => worker.task(offered(outside)),
        }
    }
}

/// Hosts workers for this, one after the other.
pub(crate) async fn host(engine: Engine, world: World, work: Work) {
    loop {
        let worker = work.worker(&world);
        let (near_worker, near_engine) = in_memory_link();
        let (far_worker, far_engine) = in_memory_link();
        engine.connect(&worker, near_engine);
        let WorkerLink {
            inbox: from_engine,
            outbox: to_engine,
        } = near_worker;
        let EngineLink {
            inbox: from_worker,
            outbox: to_worker,
        } = far_engine;
        let life = world.life_of_worker();
        let working = join3(
            worker.serve(far_worker),
            carry_to_worker(&world, from_engine, to_worker),
            carry_to_engine(&world, from_worker, to_engine),
        );
        select! {
            biased;
            _ = working => {}
            () = tokio::time::sleep(life) => {}
        }
        world.note(format!("the worker for {work:?} is lost"));
        world.pause(LONGEST_ABSENCE).await;
    }
}

async fn carry_to_worker(
    world: &World,
    mut from: mpsc::Receiver<ToWorker>,
    to: mpsc::Sender<ToWorker>,
) {
    while let Some(message) = from.recv().await {
        world.expect(heard_from_engine(world, &message));
        let is_repeatable = match &message {
            // Whoever says these twice wants something done twice.
            ToWorker::StartRun(_) | ToWorker::RunTask(_) | ToWorker::Retry { .. } => false,
            _ => true,
        };
        deliver(world, message, is_repeatable, &to).await;
    }
}

async fn carry_to_engine(
    world: &World,
    mut from: mpsc::Receiver<FromWorker>,
    to: mpsc::Sender<FromWorker>,
) {
    while let Some(message) = from.recv().await {
        world.expect(heard_from_worker(world, &message));
        let is_repeatable = !matches!(message.message, WorkerMessage::Event(_));
        deliver(world, message, is_repeatable, &to).await;
    }
}

async fn deliver<M: Clone>(world: &World, message: M, is_repeatable: bool, to: &mpsc::Sender<M>) {
    let faults = world.faults();
    world.pause(faults.longest_delay).await;
    let again = (is_repeatable && world.chance(faults.repeats)).then(|| message.clone());
    let _ = to.send(message).await;
    if let Some(again) = again {
        world.note("  said twice:");
        world.pause(faults.longest_delay).await;
        let _ = to.send(again).await;
    }
}

fn heard_from_engine(world: &World, message: &ToWorker) -> Result<(), String> {
    match message {
        ToWorker::StartRun(start) => {
            world.note(format!(
                "  {:?} begins: run {}",
                start.execution,
                world.number_of(RunId(start.run_id))
            ));
            let mut state = world.state();
            let fence = state.ledger.fence_of(RunId(start.run_id));
            state.heard.begin(start, fence)
        }
        ToWorker::RunTask(task) => {
            let (run, call) = (RunId(task.run_id), &task.call);
            world.note(format!(
                "  {:?} begins: attempt {} of call {call} of run {} `{}`",
                task.execution,
                task.attempt,
                world.number_of(run),
                task.task
            ));
            let state = world.state();
            let is_recorded = state.ledger.commit_of(run, call).is_some();
            match is_recorded && state.heard.was_acknowledged(run, call) {
                true => Err(format!(
                    "call {call} is handed to a worker after its result was acknowledged"
                )),
                false => Ok(()),
            }
        }
        ToWorker::Ack {
            execution, call, ..
        } => {
            world.note(format!("  {execution:?}: call {call} is acknowledged"));
            let mut state = world.state();
            let Some(of) = state.heard.executions.get(execution) else {
                return Err(format!("{execution:?} never began"));
            };
            let (run, fence) = (of.run, of.fence);
            // What was said before the end of an execution may be read after it.
            let is_over = fence.is_none() || state.ledger.fence_of(run) != fence;
            if is_over || state.durability_of(run) != Durability::Sync {
                return Ok(());
            }
            let commit = state.ledger.commit_of(run, call);
            state.heard.acknowledge(*execution, call, commit)
        }
        ToWorker::Retry {
            execution, call, ..
        } => {
            world.note(format!("  {execution:?}: call {call} is to be tried again"));
            Ok(())
        }
        ToWorker::Cancel { execution, .. } => {
            world.note(format!("  {execution:?} is to stop"));
            Ok(())
        }
        ToWorker::Fenced { execution } => {
            world.note(format!("  {execution:?} is over"));
            Ok(())
        }
    }
}

fn heard_from_worker(world: &World, message: &FromWorker) -> Result<(), String> {
    let execution = message.execution;
    match &message.message {
        WorkerMessage::Event(Event::TaskStarted {
            call,
            task,
            attempt,
            ..
        }) => {
            world.note(format!(
                "    {execution:?}: attempt {attempt} of call {call} `{task}`"
            ));
            let state = world.state();
            let Some(execution) = state.heard.executions.get(&execution) else {
                return Err(format!("{execution:?} never began"));
            };
            let is_recorded = state.ledger.commit_of(execution.run, call).is_some();
            match is_recorded && state.heard.was_acknowledged(execution.run, call) {
                true => Err(format!(
                    "call {call} `{task}` starts again after its result was acknowledged"
                )),
                false => Ok(()),
            }
        }
        WorkerMessage::Event(_) => Ok(()),
        WorkerMessage::Record(record) => {
            let call = &record.call;
            let is_fine = match &record.outcome {
                Ok(_) => "ended",
                Err(_) => "failed",
            };
            world.note(format!(
                "    {execution:?}: call {} `{}` {is_fine}",
                call.id, call.task
            ));
            Ok(())
        }
        WorkerMessage::Call(_) | WorkerMessage::Lookup(_) => {
            world.note(format!(
                "    {execution:?} asks for a target or a cached result"
            ));
            Ok(())
        }
        WorkerMessage::Done(done) => {
            let how = if done.outcome.is_ok() {
                "ended"
            } else {
                "failed"
            };
            world.note(format!("    {execution:?}: the task {how}"));
            Ok(())
        }
        WorkerMessage::Suspend(_) => {
            world.note(format!("    {execution:?} can only wait"));
            Ok(())
        }
        WorkerMessage::Finish(finish) => {
            let text = format!("{finish:?}");
            let how = text.split([' ', '(', '{']).next().unwrap_or_default();
            world.note(format!("    {execution:?} finishes: {how}"));
            Ok(())
        }
    }
}
