//! Random programs in real time, on several threads and over this link, on an engine that is dropped
//! at random moments and started again on the same folder: they all finish, with the output they
//! would have had without that. The simulation finds more; here nothing is simulated.
//!
//! `WEFT_TEST_SEED=n` tries one seed, which a failure names.

use std::{collections::BTreeMap, env, path::Path, sync::Arc, time::Duration};

use async_trait::async_trait;
use futures::future::join_all;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use random_programs::{
    Argument, BROKEN, ENTRYPOINT, Effect, FAIL, MODEL_TARGET, Memory, Output, Outside as _, Pace,
    Program, answer, entrypoints, offered,
};
use serde_json::json;
use weft_worker::{Json, Worker, json, protocol::Outcome};
use workflow_service::{
    domain::{Run, RunId, RunState, ThreadId},
    engine::{CallTarget, Engine, StartError, TargetContext, Targets},
    store::{Answers, Retry, StoreError},
};

use crate::harness::{Hosted, PATIENCE, engine_with, request, tenant};

/// Seeds that are tried: a few seconds' worth.
const SEEDS: u64 = 15;
/// Runs of one seed.
const RUNS: u32 = 8;
/// Longest life of an engine before it is dropped.
const LONGEST_LIFE: Duration = Duration::from_millis(30);
/// Lives after which an engine is left alone to finish.
const LIVES: u32 = 12;
const PACE: Pace = Pace {
    long_sleep: Duration::from_millis(50),
    ..Pace::REAL
};

/// Repeats what it is told, as a model does that calls of targets ask.
struct Repeats(Memory);

#[async_trait]
impl CallTarget for Repeats {
    async fn call(&self, context: TargetContext, input: Json) -> Outcome {
        let key = context.idempotency_key();
        self.0.note(Effect::Ran(&key));
        json::encode("the answer", &json!({ "content": input.get(), "key": key }))
    }
}

async fn engine_of(folder: &Path, outside: &Memory) -> Hosted {
    let world = Arc::new(outside.clone());
    let [remembered, cached] = entrypoints(world.clone(), PACE.cache);
    let worker = Worker::new().entrypoint(remembered).entrypoint(cached);
    let worker = worker.task(offered(world));
    let targets = Targets::default().with(MODEL_TARGET, Repeats(outside.clone()));
    engine_with(folder, worker, targets, 4).await
}

/// Sees all runs to their ends.
async fn attend(engine: &Engine, outside: &Memory, runs: &[(RunId, Program)]) -> Vec<Run> {
    let runs = runs.iter();
    join_all(runs.map(|(id, program)| attend_one(engine, outside, *id, program))).await
}

async fn attend_one(engine: &Engine, outside: &Memory, id: RunId, program: &Program) -> Run {
    loop {
        let run = engine.wait(&tenant(), id, PATIENCE).await;
        let run = run.unwrap().unwrap();
        assert!(run.state.is_resting(), "{program:?} is stuck: {run:?}");
        let failure = run.failure.as_ref().map(|failure| failure.reason.as_str());
        match (run.state, failure) {
            (RunState::Interrupted, _) => answer_all(engine, &run).await,
            (RunState::Failed, Some(BROKEN)) => {
                outside.repair(id.0);
                retry(engine, id).await;
            }
            _ => return run,
        }
    }
}

/// Retries a run, as a branch if its thread went on meanwhile.
async fn retry(engine: &Engine, id: RunId) {
    let mut retry = Retry::default();
    loop {
        let retried = engine.retry_run(&tenant(), id, retry.clone()).await;
        match retried {
            Err(StartError::Store(StoreError::ThreadMovedOn { .. })) => retry.is_branch = true,
            // By a run that is attended as well.
            Err(StartError::Store(StoreError::ThreadInUse { .. })) => {
                tokio::task::yield_now().await;
            }
            retried => {
                retried.unwrap();
                return;
            }
        }
    }
}

async fn answer_all(engine: &Engine, run: &Run) {
    let answers: BTreeMap<_, _> = run
        .interrupts
        .iter()
        .map(|interrupt| {
            let question: u64 = interrupt.value.get().parse().unwrap();
            let text = answer(question).to_string();
            (interrupt.id.clone(), json::from_text(text).unwrap())
        })
        .collect();
    let answered = engine
        .answer_run(&tenant(), run.id, Answers::ById(answers))
        .await;
    // A timer beside the questions may have been due: they are asked again.
    if !matches!(answered, Err(StoreError::WrongState { .. })) {
        answered.unwrap();
    }
}

/// What a run came to: a number, or that of the failure that ended it.
fn result(run: &Run) -> Option<Result<u64, u64>> {
    let failure = run.failure.as_ref();
    match (run.state, &run.output, failure) {
        (RunState::Succeeded, Some(output), _) => {
            let output: Output = serde_json::from_str(output.get()).ok()?;
            Some(Ok(output.result))
        }
        (RunState::Failed, _, Some(failure)) if failure.reason == FAIL => {
            Some(Err(failure.message.parse().ok()?))
        }
        _ => None,
    }
}

async fn try_seed(seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    let folder = tempfile::tempdir().unwrap();
    let outside = Memory::default();
    let mut engine = engine_of(folder.path(), &outside).await;
    let mut runs = Vec::new();
    for number in 0..RUNS {
        let program = Program::random(&mut random, &PACE, 3);
        let argument = Argument {
            number,
            program: program.clone(),
        };
        // Some share a thread, and wait for each other.
        let mut request = request(ENTRYPOINT, "t", 0);
        request.run.thread_id = ThreadId::parse(&format!("t{}", number % 5)).unwrap();
        request.run.input = json::encode("the argument", &argument).unwrap();
        runs.push((
            engine.start_run(&tenant(), request).await.unwrap().id,
            program,
        ));
    }
    for _ in 0..LIVES {
        let life = LONGEST_LIFE.mul_f64(random.random());
        let attended = tokio::time::timeout(life, attend(&engine, &outside, &runs)).await;
        if attended.is_ok() {
            break;
        }
        engine.stop().await;
        drop(engine);
        engine = engine_of(folder.path(), &outside).await;
    }
    let ended = attend(&engine, &outside, &runs).await;
    for ((_, program), run) in runs.iter().zip(&ended) {
        let expected = Some(program.expected());
        assert_eq!(result(run), expected, "seed {seed}: {program:?}: {run:?}");
    }
    let again = outside.run_again(|_| true);
    assert!(
        again.is_empty(),
        "seed {seed}: ran again after their results were seen: {again:?}"
    );
    engine.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_programs_finish_as_if_the_engine_had_never_been_dropped() {
    let only = env::var("WEFT_TEST_SEED").ok();
    let seeds = match only.and_then(|seed| seed.parse().ok()) {
        Some(seed) => seed..seed + 1,
        None => 0..SEEDS,
    };
    for seed in seeds {
        try_seed(seed).await;
    }
}
